//! One file of the spool: a line that says what it is, a line for each record (its JSON, as in a file sink's), and a line that
//! says how many there are and what all before it adds up to. A file under its own name is whole: it is renamed to that once it
//! is on the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crc32fast::Hasher;
use dt_record::{DecodeError, MAX_RECORD_BYTES, Origin, SummaryRecord};
use serde::{Deserialize, Serialize};

/// How this program writes files. It reads no other.
const VERSION: u32 = 1;
/// How names of whole files end, and of those being written.
pub(super) const WHOLE: &str = ".spool";
pub(super) const HALF: &str = ".spool.half";

#[derive(Serialize, Deserialize)]
struct Head {
    distributed_trace_spool: u32,
    boot_id: String,
    agent_version: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Foot {
    records: u64,
    crc32: u32,
}

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is no file of a spool")]
    Foreign,
    #[error("it is of version {0} of the spool; this program reads version {VERSION}")]
    Version(u32),
    #[error("its end is missing")]
    NoEnd,
    #[error("its checksum or its number of records is another than its last line says")]
    Sum,
    #[error("record {0}: {1}")]
    Record(u64, DecodeError),
}

/// A file being written.
#[derive(Debug)]
pub(super) struct Writer {
    out: BufWriter<File>,
    half: PathBuf,
    whole: PathBuf,
    sum: Hasher,
    records: u64,
    bytes: u64,
    is_whole: bool,
}

impl Writer {
    /// Begins a file in `folder`. Its name sorts it by time.
    pub(super) fn create(folder: &Path, origin: &Origin) -> io::Result<Writer> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{:013}-{}", now.as_millis(), origin.boot_id);
        let half = folder.join(format!("{name}{HALF}"));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&half)?;
        let mut writer = Writer {
            out: BufWriter::with_capacity(64 << 10, file),
            half,
            whole: folder.join(format!("{name}{WHOLE}")),
            sum: Hasher::new(),
            records: 0,
            bytes: 0,
            is_whole: false,
        };
        let head = Head {
            distributed_trace_spool: VERSION,
            boot_id: origin.boot_id.clone(),
            agent_version: origin.agent_version.clone(),
        };
        writer.line(&serde_json::to_vec(&head)?)?;
        Ok(writer)
    }

    /// Adds a record's JSON.
    pub(super) fn record(&mut self, json: &[u8]) -> io::Result<()> {
        self.line(json)?;
        self.records += 1;
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        for part in [line, b"\n"] {
            self.out.write_all(part)?;
            self.sum.update(part);
            self.bytes += part.len() as u64;
        }
        Ok(())
    }

    /// How long the file is by now.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the file and brings it to the disk, and only then to its own name.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let foot = Foot {
            records: self.records,
            crc32: self.sum.clone().finalize(),
        };
        self.out.write_all(&serde_json::to_vec(&foot)?)?;
        self.out.write_all(b"\n")?;
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        std::fs::rename(&self.half, &self.whole)?;
        self.is_whole = true;
        // The name as well. The file is there already, so this is not worth failing for.
        let folder = self.whole.parent().map(File::open);
        let _ = folder.map(|folder| folder.and_then(|folder| folder.sync_all()));
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = std::fs::remove_file(&self.half);
        }
    }
}

/// A whole file being read.
#[derive(Debug)]
pub(super) struct Records {
    lines: BufReader<File>,
    line: Vec<u8>,
    sum: Hasher,
    read: u64,
}

impl Records {
    pub(super) fn open(path: &Path) -> Result<Records, FileError> {
        // A pipe would keep us waiting for ever.
        if !std::fs::symlink_metadata(path)?.is_file() {
            return Err(FileError::Foreign);
        }
        let mut records = Records {
            lines: BufReader::with_capacity(64 << 10, File::open(path)?),
            line: Vec::new(),
            sum: Hasher::new(),
            read: 0,
        };
        records.line()?;
        let head: Head = serde_json::from_slice(&records.line).map_err(|_| FileError::Foreign)?;
        if head.distributed_trace_spool != VERSION {
            return Err(FileError::Version(head.distributed_trace_spool));
        }
        records.sum.update(&records.line);
        Ok(records)
    }

    /// The next record and its JSON; `None` at an end that is as it should be.
    pub(super) fn next(&mut self) -> Result<Option<(SummaryRecord, &[u8])>, FileError> {
        self.line()?;
        if let Ok(foot) = serde_json::from_slice::<Foot>(&self.line) {
            let sum = self.sum.clone().finalize();
            let is_last = self.lines.fill_buf()?.is_empty();
            if foot.records != self.read || foot.crc32 != sum || !is_last {
                return Err(FileError::Sum);
            }
            return Ok(None);
        }
        self.sum.update(&self.line);
        self.read += 1;
        let json = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        match dt_record::decode(Some("application/json"), json) {
            Ok(record) => Ok(Some((record, json))),
            Err(error) => Err(FileError::Record(self.read, error)),
        }
    }

    /// Reads a line, its end included.
    fn line(&mut self) -> Result<(), FileError> {
        self.line.clear();
        let longest = MAX_RECORD_BYTES as u64 + 1;
        (&mut self.lines).take(longest).read_until(b'\n', &mut self.line)?;
        if self.line.last() == Some(&b'\n') {
            Ok(())
        } else {
            Err(FileError::NoEnd)
        }
    }
}

/// How many records a file holds, all of which can be read.
pub(super) fn verify(path: &Path) -> Result<u64, FileError> {
    let mut records = Records::open(path)?;
    while records.next()?.is_some() {}
    Ok(records.read)
}
