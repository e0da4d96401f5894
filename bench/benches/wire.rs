//! The core's own part of a probe, without a system call: writing and reading packets, matching stamps and answers.
//! And the histogram encoding of a record.

mod measure;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dt_bench::cpu::thread_time;
use dt_bench::fixtures::Delays;
use dt_bench::or_exit;
use dt_bench::synthetic::{self, ROUND, Synthetic};
use dt_record::{Distribution, Recorder, hdr};
use measure::{CpuTime, criterion};

/// As an agent's pinglist, and as many as may be.
const TARGETS: [u32; 2] = [250, 10_000];

fn lane(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("lane");
    group.throughput(Throughput::Elements(ROUND as u64));
    for (name, protocol) in [("echo", synthetic::echo()), ("syn", synthetic::syn())] {
        for targets in TARGETS {
            let mut synthetic = or_exit(Synthetic::new(protocol.clone(), targets));
            group.bench_function(BenchmarkId::new(format!("{name}_emit"), targets), |b| {
                b.iter_custom(|rounds| time(rounds, &mut synthetic, true));
            });
            group.bench_function(BenchmarkId::new(format!("{name}_parse"), targets), |b| {
                b.iter_custom(|rounds| time(rounds, &mut synthetic, false));
            });
        }
    }
    group.finish();
}

/// CPU time of one half of so many rounds. Reading the clock costs about 4 ns per probe of it.
fn time(rounds: u64, synthetic: &mut Synthetic, emit: bool) -> Duration {
    let (mut emitting, mut parsing) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        let began = thread_time();
        or_exit(synthetic.emit(ROUND));
        emitting += thread_time() - began;
        synthetic.answer();
        let began = thread_time();
        black_box(synthetic.absorb());
        parsing += thread_time() - began;
    }
    if emit { emitting } else { parsing }
}

fn histogram(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("hdr");
    for samples in [1_u64, 10, 600, 100_000] {
        let mut delays = Delays::default();
        let distribution: Distribution = Recorder::new().distribution((0..samples).map(|_| (delays.sample(), 1)));
        let text = hdr::encode(&distribution);
        group.bench_function(BenchmarkId::new("encode", samples), |b| {
            b.iter(|| hdr::encode(black_box(&distribution)));
        });
        group.bench_function(BenchmarkId::new("decode", samples), |b| {
            b.iter(|| hdr::decode(black_box(&text)).is_ok());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = lane, histogram
}
criterion_main!(benches);
