//! Reading the files again when they change. They are replaced one after the other, or by a link that moves, so a change is
//! taken over once nothing has changed from one look to the next.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::{Tls, TlsConfig};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// By what a file's version is known: device, inode, length, and when content and anything else of it were last changed. The
/// last alone tells of rights that were mended, and of a content of the same length whose time was set back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version(Option<([u64; 3], [i64; 4])>);

impl Version {
    fn of(path: &Path) -> Version {
        let of = |metadata: Metadata| {
            let which = [metadata.dev(), metadata.ino(), metadata.len()];
            let modified = (metadata.mtime(), metadata.mtime_nsec());
            let changed = (metadata.ctime(), metadata.ctime_nsec());
            (which, [modified.0, modified.1, changed.0, changed.1])
        };
        Version(std::fs::metadata(path).ok().map(of))
    }
}

impl Tls {
    /// Reads the files again whenever they change, for ever. What is wrong leaves the last good ones in force, and is tried
    /// again with each look; connections that are open stay as they are.
    pub async fn follow(self) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = Seen::new(self.now().versions);
        loop {
            looks.tick().await;
            match seen.look(versions(self.config()), || self.reload()) {
                None => {}
                Some(Ok(())) => tracing::info!("the certificates of gRPC were read again"),
                Some(Err(error)) => {
                    self.refused.fetch_add(1, Relaxed);
                    tracing::warn!(%error, "the certificates of gRPC have changed and can't be used; the last good ones stay in force");
                }
            }
        }
    }
}

type Versions = [Version; 3];

/// What has been seen of the files.
#[derive(Debug)]
struct Seen {
    in_force: Versions,
    /// At the last look.
    last: Versions,
    /// Those of which it was told already that they can't be used.
    refused: Option<Versions>,
}

impl Seen {
    fn new(in_force: Versions) -> Seen {
        Seen {
            last: in_force.clone(),
            in_force,
            refused: None,
        }
    }

    /// Takes over the files as they are `now`, where they are others and don't change any more. What there is to be told: a
    /// success, and a failure once for each version. What failed may be mended by something that no version shows, so it is
    /// tried again.
    fn look<E>(&mut self, now: Versions, reload: impl FnOnce() -> Result<(), E>) -> Option<Result<(), E>> {
        let is_settled = std::mem::replace(&mut self.last, now.clone()) == now;
        if now == self.in_force {
            self.refused = None;
            return None;
        }
        if !is_settled {
            return None;
        }
        match reload() {
            Ok(()) => {
                self.in_force = now;
                self.refused = None;
                Some(Ok(()))
            }
            Err(_) if self.refused.as_ref() == Some(&now) => None,
            Err(error) => {
                self.refused = Some(now);
                Some(Err(error))
            }
        }
    }
}

pub(super) fn versions(config: &TlsConfig) -> Versions {
    [&config.certificate, &config.key, &config.authorities].map(|path| Version::of(path))
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The files in some version.
    fn at(version: i64) -> Versions {
        [1, 2, 3].map(|inode| Version(Some(([1, inode, 100], [version, 0, version, 0]))))
    }

    #[test]
    fn what_failed_is_tried_again_and_told_of_once() {
        let mut seen = Seen::new(at(1));
        let good = || Ok::<_, &str>(());
        let bad = || Err("unreadable");
        let never = || -> Result<(), &str> { panic!("nothing has changed, or it may be changing still") };
        assert_eq!(seen.look(at(1), never), None);
        assert_eq!(seen.look(at(2), never), None);
        assert_eq!(seen.look(at(2), bad), Some(Err("unreadable")));
        assert_eq!(seen.look(at(2), bad), None, "told already");
        assert_eq!(
            seen.look(at(2), good),
            Some(Ok(())),
            "mended, though no version shows it"
        );
        assert_eq!(seen.look(at(2), never), None);
        // Another version that fails is told of, and the one in force needs no reading.
        assert_eq!(seen.look(at(3), never), None);
        assert_eq!(seen.look(at(3), bad), Some(Err("unreadable")));
        assert_eq!(seen.look(at(4), never), None);
        assert_eq!(seen.look(at(4), bad), Some(Err("unreadable")));
        assert_eq!(seen.look(at(2), never), None);
        assert_eq!(seen.look(at(2), never), None);
    }

    #[test]
    fn a_change_of_rights_or_with_the_time_set_back_is_another_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls.key");
        std::fs::write(&path, "one").unwrap();
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        // The clock of files moves in steps: what is changed within the same one looks as before, so it is changed again.
        let is_seen = |change: &dyn Fn()| {
            let before = Version::of(&path);
            (0..1_000).any(|_| {
                std::thread::sleep(Duration::from_millis(1));
                change();
                Version::of(&path) != before
            })
        };
        assert!(is_seen(&|| {
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }));
        assert!(is_seen(&|| {
            std::fs::write(&path, "two").unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(modified).unwrap();
        }));
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), modified);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Version::of(&path), Version(None));
    }
}
