//! Tests that load the machine take turns, so that each measures itself.

use crate::error::{Context, Result};
use std::fs::File;

/// Held while a heavy test runs; the kernel frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct Turn {
    _file: File,
}

/// Waits until no other heavy test of any process on this machine runs.
///
/// # Errors
/// Where the lock file can't be opened.
pub fn take_turn() -> Result<Turn> {
    let path = std::env::temp_dir().join("distributed-trace-lab.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.during(format!("open {}", path.display()))?;
    file.lock().during(format!("lock {}", path.display()))?;
    Ok(Turn { _file: file })
}
