//! `cargo run --release -p distributed-trace-bench --bin bounds`: what an agent and `dt ping` cost at scale, beside the
//! bounds that they are held to. Real processes over loopback, in a network namespace of their own. Needs root.
//!
//! The bounds are of release builds on a machine that is otherwise idle; the exit code is 1 where one is exceeded.

mod agent;
mod memory;
mod outage;
mod paced;
mod ping;
mod records;
mod smooth;
mod sniffer;

use std::path::PathBuf;
use std::process::ExitCode;

use dt_bench::arguments::Arguments;
use dt_bench::verdict::{HEADING, Verdict};
use dt_bench::{Result, namespace};

const HELP: &str = "\
bounds [paced] [smooth] [memory] [outage] [ping] [--windows N] [--dt PATH]
  paced        CPU of an agent with 2,500 and 10,000 peers, one ICMP probe per 10 s each
  smooth       how evenly an agent's probes leave
  memory       resident memory of an agent with 10,000 and 100,000 peers
  outage       memory that an agent with 1,000 peers takes more while Kafka is away
  ping         dt ping with 100,000 targets: memory for each, CPU per probe over that with 1,000
  --windows N  windows of 10 s that paced and smooth measure, 1 to 60 [default: 3]
  --dt PATH    the program dt [default: the one beside this program]
Without a name, all of them: about 12 minutes.";

/// What every measurement needs to know.
struct Bench {
    dt: PathBuf,
    windows: u32,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("bounds: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all bounds hold.
fn run() -> Result<bool> {
    let Some(mut arguments) = Arguments::read(HELP, std::env::args().skip(1))? else {
        return Ok(true);
    };
    let bench = Bench {
        windows: arguments.number("--windows", 3, 1..=60)?,
        dt: arguments.dt()?,
    };
    let chosen = arguments.finish(&["paced", "smooth", "memory", "outage", "ping"])?;
    namespace::enter()?;
    println!("{}", HEADING);
    let mut all_hold = true;
    let mut show = |verdict: Verdict| {
        all_hold &= verdict.holds();
        println!("{verdict}");
    };
    for name in chosen {
        match name {
            "paced" => paced::measure(&bench, &mut show)?,
            "smooth" => smooth::measure(&bench, &mut show)?,
            "memory" => memory::measure(&bench, &mut show)?,
            "outage" => outage::measure(&bench, &mut show)?,
            _ => ping::measure(&bench, &mut show)?,
        }
    }
    Ok(all_hold)
}
