//! What was not delivered when earlier runs ended, on disk: a file for each run, the oldest sent first. A file is removed once
//! all of it has arrived; what of it had arrived before comes again, under the same id.
//!
//! Nothing is written there but at the end of a run: whoever is killed loses what waits in memory.

mod file;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use dt_record::{Origin, SummaryRecord};

use crate::stats::{self, Stats};
use file::{FileError, HALF, Records, WHOLE, Writer};

/// What all files together may take. A run leaves at most some 16 MiB, unless it has more than 10,000 pairs.
const BOUND: u64 = 64 << 20;
/// What the names of files end with that can't be read.
const SET_ASIDE: &str = ".set-aside";

/// Which file a record came from. One that had to be given up leaves records on their way: what becomes of them says nothing
/// of the next file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileNumber(u64);

/// A whole file that waits.
#[derive(Debug)]
struct Waiting {
    path: PathBuf,
    bytes: u64,
    records: u64,
    /// Of these neither arrived nor given up.
    left: u64,
}

/// The oldest file, while its records are being sent.
#[derive(Debug)]
struct Sending {
    number: FileNumber,
    records: Records,
    /// Handed out, and neither arrived nor given up.
    outstanding: usize,
    ended: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    bound: u64,
    /// The oldest first.
    waiting: VecDeque<Waiting>,
    sending: Option<Sending>,
    /// How many files were opened to be sent.
    opened: u64,
}

impl Spool {
    /// A spool in `folder`, which has to be there, and writable.
    pub(crate) fn open(folder: &Path) -> io::Result<Spool> {
        let trial = folder.join(format!("trial{HALF}"));
        File::create(&trial)?;
        std::fs::remove_file(&trial)?;
        Ok(Spool {
            folder: folder.to_owned(),
            bound: BOUND,
            waiting: VecDeque::new(),
            sending: None,
            opened: 0,
        })
    }

    /// Looks what earlier runs have left. Files that can't be read are set aside; ones that were never finished are removed.
    pub(crate) fn look(&mut self, stats: &Stats) {
        let paths = std::fs::read_dir(&self.folder).and_then(|entries| {
            let paths = entries.map(|entry| entry.map(|entry| entry.path()));
            paths.collect::<io::Result<Vec<_>>>()
        });
        let mut paths = match paths {
            Ok(paths) => paths,
            Err(error) => {
                tracing::warn!(spool = %self.folder.display(), %error, "the spool can't be looked at");
                return;
            }
        };
        // Names begin with the time.
        paths.sort();
        for path in paths {
            let name = path.to_string_lossy();
            if name.ends_with(HALF) {
                let _ = std::fs::remove_file(&path);
            } else if name.ends_with(WHOLE) {
                match verified(&path) {
                    Ok(waiting) => self.waiting.push_back(waiting),
                    Err(error) => set_aside(&path, &error, stats),
                }
            }
        }
        let records: u64 = self.waiting.iter().map(|waiting| waiting.records).sum();
        stats.spool_records.store(records, Relaxed);
        if records > 0 {
            let files = self.waiting.len();
            tracing::info!(records, files, "sending what an earlier run has left in the spool");
        }
    }

    /// The next record to be sent, its JSON, and the file that it is from.
    pub(crate) fn next(&mut self, stats: &Stats) -> Option<(SummaryRecord, Vec<u8>, FileNumber)> {
        loop {
            let Some(sending) = &mut self.sending else {
                let oldest = self.waiting.front()?;
                match Records::open(&oldest.path) {
                    Ok(records) => {
                        self.opened += 1;
                        self.sending = Some(Sending {
                            number: FileNumber(self.opened),
                            records,
                            outstanding: 0,
                            ended: false,
                        });
                    }
                    Err(error) => self.give_up_first(&error, stats),
                }
                continue;
            };
            if sending.ended {
                return None;
            }
            match sending.records.next() {
                Ok(Some((record, json))) => {
                    sending.outstanding += 1;
                    return Some((record, json.to_owned(), sending.number));
                }
                Ok(None) => {
                    sending.ended = true;
                    self.remove_sent();
                }
                // It was good when it was looked at.
                Err(error) => self.give_up_first(&error, stats),
            }
        }
    }

    /// One that was handed out from this file has arrived, or will never be taken.
    pub(crate) fn done(&mut self, file: FileNumber, stats: &Stats) {
        if let Some(sending) = self.sending.as_mut().filter(|sending| sending.number == file) {
            sending.outstanding = sending.outstanding.saturating_sub(1);
            if let Some(first) = self.waiting.front_mut() {
                first.left = first.left.saturating_sub(1);
            }
            wait_no_more(1, stats);
            self.remove_sent();
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn remove_sent(&mut self) {
        if self.sending.as_ref().is_some_and(|s| s.ended && s.outstanding == 0)
            && let Some(sent) = self.waiting.pop_front()
        {
            self.sending = None;
            if let Err(error) = std::fs::remove_file(&sent.path) {
                tracing::warn!(file = %sent.path.display(), %error, "a file of the spool was sent and can't be removed; it will be sent again");
            }
        }
    }

    fn give_up_first(&mut self, error: &FileError, stats: &Stats) {
        self.sending = None;
        if let Some(first) = self.waiting.pop_front() {
            wait_no_more(first.left, stats);
            set_aside(&first.path, error, stats);
        }
    }

    /// Writes records, each as JSON, until there are no more or the bound is reached. Where older files have to make room,
    /// they go. How many were written.
    pub(crate) fn keep(&mut self, origin: &Origin, records: impl Iterator<Item = Vec<u8>>) -> io::Result<u64> {
        let mut kept = 0;
        let mut writer = None;
        for json in records {
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(Writer::create(&self.folder, origin)?),
            };
            let bytes = writer.bytes() + json.len() as u64;
            if bytes > self.bound {
                break;
            }
            self.make_room(bytes);
            writer.record(&json)?;
            kept += 1;
        }
        writer.map_or(Ok(()), Writer::finish)?;
        Ok(kept)
    }

    fn make_room(&mut self, bytes: u64) {
        let taken = |waiting: &VecDeque<Waiting>| waiting.iter().map(|waiting| waiting.bytes).sum::<u64>();
        while taken(&self.waiting) + bytes > self.bound
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.sending = None;
            let records = oldest.records;
            tracing::warn!(file = %oldest.path.display(), records, "the spool is full; the records of an earlier run are lost");
            let _ = std::fs::remove_file(&oldest.path);
        }
    }
}

/// So many records less are in files that wait.
fn wait_no_more(records: u64, stats: &Stats) {
    let _ = stats
        .spool_records
        .fetch_update(Relaxed, Relaxed, |waiting| Some(waiting.saturating_sub(records)));
}

fn verified(path: &Path) -> Result<Waiting, FileError> {
    let records = file::verify(path)?;
    Ok(Waiting {
        path: path.to_owned(),
        bytes: std::fs::metadata(path)?.len(),
        records,
        left: records,
    })
}

fn set_aside(path: &Path, error: &FileError, stats: &Stats) {
    stats::add(&stats.spool_set_aside, 1);
    let mut aside = path.as_os_str().to_owned();
    aside.push(SET_ASIDE);
    let moved = std::fs::rename(path, &aside).err();
    tracing::warn!(
        file = %path.display(), %error, moved = moved.is_none(),
        "a file of the spool can't be read; it is set aside and its records are not sent"
    );
}

#[cfg(test)]
mod tests;
