//! What a ZooKeeper server has written into its log of transactions, and when by its own clock: so that how long something
//! took in ZooKeeper need not be measured from outside.
//!
//! The format is that of the server's `FileTxnLog`, in Java's big-endian order: a file header of 16 bytes, then for each
//! transaction a checksum, a length, a header, the transaction and one byte `B`; zeros follow the last.

use crate::error::{Context, LabError, Result};
use std::path::Path;

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// When the server made it, in milliseconds of its wall clock.
    pub time_ms: i64,
    /// What it did.
    pub what: What,
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A node was created.
    Created(String),
    /// A node was deleted by a client.
    Deleted(String),
    /// A session ended, and these nodes with it.
    SessionEnded(Vec<String>),
    /// Something else.
    Other,
}

const HEADER: usize = 16;
const CREATE: [i32; 3] = [1, 15, 19];
const DELETE: i32 = 2;
const CLOSE_SESSION: i32 = -11;

/// The parts of a record, one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.int()?).ok()?;
        Some(String::from_utf8_lossy(self.take(length)?).into_owned())
    }
}

fn transaction(record: &[u8]) -> Option<Transaction> {
    let mut reader = Reader(record);
    let (_client, _cxid, _zxid) = (reader.long()?, reader.int()?, reader.long()?);
    let time_ms = reader.long()?;
    let what = match reader.int()? {
        kind if CREATE.contains(&kind) => What::Created(reader.text()?),
        DELETE => What::Deleted(reader.text()?),
        CLOSE_SESSION => {
            let count = reader.int().unwrap_or(0);
            What::SessionEnded((0..count).map_while(|_| reader.text()).collect())
        }
        _ => What::Other,
    };
    Some(Transaction { time_ms, what })
}

fn read(log: &[u8]) -> Option<Vec<Transaction>> {
    let mut reader = Reader(log.strip_prefix(b"ZKLG")?);
    reader.take(HEADER - 4)?;
    let mut all = Vec::new();
    // A file ends with zeros, or where the server was killed.
    while let (Some(_checksum), Some(length @ 1..)) = (reader.long(), reader.int()) {
        let Some(record) = reader.take(usize::try_from(length).ok()?) else {
            break;
        };
        all.push(transaction(record)?);
        reader.take(1)?;
    }
    Some(all)
}

/// All transactions in the logs of this folder, in their order.
///
/// # Errors
/// Where the folder can't be read, or holds something else.
pub fn transactions(folder: &Path) -> Result<Vec<Transaction>> {
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(folder).during(format!("list {}", folder.display()))? {
        let path = entry?.path();
        // The name ends with the number of its first transaction.
        let first = path.extension().map(|number| number.to_string_lossy().into_owned());
        if path.file_stem().is_some_and(|stem| stem == "log") {
            let first = i64::from_str_radix(&first.unwrap_or_default(), 16)?;
            logs.push((first, path));
        }
    }
    logs.sort();
    let mut all = Vec::new();
    for (_, path) in logs {
        let log = std::fs::read(&path)?;
        let read = read(&log);
        all.extend(read.ok_or_else(|| LabError::new(format!("{} is no log of transactions", path.display())))?);
    }
    Ok(all)
}
