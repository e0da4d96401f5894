//! Windows as they are in a large cluster: so many peers, each probed once a second for ten seconds.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use dt_probe::{Accumulator, Clock, Event, Method, ProbeKind, Sample, TargetId, What, WindowTable};
use dt_record::{Endpoint, Flow, Origin, Pair, Recorder, Summary};

/// Probes of one peer in one window.
pub const SAMPLES: u64 = 10;

/// The same sequence of round trips every time: around 50 us with a tail, as within a data centre.
#[derive(Clone, Debug)]
pub struct Delays(u64);

impl Default for Delays {
    fn default() -> Delays {
        Delays(0x9e37_79b9_7f4a_7c15)
    }
}

impl Delays {
    /// The next one, in nanoseconds.
    pub fn sample(&mut self) -> u64 {
        // Knuth's MMIX generator; its high bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (body, tail) = ((self.0 >> 40) % 20_000, (self.0 >> 33) % 100);
        40_000 + body + if tail == 0 { 10 * body } else { 0 }
    }
}

/// A probe answered after `rtt_ns`, sent from `source_port` (0 where ports don't apply).
#[must_use]
pub fn received(target: u32, source_port: u16, rtt_ns: u64) -> Event {
    Event {
        target: TargetId(target),
        source_port,
        what: What::Received(Sample {
            rtt_ns,
            host_delay_ns: Some(rtt_ns / 8),
            tx: Clock::Kernel,
            rx: Clock::Kernel,
            fallback: false,
        }),
    }
}

/// A window's events: each of `peers` once a round, for [`SAMPLES`] rounds. From 64 source ports in turn where `ports`.
#[must_use]
pub fn events(peers: u32, ports: bool) -> Vec<Event> {
    let mut delays = Delays::default();
    let port = |number: u64| if ports { 61_000 + (number % 64) as u16 } else { 0 };
    (0..SAMPLES)
        .flat_map(|round| (0..peers).map(move |peer| (round, peer)))
        .map(|(round, peer)| received(peer, port(round + u64::from(peer)), delays.sample()))
        .collect()
}

/// A table that knows `peers`, with nothing in it.
#[must_use]
pub fn table(peers: u32) -> WindowTable {
    let mut table = WindowTable::new();
    for peer in 0..peers {
        table.add(TargetId(peer));
    }
    table
}

/// A pair for each of `peers`, as an agent holds them.
#[must_use]
pub fn pairs(peers: u32, probe: ProbeKind) -> Vec<Arc<Pair>> {
    let endpoint = |number: u32| Endpoint {
        node: format!("node-{number:05}.example.internal").into(),
        zone: format!("zone-{}", number % 3).into(),
        rack: format!("rack-{:03}", number / 40).into(),
        ..Endpoint::default()
    };
    let method = if probe == ProbeKind::Tcp {
        Method::Syn
    } else {
        Method::Echo
    };
    let source = Arc::new(endpoint(70_000));
    (0..peers)
        .map(|peer| {
            Arc::new(Pair {
                source: Arc::clone(&source),
                source_ip: Some(IpAddr::V4(Ipv4Addr::new(10, 200, 0, 1))),
                destination: Arc::new(endpoint(peer)),
                destination_ip: IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + peer)),
                destination_port: if probe == ProbeKind::Tcp { 4000 } else { 0 },
                probe,
                method,
                payload_bytes: (probe == ProbeKind::Icmp).then_some(56),
            })
        })
        .collect()
}

/// What an agent's records have in common.
#[must_use]
pub fn origin() -> Origin {
    Origin {
        cluster: "production".to_owned(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: "0d4c1f2e-6a55-4b8e-9a0e-4f8f2f0c7b11".to_owned(),
    }
}

/// What the agent makes of a target's sums when its window closes.
pub fn summarize(pair: &Arc<Pair>, sums: &Accumulator, recorder: &mut Recorder) -> Summary {
    let (timestamp_tx, timestamp_rx) = sums.clocks().unwrap_or((Clock::Kernel, Clock::Kernel));
    let flow = |flow: &dt_probe::Flow| Flow {
        port: flow.port,
        sent: flow.sent.into(),
        lost: flow.lost.into(),
    };
    Summary {
        pair: Arc::clone(pair),
        window_start_ms: 1_790_000_000_000,
        window_end_ms: 1_790_000_010_000,
        counts: sums.counts(),
        receive_drops: 0,
        rtt: recorder.distribution(sums.rtt().iter()),
        host_delay: recorder.distribution(sums.host_delay().iter()),
        timestamp_tx,
        timestamp_rx,
        flows: sums.flows().iter().map(flow).collect(),
    }
}

/// A closed window's summaries.
#[must_use]
pub fn summaries(peers: u32, probe: ProbeKind) -> Vec<Summary> {
    let (pairs, mut table, mut recorder) = (pairs(peers, probe), table(peers), Recorder::new());
    for event in events(peers, probe == ProbeKind::Tcp) {
        table.apply(&event);
    }
    let mut all = Vec::with_capacity(pairs.len());
    table.close(|id, sums, _| {
        if let Some(pair) = pairs.get(id.0 as usize) {
            all.push(summarize(pair, sums, &mut recorder));
        }
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_every_probe_of_every_peer() {
        for probe in [ProbeKind::Icmp, ProbeKind::Tcp] {
            let all = summaries(100, probe);
            assert_eq!(all.len(), 100);
            assert!(
                all.iter()
                    .all(|s| s.counts.received == SAMPLES && s.rtt.count() == SAMPLES)
            );
            assert!(all.iter().all(|s| s.flows.is_empty() == (probe == ProbeKind::Icmp)));
        }
    }
}
