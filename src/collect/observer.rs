//! Looks at a matrix again and again, and tells what is the matter.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock::now_ms;
use crate::diagnosis::{Diagnosis, DiagnosisConfig, Findings};
use crate::matrix::Matrix;
use crate::view::View;

/// Looking takes at most one part in so many of a processor's time: a matrix of 500,000 series is looked at less often.
const REST: u32 = 4;

/// A diagnosis that is kept up to date. Ends when dropped.
#[derive(Debug)]
pub struct Observer {
    findings: watch::Receiver<Arc<Findings>>,
    task: JoinHandle<()>,
}

impl Observer {
    /// Begins to look at `matrix`, every `every`. To be called within a tokio runtime.
    #[must_use]
    pub fn start(matrix: Arc<Matrix>, config: DiagnosisConfig, every: Duration) -> Observer {
        let (tell, findings) = watch::channel(Arc::default());
        let task = tokio::spawn(observe(matrix, Diagnosis::new(config), every, tell));
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

async fn observe(matrix: Arc<Matrix>, mut diagnosis: Diagnosis, every: Duration, tell: watch::Sender<Arc<Findings>>) {
    let mut looks = tokio::time::interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
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
                tell.send_replace(findings);
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
