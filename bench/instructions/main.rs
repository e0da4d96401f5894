//! `instructions check | update`: holds the counts on standard input, as gungraun prints them, to the committed ones, or
//! commits them. Called by `scripts/bench-instructions`.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use dt_bench::baselines::{Counts, compare, read_counts};
use dt_bench::{Failure, Result, doing};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("instructions: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let update = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["check"] => false,
        ["update"] => true,
        _ => return Err(Failure(format!("{words:?}: accepted are check and update"))),
    };
    let mut text = String::new();
    let mut input = std::io::stdin();
    input.read_to_string(&mut text).map_err(doing("read standard input"))?;
    let counts = read_counts(&text)?;
    // Another architecture has other instructions.
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("baselines")
        .join(format!("instructions.{}.json", std::env::consts::ARCH));
    if update {
        let json = serde_json::to_string_pretty(&counts).map_err(doing("write the counts as JSON"))?;
        std::fs::write(&path, json + "\n").map_err(doing(&format!("write {}", path.display())))?;
        println!("{}: {} counts", path.display(), counts.len());
        return Ok(true);
    }
    let baselines = std::fs::read_to_string(&path).map_err(doing(&format!("read {}", path.display())))?;
    let baselines: Counts = serde_json::from_str(&baselines).map_err(doing(&format!("read {}", path.display())))?;
    let comparison = compare(&counts, &baselines);
    print!("{}", comparison.table);
    if !comparison.holds {
        println!("Where that is meant: scripts/bench-instructions --update, and say why in the commit.");
    }
    Ok(comparison.holds)
}
