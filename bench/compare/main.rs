//! `cargo run --release -p distributed-trace-bench --bin compare`: what a probe costs in `dt`, beside a bare loop in C
//! and beside fping, as CPU time. Needs root, a C compiler, and `dt` itself built the same way.
//!
//! All contenders send the same probes to the same loopback addresses, one after another, some rounds over; a ratio is
//! the median of the rounds' ratios, so that a busy machine, which slows neighbours in time alike, changes it little.

mod contenders;
mod options;
mod table;

use std::process::ExitCode;

use contenders::{Contender, Place};
use dt_bench::{Result, namespace};
use options::Options;
use table::Table;

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
    let Some(options) = Options::read(std::env::args().skip(1))? else {
        println!("{}", options::HELP);
        return Ok(());
    };
    let dt = options.program()?;
    namespace::enter()?;
    let place = Place::prepare(dt, options.targets, options.probes, options.batch)?;
    println!(
        "CPU us per probe, user and system: {} loopback targets, {} probes to each, batches of {} in the loops, median of {} rounds",
        options.targets, options.probes, options.batch, options.rounds
    );
    for (kind, contenders) in Contender::all() {
        let mut table = Table::new(kind, contenders);
        for _ in 0..options.rounds {
            let costs = contenders.iter().map(|contender| place.cost(*contender));
            table.add(costs.collect::<Result<_>>()?);
        }
        println!("\n{table}");
    }
    Ok(())
}
