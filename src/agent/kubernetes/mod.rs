//! Where this node stands, as Kubernetes knows it: zone, rack and region are labels of the Node object.
//!
//! One GET of the agent's own Node, again and again until it succeeds, beside everything else: an agent without labels
//! measures as well, and its records bear them as soon as they are known. Labels that the configuration gives are
//! kept, and what a Node doesn't say stays empty.

mod api;

use std::collections::BTreeMap;
use std::time::Duration;

use dt_membership::Labels;
use rand::Rng;
use smol_str::SmolStr;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::config::{AgentConfig, NodeLabels};
use api::{Api, Problem};

/// How long the first try may take. Others take over a member at once and again when its labels come: in a cluster that
/// is well, half a second saves all of them the second time.
const HEAD_START: Duration = Duration::from_millis(500);
/// How long one try may take.
const ONE_TRY: Duration = Duration::from_secs(10);
/// Pauses between tries. All agents of a cluster lose the API server together.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Labels that are being asked for.
pub(crate) struct Asked(oneshot::Receiver<Labels>);

/// Begins to ask where the configuration wants it and leaves something to be asked.
pub(crate) fn ask(config: &AgentConfig) -> Option<Asked> {
    let wanted = config.node_labels.clone()?;
    let known = Labels {
        zone: config.zone.as_str().into(),
        rack: config.rack.as_str().into(),
        region: config.region.as_str().into(),
    };
    if ![&known.zone, &known.rack, &known.region]
        .iter()
        .any(|label| label.is_empty())
    {
        return None;
    }
    let node = config.node.clone();
    let (tell, asked) = oneshot::channel();
    tokio::spawn(async move {
        let all = until_answered(&node).await;
        let labels = merged(known, &all, &wanted);
        tracing::info!(zone = %labels.zone, rack = %labels.rack, region = %labels.region, "labels of this node");
        let _ = tell.send(labels);
    });
    Some(Asked(asked))
}

impl Asked {
    /// The labels, where they come at once; else the question is still open.
    pub(crate) async fn at_once(mut self) -> Result<Labels, Asked> {
        match timeout(HEAD_START, &mut self.0).await {
            Ok(Ok(labels)) => Ok(labels),
            _ => Err(self),
        }
    }

    /// The labels, whenever they come; `None` never but at the end of the program.
    pub(crate) async fn some_time(self) -> Option<Labels> {
        self.0.await.ok()
    }
}

/// All labels of the node.
async fn until_answered(node: &str) -> BTreeMap<String, String> {
    let (mut pause, mut said) = (FIRST_PAUSE, String::new());
    loop {
        let answer = async { Api::of_this_pod()?.labels_of(node).await };
        let problem = match timeout(ONE_TRY, answer).await {
            Ok(Ok(labels)) => return labels,
            Ok(Err(problem)) => problem,
            Err(_) => Problem::NoAnswer(ONE_TRY),
        };
        let text = problem.to_string();
        if text != said {
            tracing::warn!(node, problem = %text, "the labels of this node are not known; measuring without them, asking again");
            said = text;
        }
        let part = rand::rng().random_range(0.5..=1.0);
        sleep(pause.mul_f64(part)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What is known already stays.
fn merged(known: Labels, all: &BTreeMap<String, String>, wanted: &NodeLabels) -> Labels {
    let label = |known: SmolStr, name: &str| match all.get(name) {
        Some(value) if known.is_empty() => value.into(),
        _ => known,
    };
    Labels {
        zone: label(known.zone, &wanted.zone),
        rack: label(known.rack, &wanted.rack),
        region: label(known.region, &wanted.region),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_says_is_kept() {
        let wanted = NodeLabels {
            zone: "topology.kubernetes.io/zone".into(),
            rack: "example.com/rack".into(),
            region: "topology.kubernetes.io/region".into(),
        };
        let all = [
            ("topology.kubernetes.io/zone", "z1"),
            ("example.com/rack", "r1"),
            ("kubernetes.io/os", "linux"),
        ];
        let all = all.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let known = Labels {
            rack: "mine".into(),
            ..Labels::default()
        };
        let labels = merged(known, &all, &wanted);
        assert_eq!(
            (labels.zone.as_str(), labels.rack.as_str(), labels.region.as_str()),
            ("z1", "mine", "")
        );
    }
}
