//! The command line of `compare`.

use std::path::PathBuf;

use dt_bench::{Failure, Result, doing};

pub(crate) const HELP: &str = "\
compare [--rounds N] [--targets N] [--probes N] [--batch N] [--dt PATH]
  --rounds N   rounds of all contenders, 1 to 1000 [default: 7]
  --targets N  loopback addresses, 1 to 60000 [default: 1000]
  --probes N   probes to each of them, 1 to 10000; fping stops at 65535 in all [default: 50]
  --batch N    probes by one system call in the loops, 1 to 64; dt ping and fping go their own way [default: 64]
  --dt PATH    the program dt [default: the one beside this program]";

/// What to compare, and how long.
pub(crate) struct Options {
    pub(crate) rounds: u32,
    pub(crate) targets: u32,
    pub(crate) probes: u32,
    pub(crate) batch: usize,
    dt: Option<PathBuf>,
}

impl Options {
    /// `None` where help is asked for.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Options>> {
        let mut options = Options {
            rounds: 7,
            targets: 1_000,
            probes: 50,
            batch: 64,
            dt: None,
        };
        while let Some(word) = words.next() {
            if matches!(word.as_str(), "-h" | "--help") {
                return Ok(None);
            }
            let value = words
                .next()
                .ok_or_else(|| Failure(format!("{word}: a value is missing\n{HELP}")))?;
            let number = |most: u32| {
                let number = value.parse().ok().filter(|number| (1..=most).contains(number));
                number.ok_or_else(|| Failure(format!("{word} {value}: accepted are numbers from 1 to {most}")))
            };
            match word.as_str() {
                "--rounds" => options.rounds = number(1_000)?,
                "--targets" => options.targets = number(60_000)?,
                "--probes" => options.probes = number(10_000)?,
                "--batch" => options.batch = number(64)? as usize,
                "--dt" => options.dt = Some(PathBuf::from(value)),
                _ => return Err(Failure(format!("{word}: unknown option\n{HELP}"))),
            }
        }
        Ok(Some(options))
    }

    /// Where `dt` is.
    pub(crate) fn program(&self) -> Result<PathBuf> {
        let here = std::env::current_exe().map_err(doing("find this program's folder"))?;
        let dt = self.dt.clone().unwrap_or_else(|| here.with_file_name("dt"));
        if dt.is_file() {
            Ok(dt)
        } else {
            Err(Failure(format!(
                "there is no {}: build it by `cargo build --release --bin dt`, or name it by --dt",
                dt.display()
            )))
        }
    }
}
