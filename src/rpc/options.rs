//! How much a [`Server`](crate::Server) gives to its callers, and what that comes to.

use dt_serve::Limits;

use crate::tls::Tls;

/// Bytes of a message. No message of this service comes near it: a ping names a host and a port, health a service.
pub(crate) const MAX_MESSAGE: u32 = 4 * 1024;
/// Bytes of a call's headers as HTTP/2 counts them, 32 for each on top of its letters. The original's client and our own
/// prober send about 500; the rest is for what a service mesh adds.
pub(crate) const MAX_HEADERS: u32 = 2 * 1024;

/// Connections that have sent nothing yet. TCP probes of other nodes come and go here.
const ARRIVING: usize = 1024;
/// Connections open at once, at least. In the worst case one holds 64 KiB: 16 KiB that h2 has to write into, 32 KiB of what
/// its caller has brought (`metered`), 8 KiB for compressed headers and as much for this program's own tasks. So these are
/// 128 MiB. The call in each costs 12 KiB more (tonic has 8 KiB for a message), 24 MiB in all. With the 50 MB of an agent
/// at the defaults that is 4/5 of the 256 MiB that the chart grants. Measured were 100 MiB for the worst crowd;
/// an idle caller costs 25 KiB.
const OPEN: usize = 2_048;
/// Of these, those that are left to callers beyond the peers: agents that stop or begin to ping this one, health checks,
/// curious people.
const OTHERS: usize = 1_024;
/// One address gets so small a part of them: 256, the callers that a node has by default (`max_peers`) if they all stand
/// behind one address.
const SOURCES: usize = 8;

/// Limits of a [`Server`](crate::Server).
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Who comes in. Together well below the descriptor limit, so that a flood of callers can't take the probes' sockets
    /// away. Default: 1,024 that have sent nothing yet, 2,048 open, 256 of them from one address.
    pub limits: Limits,
    /// Calls open at once on one connection. Default 8: a prober overlaps 4 at most.
    pub max_streams: u32,
    /// Calls open at once on all connections. Default: one for each connection. A ping is one only while its message is
    /// still to come, or its answer to be taken.
    pub max_calls: usize,
    /// TLS, where it is spoken.
    pub tls: Option<Tls>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self::with(ARRIVING, OPEN)
    }
}

impl ServerOptions {
    /// The default, but room for `callers` and some more, as far as a process that may open `descriptors` can afford it:
    /// half of them.
    #[must_use]
    pub fn within(descriptors: u64, callers: usize) -> Self {
        let half = usize::try_from(descriptors / 2).unwrap_or(usize::MAX);
        let arriving = ARRIVING.min(half / 4);
        let open = OPEN.max(callers.saturating_add(OTHERS));
        Self::with(arriving, open.min(half - arriving))
    }

    fn with(arriving: usize, open: usize) -> Self {
        Self {
            limits: Limits {
                arriving,
                open,
                per_source: (open / SOURCES).max(1),
            },
            max_streams: 8,
            max_calls: open,
            tls: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_half_of_the_descriptors_to_the_rest() {
        for descriptors in [0, 10, 1024, 65_536, 1 << 40] {
            for callers in [0, 250, 10_000] {
                let Limits {
                    arriving,
                    open,
                    per_source,
                } = ServerOptions::within(descriptors, callers).limits;
                assert!((arriving + open) as u64 <= descriptors / 2, "{descriptors}");
                assert!(arriving <= ARRIVING && open <= OPEN.max(callers + OTHERS));
                assert_eq!(per_source, (open / 8).max(1));
            }
        }
    }

    #[test]
    fn there_is_room_for_all_peers_and_more_than_that_takes_no_memory() {
        let open = |callers| ServerOptions::within(1 << 40, callers).limits.open;
        assert_eq!([0, 250, 1_024].map(open), [OPEN; 3]);
        assert_eq!(open(10_000), 10_000 + OTHERS);
        assert_eq!(open(usize::MAX), (1 << 39) - ARRIVING);
    }
}
