//! Where probes are compared: over loopback, or over a virtual wire to another namespace.

use crate::addresses::{Addresses, BEYOND, LOOPBACK};
use crate::others::{Listener, Others};
use crate::{Result, namespace};

/// Addresses to probe, with ports on all of them. The calling thread has a namespace of its own.
#[derive(Debug)]
pub struct Place {
    /// The addresses.
    pub addresses: Addresses,
    /// The ports.
    pub listener: Listener,
}

impl Place {
    /// On this host.
    ///
    /// # Errors
    /// Where the ports can't be had.
    pub fn loopback(others: &Others) -> Result<Place> {
        Ok(Place {
            addresses: LOOPBACK,
            listener: others.listen()?,
        })
    }

    /// In another network namespace, over a veth pair. One at a time.
    ///
    /// # Errors
    /// Where the ports or the devices can't be had.
    pub fn veth(others: &Others) -> Result<Place> {
        let listener = others.listen_in_a_namespace()?;
        namespace::beyond(listener.pid())?;
        Ok(Place {
            addresses: BEYOND,
            listener,
        })
    }
}
