//! Summaries for the tests of this crate, those inside of it and those in `tests`.

use std::sync::Arc;

use dt_probe::{Clock, Method, ProbeKind};
use dt_record::{Counts, Endpoint, Origin, Pair, Recorder, Summary};

pub(crate) fn origin() -> Arc<Origin> {
    Arc::new(Origin {
        cluster: "c1".into(),
        agent_version: "0.1.0".into(),
        boot_id: "b00f".into(),
    })
}

pub(crate) fn pair(destination: &str) -> Arc<Pair> {
    pair_between("a", destination)
}

pub(crate) fn pair_between(source: &str, destination: &str) -> Arc<Pair> {
    Arc::new(Pair {
        source: Arc::new(Endpoint {
            node: source.into(),
            ..Endpoint::default()
        }),
        source_ip: None,
        destination: Arc::new(Endpoint {
            node: destination.into(),
            ..Endpoint::default()
        }),
        destination_ip: [127, 0, 0, 2].into(),
        destination_port: 0,
        probe: ProbeKind::Icmp,
        method: Method::Echo,
        payload_bytes: Some(56),
    })
}

/// The window's number is its start in units of 10 s and its number of lost probes.
pub(crate) fn summary(pair: &Arc<Pair>, window: u64) -> Arc<Summary> {
    let rtt = Recorder::new().distribution([(1_000 * (window + 1), 1)]);
    Arc::new(Summary {
        pair: Arc::clone(pair),
        window_start_ms: window * 10_000,
        window_end_ms: (window + 1) * 10_000,
        counts: Counts {
            received: 1,
            lost: window,
            ..Counts::default()
        },
        receive_drops: 0,
        rtt,
        host_delay: dt_record::Distribution::default(),
        timestamp_tx: Clock::Kernel,
        timestamp_rx: Clock::Kernel,
        flows: Vec::new(),
    })
}
