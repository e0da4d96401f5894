//! What a probe costs end to end over loopback, both ends and the reply included: the real core and the real sockets
//! with kernel stamps both ways, at batches of 1, 8 and 64. Needs root.

mod measure;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dt_bench::addresses::LOOPBACK;
use dt_bench::exchange::{Exchange, Probes};
use dt_bench::others::Others;
use dt_bench::{namespace, or_exit};
use measure::{CpuTime, criterion};

const BATCHES: [usize; 3] = [1, 8, 64];
const TARGETS: u32 = 1_000;

fn probe_cost(c: &mut Criterion<CpuTime>) {
    or_exit(namespace::enter());
    let others = or_exit(Others::compile());
    let listener = or_exit(others.listen());
    let kinds = [
        ("icmp", Probes::Icmp),
        ("syn", Probes::Syn(listener.port)),
        ("connect", Probes::Connect(listener.port)),
    ];
    let mut group = c.benchmark_group("probe_cost");
    for (name, probes) in kinds {
        let mut exchange = or_exit(Exchange::new(probes, LOOPBACK, TARGETS));
        for batch in BATCHES {
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::new(name, batch), |b| {
                b.iter(|| or_exit(black_box(&mut exchange).turn(batch)));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = probe_cost
}
criterion_main!(benches);
