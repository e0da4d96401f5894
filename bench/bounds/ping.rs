//! What `dt ping` needs for 100,000 targets: memory for each, and no more work per probe than with 1,000.

use dt_bench::Result;
use dt_bench::addresses::LOOPBACK;
use dt_bench::exchange::Probes;
use dt_bench::ping::Ping;
use dt_bench::statistics::median;

use crate::Bench;
use dt_bench::verdict::Verdict;

const FEW: u32 = 1_000;
const MANY: u32 = 100_000;
/// Bytes for each target beyond those of a single one.
const BYTES: f64 = 400.0;
/// Probes to each target: as few as can be, and the default.
const COUNTS: [u32; 2] = [1, 5];
/// CPU per probe with many targets over that with few.
const GROWTH: f64 = 1.3;
/// To each of the many targets; the few get as many in all.
const PROBES: u32 = 10;
const ROUNDS: u32 = 3;

pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Verdict)) -> Result {
    let (one, few, many) = (LOOPBACK.names(1), LOOPBACK.names(FEW), LOOPBACK.names(MANY));
    for count in COUNTS {
        let ping = Ping::new(&bench.dt, Probes::Icmp, count).by_a_shell();
        let resident = |names: &str| ping.run(names).map(|ran| ran.max_rss_bytes as f64);
        show(Verdict {
            what: format!("dt ping -c {count}, {MANY} targets: bytes for each"),
            figure: (resident(&many)? - resident(&one)?) / f64::from(MANY),
            bound: BYTES,
            unit: "",
        });
    }
    let (with_few, with_many) = (PROBES * MANY / FEW, PROBES);
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        // One beside the other, so that a busy hour slows both.
        let few = Ping::new(&bench.dt, Probes::Icmp, with_few).run(&few)?.cpu_per_probe();
        let many = Ping::new(&bench.dt, Probes::Icmp, with_many)
            .run(&many)?
            .cpu_per_probe();
        ratios.push(many / few);
    }
    show(Verdict {
        what: format!("dt ping, CPU per probe, {MANY} targets over {FEW}"),
        figure: median(ratios).unwrap_or(f64::INFINITY),
        bound: GROWTH,
        unit: "",
    });
    Ok(())
}
