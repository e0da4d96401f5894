//! Processor time rationed by the kernel: a control group with a quota, in whichever hierarchy of control groups the machine
//! has the processors in.

use crate::error::{Context, LabError, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Of this the quota is a part.
const PERIOD_US: u64 = 100_000;
static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A group with a quota, gone when dropped.
#[derive(Debug)]
pub struct Quota {
    root: PathBuf,
    group: PathBuf,
}

/// Where the groups of the processors begin, and whether it is the hierarchy of version 2.
fn root() -> Result<(PathBuf, bool)> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    for line in mounts.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let &[_, at, kind, options, ..] = fields.as_slice() else {
            continue;
        };
        let controllers = || std::fs::read_to_string(format!("{at}/cgroup.controllers")).unwrap_or_default();
        match kind {
            "cgroup" if options.split(',').any(|option| option == "cpu") => return Ok((at.into(), false)),
            "cgroup2" if controllers().split_whitespace().any(|name| name == "cpu") => return Ok((at.into(), true)),
            _ => {}
        }
    }
    Err(LabError::new(
        "no control groups with the controller cpu are mounted here",
    ))
}

fn write(path: &Path, text: &str) -> Result {
    std::fs::write(path, text).during(format!("write '{text}' to {}", path.display()))
}

impl Quota {
    /// From now on the process has at most so many hundredths of one processor.
    ///
    /// # Errors
    /// Where this machine has no control groups that a test may use.
    pub fn impose(pid: u32, percent: u64) -> Result<Quota> {
        let (root, unified) = root()?;
        let name = format!(
            "dtlab{}-{}",
            std::process::id(),
            COUNTER.fetch_add(1, Ordering::Relaxed)
        );
        let group = root.join(name);
        if unified {
            write(&root.join("cgroup.subtree_control"), "+cpu")?;
        }
        std::fs::create_dir(&group).during(format!("make {}: this test needs root", group.display()))?;
        let quota = Quota { root, group };
        let share = PERIOD_US * percent / 100;
        if unified {
            write(&quota.group.join("cpu.max"), &format!("{share} {PERIOD_US}"))?;
        } else {
            write(&quota.group.join("cpu.cfs_period_us"), &PERIOD_US.to_string())?;
            write(&quota.group.join("cpu.cfs_quota_us"), &share.to_string())?;
        }
        write(&quota.group.join("cgroup.procs"), &pid.to_string())?;
        Ok(quota)
    }

    /// In how many periods the group had to wait, its quota being used up.
    ///
    /// # Errors
    /// Where the kernel doesn't say.
    pub fn throttled(&self) -> Result<u64> {
        let path = self.group.join("cpu.stat");
        let stat = std::fs::read_to_string(&path).during(path.display())?;
        let count = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        let count = count.ok_or_else(|| LabError::new(format!("no nr_throttled in {stat}")))?;
        Ok(count.parse()?)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Only an empty group can be removed.
        let left = std::fs::read_to_string(self.group.join("cgroup.procs")).unwrap_or_default();
        for pid in left.lines() {
            let _ = write(&self.root.join("cgroup.procs"), pid);
        }
        if let Err(error) = std::fs::remove_dir(&self.group) {
            eprintln!("{} can't be removed: {error}", self.group.display());
        }
    }
}
