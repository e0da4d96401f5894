//! What diagnosis says.

use std::fmt;

use serde::{Deserialize, Serialize};

/// All that is the matter at one time, the gravest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// When it was looked at, UTC milliseconds.
    pub now_ms: u64,
    /// Whether there is a verdict: false before records were judged, as long as a collector is still reading what is past,
    /// and where it has no partition to read. No findings mean nothing then.
    #[serde(default = "judged")]
    pub judged: bool,
    /// How much of the cluster it is about, where several collectors may share the partitions; `None` where that isn't known.
    #[serde(default)]
    pub share: Option<ReadShare>,
    /// The look of the whole heat map; `unknown` without a verdict.
    pub pattern: Pattern,
    /// One for each cause.
    pub findings: Vec<Finding>,
}

/// Of collectors that didn't say so yet.
fn judged() -> bool {
    true
}

impl Findings {
    /// Nothing can be said yet.
    #[must_use]
    pub fn none_yet(now_ms: u64) -> Findings {
        Findings {
            now_ms,
            pattern: Pattern::Unknown,
            ..Findings::default()
        }
    }

    /// In words, where more than the findings has to be said: that there is no verdict, or that it is about a part.
    #[must_use]
    pub fn caveat(&self) -> Option<String> {
        if !self.judged {
            return Some("no verdict yet".to_owned());
        }
        let share = self.share.filter(|share| !share.is_whole())?;
        Some(format!(
            "this is about the {} of {} partitions that this collector reads",
            share.read, share.of
        ))
    }
}

/// The part of a topic that a collector reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadShare {
    /// So many partitions.
    pub read: usize,
    /// Of so many.
    pub of: usize,
}

impl ReadShare {
    /// Whether it reads them all.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.read >= self.of
    }
}

/// One cause and what speaks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What is at fault.
    pub kind: FindingKind,
    /// Where.
    pub subject: Subject,
    /// One sentence.
    pub summary: String,
    /// What was seen, one sentence each.
    pub evidence: Vec<String>,
    /// How well the cause fits what was seen, 0 to 1. A rank, not a probability.
    pub confidence: f64,
    /// Since when it has been seen without a pause, UTC milliseconds.
    pub since_ms: u64,
    /// The pattern of the heat map that this cause makes, where it has a name.
    pub pattern: Option<Pattern>,
    /// Ordered pairs of nodes that it explains.
    pub pairs: u64,
}

/// Where a fault is. What does not apply is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// Nodes at fault, or both ends of a pair.
    pub nodes: Vec<String>,
    /// Racks, as `zone/rack`.
    pub racks: Vec<String>,
    /// Zones; as `region/zone` where two regions have zones of the same name.
    pub zones: Vec<String>,
    /// Where only one direction is at fault: from here (node, rack or zone) ...
    pub source: Option<String>,
    /// ... to there.
    pub destination: Option<String>,
    /// The source port of a dead flow.
    pub port: Option<u16>,
}

/// What the heat map looks like as a whole (Guo et al., "Pingmesh", SIGCOMM 2015, figure 8). A pod set is a rack or a
/// zone here, whichever the fault takes whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// All green.
    #[default]
    Normal,
    /// A white cross: nothing is heard of a whole pod set.
    PodsetDown,
    /// A red cross: all that enters or leaves a pod set is bad.
    PodsetFailure,
    /// Red with green squares on the diagonal: all between pod sets is bad, all inside is good.
    SpineFailure,
    /// None of these.
    Unknown,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// What can be at fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum FindingKind {
            $($(#[$doc])* $variant),+
        }

        impl FindingKind {
            /// Every kind, the gravest first.
            pub const ALL: &'static [FindingKind] = &[$(FindingKind::$variant),+];

            /// As it stands in the JSON and in the label of the gauge.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(FindingKind::$variant => $word),+ }
            }
        }
    };
}

kinds! {
    /// No records come: nothing can be said about the network.
    CollectorBlind = "collector_blind",
    /// All pairs fail alike.
    Network = "network",
    /// All between zones fails, all inside them is good.
    Spine = "spine",
    /// All that enters or leaves a zone fails.
    Zone = "zone",
    /// All between two zones (or inside one) fails.
    ZonePair = "zone_pair",
    /// All that enters or leaves a rack fails.
    Rack = "rack",
    /// All between two racks (or inside one) fails.
    RackPair = "rack_pair",
    /// Nobody reaches a node, and nothing is heard of it.
    NodeDown = "node_down",
    /// A node's link fails: both what it probes and what probes it.
    NodeLink = "node_link",
    /// A node's agent does not answer, or answers RST, while the host does.
    AgentDown = "agent_down",
    /// A node makes its own programs wait.
    NodeSlow = "node_slow",
    /// All that a node probes fails, and nobody else's probes of the same nodes do.
    ProberAtFault = "prober_at_fault",
    /// Probes in one direction fail, those in the other don't.
    OneDirection = "one_direction",
    /// Some source ports never get through, all others do: one of several equal paths is dead.
    FlowBlackHole = "flow_black_hole",
    /// Large packets are lost, small ones pass.
    Mtu = "mtu",
    /// ICMP is lost, TCP passes.
    IcmpFiltered = "icmp_filtered",
    /// TCP is lost or refused, ICMP passes.
    TcpFiltered = "tcp_filtered",
    /// gRPC fails, ICMP and TCP pass.
    GrpcFailing = "grpc_failing",
    /// The probes between two nodes fail, both ways.
    Pair = "pair",
    /// A node answers, but its records don't come.
    NodeSilent = "node_silent",
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_called_the_same_everywhere() -> serde_json::Result<()> {
        for kind in FindingKind::ALL {
            assert_eq!(serde_json::to_value(kind)?, kind.as_str());
            assert_eq!(kind.to_string(), kind.as_str());
        }
        Ok(())
    }
}
