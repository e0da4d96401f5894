//! `cargo run --release -p distributed-trace-bench --bin peers`: what a probe costs in `dt`, beside a bare loop in C and
//! beside other programs, as CPU time. Needs root, a C compiler, and `dt` itself built the same way.
//!
//! All contenders probe the same addresses, one after another, some rounds over; a ratio is the median of the rounds'
//! ratios, so that a busy machine, which slows neighbours in time alike, changes it little.

mod blackbox;
mod contenders;
mod others;
mod run;
mod table;

use std::process::ExitCode;

use dt_bench::arguments::Arguments;
use dt_bench::others::Others;
use dt_bench::place::Place;
use dt_bench::reference::Reference;
use dt_bench::{Result, namespace};
use run::Bench;
use table::Table;

const HELP: &str = "\
peers [loopback] [veth] [--rounds N] [--targets N] [--probes N] [--batch N] [--dt PATH]
  loopback     probes addresses of this host
  veth         probes addresses of another network namespace, over a pair of virtual devices
  --rounds N   rounds of all contenders, 1 to 1000 [default: 7]
  --targets N  addresses, 1 to 60000 [default: 1000]
  --probes N   probes to each of them, 1 to 10000; fping takes 65000 in all [default: 200]
  --batch N    probes by one system call in the loops, 1 to 64; the other programs go their own way [default: 64]
  --dt PATH    the program dt [default: the one beside this program]
Without a name, both. fping, ping and blackbox_exporter (asked by curl) take part where they are installed.";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("peers: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The bounds are of full batches; smaller ones share a turn's own calls among fewer probes.
const FULL: usize = 64;

/// Whether all bounds hold.
fn run() -> Result<bool> {
    let Some(mut arguments) = Arguments::read(HELP, std::env::args().skip(1))? else {
        return Ok(true);
    };
    let rounds = arguments.number("--rounds", 7, 1..=1_000)?;
    let targets = arguments.number("--targets", 1_000, 1..=60_000)?;
    let count = arguments.number("--probes", 200, 1..=10_000)?;
    let batch = arguments.number("--batch", FULL as u32, 1..=FULL as u32)? as usize;
    let dt = arguments.dt()?;
    let places = arguments.finish(&["loopback", "veth"])?;
    namespace::enter()?;
    let bench = Bench {
        dt,
        reference: Reference::compile()?,
        targets,
        count,
        batch,
    };
    let others = Others::compile()?;
    let mut all_hold = true;
    for name in places {
        let place = match name {
            "loopback" => Place::loopback(&others)?,
            _ => Place::veth(&others)?,
        };
        println!(
            "\n{name}: CPU us per probe, user and system; {targets} addresses, {count} probes to each, batches of \
             {batch} in the loops, median of {rounds} rounds"
        );
        for (kind, contenders) in contenders::all() {
            let mut table = Table::new(kind, contenders, batch == FULL);
            for _ in 0..rounds {
                let costs = contenders.iter().map(|contender| bench.cost(&place, *contender));
                table.add(costs.collect::<Result<_>>()?);
            }
            println!("\n{table}");
            all_hold &= table.holds();
        }
    }
    Ok(all_hold)
}
