//! What the tests of the page share: filled matrices, a server for them, a browser, and eyes.

pub mod browser;
pub mod eyes;
pub mod hour;
pub mod mesh;
pub mod server;
