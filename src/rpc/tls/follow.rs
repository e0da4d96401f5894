//! Reading the files again when they change. They are replaced one after the other, or by a link that moves, so a change is
//! taken over once nothing has changed from one look to the next.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;

use super::{Tls, TlsConfig};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// By what a file's version is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version(Option<(u64, u64, u64, Option<SystemTime>)>);

impl Version {
    fn of(path: &Path) -> Version {
        let of = |metadata: Metadata| (metadata.dev(), metadata.ino(), metadata.len(), metadata.modified().ok());
        Version(std::fs::metadata(path).ok().map(of))
    }
}

impl Tls {
    /// Reads the files again whenever they change, for ever. What is wrong leaves the last good ones in force; connections
    /// that are open stay as they are.
    pub async fn follow(self) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut in_force = self.now().versions;
        let mut last = in_force.clone();
        loop {
            looks.tick().await;
            let now = versions(self.config());
            if now != in_force && now == last {
                match self.reload() {
                    Ok(()) => tracing::info!("the certificates of gRPC were read again"),
                    Err(error) => {
                        self.refused.fetch_add(1, Relaxed);
                        tracing::warn!(%error, "the certificates of gRPC have changed and can't be used; the last good ones stay in force");
                    }
                }
                in_force = now.clone();
            }
            last = now;
        }
    }
}

pub(super) fn versions(config: &TlsConfig) -> [Version; 3] {
    [&config.certificate, &config.key, &config.authorities].map(|path| Version::of(path))
}
