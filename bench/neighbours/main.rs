//! `cargo run --release -p distributed-trace-bench --bin neighbours`: what raw sockets of others on the host cost a probe of
//! ours, and what ours cost others. Needs root and a C compiler.
//!
//! The kernel shows each ICMP packet to every raw ICMP socket of the network namespace, and each TCP segment to every raw
//! TCP socket. All of it takes place in a namespace of its own, over loopback.

mod ours;
mod table;
mod theirs;

use std::process::ExitCode;

use dt_bench::arguments::Arguments;
use dt_bench::others::Others;
use dt_bench::place::Place;
use dt_bench::reference::Reference;
use dt_bench::{Result, namespace};

const HELP: &str = "\
neighbours [theirs] [ours] [--rounds N]
  theirs      what raw sockets of others cost a probe of ours
  ours        what our raw sockets cost an echo and a TCP segment of others
  --rounds N  rounds of everything, 1 to 1000 [default: 7]
Without a name, both.";

/// What every measurement needs.
struct Bench {
    reference: Reference,
    others: Others,
    place: Place,
    rounds: u32,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("neighbours: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result {
    let Some(mut arguments) = Arguments::read(HELP, std::env::args().skip(1))? else {
        return Ok(());
    };
    let rounds = arguments.number("--rounds", 7, 1..=1_000)?;
    let chosen = arguments.finish(&["theirs", "ours"])?;
    namespace::enter()?;
    let others = Others::compile()?;
    let bench = Bench {
        place: Place::loopback(&others)?,
        others,
        reference: Reference::compile()?,
        rounds,
    };
    for name in chosen {
        let tables = match name {
            "theirs" => theirs::measure(&bench)?,
            _ => ours::measure(&bench)?,
        };
        for table in tables {
            println!("\n{table}");
        }
    }
    Ok(())
}
