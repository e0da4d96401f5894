//! `soak SEED MINUTES`: faults of every kind at random; see `scripts/soak`.

use distributed_trace_tests::error::{Context, LabError, Result};
use distributed_trace_tests::soak::{Options, run};
use std::time::Duration;

fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, minutes] = arguments.as_slice() else {
        return Err(LabError::new("usage: soak SEED MINUTES"));
    };
    let minutes: u64 = minutes.parse().during(format!("MINUTES '{minutes}'"))?;
    run(Options {
        seed: seed.parse().during(format!("SEED '{seed}'"))?,
        length: Duration::from_secs(60 * minutes),
    })
}
