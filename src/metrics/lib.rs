//! What `/metrics` shows, and how.
//!
//! A [`Source`] writes its counters, gauges and [`Histogram`]s to a [`Page`] at each scrape; [`Metrics`] is all of them in the
//! [`Format`] that was asked for, and [`respond`] the answer to a scrape.

mod answer;
mod format;
mod histogram;
mod layout;
mod page;
mod placed;

pub use answer::respond;
pub use format::Format;
pub use histogram::Histogram;
pub use layout::{COARSE, FINE, Layout, ZERO_THRESHOLD};
pub use page::{Metrics, Page, RenderError, Series, Source};
pub use placed::Placed;
