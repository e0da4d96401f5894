//! Ports that strangers may call. [`bind`] listens, a [`Door`] limits who comes in, [`accept`] takes connections through it
//! and is ended by no error, and [`http1`] serves HTTP over them within bounds.
//!
//! What is bounded, is bounded for every caller: connections, how long one may take to say what it wants and to hear the
//! answer, the size of a request. Whoever is slow or silent makes room for others, a crowd before anybody else, so that it
//! keeps nobody out.

mod accept;
mod bind;
mod calls;
mod crowd;
mod door;
mod http1;

pub use accept::{Until, accept};
pub use bind::{BindError, bind};
pub use calls::{Call, Calls};
pub use door::{Arrival, Door, Limits, Stats};
pub use http1::{Stay, door, http1, long_door};
