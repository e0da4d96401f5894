//! One pair: every kind of probe in both directions, in numbers and over time.

use std::iter;

use dt_collect::State;
use dt_collect::plain::{cut, plain};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::spark::{self, Stretch};
use super::theme::Shade;
use super::{Theme, bold, page};
use crate::top::model::{Direction, Kind, Metric, PairView, Pane, metric};
use crate::top::state::Top;
use crate::top::times;

/// Where the line over time begins, and how wide it is at most.
const INDENT: u16 = 7;
const WIDEST: u16 = 120;
/// What stands after it.
const PEAK: u16 = 14;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, top: &mut Top, theme: &Theme) {
    let Some((source, destination)) = &top.want.pair else {
        return;
    };
    let name = |raw: &str| theme.text(&cut(&plain(raw), usize::from(area.width / 3)));
    let title = format!("{} {} {}", name(source), theme.arrow(), name(destination));
    let view = top
        .picture
        .as_ref()
        .and_then(|picture| picture.pair.as_ref())
        .filter(|pair| {
            let [there, _] = &pair.directions;
            there.source.node == *source && there.destination.node == *destination
        });
    let lines = match view {
        Some(view) => lines(view, top.metric, theme, area.width),
        // A picture made before the pair was asked for says nothing of it.
        None => vec![Line::from("  nothing is known of this pair (yet)")],
    };
    let title = view.map_or_else(|| title.clone(), |view| format!("{title}, {}", view.view));
    page(buffer, area, &title, lines, &mut top.scroll, theme);
}

fn lines<'a>(pair: &PairView, metric: Metric, theme: &Theme, width: u16) -> Vec<Line<'a>> {
    let width = (width.saturating_sub(INDENT + PEAK)).clamp(10, WIDEST);
    let mut lines = Vec::new();
    let all = pair.directions.iter().flat_map(|direction| &direction.kinds);
    let panes = || all.clone().flat_map(|kind| &kind.panes);
    let from = panes().map(|pane| pane.start_ms).min().unwrap_or(pair.now_ms);
    let to = panes().map(|pane| pane.end_ms).max().unwrap_or(pair.now_ms);
    for direction in &pair.directions {
        lines.extend(numbers(direction, pair.now_ms, theme));
        for kind in &direction.kinds {
            // Both directions of one kind share a scale, so that they can be compared.
            let same = all.clone().filter(|other| other.probe == kind.probe);
            let most = same.flat_map(|kind| &kind.panes).filter_map(|pane| value(pane, metric));
            let most = most.fold(0.0, f64::max);
            lines.push(over_time(kind, metric, (from, to), most, theme, width));
        }
        lines.push(Line::default());
    }
    lines.push(Line::from(format!(
        " {} over time, {} to {} UTC; blank: nothing answered or measured",
        metric.name(),
        times::clock(from),
        times::clock(to)
    )));
    lines
}

/// Where from and to, and a line for each kind.
fn numbers<'a>(direction: &Direction, now_ms: u64, theme: &Theme) -> Vec<Line<'a>> {
    let place = |place: &crate::top::model::Place| {
        let labels = [&place.region, &place.zone, &place.rack]
            .into_iter()
            .filter(|label| !label.is_empty());
        let labels = labels.map(|label| plain(label)).collect::<Vec<_>>().join("/");
        let labels = if labels.is_empty() {
            labels
        } else {
            format!(" ({})", cut(&labels, 24))
        };
        theme.text(&format!("{}{labels}", cut(&plain(&place.node), 28)))
    };
    let title = format!(
        " {} {} {}",
        place(&direction.source),
        theme.arrow(),
        place(&direction.destination)
    );
    let mut lines = vec![Line::from(bold(title))];
    if direction.kinds.is_empty() {
        lines.push(Line::from("   not probed"));
        return lines;
    }
    let head = format!(
        "   {:<5} {:<9} {:>13} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "probe", "method", "answers", "loss", "p50", "p99", "p99.9", "max", "host"
    );
    lines.push(Line::styled(head, Style::new().add_modifier(Modifier::DIM)));
    for kind in &direction.kinds {
        lines.push(kind_line(kind, theme));
        lines.extend(remarks(kind, now_ms).map(|remark| Line::from(theme.text(&format!("         {remark}")))));
    }
    lines
}

fn kind_line<'a>(kind: &Kind, theme: &Theme) -> Line<'a> {
    let counts = &kind.counts;
    let left = counts.sent.saturating_sub(counts.send_error);
    let failed = left.saturating_sub(counts.received);
    // Counts stay far below 2^53.
    let loss = (left > 0).then(|| failed as f64 / left as f64);
    let shade = match kind.state {
        State::Waiting => Shade::Waiting,
        State::Stale => Shade::Stale,
        State::Fresh if counts.sent == 0 => Shade::Idle,
        State::Fresh if left == 0 => Shade::Unsent,
        State::Fresh if counts.received == 0 => Shade::Dead,
        State::Fresh => match kind.rtt.p99_ns {
            // Delays stay far below 2^53 ns.
            Some(ns) => Shade::Level(Metric::P99.level(ns as f64)),
            None => Shade::Idle,
        },
    };
    let delay = metric::delay;
    Line::from(vec![
        Span::raw(" "),
        Span::styled(shade.character().to_string(), theme.shade(shade)),
        Span::raw(format!(
            " {:<5} {:<9} {:>13} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7}",
            theme.text(&cut(&plain(&kind.probe), 5)),
            theme.text(&cut(&plain(&kind.method), 9)),
            format!("{}/{}", counts.received, counts.sent),
            metric::share(loss),
            delay(kind.rtt.p50_ns),
            delay(kind.rtt.p99_ns),
            delay(kind.rtt.p999_ns),
            delay(kind.rtt.max_ns),
            delay(kind.host_delay.p99_ns),
        )),
    ])
}

/// What the numbers don't say.
fn remarks(kind: &Kind, now_ms: u64) -> impl Iterator<Item = String> {
    let counts = &kind.counts;
    let state = match kind.state {
        State::Fresh => None,
        State::Waiting => Some("no record yet".to_owned()),
        State::Stale => Some("stale: no record for several windows".to_owned()),
    };
    let fates = [
        ("lost", counts.lost),
        ("refused", counts.refused),
        ("unreachable", counts.unreachable),
        ("not sent", counts.send_error),
    ];
    let fates: Vec<String> = fates
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    let since = kind.failing_since_ms.map(|since| {
        let ago = times::span(now_ms.saturating_sub(since));
        format!("in every window since {} UTC, {ago}", times::clock(since))
    });
    let fates = (!fates.is_empty()).then(|| {
        let since = since.map(|since| format!(" ({since})")).unwrap_or_default();
        format!("{}{since}", fates.join(", "))
    });
    let flows: Vec<String> = kind
        .flows
        .iter()
        .filter(|flow| flow.lost > 0)
        .map(|flow| format!("{}: {}", flow.port, flow.lost))
        .collect();
    let flows = (!flows.is_empty()).then(|| format!("lost by source port, {}", flows.join(", ")));
    iter::empty().chain(state).chain(fates).chain(flows)
}

fn over_time<'a>(kind: &Kind, metric: Metric, times: (u64, u64), most: f64, theme: &Theme, width: u16) -> Line<'a> {
    let stretch = |pane: &Pane| Stretch {
        start_ms: pane.start_ms,
        end_ms: pane.end_ms,
        value: value(pane, metric),
    };
    let stretches: Vec<Stretch> = kind.panes.iter().map(stretch).collect();
    let values = spark::columns(&stretches, times, width);
    let peak = values.iter().flatten().copied().reduce(f64::max);
    let peak = peak.map_or_else(|| "-".to_owned(), |peak| metric.text(peak));
    Line::from(format!(
        " {:<5} {} max {peak}",
        theme.text(&cut(&plain(&kind.probe), 5)),
        spark::line(&values, most, theme)
    ))
}

/// A pane's number.
fn value(pane: &Pane, metric: Metric) -> Option<f64> {
    let delay = match metric {
        Metric::Loss => {
            let left = pane.received.saturating_add(pane.failed);
            return (left > 0).then(|| pane.failed as f64 / left as f64);
        }
        Metric::P50 => pane.p50_ns,
        Metric::P99 => pane.p99_ns,
        Metric::P999 => pane.p999_ns,
        Metric::Host => pane.host_delay_p99_ns,
    };
    delay.map(|ns| ns as f64)
}
