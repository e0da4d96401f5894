//! Faults of the demo's own network: what is measured over loopback goes through them before it is counted.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use clap::ValueEnum;
use dt_agent::Between;
use dt_probe::{Event, Fate, ProbeKind, What};
use dt_record::{Endpoint, Summary};

/// What `--fault` accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// node-5 is gone: nothing reaches it, and nothing is heard of it
    DeadNode,
    /// Half of what node-2 sends to node-5 is lost
    LossyPair,
    /// What node-3 sends to node-4 takes 20 ms longer
    SlowPair,
    /// node-6 is so busy that its own probes wait 15 ms for it
    BusyNode,
    /// A third of what zone-a sends to zone-b is lost
    ZoneLoss,
}

const DEAD: &str = "node-5";
const LOSSY: (&str, &str) = ("node-2", "node-5");
const SLOW: (&str, &str) = ("node-3", "node-4");
const BUSY: &str = "node-6";
const ZONES: (&str, &str) = ("zone-a", "zone-b");
const LATER: u64 = Duration::from_millis(20).as_nanos() as u64;
const WAIT: u64 = Duration::from_millis(15).as_nanos() as u64;

impl Fault {
    /// What is the matter, in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Fault::DeadNode => "node-5 is gone: nothing reaches it, and nothing is heard of it",
            Fault::LossyPair => "half of what node-2 sends to node-5 is lost",
            Fault::SlowPair => "what node-3 sends to node-4 takes 20 ms longer",
            Fault::BusyNode => "node-6 is so busy that its own probes wait 15 ms for it",
            Fault::ZoneLoss => "a third of what zone-a sends to zone-b is lost",
        }
    }
}

/// Whether the fault is there, for all nodes.
#[derive(Debug)]
pub(super) struct Switch {
    fault: Fault,
    on: AtomicBool,
}

impl Switch {
    pub(super) fn new(fault: Fault) -> Arc<Switch> {
        Arc::new(Switch {
            fault,
            on: AtomicBool::new(false),
        })
    }

    pub(super) fn turn_on(&self) {
        self.on.store(true, Relaxed);
    }

    /// Whether a summary reaches anybody: of a dead node none does.
    pub(super) fn lets_out(&self, summary: &Summary) -> bool {
        !(self.on.load(Relaxed) && self.fault == Fault::DeadNode && summary.pair.source.node == DEAD)
    }
}

/// The network between one node and its peers.
#[derive(Debug)]
pub(super) struct Wire {
    switch: Arc<Switch>,
    node: String,
    zone: &'static str,
    passed: AtomicU64,
}

impl Wire {
    pub(super) fn new(switch: Arc<Switch>, node: &str, zone: &'static str) -> Wire {
        Wire {
            switch,
            node: node.to_owned(),
            zone,
            passed: AtomicU64::new(0),
        }
    }

    /// True once in `n` times on average, by no pattern: probes take their turns in a fixed order, and every second of all
    /// could be every one to the same port of the same peer.
    fn once_in(&self, n: u64) -> bool {
        let turn = self.passed.fetch_add(1, Relaxed);
        BuildHasherDefault::<DefaultHasher>::new()
            .hash_one(turn)
            .is_multiple_of(n)
    }
}

impl Between for Wire {
    fn pass(&self, destination: &Endpoint, _: ProbeKind, event: Event) -> Event {
        let What::Received(mut sample) = event.what else {
            return event;
        };
        if !self.switch.on.load(Relaxed) {
            return event;
        }
        let from_to = |(from, to): (&str, &str)| self.node == from && destination.node == to;
        let is_lost = match self.switch.fault {
            Fault::DeadNode => self.node == DEAD || destination.node == DEAD,
            Fault::LossyPair => from_to(LOSSY) && self.once_in(2),
            Fault::ZoneLoss => self.zone == ZONES.0 && destination.zone == ZONES.1 && self.once_in(3),
            Fault::SlowPair => {
                sample.rtt_ns += if from_to(SLOW) { LATER } else { 0 };
                false
            }
            Fault::BusyNode => {
                if self.node == BUSY {
                    match &mut sample.host_delay_ns {
                        Some(delay) => *delay += WAIT,
                        // Without kernel stamps the wait is in what is measured.
                        None => sample.rtt_ns += WAIT,
                    }
                }
                false
            }
        };
        Event {
            what: if is_lost {
                What::Failed(Fate::Lost)
            } else {
                What::Received(sample)
            },
            ..event
        }
    }
}

#[cfg(test)]
mod tests {
    use dt_probe::{Clock, Sample, TargetId};

    use super::*;

    const TURNS: usize = 600;

    fn wire(fault: Fault, on: bool, node: &str, zone: &'static str) -> Wire {
        let switch = Switch::new(fault);
        if on {
            switch.turn_on();
        }
        Wire::new(switch, node, zone)
    }

    fn endpoint((node, zone): (&str, &str)) -> Endpoint {
        Endpoint {
            node: node.into(),
            zone: zone.into(),
            ..Endpoint::default()
        }
    }

    fn answered(source_port: u16) -> Event {
        Event {
            target: TargetId(0),
            source_port,
            what: What::Received(Sample {
                rtt_ns: 50_000,
                host_delay_ns: Some(1),
                tx: Clock::Kernel,
                rx: Clock::Kernel,
                fallback: false,
            }),
        }
    }

    fn passed(fault: Fault, on: bool, node: &str, zone: &'static str, to: (&str, &str)) -> Vec<What> {
        let (wire, destination) = (wire(fault, on, node, zone), endpoint(to));
        (0..TURNS)
            .map(|_| wire.pass(&destination, ProbeKind::Icmp, answered(0)).what)
            .collect()
    }

    fn lost(whats: &[What]) -> usize {
        whats.iter().filter(|what| **what == What::Failed(Fate::Lost)).count()
    }

    #[test]
    fn a_fault_hits_what_it_says_and_nothing_else() {
        let (b, a) = (("node-5", "zone-b"), ("node-1", "zone-a"));
        let lost = |fault, on, node, zone, to| lost(&passed(fault, on, node, zone, to));
        assert_eq!(lost(Fault::DeadNode, true, "node-1", "zone-a", b), TURNS);
        assert_eq!(lost(Fault::DeadNode, true, "node-5", "zone-b", a), TURNS);
        assert_eq!(lost(Fault::DeadNode, true, "node-2", "zone-a", a), 0);
        assert_eq!(lost(Fault::DeadNode, false, "node-1", "zone-a", b), 0);
        assert!((250..=350).contains(&lost(Fault::LossyPair, true, "node-2", "zone-a", b)));
        assert_eq!(lost(Fault::LossyPair, true, "node-1", "zone-a", b), 0);
        assert!((150..=250).contains(&lost(Fault::ZoneLoss, true, "node-1", "zone-a", b)));
        assert_eq!(lost(Fault::ZoneLoss, true, "node-5", "zone-b", a), 0);
    }

    /// In the order in which an agent probes: peer by peer, kind by kind, a port further each round.
    #[test]
    fn loss_is_the_same_for_every_peer_kind_and_flow() {
        let kinds = [ProbeKind::Icmp, ProbeKind::Tcp, ProbeKind::Grpc];
        let peers = ["node-4", "node-5", "node-6"].map(|node| endpoint((node, "zone-b")));
        for (fault, share) in [(Fault::LossyPair, 2), (Fault::ZoneLoss, 3)] {
            let wire = wire(fault, true, "node-2", "zone-a");
            let mut lost = std::collections::BTreeMap::new();
            for round in 0..8 * TURNS {
                for peer in peers
                    .iter()
                    .filter(|peer| fault == Fault::ZoneLoss || peer.node == LOSSY.1)
                {
                    for kind in kinds {
                        let port = (round % 8) as u16;
                        let what = wire.pass(peer, kind, answered(port)).what;
                        let count = lost.entry((peer.node.clone(), kind.as_str(), port)).or_insert(0);
                        *count += usize::from(what == What::Failed(Fate::Lost));
                    }
                }
            }
            let fair = TURNS / share;
            assert!(
                lost.values().all(|count| (fair * 3 / 4..=fair * 5 / 4).contains(count)),
                "{fault:?}: {lost:?}"
            );
        }
    }

    #[test]
    fn a_slow_network_is_one_thing_and_a_busy_host_another() {
        let sample = |whats: &[What]| match whats[0] {
            What::Received(sample) => sample,
            what => panic!("{what:?}"),
        };
        let slow = sample(&passed(Fault::SlowPair, true, "node-3", "zone-a", ("node-4", "zone-b")));
        assert_eq!((slow.rtt_ns, slow.host_delay_ns), (20_050_000, Some(1)));
        let busy = sample(&passed(Fault::BusyNode, true, "node-6", "zone-b", ("node-4", "zone-b")));
        assert_eq!((busy.rtt_ns, busy.host_delay_ns), (50_000, Some(15_000_001)));
    }
}
