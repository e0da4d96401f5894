//! What it costs to add one probe's event to its target's window: hot, and over 10,000 targets in turn.

mod measure;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dt_bench::fixtures::{self, Delays, SAMPLES};
use dt_probe::{Accumulator, Samples};
use measure::{CpuTime, criterion};

/// Samples up to which a target keeps each, and many more.
const FEW: u64 = 1_000;
const MANY: u64 = 100_000;

fn samples(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("samples");
    for count in [SAMPLES, FEW, MANY] {
        let mut delays = Delays::default();
        let values: Vec<u64> = (0..count).map(|_| delays.sample()).collect();
        let mut samples = Samples::new();
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("record", count), |b| {
            b.iter(|| {
                for value in black_box(&values) {
                    samples.record(*value, Some(*value));
                }
                black_box(&mut samples).clear();
            });
        });
    }
    group.finish();
}

fn accumulator(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("accumulator");
    for (name, ports) in [("icmp", false), ("tcp_64_ports", true)] {
        let events: Vec<_> = (0..FEW as u32)
            .map(|number| {
                let port = if ports { 61_000 + (number * 7 % 64) as u16 } else { 0 };
                fixtures::received(0, port, 40_000 + u64::from(number))
            })
            .collect();
        let mut sums = Accumulator::new();
        group.throughput(Throughput::Elements(FEW));
        group.bench_function(BenchmarkId::new("apply", name), |b| {
            b.iter(|| {
                for event in black_box(&events) {
                    sums.apply(event);
                }
                black_box(&mut sums).clear();
            });
        });
    }
    group.finish();
}

fn window_table(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("window_table");
    for (name, ports) in [("icmp", false), ("tcp_64_ports", true)] {
        for peers in [250, 10_000] {
            let events = fixtures::events(peers, ports);
            let mut table = fixtures::table(peers);
            group.throughput(Throughput::Elements(events.len() as u64));
            group.bench_function(BenchmarkId::new(format!("apply_{name}"), peers), |b| {
                // Closed unseen in between, which keeps the memory of a window, as from an agent's second window on.
                b.iter(|| {
                    for event in black_box(&events) {
                        table.apply(event);
                    }
                    table.close(|_, _, _| {});
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = samples, accumulator, window_table
}
criterion_main!(benches);
