//! A small disk that can be filled: a tmpfs that nobody sees but the programs started on it.

use crate::error::{Context, LabError, Result};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Mounted over a directory in a mount namespace of its own; gone when dropped.
#[derive(Debug)]
pub struct Disk {
    holder: Child,
    directory: PathBuf,
}

impl Disk {
    /// A disk of `size` (as `64m`) over `directory`, which exists.
    ///
    /// # Errors
    /// Where the privilege or the program `unshare` is missing, saying so.
    pub fn over(directory: &Path, size: &str) -> Result<Disk> {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg("mount -t tmpfs -o size=\"$1\" tmpfs \"$0\" && echo mounted && exec sleep infinity")
            .arg(directory)
            .arg(size);
        let mut holder = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .during("start unshare (util-linux)")?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let disk = Disk {
            holder,
            directory: directory.to_owned(),
        };
        if line.trim() == "mounted" {
            Ok(disk)
        } else {
            Err(LabError::new(format!(
                "no disk could be mounted over {}: mounting in a namespace needs root",
                directory.display()
            )))
        }
    }

    /// A command that will run with the disk in its place.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        // `nsenter` replaces itself by the program, so the child's pid is the program's.
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()))
            .arg("--")
            .arg(program);
        command
    }

    /// Fills it to the last byte.
    ///
    /// # Errors
    /// Where anything but the lack of room ends that.
    pub fn fill(&self) -> Result {
        let mut file = File::create(self.filler()).during("fill the disk")?;
        for size in [1 << 20, 1 << 12, 1] {
            let bytes = vec![0_u8; size];
            loop {
                match file.write(&bytes) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).during("fill the disk"),
                }
            }
        }
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// Where it wasn't filled.
    pub fn clear(&self) -> Result {
        std::fs::remove_file(self.filler()).during("clear the disk")
    }

    /// Where the filler is, as the test sees it.
    fn filler(&self) -> PathBuf {
        let inside = self.directory.strip_prefix("/").unwrap_or(&self.directory);
        Path::new(&format!("/proc/{}/root", self.holder.id()))
            .join(inside)
            .join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
