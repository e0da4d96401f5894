//! Clusters for the tests of state and drawing.

use std::sync::Arc;

use dt_collect::grouped::Group;
use dt_collect::{Level, State, View};
use dt_probe::ProbeKind;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::pair::{Fates, Flow};
use super::model::{
    Cell, Direction, Finding, Findings, Kind, Metric, PairView, Pane, Percentiles, Picture, Place, Table, Want,
};
use super::state::Top;

/// 2023-11-14 22:13:20 UTC.
pub(super) const NOW: u64 = 1_700_000_000_000;

pub(super) fn want() -> Want {
    Want {
        view: View::Minute,
        level: Level::Node,
        probe: None,
        pair: None,
    }
}

pub(super) fn top() -> Top {
    Top::new("Kafka 127.0.0.1:9092, distributedTrace.summaries", want(), Metric::P99)
}

pub(super) fn group(name: &str, zone: &str, rack: &str) -> Group {
    Group {
        name: name.into(),
        zone: zone.into(),
        rack: rack.into(),
        region: "".into(),
        nodes: 1,
    }
}

/// A pair that answers in 100 us.
pub(super) fn cell(source: u32, destination: u32) -> Cell {
    Cell {
        source,
        destination,
        series: 1,
        stale: 0,
        state: State::Fresh,
        sent: 60,
        received: 60,
        failed: 0,
        p50: Some(100_000),
        p99: Some(200_000),
        p999: Some(200_000),
        host_p99: Some(9_000),
    }
}

/// A pair whose probes all got lost.
pub(super) fn dead(source: u32, destination: u32) -> Cell {
    Cell {
        received: 0,
        failed: 60,
        p50: None,
        p99: None,
        p999: None,
        host_p99: None,
        ..cell(source, destination)
    }
}

pub(super) fn table(level: Level, probe: ProbeKind, groups: Vec<Group>, cells: Vec<Cell>) -> Arc<Table> {
    Arc::new(Table::new((NOW, View::Minute, level, probe), groups, cells).unwrap())
}

/// All pairs of `count` nodes, `n0000` and on, ten to a rack and a hundred to a zone; `change` alters cells.
pub(super) fn mesh(count: u32, probe: ProbeKind, change: impl Fn(&mut Cell)) -> Arc<Table> {
    let name = |node: u32| {
        let (zone, rack) = (format!("z{}", node / 100), format!("r{:02}", node / 10));
        group(&format!("n{node:04}"), &zone, &rack)
    };
    let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
    let cells = pairs.filter(|(a, b)| a != b).map(|(a, b)| {
        let mut cell = cell(a, b);
        change(&mut cell);
        cell
    });
    table(Level::Node, probe, (0..count).map(name).collect(), cells.collect())
}

pub(super) fn picture(map: &Arc<Table>) -> Picture {
    Picture {
        map: Arc::clone(map),
        nodes: Arc::clone(map),
        findings: Ok(Arc::default()),
        pair: None,
        news: "newest record 3 s ago".to_owned(),
        notes: Vec::new(),
    }
}

pub(super) fn findings(summaries: &[&str]) -> Arc<Findings> {
    let finding = |summary: &&str| Finding {
        kind: "node_down".to_owned(),
        summary: (*summary).to_owned(),
        evidence: vec!["9 of 9 pairs to it fail".to_owned()],
        confidence: 0.97,
        since_ms: Some(NOW - 125_000),
        pairs: 9,
        ..Finding::default()
    };
    Arc::new(Findings {
        judged: true,
        share: None,
        now_ms: NOW,
        pattern: "podset_down".to_owned(),
        findings: summaries.iter().map(finding).collect(),
    })
}

pub(super) fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

pub(super) fn control(c: char) -> KeyEvent {
    KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)
}

/// Presses the keys of `text`, one after the other; `<Enter>` and its like stand for those without a letter.
pub(super) fn press(top: &mut Top, text: &str) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (code, length) = match rest.split_once('>').map(|(name, _)| name) {
            Some(name) if first == '<' => (named(&name[1..]), name.len() + 1),
            _ => (KeyCode::Char(first), first.len_utf8()),
        };
        assert_eq!(top.key(key(code)), None, "{text}");
        rest = &rest[length..];
    }
}

fn named(name: &str) -> KeyCode {
    match name {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "BackTab" => KeyCode::BackTab,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "PageDown" => KeyCode::PageDown,
        "PageUp" => KeyCode::PageUp,
        "Home" => KeyCode::Home,
        "End" => KeyCode::End,
        "Backspace" => KeyCode::Backspace,
        other => panic!("no key {other:?}"),
    }
}

/// A pair that is probed in one direction only: by ICMP with loss for two minutes, by TCP without.
pub(super) fn pair(source: &str, destination: &str) -> PairView {
    let place = |node: &str| Place {
        node: node.to_owned(),
        zone: "z0".to_owned(),
        rack: "r00".to_owned(),
        region: String::new(),
    };
    let percentiles = |p99: u64, max: u64| Percentiles {
        p50_ns: Some(100_000),
        p99_ns: Some(p99),
        p999_ns: Some(max),
        max_ns: Some(max),
    };
    let pane = |start: u64, p99_ns: Option<u64>| Pane {
        start_ms: NOW - 60_000 + start * 10_000,
        end_ms: NOW - 50_000 + start * 10_000,
        received: 10,
        p99_ns,
        ..Pane::default()
    };
    let icmp = Kind {
        probe: "icmp".to_owned(),
        method: "echo".to_owned(),
        state: State::Fresh,
        counts: Fates {
            sent: 60,
            received: 50,
            lost: 10,
            ..Fates::default()
        },
        rtt: percentiles(80_000_000, 90_000_000),
        host_delay: percentiles(9_000, 9_000),
        flows: Vec::new(),
        failing_since_ms: Some(NOW - 120_000),
        panes: vec![
            pane(0, Some(200_000)),
            pane(1, None),
            pane(2, Some(40_000_000)),
            pane(5, Some(80_000_000)),
        ],
    };
    let tcp = Kind {
        probe: "tcp".to_owned(),
        method: "syn".to_owned(),
        counts: Fates {
            sent: 60,
            received: 60,
            ..Fates::default()
        },
        rtt: percentiles(200_000, 200_000),
        flows: vec![Flow { port: 41_000, lost: 3 }],
        failing_since_ms: None,
        panes: vec![pane(0, Some(200_000))],
        ..icmp.clone()
    };
    PairView {
        now_ms: NOW,
        view: View::Minute,
        directions: [
            Direction {
                source: place(source),
                destination: place(destination),
                kinds: vec![icmp, tcp],
            },
            Direction {
                source: place(destination),
                destination: place(source),
                kinds: Vec::new(),
            },
        ],
    }
}
