//! What our raw sockets cost others.

use dt_bench::Result;
use dt_bench::exchange::{Exchange, Probes};
use dt_bench::reference::{Mode, Run};

use crate::Bench;
use crate::table::Table;

const ECHOES: Run = Run {
    mode: Mode::Icmp,
    batch: 64,
    rounds: 50,
    targets: 500,
    port: 0,
    addresses: dt_bench::addresses::LOOPBACK,
};
const EXCHANGES: u64 = 20_000;
/// A byte there and one back.
const SEGMENTS: f64 = 2.0;

pub(crate) fn measure(bench: &Bench) -> Result<Vec<Table>> {
    let mut table = Table::new("us, beside so many agents");
    table.measure("an echo of another program", bench.rounds, |agents| {
        let _ours = open(bench, agents, Probes::Icmp)?;
        let ran = bench.reference.run(&ECHOES)?;
        Ok((ran.user_ns + ran.system_ns) as f64 / ran.probes as f64)
    })?;
    table.measure("a small TCP segment, sent and received", bench.rounds, |agents| {
        let _ours = open(bench, agents, Probes::Syn(bench.place.listener.port))?;
        let used = bench.others.chat(EXCHANGES)?;
        Ok(used.total_ns() as f64 / (EXCHANGES as f64 * SEGMENTS))
    })?;
    Ok(vec![table])
}

/// The sockets of so many agents, which have nothing to do just now.
fn open(bench: &Bench, agents: u32, probes: Probes) -> Result<Vec<Exchange>> {
    let one = |_| Exchange::new(probes, bench.place.addresses, 1);
    (0..agents).map(one).collect()
}
