//! What it costs to close a window of 10,000 peers, ten probes each, and to write its records.

mod measure;

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dt_bench::fixtures;
use dt_probe::ProbeKind;
use dt_record::{Options, Recorder, SummaryRecord, hdr};
use measure::{CpuTime, criterion};

const PEERS: u32 = 10_000;
const KINDS: [(&str, ProbeKind); 2] = [("icmp", ProbeKind::Icmp), ("tcp", ProbeKind::Tcp)];

/// Sums to summaries, distributions included: what the agent does at once at a window's end.
fn close(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("window_close");
    group.throughput(Throughput::Elements(u64::from(PEERS)));
    group.sample_size(20);
    for (name, kind) in KINDS {
        let pairs = fixtures::pairs(PEERS, kind);
        let mut full = fixtures::table(PEERS);
        for event in fixtures::events(PEERS, kind == ProbeKind::Tcp) {
            full.apply(&event);
        }
        let mut recorder = Recorder::new();
        group.bench_function(BenchmarkId::new(name, PEERS), |b| {
            b.iter_batched(
                || (full.clone(), Vec::with_capacity(PEERS as usize)),
                |(mut table, mut all)| {
                    table.close(|id, sums, _| {
                        if let Some(pair) = pairs.get(id.0 as usize) {
                            all.push(fixtures::summarize(pair, sums, &mut recorder));
                        }
                    });
                    (table, all)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Summaries to what leaves the host: what the sinks spread over half of the next window.
fn records(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("window_records");
    group.throughput(Throughput::Elements(u64::from(PEERS)));
    group.sample_size(20);
    let origin = &fixtures::origin();
    for (name, kind) in KINDS {
        let summaries = fixtures::summaries(PEERS, kind);
        group.bench_function(BenchmarkId::new("hdr", name), |b| {
            b.iter(|| {
                for summary in black_box(&summaries) {
                    black_box(hdr::encode(&summary.rtt));
                }
            });
        });
        for (encoding, options) in [
            ("json", Options { buckets: true }),
            ("json_no_buckets", Options { buckets: false }),
        ] {
            group.bench_function(BenchmarkId::new(encoding, name), |b| {
                b.iter(|| {
                    for summary in black_box(&summaries) {
                        black_box(SummaryRecord::new(summary, origin, 1, options).to_json());
                    }
                });
            });
        }
        group.bench_function(BenchmarkId::new("protobuf", name), |b| {
            b.iter(|| {
                for summary in black_box(&summaries) {
                    black_box(SummaryRecord::new(summary, origin, 1, Options::default()).to_protobuf());
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = close, records
}
criterion_main!(benches);
