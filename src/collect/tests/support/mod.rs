//! What the tests of the page share: a filled matrix, a server for it, a browser.

pub mod browser;
pub mod mesh;
pub mod server;
