//! What one target's probes came to within one window.

use smallvec::SmallVec;

use crate::event::{Event, Sample, What};
use crate::kind::{Clock, Fate};
use crate::samples::{Delays, Samples};

/// How many probes met which fate, and what else was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered in time.
    pub received: u64,
    /// Left this host and unanswered at the time-out.
    pub lost: u64,
    /// Answered by RST.
    pub refused: u64,
    /// An ICMP error came back, or there was no route.
    pub unreachable: u64,
    /// Never left this host.
    pub send_error: u64,
    /// Replies after the time-out.
    pub late: u64,
    /// Repeated replies.
    pub duplicate: u64,
    /// Probes due that gave no measurement by this host's own doing: not sent, or sent and untold.
    pub skipped: u64,
    /// Samples that had to fall back to a weaker clock.
    pub timestamp_fallbacks: u64,
}

impl Counts {
    /// Probes whose fate was decided: the sum of the five fates. It saturates, for counts may come from outside.
    #[must_use]
    pub fn sent(&self) -> u64 {
        let unsent = self.send_error;
        self.received.saturating_add(self.unanswered()).saturating_add(unsent)
    }

    /// Probes that left this host and got no answer in time, whatever the reason. Saturates.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.lost.saturating_add(self.refused).saturating_add(self.unreachable)
    }

    /// How many probes met `fate`.
    #[must_use]
    pub fn of(&self, fate: Fate) -> u64 {
        match fate {
            Fate::Received => self.received,
            Fate::Lost => self.lost,
            Fate::Refused => self.refused,
            Fate::Unreachable => self.unreachable,
            Fate::SendError => self.send_error,
        }
    }

    /// Adds `other`, field by field.
    pub fn add(&mut self, other: &Counts) {
        // Taken apart so that a new field can't be forgotten.
        let Counts {
            received,
            lost,
            refused,
            unreachable,
            send_error,
            late,
            duplicate,
            skipped,
            timestamp_fallbacks,
        } = other;
        self.received = self.received.saturating_add(*received);
        self.lost = self.lost.saturating_add(*lost);
        self.refused = self.refused.saturating_add(*refused);
        self.unreachable = self.unreachable.saturating_add(*unreachable);
        self.send_error = self.send_error.saturating_add(*send_error);
        self.late = self.late.saturating_add(*late);
        self.duplicate = self.duplicate.saturating_add(*duplicate);
        self.skipped = self.skipped.saturating_add(*skipped);
        self.timestamp_fallbacks = self.timestamp_fallbacks.saturating_add(*timestamp_fallbacks);
    }
}

/// What one source port saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The source port.
    pub port: u16,
    /// Probes decided on it.
    pub sent: u32,
    /// Of those, lost.
    pub lost: u32,
}

/// So many source ports are told apart in a window; the probes of further ones are counted, but in no flow.
const MAX_FLOWS: usize = 4096;

/// The counts of one window of one target: there is one of these for each of 100,000 targets, so it is narrow. A count
/// that doesn't fit saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Narrow {
    fates: [u32; Fate::ALL.len()],
    late: u32,
    duplicate: u32,
    skipped: u32,
    timestamp_fallbacks: u32,
}

/// The sum of a target's events.
#[derive(Clone, Debug, Default)]
pub struct Accumulator {
    samples: Samples,
    /// Ascending by port. The first lies in the struct, as for the samples.
    flows: SmallVec<[Flow; 1]>,
    counts: Narrow,
    clocks: Option<(Clock, Clock)>,
}

const _: () = assert!(size_of::<Accumulator>() <= 96);

impl Accumulator {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Accumulator {
        Accumulator::default()
    }

    /// The counts; each saturates at 4,294,967,295.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let Narrow {
            fates,
            late,
            duplicate,
            skipped,
            timestamp_fallbacks,
        } = self.counts;
        let fate = |fate: Fate| fates[fate as usize].into();
        Counts {
            received: fate(Fate::Received),
            lost: fate(Fate::Lost),
            refused: fate(Fate::Refused),
            unreachable: fate(Fate::Unreachable),
            send_error: fate(Fate::SendError),
            late: late.into(),
            duplicate: duplicate.into(),
            skipped: skipped.into(),
            timestamp_fallbacks: timestamp_fallbacks.into(),
        }
    }

    /// The weakest clocks that stamped a request and a reply; `None` where nothing was received.
    #[must_use]
    pub fn clocks(&self) -> Option<(Clock, Clock)> {
        self.clocks
    }

    /// Round-trip delays of the probes received.
    #[must_use]
    pub fn rtt(&self) -> Delays<'_> {
        self.samples.rtt()
    }

    /// How long this host made its own program wait, of the same probes where that is known.
    #[must_use]
    pub fn host_delay(&self) -> Delays<'_> {
        self.samples.host_delay()
    }

    /// The source ports used, ascending; empty where ports don't apply or aren't known.
    #[must_use]
    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }

    /// Adds an event. [`What::Gone`] says nothing about probes and changes nothing.
    pub fn apply(&mut self, event: &Event) {
        match event.what {
            What::Received(sample) => {
                self.decided(Fate::Received, event.source_port);
                self.sample(&sample);
            }
            What::Failed(fate) => self.decided(fate, event.source_port),
            What::Late => count(&mut self.counts.late, 1),
            What::Duplicate => count(&mut self.counts.duplicate, 1),
            What::Skipped(turns) => count(&mut self.counts.skipped, turns),
            What::Gone => {}
        }
    }

    /// Whether nothing was added since it was made or cleared.
    pub(crate) fn is_untouched(&self) -> bool {
        self.counts == Narrow::default()
    }

    /// Back to nothing, keeping the memory for another window like this one.
    pub fn clear(&mut self) {
        self.counts = Narrow::default();
        self.clocks = None;
        self.samples.clear();
        self.flows.clear();
    }

    fn decided(&mut self, fate: Fate, port: u16) {
        count(&mut self.counts.fates[fate as usize], 1);
        if port == 0 {
            return;
        }
        let place = match self.flows.binary_search_by_key(&port, |flow| flow.port) {
            Ok(place) => place,
            Err(_) if self.flows.len() == MAX_FLOWS => return,
            Err(place) => {
                self.flows.insert(place, Flow { port, sent: 0, lost: 0 });
                place
            }
        };
        let flow = &mut self.flows[place];
        count(&mut flow.sent, 1);
        count(&mut flow.lost, u32::from(fate == Fate::Lost));
    }

    fn sample(&mut self, sample: &Sample) {
        count(&mut self.counts.timestamp_fallbacks, u32::from(sample.fallback));
        self.samples.record(sample.rtt_ns, sample.host_delay_ns);
        let (tx, rx) = self.clocks.unwrap_or((sample.tx, sample.rx));
        self.clocks = Some((tx.min(sample.tx), rx.min(sample.rx)));
    }
}

fn count(counter: &mut u32, more: u32) {
    *counter = counter.saturating_add(more);
}
