//! What a lane reports: compact, `Copy`, carried from the probe thread to the aggregation by a ring.

use crate::kind::{Clock, Fate};

/// One peer probed in one way. Chosen by whoever adds the target, dense from 0, so that it can index a table.
/// It may be given to another target only after [`What::Gone`] came back for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u32);

/// Something that happened to a target's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose probe.
    pub target: TargetId,
    /// The probe's source port; 0 where ports don't apply or aren't known.
    pub source_port: u16,
    /// What happened.
    pub what: What,
}

/// The kinds of [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Answered in time: the one event that carries a round-trip delay.
    Received(Sample),
    /// Decided otherwise. Never [`Fate::Received`].
    Failed(Fate),
    /// An answer to a probe that had been decided as lost.
    Late,
    /// A further answer to a probe that was answered already.
    Duplicate,
    /// This many probes were due and gave no measurement by this host's own doing: it was too slow to send them, or it
    /// dropped what may have been their answer, or it was suspended while they were in flight.
    Skipped(u32),
    /// The target was removed and its last probe is decided: nothing more will come for this id.
    Gone,
}

impl What {
    /// Whether it decides a probe: each probe has one such event at most.
    #[must_use]
    pub fn is_fate(&self) -> bool {
        matches!(self, What::Received(_) | What::Failed(_))
    }
}

/// The measure of one answered probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Round-trip delay (RFC 2681) in nanoseconds, by the clocks below.
    pub rtt_ns: u64,
    /// How much longer the round trip seemed to this program than to the kernel, in nanoseconds:
    /// the time this host made its own program wait. `None` where a kernel stamp was missing.
    pub host_delay_ns: Option<u64>,
    /// Who stamped the request.
    pub tx: Clock,
    /// Who stamped the reply.
    pub rx: Clock,
    /// Whether a better clock was in use but gave no usable stamp for this probe.
    pub fallback: bool,
}
