//! Membership by a peers file. It is looked at twice a second; a change is taken over once the file has stayed the
//! same from one look to the next, so that a file caught half-written is never believed.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::handle::{Desired, Handle, Status};
use crate::member::{Member, Registration, View, own_entry};
use crate::peers::{FileError, MAX_FILE_BYTES, parse};
use crate::stats::Counters;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// The members that a peers file lists, without `own`: the entry with its node name or its address and port.
/// Needs no runtime.
///
/// # Errors
/// The file can't be read, or its content is wrong; all faults at once.
pub fn read(path: &Path, own: &Registration) -> Result<View, FileError> {
    let (text, _) = load(path)?;
    Ok(View {
        generation: 1,
        ..view(path, &text, own)?
    })
}

/// Whether the peers file at `path` is good, whoever reads it.
///
/// # Errors
/// As [`read`].
pub fn check(path: &Path) -> Result<(), FileError> {
    let (text, _) = load(path)?;
    listed(path, &text).map(drop)
}

/// Starts to follow the peers file at `path`, inside a Tokio runtime. Later versions of the file that are wrong, or its
/// absence, leave the last good list in force, are logged and counted.
///
/// # Errors
/// The file can't be read, or its content is wrong; all faults at once.
pub fn start(path: impl Into<PathBuf>, own: Registration) -> Result<Handle, FileError> {
    let path = path.into();
    let (text, seen) = load(&path)?;
    let first = View {
        generation: 1,
        ..view(&path, &text, &own)?
    };
    let counters = Arc::new(Counters::default());
    counters.loaded_files.add(1);
    let (views, view) = watch::channel(Arc::new(first));
    // The senders of what never changes are dropped; their receivers keep the value.
    let (_, probing_enabled) = watch::channel(true);
    let standing = Status {
        registered: true,
        connected: true,
        state: Some(own.state),
        ..Status::default()
    };
    let (statuses, status) = watch::channel(standing);
    // There is no entry to take away.
    let (_, maybe_there) = watch::channel(false);
    let (desired, wanted) = watch::channel(Desired {
        registered: true,
        state: own.state,
        labels: own.labels(),
        closing: false,
    });
    let follower = Follower {
        path,
        own,
        seen,
        tried: None,
        views,
        statuses,
        counters: Arc::clone(&counters),
    };
    let task = Some(tokio::spawn(follower.run(wanted)));
    Ok(Handle {
        view,
        probing_enabled,
        status,
        desired,
        maybe_there,
        counters,
        task,
    })
}

struct Follower {
    path: PathBuf,
    own: Registration,
    /// The version taken over last.
    seen: Fingerprint,
    /// The version refused last, or caught in the last look and not yet taken over.
    tried: Option<Attempt>,
    views: watch::Sender<Arc<View>>,
    statuses: watch::Sender<Status>,
    counters: Arc<Counters>,
}

#[derive(PartialEq)]
enum Attempt {
    /// Seen at the last look; if the next finds the same, it is read.
    Fresh(Fingerprint),
    Refused(Fingerprint),
    Absent,
}

impl Follower {
    async fn run(mut self, mut wanted: watch::Receiver<Desired>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    let (this, ()) = match tokio::task::spawn_blocking(move || { self.look(); (self, ()) }).await {
                        Ok(back) => back,
                        Err(error) => {
                            tracing::error!(%error, "following the peers file ended");
                            return;
                        }
                    };
                    self = this;
                }
                changed = wanted.changed() => {
                    let desired = wanted.borrow_and_update().clone();
                    self.statuses.send_modify(|status| {
                        status.registered = desired.registered;
                        status.state = desired.registered.then_some(desired.state);
                    });
                    if changed.is_err() || desired.closing {
                        return;
                    }
                }
            }
        }
    }

    fn look(&mut self) {
        let print = match std::fs::metadata(&self.path) {
            Ok(metadata) => Fingerprint::of(&metadata),
            Err(source) => {
                // Between the two steps of a replacement it is absent for a moment: only the second look complains.
                if self.tried == Some(Attempt::Absent) {
                    let known = self.statuses.borrow().last_error.is_some();
                    if !known {
                        self.refuse(&FileError::Read {
                            path: self.path.clone(),
                            source,
                        });
                    }
                }
                self.tried = Some(Attempt::Absent);
                return;
            }
        };
        if print == self.seen {
            if self.tried.take().is_some() {
                self.well();
            }
            return;
        }
        match &self.tried {
            Some(Attempt::Refused(refused)) if *refused == print => {}
            Some(Attempt::Fresh(fresh)) if *fresh == print => self.reload(print),
            _ => self.tried = Some(Attempt::Fresh(print)),
        }
    }

    fn reload(&mut self, print: Fingerprint) {
        let loaded = load(&self.path).and_then(|(text, read)| Ok((read, view(&self.path, &text, &self.own)?)));
        match loaded {
            // Changed again while it was read.
            Ok((read, _)) if read != print => self.tried = Some(Attempt::Fresh(read)),
            Ok((read, view)) => {
                self.seen = read;
                self.tried = None;
                self.take_over(view);
                self.well();
            }
            Err(error) => {
                self.tried = Some(Attempt::Refused(print));
                self.refuse(&error);
            }
        }
    }

    fn take_over(&self, view: View) {
        self.counters.loaded_files.add(1);
        self.views.send_if_modified(|current| {
            // Touched, or written anew with the same content.
            if current.members == view.members {
                return false;
            }
            tracing::info!(path = %self.path.display(), peers = view.members.len(), "peers file changed");
            *current = Arc::new(View {
                generation: current.generation + 1,
                ..view
            });
            true
        });
    }

    fn refuse(&self, error: &FileError) {
        self.counters.refused_files.add(1);
        tracing::error!("{error}; the last good list stays in force");
        self.statuses
            .send_modify(|status| status.last_error = Some(error.to_string()));
    }

    fn well(&self) {
        self.statuses
            .send_if_modified(|status| status.last_error.take().is_some());
    }
}

/// Tells versions of a file apart without reading it: a replaced file has another inode, a rewritten one another
/// change time.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(metadata: &Metadata) -> Self {
        Fingerprint {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn load(path: &Path) -> Result<(String, Fingerprint), FileError> {
    let read = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            bytes: metadata.len(),
        });
    }
    let mut text = String::new();
    // Bounded again: the size of a pipe or a file being written isn't what its metadata says.
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(read)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            bytes: text.len() as u64,
        });
    }
    Ok((text, Fingerprint::of(&metadata)))
}

fn listed(path: &Path, text: &str) -> Result<Vec<Member>, FileError> {
    parse(text).map_err(|faults| FileError::Content {
        path: path.to_owned(),
        faults,
    })
}

fn view(path: &Path, text: &str, own: &Registration) -> Result<View, FileError> {
    let mut members: Vec<_> = listed(path, text)?
        .into_iter()
        .filter(|member| !own_entry(own, member))
        .map(Arc::new)
        .collect();
    // Collected in place, the list would keep the room of the members themselves.
    members.shrink_to_fit();
    members.sort_unstable_by(|a, b| a.key().cmp(b.key()));
    Ok(View { members, generation: 0 })
}
