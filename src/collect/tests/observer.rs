//! When there is a verdict, and on what part of the cluster.

// In tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

#[path = "support/mesh.rs"]
mod mesh;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dt_collect::diagnosis::{DiagnosisConfig, FindingKind, Findings, Pattern, ReadShare};
use dt_collect::{Matrix, Observer, Standing};
use dt_probe::ProbeKind;
use mesh::{NODES, PATIENT, now_ms, pair, summary};

/// A look at `matrix` by someone who stands so; the second of a run, so that the first is done.
struct Watched {
    standing: Arc<Mutex<Standing>>,
    observer: Observer,
}

impl Watched {
    fn new(matrix: &Arc<Matrix>, standing: Standing, blind_after: Duration) -> Watched {
        let standing = Arc::new(Mutex::new(standing));
        let asked = Arc::clone(&standing);
        let config = DiagnosisConfig {
            blind_after,
            ..DiagnosisConfig::default()
        };
        let observer = Observer::start(
            Arc::clone(matrix),
            move || *asked.lock().unwrap(),
            config,
            Duration::from_millis(10),
        );
        Watched { standing, observer }
    }

    /// What is told from now on, once it is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&Findings) -> bool) -> Findings {
        let mut told = self.observer.subscribe();
        let found = told.wait_for(|findings| findings.now_ms > 0 && wanted(findings));
        let found = tokio::time::timeout(Duration::from_secs(60), found).await;
        let found = found.unwrap_or_else(|_| panic!("never {what}: {:?}", self.observer.latest()));
        Findings::clone(&found.unwrap())
    }
}

const READING: Standing = Standing {
    is_current: false,
    share: None,
};

/// All is well but for node-2 -> node-5, which answers nothing.
fn fill(matrix: &Matrix) {
    for source in NODES {
        for destination in NODES.into_iter().filter(|node| *node != source) {
            let is_lost = (source.0, destination.0) == ("node-2", "node-5");
            let rtts: &[u64] = if is_lost { &[] } else { &[100_000; 20] };
            for kind in [ProbeKind::Icmp, ProbeKind::Tcp] {
                let pair = pair(source, destination, kind);
                let end = now_ms() / 10_000 * 10_000;
                for back in [3, 2, 1, 0] {
                    let lost = if is_lost { 20 } else { 0 };
                    matrix.ingest(&summary(&pair, 10_000, end - back * 10_000, rtts, lost), now_ms());
                }
            }
        }
    }
}

#[tokio::test]
async fn before_any_record_there_is_no_verdict_and_after_a_while_that_is_one() {
    let matrix = Arc::new(Matrix::new(PATIENT));
    let patient = Watched::new(&matrix, READING, Duration::from_secs(3600));
    let found = patient.until("a look", |_| true).await;
    assert!(!found.judged && found.findings.is_empty(), "{found:?}");
    assert_eq!(found.pattern, Pattern::Unknown);
    assert_eq!(found.caveat().unwrap(), "no verdict yet");

    // Also where Kafka can't be reached, and so nothing was ever read.
    let impatient = Watched::new(&matrix, READING, Duration::ZERO);
    let found = impatient.until("blind", |found| !found.findings.is_empty()).await;
    assert_eq!(found.findings[0].kind, FindingKind::CollectorBlind);
    assert!(found.judged && found.pattern == Pattern::Unknown, "{found:?}");
}

#[tokio::test]
async fn what_is_past_is_not_judged_and_the_present_at_once() {
    let matrix = Arc::new(Matrix::new(PATIENT));
    fill(&matrix);
    let watched = Watched::new(&matrix, READING, Duration::ZERO);
    let found = watched.until("a look", |_| true).await;
    assert!(!found.judged && found.findings.is_empty(), "{found:?}");
    watched.standing.lock().unwrap().is_current = true;
    let found = watched.until("a verdict", |found| found.judged).await;
    assert_eq!(found.findings.len(), 1, "{found:?}");
    assert_eq!(found.caveat(), None);
}

#[tokio::test]
async fn a_verdict_says_what_part_it_is_about() {
    let matrix = Arc::new(Matrix::new(PATIENT));
    fill(&matrix);
    let share = |read| Standing {
        is_current: true,
        share: Some(ReadShare { read, of: 12 }),
    };
    let watched = Watched::new(&matrix, share(4), Duration::ZERO);
    let found = watched.until("a verdict", |found| found.judged).await;
    assert_eq!(
        found.caveat().unwrap(),
        "this is about the 4 of 12 partitions that this collector reads"
    );
    *watched.standing.lock().unwrap() = share(12);
    let whole = |found: &Findings| found.share == Some(ReadShare { read: 12, of: 12 });
    assert_eq!(watched.until("the whole", whole).await.caveat(), None);
    // Of more collectors than partitions, one has none: it is not blind, and knows nothing.
    *watched.standing.lock().unwrap() = share(0);
    let found = watched.until("none", |found| !found.judged).await;
    assert!(found.findings.is_empty(), "{found:?}");
}
