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
use self::targets::{Families, Target};

/// Runs the command. Exit codes: 0 every target answered at least once (or the user stopped it), 1 one got no reply,
/// could not be resolved, or nothing could be measured at all, 2 wrong usage.
pub(crate) fn run(args: &Args) -> ExitCode {
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
    let found: Vec<_> = addresses.iter().filter_map(|a| a.as_ref().ok().copied()).collect();
    let measured = match measure::measure(args, &found, &stop) {
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
    let (outcomes, drops) = outcomes(args, targets, addresses, measured);
    let totals = totals(&outcomes, began, drops);
    let unanswered = outcomes.iter().any(|o| o.counts.received == 0);
    match print(args, &outcomes, &totals) {
        Ok(()) => {}
        // Whoever read our output has seen enough of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => {
            eprintln!("dt ping: standard output: {error}");
            return ExitCode::FAILURE;
        }
    }
    if unanswered && !interrupted {
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

fn outcomes(
    args: &Args,
    targets: Vec<Target>,
    addresses: Vec<Result<std::net::SocketAddr, String>>,
    measured: Measured,
) -> (Vec<Outcome>, u64) {
    let Measured {
        accumulators,
        tx,
        rx,
        receive_drops,
        ..
    } = measured;
    let mut accumulators = accumulators.into_iter();
    let mut recorder = dt_record::Recorder::new();
    let all = targets
        .into_iter()
        .zip(addresses)
        .map(|(target, address)| {
            let accumulator = address
                .as_ref()
                .ok()
                .and_then(|_| accumulators.next())
                .unwrap_or_default();
            Outcome::new(
                target.name,
                address.ok(),
                args.proto.as_str(),
                &accumulator,
                (tx, rx),
                &mut recorder,
            )
        })
        .collect();
    (all, receive_drops)
}

fn totals(outcomes: &[Outcome], began: Instant, receive_drops: u64) -> Totals {
    let usage = dt_kernel::clock::usage();
    Totals {
        targets: outcomes.len(),
        sent: outcomes.iter().map(|o| o.counts.sent()).sum(),
        received: outcomes.iter().map(|o| o.counts.received).sum(),
        lost: outcomes.iter().map(|o| o.counts.lost).sum(),
        wall_s: began.elapsed().as_secs_f64(),
        cpu_user_s: usage.user_ns as f64 / 1e9,
        cpu_sys_s: usage.system_ns as f64 / 1e9,
        max_rss_bytes: usage.max_rss_bytes,
        receive_drops,
    }
}

fn print(args: &Args, outcomes: &[Outcome], totals: &Totals) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        outcomes
            .iter()
            .try_for_each(|outcome| report::json_line(&mut out, outcome))?;
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
