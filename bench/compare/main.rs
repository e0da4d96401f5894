//! `cargo run --release -p distributed-trace-bench --bin compare`: what a probe costs in `dt`, beside a bare loop in C
//! and beside fping, as CPU time. Needs root, a C compiler, and `dt` itself built the same way.
//!
//! All contenders send the same probes to the same loopback addresses, one after another, some rounds over; a ratio is
//! the median of the rounds' ratios, so that a busy machine, which slows neighbours in time alike, changes it little.

mod contenders;
mod table;

use std::process::ExitCode;

use contenders::{Contender, Place};
use dt_bench::arguments::Arguments;
use dt_bench::{Result, namespace};
use table::Table;

const HELP: &str = "\
compare [--rounds N] [--targets N] [--probes N] [--batch N] [--dt PATH]
  --rounds N   rounds of all contenders, 1 to 1000 [default: 7]
  --targets N  loopback addresses, 1 to 60000 [default: 1000]
  --probes N   probes to each of them, 1 to 10000; fping stops at 65535 in all [default: 50]
  --batch N    probes by one system call in the loops, 1 to 64; dt ping and fping go their own way [default: 64]
  --dt PATH    the program dt [default: the one beside this program]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("compare: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result {
    let Some(mut arguments) = Arguments::read(HELP, std::env::args().skip(1))? else {
        return Ok(());
    };
    let rounds = arguments.number("--rounds", 7, 1..=1_000)?;
    let targets = arguments.number("--targets", 1_000, 1..=60_000)?;
    let probes = arguments.number("--probes", 50, 1..=10_000)?;
    let batch = arguments.number("--batch", 64, 1..=64)? as usize;
    let dt = arguments.dt()?;
    arguments.finish(&[])?;
    namespace::enter()?;
    let place = Place::prepare(dt, targets, probes, batch)?;
    println!(
        "CPU us per probe, user and system: {targets} loopback targets, {probes} probes to each, batches of {batch} in \
         the loops, median of {rounds} rounds"
    );
    for (kind, contenders) in Contender::all() {
        let mut table = Table::new(kind, contenders);
        for _ in 0..rounds {
            let costs = contenders.iter().map(|contender| place.cost(*contender));
            table.add(costs.collect::<Result<_>>()?);
        }
        println!("\n{table}");
    }
    Ok(())
}
