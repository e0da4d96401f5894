//! Looks at a matrix again and again, and tells what is the matter.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock::now_ms;
use crate::diagnosis::{Diagnosis, DiagnosisConfig, Findings, ReadShare};
use crate::matrix::Matrix;
use crate::view::View;

/// Looking takes at most one part in so many of a processor's time: a matrix of 500,000 series is looked at less often.
const REST: u32 = 4;

/// How far the reading of what is looked at has come.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Whether what is there is the present: before, what was wrong long ago would be told, or nothing of what is.
    pub is_current: bool,
    /// The part that is read.
    pub share: Option<ReadShare>,
}

impl Standing {
    /// Of records that come as they are made.
    pub const LIVE: Standing = Standing {
        is_current: true,
        share: None,
    };

    /// Whether there can be a verdict on `matrix`. That no record comes at all is one.
    fn allows(&self, matrix: &Matrix) -> bool {
        let is_idle = self.share.is_some_and(|share| share.read == 0);
        !is_idle && (self.is_current || matrix.stats().merged == 0)
    }
}

/// A diagnosis that is kept up to date. Ends when dropped.
#[derive(Debug)]
pub struct Observer {
    findings: watch::Receiver<Arc<Findings>>,
    task: JoinHandle<()>,
}

impl Observer {
    /// Begins to look at `matrix`, every `every`, as far as `standing` allows it. To be called within a tokio runtime.
    #[must_use]
    pub fn start(
        matrix: Arc<Matrix>,
        standing: impl Fn() -> Standing + Send + 'static,
        config: DiagnosisConfig,
        every: Duration,
    ) -> Observer {
        let (tell, findings) = watch::channel(Arc::new(Findings::none_yet(0)));
        let task = tokio::spawn(observe(matrix, standing, Diagnosis::new(config), every, tell));
        Observer { findings, task }
    }

    /// What the last look found; waits for nothing.
    #[must_use]
    pub fn latest(&self) -> Arc<Findings> {
        self.findings.borrow().clone()
    }

    /// A receiver of each look's findings.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Findings>> {
        self.findings.clone()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn observe(
    matrix: Arc<Matrix>,
    standing: impl Fn() -> Standing,
    mut diagnosis: Diagnosis,
    every: Duration,
    tell: watch::Sender<Arc<Findings>>,
) {
    let mut looks = tokio::time::interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let standing = standing();
        if !standing.allows(&matrix) {
            tell.send_replace(Arc::new(Findings {
                share: standing.share,
                ..Findings::none_yet(now_ms())
            }));
            continue;
        }
        let (began, looked_at) = (Instant::now(), Arc::clone(&matrix));
        let look = tokio::task::spawn_blocking(move || {
            let now_ms = now_ms();
            let [recent, minute, hour] =
                [View::Recent, View::Minute, View::Hour].map(|view| looked_at.snapshot(view, now_ms));
            let findings = diagnosis.update(&recent, &minute, &hour);
            (diagnosis, findings)
        });
        match look.await {
            Ok((kept, findings)) => {
                diagnosis = kept;
                tell.send_replace(Arc::new(Findings {
                    share: standing.share,
                    ..Findings::clone(&findings)
                }));
            }
            Err(error) => {
                // The runtime ends, or a defect that would come again with each look.
                tracing::error!(%error, "the diagnosis ended");
                return;
            }
        }
        tokio::time::sleep(began.elapsed() * REST).await;
    }
}
