//! What a series came to over one stretch of time.

use dt_probe::{Clock, Counts};

use crate::observation::Observation;
use crate::snapshot::FlowLoss;
use dt_record::packed::{Packed, Scratch};

/// So many source ports that lost something are kept apart in a pane.
const MAX_FLOWS: usize = 8;

/// All records of a series that belong to one stretch of time, as one. Kept small: there are some twenty for each of
/// 500,000 series.
#[derive(Clone, Debug)]
pub(crate) struct Pane {
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
    /// A window of ten probes needs no more memory than this.
    pub(crate) rtt: Packed<24>,
    /// Nor do the three numbers that a record has of it.
    pub(crate) host_delay: Packed<16>,
    pub(crate) rtt_sum_ns: u64,
    pub(crate) host_delay_sum_ns: u64,
    received: u32,
    pub(crate) flows_used: u16,
    /// The weakest clocks that stamped its probes; `None` where nothing was decided.
    pub(crate) clocks: Option<(Clock, Clock)>,
    /// What most panes have nothing of.
    rare: Option<Box<Rare>>,
}

const _: () = assert!(size_of::<Pane>() <= 104);

#[derive(Clone, Debug, Default)]
struct Rare {
    /// All counts but `received`, in the order of [`numbers`].
    counts: [u32; 8],
    receive_drops: u32,
    flows: Vec<FlowLoss>,
}

impl Pane {
    /// Nothing yet, of the stretch of `observation`.
    pub(crate) fn of(observation: &Observation<'_>) -> Pane {
        Pane {
            start_ms: observation.start_ms,
            end_ms: observation.end_ms,
            rtt: Packed::default(),
            host_delay: Packed::default(),
            rtt_sum_ns: 0,
            host_delay_sum_ns: 0,
            received: 0,
            flows_used: 0,
            clocks: None,
            rare: None,
        }
    }

    /// Adds a record: counts exactly, delays as [`Packed::add`] does. `scratch` is working memory.
    pub(crate) fn add(&mut self, observation: &Observation<'_>, scratch: &mut Scratch) {
        self.start_ms = self.start_ms.min(observation.start_ms);
        self.end_ms = self.end_ms.max(observation.end_ms);
        if observation.counts.sent() > 0 {
            let (tx, rx) = self.clocks.unwrap_or((observation.tx, observation.rx));
            self.clocks = Some((tx.min(observation.tx), rx.min(observation.rx)));
        }
        let (received, others) = numbers(&observation.counts);
        self.received = added(self.received, received);
        self.rtt.add(&observation.rtt, scratch);
        self.host_delay.add(&observation.host_delay, scratch);
        let sum = |kept: u64, more: u128| kept.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        self.rtt_sum_ns = sum(self.rtt_sum_ns, observation.rtt.sum_ns);
        self.host_delay_sum_ns = sum(self.host_delay_sum_ns, observation.host_delay.sum_ns);
        self.flows_used = self.flows_used.max(observation.flows_used);
        if others != [0; 8] || observation.receive_drops > 0 || !observation.losing_flows.is_empty() {
            let rare = self.rare.get_or_insert_default();
            for (kept, more) in rare.counts.iter_mut().zip(others) {
                *kept = added(*kept, more);
            }
            rare.receive_drops = added(rare.receive_drops, observation.receive_drops);
            add_flows(&mut rare.flows, &observation.losing_flows);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let others = self.rare.as_ref().map_or([0; 8], |rare| rare.counts);
        let [
            lost,
            refused,
            unreachable,
            send_error,
            late,
            duplicate,
            skipped,
            timestamp_fallbacks,
        ] = others.map(u64::from);
        Counts {
            received: self.received.into(),
            lost,
            refused,
            unreachable,
            send_error,
            late,
            duplicate,
            skipped,
            timestamp_fallbacks,
        }
    }

    pub(crate) fn receive_drops(&self) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.receive_drops.into())
    }

    /// What source ports lost, worst first.
    pub(crate) fn flows(&self) -> &[FlowLoss] {
        self.rare.as_ref().map_or(&[], |rare| &rare.flows)
    }
}

fn added(kept: u32, more: u64) -> u32 {
    kept.saturating_add(u32::try_from(more).unwrap_or(u32::MAX))
}

/// `received`, and all others.
fn numbers(counts: &Counts) -> (u64, [u64; 8]) {
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
    } = *counts;
    let others = [
        lost,
        refused,
        unreachable,
        send_error,
        late,
        duplicate,
        skipped,
        timestamp_fallbacks,
    ];
    (received, others)
}

/// Adds what ports lost, and keeps those that lost most, worst first.
pub(crate) fn add_flows(kept: &mut Vec<FlowLoss>, more: &[FlowLoss]) {
    for flow in more {
        match kept.iter_mut().find(|known| known.port == flow.port) {
            Some(known) => {
                known.lost = known.lost.saturating_add(flow.lost);
                known.windows = known.windows.saturating_add(flow.windows);
            }
            None => kept.push(*flow),
        }
    }
    kept.sort_by_key(|flow| (std::cmp::Reverse(flow.lost), flow.port));
    kept.truncate(MAX_FLOWS);
    kept.shrink_to_fit();
}
