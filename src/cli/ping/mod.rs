//! `dt ping`: probe from the command line and print percentiles; no services needed.

mod args;
mod measure;
mod progress;
mod report;
mod signals;
mod targets;

pub(crate) use args::Args;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use self::measure::Measured;
use self::report::{Outcome, Totals};
use self::targets::{Families, Kept, Target};

/// Runs the command. Exit codes: 0 every target answered at least once (or the user stopped it), 1 one got no reply,
/// could not be resolved, or nothing could be measured at all, 2 wrong usage.
pub(crate) fn run(args: &Args) -> ExitCode {
    dt_kernel::memory::keep_little_in_reserve();
    let stop = match signals::stop_flag() {
        Ok(stop) => stop,
        Err(error) => {
            eprintln!("dt ping: signals can't be caught: {error}");
            return ExitCode::FAILURE;
        }
    };
    let targets = match gather(args) {
        Ok(targets) => targets,
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("dt ping: {error}"));
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let families = match (args.ipv4, args.ipv6) {
        (true, _) => Families::V4,
        (_, true) => Families::V6,
        _ => Families::Any,
    };
    let addresses = targets::resolve(&targets, families);
    for error in addresses.iter().filter_map(|a| a.as_ref().err()) {
        eprintln!("dt ping: {error}");
    }
    let addresses: Vec<_> = addresses.into_iter().map(|a| a.ok().map(Kept::from)).collect();
    let found = targets.iter().zip(&addresses).filter_map(|(t, a)| Some((*a)?.of(t)));
    let measured = match measure::measure(args, found.collect(), &stop) {
        Ok(measured) => measured,
        Err(error) => {
            eprintln!("dt ping: {error}");
            return error.exit_code();
        }
    };
    if measured.abandoned > 0 {
        eprintln!(
            "dt ping: ended by a signal: {} probes in flight were given up and are not counted",
            measured.abandoned
        );
    }
    let interrupted = measured.interrupted;
    let mut totals = Totals {
        receive_drops: measured.receive_drops,
        ..Totals::default()
    };
    let printed = print(args, outcomes(args, targets, addresses, measured), &mut totals, began);
    match printed {
        Ok(()) => {}
        // Whoever read our output has seen enough of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => {
            eprintln!("dt ping: standard output: {error}");
            return ExitCode::FAILURE;
        }
    }
    if totals.unanswered > 0 && !interrupted {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// All targets in input order: those of the command line, then those of the file.
fn gather(args: &Args) -> Result<Vec<Target>, Vec<String>> {
    let mut errors = args.check();
    let mut targets = Vec::new();
    for text in &args.targets {
        match targets::parse(text, args.is_tcp(), args.port) {
            Ok(target) => targets.push(target),
            Err(error) => errors.push(error),
        }
    }
    if let Some(path) = &args.file {
        match targets::read_file(path, args.is_tcp(), args.port) {
            Ok(more) => targets.extend(more),
            Err(more) => errors.extend(more),
        }
    }
    if targets.is_empty() && errors.is_empty() {
        errors.push("no targets: name at least one, or a file of them with -f".to_owned());
    }
    if errors.is_empty() { Ok(targets) } else { Err(errors) }
}

/// The outcome of each target in input order, made one by one: of 100,000 targets they would take more memory than
/// everything before.
fn outcomes(
    args: &Args,
    targets: Vec<Target>,
    addresses: Vec<Option<Kept>>,
    measured: Measured,
) -> impl Iterator<Item = Outcome> {
    let proto = args.proto.as_str();
    let Measured {
        accumulators, tx, rx, ..
    } = measured;
    let mut accumulators = accumulators.into_iter();
    let mut recorder = dt_record::Recorder::new();
    targets.into_iter().zip(addresses).map(move |(target, address)| {
        let address = address.map(|address| address.of(&target));
        let accumulator = address.and_then(|_| accumulators.next()).unwrap_or_default();
        Outcome::new(target.name, address, proto, &accumulator, (tx, rx), &mut recorder)
    })
}

/// Prints the outcomes, and adds them up on the way.
fn print(args: &Args, outcomes: impl Iterator<Item = Outcome>, totals: &mut Totals, began: Instant) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcomes = outcomes.inspect(|outcome| totals.add(outcome));
    if args.json {
        for outcome in outcomes {
            report::json_line(&mut out, &outcome)?;
        }
        totals.measure_process(began);
        report::json_summary(&mut out, totals)?;
    } else {
        writeln!(out, "{}", report::table(outcomes))?;
    }
    out.flush()
}

/// Whether a person watches: a bar is drawn only then.
fn watched() -> bool {
    io::stdout().is_terminal() && io::stderr().is_terminal()
}
