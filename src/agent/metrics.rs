//! `/metrics`: everything an operator asks of an agent, read from the parts' own counters at each scrape.
//!
//! Nothing is per peer here: 10,000 peers would be a cluster's worth of series on every node. Whoever wants that all the same
//! gets it from [`crate::peer_totals`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dt_kernel::sandbox::Entered;
use dt_kernel::thread::{LATENESS_BOUNDS, LaneCounters, Stats as ThreadStats};
use dt_metrics::{Page, Series, Source};
use dt_probe::time::SECOND;
use dt_probe::{Fate, ProbeKind};

use crate::books::Ledger;
use crate::status::Shared;
use crate::totals::{HOST_DELAY_BOUNDS, KindTotals};

/// What the mesh task and the probe thread count.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) shared: Arc<Shared>,
    /// The sinks' numbers, which the books have to agree with: of the same moment.
    pub(crate) sinks: Vec<Box<dyn Source>>,
}

impl Source for Agent {
    fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let shared = &self.shared;
        build_info(page)?;
        mesh(page, shared)?;
        // Until the sinks' numbers are written, too: all of one moment.
        let books = shared.books.look();
        where_probes_are(page, &books)?;
        probes(page, shared)?;
        if let Some(thread) = shared.thread.get() {
            probe_thread(page, thread)?;
        }
        if let Some(entered) = shared.sandbox.get() {
            given_up(page, entered)?;
        }
        self.sinks.iter().try_for_each(|sink| sink.encode(page))
    }
}

fn build_info(page: &mut Page<'_>) -> fmt::Result {
    let labels = [("version", env!("CARGO_PKG_VERSION"))];
    page.gauges("build_info", "Always 1; the version is the label", [(&labels[..], 1.0)])
}

fn given_up(page: &mut Page<'_>, entered: &Entered) -> fmt::Result {
    let parts = [
        ("capabilities", entered.capabilities),
        ("new_privileges", entered.new_privileges),
        ("system_calls", entered.system_calls),
    ];
    let labelled = parts.map(|(part, done)| ([("part", part)], done));
    page.gauges(
        "sandbox",
        "1 where the process has given it up",
        labelled
            .iter()
            .map(|(labels, done)| (&labels[..], f64::from(u8::from(*done)))),
    )
}

fn mesh(page: &mut Page<'_>, shared: &Shared) -> fmt::Result {
    let totals = &shared.totals;
    let get = |counter: &AtomicU64| counter.load(Relaxed);
    page.gauge("members", "Other members known", get(&totals.members) as f64)?;
    page.gauge("peers", "Peers on the pinglist", get(&totals.peers) as f64)?;
    page.gauge(
        "peers_unresolved",
        "Peers not probed: their name doesn't resolve",
        get(&totals.unresolved) as f64,
    )?;
    page.gauge(
        "peers_refused",
        "Peers not probed: outside zookeeper.allowed_networks, or at the place of another",
        get(&totals.refused) as f64,
    )?;
    page.gauge(
        "peers_strangers",
        "Peers only asked once in 10 s: they have never answered PingNode",
        get(&totals.strangers) as f64,
    )?;
    page.gauge(
        "probing_enabled",
        "0 while the kill switch is on",
        get(&totals.probing) as f64,
    )?;
    let stretch = get(&totals.stretch_milli) as f64 / 1000.0;
    page.gauge(
        "interval_stretch_ratio",
        "How far the rate cap stretches the intervals; 1 is not at all",
        stretch,
    )?;
    page.counter("windows", "Windows closed", get(&totals.windows))?;
    page.counter(
        "summaries",
        "Summary records handed to the sinks",
        get(&totals.summaries),
    )?;
    page.gauge(
        "ready",
        "1 when /readyz says so",
        f64::from(u8::from(shared.readiness.check().is_ok())),
    )
}

/// One series for each probe kind.
fn each_kind<T>(value: impl Fn(ProbeKind) -> T) -> impl Iterator<Item = Series<'static, T>> {
    const LABELS: [[(&str, &str); 1]; 3] = [[("probe", "icmp")], [("probe", "tcp")], [("probe", "grpc")]];
    ProbeKind::ALL
        .iter()
        .zip(&LABELS)
        .map(move |(kind, labels)| (&labels[..], value(*kind)))
}

fn by_kind<T>(shared: &Shared, value: impl Fn(&KindTotals) -> T) -> impl Iterator<Item = Series<'static, T>> {
    each_kind(move |kind| value(shared.totals.kind(kind)))
}

/// The books. Of each kind, `packets_sent` is the sum of `probes`, `probes_voided`, `in_flight` and `probes_abandoned`.
fn where_probes_are(page: &mut Page<'_>, books: &Ledger) -> fmt::Result {
    page.counters(
        "packets_sent",
        "Probes sent: given to the kernel or refused by it; pings begun",
        each_kind(|kind| books.kind(kind).sent),
    )?;
    let fates = ProbeKind::ALL
        .iter()
        .flat_map(|kind| Fate::ALL.iter().map(move |fate| (*kind, *fate)));
    let labelled: Vec<_> = fates
        .map(|(kind, fate)| {
            (
                [("probe", kind.as_str()), ("fate", fate.as_str())],
                books.kind(kind).fates[fate as usize],
            )
        })
        .collect();
    page.counters(
        "probes",
        "Probes by fate",
        labelled.iter().map(|(labels, value)| (&labels[..], *value)),
    )?;
    page.counters(
        "probes_voided",
        "Probes sent of which nothing can be told: this host dropped packets, was suspended or too busy. Counted as skipped",
        each_kind(|kind| books.kind(kind).voided),
    )?;
    page.counters(
        "probes_abandoned",
        "Probes given up at shutdown: no fate",
        each_kind(|kind| books.kind(kind).abandoned),
    )?;
    page.gauges(
        "in_flight",
        "Probes without a fate yet",
        each_kind(|kind| books.kind(kind).in_flight as f64),
    )?;
    page.gauge(
        "probes_unrecorded",
        "Probes with a fate that no summary record was made of yet",
        books.unrecorded() as f64,
    )?;
    page.counter(
        "probes_without_record",
        "Probes with a fate that no summary record is made of: pings that only ask whether somebody is there",
        books.asked(),
    )
}

fn probes(page: &mut Page<'_>, shared: &Shared) -> fmt::Result {
    let get = |counter: &AtomicU64| counter.load(Relaxed);
    page.counters(
        "probes_late",
        "Replies after the time-out",
        by_kind(shared, |k| get(&k.late)),
    )?;
    page.counters(
        "probes_duplicate",
        "Repeated replies",
        by_kind(shared, |k| get(&k.duplicate)),
    )?;
    page.counters(
        "probes_skipped",
        "Probes due that gave no measurement by this host's own doing: not sent, or answers dropped, or suspended",
        by_kind(shared, |k| get(&k.skipped)),
    )?;
    page.counters(
        "timestamp_fallbacks",
        "Probes timed by a weaker clock",
        by_kind(shared, |k| get(&k.fallbacks)),
    )?;
    let seconds = |counter: &AtomicU64| get(counter) as f64 / SECOND as f64;
    page.counters(
        "rtt_seconds",
        "All round-trip delays together",
        by_kind(shared, |k| seconds(&k.rtt_sum_ns)),
    )?;
    host_delays(page, shared)?;
    page.gauges("targets", "Targets probed", by_kind(shared, |k| get(&k.targets) as f64))?;
    page.gauges(
        "probe_available",
        "1 where this host can measure it",
        by_kind(shared, |k| get(&k.available) as f64),
    )?;
    page.gauges(
        "probe_interval_seconds",
        "The interval in force",
        by_kind(shared, |k| seconds(&k.period_ns)),
    )
}

/// Of the kinds that the kernel stamps.
fn host_delays(page: &mut Page<'_>, shared: &Shared) -> fmt::Result {
    let read = [ProbeKind::Icmp, ProbeKind::Tcp].map(|kind| {
        let (sum, classes) = shared.totals.kind(kind).host_delays.read();
        ([("probe", kind.as_str())], sum, classes)
    });
    let series: Vec<_> = read
        .iter()
        .map(|(labels, sum, classes)| (&labels[..], *sum, &classes[..]))
        .collect();
    page.histograms(
        "host_delay_seconds",
        "How long this host made its own program wait for a probe, beyond the network's time",
        &HOST_DELAY_BOUNDS,
        &series,
    )
}

fn probe_thread(page: &mut Page<'_>, thread: &ThreadStats) -> fmt::Result {
    let get = |counter: &AtomicU64| counter.load(Relaxed);
    page.counter("probe_thread_turns", "Turns of the probe thread", get(&thread.turns))?;
    page.counter(
        "probe_thread_stalls",
        "Turns left out: the mesh task had fallen behind",
        get(&thread.stalled),
    )?;
    let classes: Vec<u64> = thread.lateness.iter().map(get).collect();
    page.histograms(
        "probe_thread_late_seconds",
        "How late its turns began",
        &LATENESS_BOUNDS,
        &[(&[], get(&thread.lateness_sum), &classes)],
    )?;
    page.gauge(
        "probe_thread_realtime_priority",
        "Its real-time priority; 0 for an ordinary thread",
        get(&thread.realtime_priority) as f64,
    )?;
    page.gauge(
        "probe_thread_cpus",
        "How many processors it may run on",
        get(&thread.cpus) as f64,
    )?;
    page.counter(
        "clock_steps",
        "Steps of the wall clock that were noticed, suspends among them",
        get(&thread.clock_steps),
    )?;
    page.counter(
        "suspends",
        "Suspends of this host that were noticed",
        get(&thread.suspends),
    )?;
    let lanes: Vec<_> = thread
        .lanes
        .iter()
        .map(|lane| ([("probe", lane.kind.as_str())], lane))
        .collect();
    type Field = fn(&LaneCounters) -> &AtomicU64;
    let counters: [(&str, &str, Field); 5] = [
        (
            "packets_invalid",
            "Packets and ICMP errors no probe of ours can have caused: malformed, forged, foreign",
            |l| &l.invalid,
        ),
        ("packets_stale", "Genuine replies too old to be attributed", |l| {
            &l.stale
        }),
        (
            "clock_fallbacks",
            "Kernel stamps not trusted, as over a clock step",
            |l| &l.clock_fallbacks,
        ),
        ("receive_drops", "Packets this host's own socket buffers dropped", |l| {
            &l.receive_drops
        }),
        ("stamp_overflows", "Times the error queue may have overflowed", |l| {
            &l.stamp_overflows
        }),
    ];
    for (name, help, field) in counters {
        page.counters(
            name,
            help,
            lanes.iter().map(|(labels, lane)| (&labels[..], get(field(lane)))),
        )?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use dt_metrics::{Format, Metrics};
    use dt_probe::{Clock, Event, Sample, TargetId, What};

    #[test]
    fn a_histogram_ends_in_a_class_that_holds_all() {
        let shared = Arc::new(Shared::default());
        for delay_ns in [1, 1_000_000, u64::from(u32::MAX)] {
            let sample = Sample {
                rtt_ns: 1,
                host_delay_ns: Some(delay_ns),
                tx: Clock::Kernel,
                rx: Clock::Kernel,
                fallback: false,
            };
            shared.totals.kind(ProbeKind::Icmp).apply(&Event {
                target: TargetId(0),
                source_port: 0,
                what: What::Received(sample),
            });
        }
        let page = Metrics::new(vec![Box::new(Agent {
            shared,
            sinks: Vec::new(),
        })])
        .render(Format::OpenMetrics)
        .unwrap();
        let page = String::from_utf8(page).unwrap();
        let buckets: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("dt_host_delay_seconds_bucket") && line.contains("probe=\"icmp\""))
            .collect();
        assert_eq!(buckets.len(), HOST_DELAY_BOUNDS.len() + 1, "{page}");
        let last = buckets[HOST_DELAY_BOUNDS.len()];
        assert!(last.contains("le=\"+Inf\"") && last.ends_with(" 3"), "{last}");
        assert!(buckets[0].ends_with(" 1"), "{}", buckets[0]);
        assert!(page.contains("dt_host_delay_seconds_count{probe=\"icmp\"} 3"), "{page}");
    }
}
