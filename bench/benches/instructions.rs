//! How many instructions the hot functions take, by callgrind: figures that neither load nor the clock of a processor
//! changes. Run by `scripts/bench-instructions`, which holds them to `bench/baselines/instructions.toml`.
//!
//! Each benchmark does one thing [`CALLS`] times; what its setup does isn't counted.

#![allow(missing_docs, reason = "gungraun makes a public module of each benchmark")]

use std::hint::black_box;

use dt_bench::baselines::CALLS;
use dt_bench::fixtures;
use dt_bench::or_exit;
use dt_bench::synthetic::{self, Synthetic};
use dt_kernel::internals::{control_data, error_queue_entry, receive_stamp};
use dt_probe::time::SECOND;
use dt_probe::{Event, Mono, Pattern, ProbeKind, Protocol, Schedule, TargetId, Wall, WindowTable};
use dt_record::{Options, Origin, Recorder, Summary, SummaryRecord, hdr};
use gungraun::Callgrind;
use gungraun::prelude::*;

/// More than fit the caches of a core.
const TARGETS: u32 = 10_000;

/// A lane after its first round, so that the memory of a round is there.
fn lane(protocol: Protocol) -> Synthetic {
    let mut synthetic = or_exit(Synthetic::new(protocol, TARGETS));
    or_exit(synthetic.emit(CALLS));
    synthetic.answer();
    synthetic.absorb();
    synthetic
}

/// The same with a round of answers.
fn answered(protocol: Protocol) -> Synthetic {
    let mut synthetic = lane(protocol);
    or_exit(synthetic.emit(CALLS));
    synthetic.answer();
    synthetic
}

// A probe's turn, its packet, and the note that it was sent.
#[library_benchmark]
#[bench::echo(lane(synthetic::echo()))]
#[bench::syn(lane(synthetic::syn()))]
fn emit(mut lane: Synthetic) -> Synthetic {
    or_exit(lane.emit(CALLS));
    lane
}

// A probe's stamp, its answer, and the event that comes of them.
#[library_benchmark]
#[bench::echo(answered(synthetic::echo()))]
#[bench::syn(answered(synthetic::syn()))]
fn absorb(mut lane: Synthetic) -> Synthetic {
    black_box(lane.absorb());
    lane
}

fn schedule() -> Schedule {
    let mut schedule = Schedule::new(Pattern::Continuous, SECOND, 1, Mono(0));
    (0..TARGETS).for_each(|id| schedule.add(TargetId(id), Mono(0)));
    schedule.pop_due(Mono(0));
    schedule
}

#[library_benchmark]
#[bench::of_10000_targets(schedule())]
fn next_turn(mut schedule: Schedule) -> Schedule {
    for _ in 0..CALLS {
        black_box(schedule.pop_due(Mono(SECOND / 5)));
    }
    schedule
}

/// A table in its second window, and the events of it.
fn window(ports: bool) -> (WindowTable, Vec<Event>) {
    let peers = CALLS as u32 / fixtures::SAMPLES as u32 + 1;
    let mut table = fixtures::table(peers);
    let mut events = fixtures::events(peers, ports);
    events.iter().for_each(|event| table.apply(event));
    table.close(|_, _, _| {});
    events.truncate(CALLS);
    (table, events)
}

#[library_benchmark]
#[bench::icmp(window(false))]
#[bench::tcp_of_64_ports(window(true))]
fn apply((mut table, events): (WindowTable, Vec<Event>)) -> (WindowTable, Vec<Event>) {
    for event in &events {
        table.apply(event);
    }
    (table, events)
}

type Closing = (
    WindowTable,
    Vec<std::sync::Arc<dt_record::Pair>>,
    Recorder,
    Vec<Summary>,
);

fn closing(kind: ProbeKind) -> Closing {
    let peers = CALLS as u32;
    let mut table = fixtures::table(peers);
    let events = fixtures::events(peers, kind == ProbeKind::Tcp);
    events.iter().for_each(|event| table.apply(event));
    let mut recorder = Recorder::new();
    // Once for the recorder's own memory.
    recorder.distribution([(1, 1)]);
    (table, fixtures::pairs(peers, kind), recorder, Vec::with_capacity(CALLS))
}

// A target's sums to its summary.
#[library_benchmark]
#[bench::icmp(closing(ProbeKind::Icmp))]
#[bench::tcp(closing(ProbeKind::Tcp))]
fn close((mut table, pairs, mut recorder, mut all): Closing) -> Closing {
    table.close(|id, sums, _| {
        if let Some(pair) = pairs.get(id.0 as usize) {
            all.push(fixtures::summarize(pair, sums, &mut recorder));
        }
    });
    (table, pairs, recorder, all)
}

fn summaries() -> (Vec<Summary>, Origin) {
    (fixtures::summaries(CALLS as u32, ProbeKind::Icmp), fixtures::origin())
}

// A distribution of ten samples to the text of its histogram.
#[library_benchmark]
#[bench::of_10_samples(summaries())]
fn encode_hdr((summaries, origin): (Vec<Summary>, Origin)) -> (Vec<Summary>, Origin) {
    for summary in &summaries {
        black_box(hdr::encode(&summary.rtt));
    }
    (summaries, origin)
}

// A summary to what leaves the host.
#[library_benchmark]
#[bench::icmp(summaries())]
fn json((summaries, origin): (Vec<Summary>, Origin)) -> (Vec<Summary>, Origin) {
    for summary in &summaries {
        black_box(SummaryRecord::new(summary, &origin, 1, Options::default()).to_json());
    }
    (summaries, origin)
}

#[library_benchmark]
#[bench::icmp(summaries())]
fn protobuf((summaries, origin): (Vec<Summary>, Origin)) -> (Vec<Summary>, Origin) {
    for summary in &summaries {
        black_box(SummaryRecord::new(summary, &origin, 1, Options::default()).to_protobuf());
    }
    (summaries, origin)
}

// The control data of a received packet.
#[library_benchmark]
#[bench::of_a_reply(control_data(Wall(1_790_000_000_123_456_789), None))]
fn receive_control(control: Vec<u8>) -> Vec<u8> {
    for _ in 0..CALLS {
        black_box(receive_stamp(black_box(&control)));
    }
    control
}

// An entry of the error queue.
#[library_benchmark]
#[bench::of_a_stamp(control_data(Wall(1_790_000_000_123_456_789), Some(7)))]
fn error_queue(control: Vec<u8>) -> Vec<u8> {
    for _ in 0..CALLS {
        black_box(error_queue_entry(black_box(&control)));
    }
    control
}

library_benchmark_group!(name = probe; benchmarks = emit, absorb, next_turn, receive_control, error_queue);
library_benchmark_group!(name = window; benchmarks = apply, close);
library_benchmark_group!(name = record; benchmarks = encode_hdr, json, protobuf);

/// libc chooses its memory functions by the processor, and a repeated string instruction counts once for each byte: with
/// the functions that every x86-64 processor has, the counts are the same on all of them. Names that a libc doesn't know,
/// as on another architecture, have no effect.
const SAME_LIBC_EVERYWHERE: &str =
    "glibc.cpu.hwcaps=-ERMS,-FSRM,-AVX2,-AVX_Fast_Unaligned_Load,-AVX512F,-AVX512VL,-AVX512BW";

main!(
    config = LibraryBenchmarkConfig::default()
        .env("GLIBC_TUNABLES", SAME_LIBC_EVERYWHERE)
        .tool(Callgrind::with_args(["--cache-sim=no"]));
    library_benchmark_groups = probe, window, record
);
