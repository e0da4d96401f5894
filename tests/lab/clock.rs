//! A program's own wall clock, which can be stepped while the machine's stays as it is: no namespace has a wall clock of its
//! own, and nobody's test may set the machine's.
//!
//! A library loaded into the program (`clock.c`) moves its readings of the clock and the kernel's stamps alike, as a step of
//! the machine's clock would. A packet that is stamped before the step and read after it bears the new time.

use crate::agent::Builder;
use crate::error::{Context, LabError, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The clock of those programs that it was given to.
#[derive(Debug)]
pub struct Clock {
    directory: tempfile::TempDir,
    offset: File,
}

/// Which way a clock is stepped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ahead of the machine's.
    Ahead(Duration),
    /// Behind the machine's.
    Behind(Duration),
}

impl Clock {
    /// A clock that shows the machine's time.
    ///
    /// # Errors
    /// Where there is no C compiler.
    pub fn new() -> Result<Clock> {
        let directory = tempfile::tempdir()?;
        let (source, library) = (directory.path().join("clock.c"), directory.path().join("clock.so"));
        std::fs::write(&source, include_str!("clock.c"))?;
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&library, &source])
            .output()
            .during("start cc (Debian: gcc)")?;
        if !built.status.success() {
            let said = String::from_utf8_lossy(&built.stderr).into_owned();
            return Err(LabError::new(said).during("cc tests/lab/clock.c"));
        }
        let offset = File::create(directory.path().join("offset"))?;
        let clock = Clock { directory, offset };
        clock.set(0)?;
        Ok(clock)
    }

    /// The agent will go by this clock.
    #[must_use]
    pub fn give_to(&self, builder: Builder) -> Builder {
        let path = |name: &str| -> PathBuf { self.directory.path().join(name) };
        builder
            .env("LD_PRELOAD", &path("clock.so").to_string_lossy())
            .env("LAB_CLOCK", &path("offset").to_string_lossy())
    }

    /// Steps the clock to so far from the machine's, whatever it showed before.
    ///
    /// # Errors
    /// Where its file can't be written.
    pub fn step(&self, to: Step) -> Result {
        let nanos = |by: Duration| Ok::<_, LabError>(i64::try_from(by.as_nanos())?);
        self.set(match to {
            Step::Ahead(by) => nanos(by)?,
            Step::Behind(by) => -nanos(by)?,
        })
    }

    fn set(&self, offset: i64) -> Result {
        // Eight bytes at once: a reader sees the old ones or the new ones.
        Ok(self.offset.write_all_at(&offset.to_ne_bytes(), 0)?)
    }
}
