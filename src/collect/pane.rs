//! What a series came to over one stretch of time.

use dt_probe::{Clock, Counts};

use crate::observation::Observation;
use crate::packed::{Packed, Scratch};
use crate::snapshot::FlowLoss;

/// So many source ports that lost something are kept apart in a pane.
const MAX_FLOWS: usize = 8;

/// All records of a series that belong to one stretch of time, as one. Kept small: there are some twenty for each of
/// 500,000 series.
#[derive(Clone, Debug)]
pub(crate) struct Pane {
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
    pub(crate) rtt: Packed,
    pub(crate) host_delay: Packed,
    pub(crate) rtt_sum_ns: u64,
    pub(crate) host_delay_sum_ns: u64,
    counts: [u32; 9],
    pub(crate) receive_drops: u32,
    #[expect(clippy::box_collection, reason = "eight bytes for what is hardly ever there")]
    pub(crate) flows: Option<Box<Vec<FlowLoss>>>,
    pub(crate) flows_used: u16,
    /// The weakest clocks that stamped its probes; `None` where nothing was decided.
    pub(crate) clocks: Option<(Clock, Clock)>,
}

const _: () = assert!(size_of::<Pane>() <= 160);

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
            counts: [0; 9],
            receive_drops: 0,
            flows: None,
            flows_used: 0,
            clocks: None,
        }
    }

    /// Adds a record, exactly. `scratch` is working memory.
    pub(crate) fn add(&mut self, observation: &Observation<'_>, scratch: &mut Scratch) {
        self.start_ms = self.start_ms.min(observation.start_ms);
        self.end_ms = self.end_ms.max(observation.end_ms);
        if observation.counts.sent() > 0 {
            let (tx, rx) = self.clocks.unwrap_or((observation.tx, observation.rx));
            self.clocks = Some((tx.min(observation.tx), rx.min(observation.rx)));
        }
        for (kept, more) in self.counts.iter_mut().zip(numbers(&observation.counts)) {
            *kept = kept.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        }
        let drops = u32::try_from(observation.receive_drops).unwrap_or(u32::MAX);
        self.receive_drops = self.receive_drops.saturating_add(drops);
        self.rtt.add(&observation.rtt, scratch);
        self.host_delay.add(&observation.host_delay, scratch);
        let sum = |kept: u64, more: u128| kept.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        self.rtt_sum_ns = sum(self.rtt_sum_ns, observation.rtt.sum_ns);
        self.host_delay_sum_ns = sum(self.host_delay_sum_ns, observation.host_delay.sum_ns);
        self.flows_used = self.flows_used.max(observation.flows_used);
        if !observation.losing_flows.is_empty() {
            add_flows(self.flows.get_or_insert_default(), &observation.losing_flows);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let [
            received,
            lost,
            refused,
            unreachable,
            send_error,
            late,
            duplicate,
            skipped,
            timestamp_fallbacks,
        ] = self.counts.map(u64::from);
        Counts {
            received,
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
}

fn numbers(counts: &Counts) -> [u64; 9] {
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
    [
        received,
        lost,
        refused,
        unreachable,
        send_error,
        late,
        duplicate,
        skipped,
        timestamp_fallbacks,
    ]
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
