//! What raw sockets of others cost a probe of ours.

use dt_bench::Result;
use dt_bench::cpu::thread_time;
use dt_bench::exchange::{Exchange, Probes};
use dt_bench::others::Held;

use crate::Bench;
use crate::table::Table;

const TARGETS: u32 = 1_000;
const BATCH: usize = 64;
const WARM_UP: u32 = 32;
const TURNS: u32 = 400;

pub(crate) fn measure(bench: &Bench) -> Result<Vec<Table>> {
    let port = bench.place.listener.port;
    let mut echo = Table::new("ICMP echo, us, beside so many raw sockets");
    for (name, held) in [
        ("ICMP, read by nobody", Held::Icmp),
        ("ICMP, read as it comes", Held::IcmpRead),
        ("ICMP, no echo replies by ICMP_FILTER", Held::IcmpFilter),
        ("ICMP, nothing by BPF", Held::IcmpBpf),
    ] {
        echo.measure(name, bench.rounds, |count| with(bench, held, count, Probes::Icmp))?;
    }
    let mut syn = Table::new("TCP SYN, us, beside so many raw sockets");
    for (name, held) in [
        ("TCP, read by nobody", Held::Tcp),
        ("TCP, read as it comes", Held::TcpRead),
        ("TCP, nothing by BPF", Held::TcpBpf),
    ] {
        syn.measure(name, bench.rounds, |count| with(bench, held, count, Probes::Syn(port)))?;
    }
    Ok(vec![echo, syn])
}

fn with(bench: &Bench, held: Held, count: u32, probes: Probes) -> Result<f64> {
    let _holder = bench.others.hold(held, count)?;
    let mut exchange = Exchange::new(probes, bench.place.addresses, TARGETS)?;
    for _ in 0..WARM_UP {
        exchange.turn(BATCH)?;
    }
    let began = thread_time();
    for _ in 0..TURNS {
        exchange.turn(BATCH)?;
    }
    Ok((thread_time() - began).as_nanos() as f64 / (f64::from(TURNS) * BATCH as f64))
}
