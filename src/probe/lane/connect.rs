//! Probes that are full handshakes, made by the caller.

use super::Lane;
use crate::event::{Sample, TargetId, What};
use crate::kind::{Clock, Fate};
use crate::ring::State;
use crate::time::Mono;

/// How a connection attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectOutcome {
    /// The handshake was completed.
    Established {
        /// SYN to SYN-ACK as the kernel measured it (`tcpi_rtt` of `TCP_INFO`), in nanoseconds; 0 where it has none.
        rtt_ns: u64,
        /// From the call to the wake-up by the user's monotonic clock, in nanoseconds.
        user_rtt_ns: u64,
        /// Whether the SYN had to be sent more than once (`tcpi_total_retrans`).
        retransmitted: bool,
    },
    /// RST.
    Refused,
    /// No route, or an ICMP error.
    Unreachable,
    /// The attempt failed on this host.
    Failed,
}

/// `tcpi_rtt` counts microseconds, so it may exceed the user's reading of the same time by less than one.
const TCP_INFO_UNIT: u64 = 1_000;

impl Lane {
    /// A connection attempt ended. `source_port` is the one that the kernel chose, 0 where it isn't known.
    ///
    /// Where the SYN was retransmitted, the probe's one packet went unanswered: its fate is [`Fate::Lost`], without a
    /// sample, however well the connection went afterwards. Otherwise the sample is the kernel's own, by `TCP_INFO`.
    /// There is no host delay: the user's time contains the caller's own sleep, which can't be told apart from it.
    pub fn handle_connected(&mut self, key: u32, outcome: ConnectOutcome, source_port: u16, _now: Mono) {
        let Some(sequence) = self.sequence_of(key) else { return };
        let Some(&mut slot) = self.ring.get(sequence).filter(|slot| slot.state.is_undecided()) else {
            return;
        };
        if self.slept_through(sequence) {
            self.void(sequence);
            return;
        }
        let id = TargetId(slot.target);
        let before = self.events.len();
        match outcome {
            ConnectOutcome::Established {
                retransmitted: true, ..
            } => {
                self.fail(sequence, Fate::Lost, State::Answered);
            }
            ConnectOutcome::Established {
                rtt_ns, user_rtt_ns, ..
            } => {
                let sample = established(rtt_ns, user_rtt_ns);
                self.stats.clock_fallbacks += u64::from(sample.fallback);
                self.finish(sequence, sample.rtt_ns, What::Received(sample));
            }
            ConnectOutcome::Refused => self.fail(sequence, Fate::Refused, State::Answered),
            ConnectOutcome::Unreachable => self.fail(sequence, Fate::Unreachable, State::Answered),
            ConnectOutcome::Failed => self.fail(sequence, Fate::SendError, State::Answered),
        }
        for event in self
            .events
            .range_mut(before..)
            .filter(|event| event.target == id && event.what != What::Gone)
        {
            event.source_port = source_port;
        }
    }
}

fn established(rtt_ns: u64, user_rtt_ns: u64) -> Sample {
    let plausible = rtt_ns > 0 && rtt_ns < user_rtt_ns.saturating_add(TCP_INFO_UNIT);
    let (rtt_ns, clock) = if plausible {
        (rtt_ns, Clock::Kernel)
    } else {
        (user_rtt_ns.max(1), Clock::User)
    };
    Sample {
        rtt_ns,
        host_delay_ns: None,
        tx: clock,
        rx: clock,
        fallback: !plausible,
    }
}
