//! A C program of this folder: compiled when it is needed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Failure, Result, doing};

/// How many this process has compiled: each has a file of its own, which its drop removes.
static COMPILED: AtomicU32 = AtomicU32::new(0);

/// The compiled program; its file is removed with this.
#[derive(Debug)]
pub struct Compiled {
    program: PathBuf,
}

impl Compiled {
    /// Compiles `source` by `cc -O2`, beside the running program.
    ///
    /// # Errors
    /// Where there is no C compiler, or it complains.
    pub fn new(name: &str, source: &str) -> Result<Compiled> {
        let here = std::env::current_exe().map_err(doing("find this program's folder"))?;
        let number = COMPILED.fetch_add(1, Ordering::Relaxed);
        let program = here.with_file_name(format!("dt-bench-{name}-{}-{number}", std::process::id()));
        let mut compiler = Command::new("cc")
            .args(["-O2", "-std=gnu11", "-x", "c", "-", "-o"])
            .arg(&program)
            .stdin(Stdio::piped())
            .spawn()
            .map_err(doing(&format!("run the C compiler `cc`, which {name}.c needs")))?;
        if let Some(mut input) = compiler.stdin.take() {
            input
                .write_all(source.as_bytes())
                .map_err(doing(&format!("hand {name}.c to `cc`")))?;
        }
        let status = compiler.wait().map_err(doing("wait for `cc`"))?;
        if !status.success() {
            return Err(Failure(format!("`cc` failed on {name}.c: {status}")));
        }
        Ok(Compiled { program })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.program
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        // What is left behind is a small file in the build folder.
        let _ = std::fs::remove_file(&self.program);
    }
}
