//! The matrix: exact merging, the rolling view, staleness, bounds.

// Each test file uses a part of what they share; in tests a panic is the answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, dead_code)]

#[path = "support/mesh.rs"]
mod mesh;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dt_collect::intake::{Intake, Message, Outcome};
use dt_collect::terminal::summary_table;
use dt_collect::{Ingest, Matrix, MatrixConfig, State, View};
use dt_probe::ProbeKind;
use dt_record::{Options, Origin, Recorder, SummaryRecord};
use mesh::{NODES, pair, summary};

const S: u64 = 1000;
/// Some aligned moment.
const T: u64 = 1_800_000_000_000;

#[test]
fn percentiles_are_those_of_all_samples_at_once() {
    let matrix = Matrix::new(MatrixConfig::default());
    let pair = pair(NODES[0], NODES[1], ProbeKind::Tcp);
    let mut all = Vec::new();
    // Windows arrive out of order and differ in size and height.
    for window in [3_u64, 0, 4, 1, 2] {
        let rtts: Vec<u64> = (0..=window * 20)
            .map(|i| 10_000 + window * window * 90_000 + i * 137)
            .collect();
        all.extend(rtts.iter().map(|ns| (*ns, 1)));
        let end = T + (window + 1) * 10 * S;
        assert_eq!(
            matrix.ingest(&summary(&pair, 10 * S, end, &rtts, window), T + 50 * S),
            Ingest::Merged
        );
    }
    let whole = Recorder::new().distribution(all.iter().copied());
    let rows = matrix.rows(View::Minute, T + 50 * S);
    let row = &rows[0];
    assert_eq!((rows.len(), row.received, row.lost), (1, all.len() as u64, 10));
    assert_eq!(row.sent, row.received + row.lost);
    assert_eq!(row.rtt_p50_ns, whole.quantile(0.5));
    assert_eq!(row.rtt_p99_ns, whole.quantile(0.99));
    assert_eq!(
        (row.rtt_min_ns, row.rtt_mean_ns, row.rtt_max_ns),
        (whole.min(), whole.mean(), whole.max())
    );
    assert_eq!((row.window_start_ms, row.window_end_ms), (Some(T), Some(T + 50 * S)));
}

#[test]
fn what_is_older_than_the_view_leaves_it_and_may_not_come_back() {
    let matrix = Matrix::new(MatrixConfig::default());
    let pair = pair(NODES[0], NODES[1], ProbeKind::Icmp);
    for second in 1..=180 {
        let end = T + second * S;
        assert_eq!(
            matrix.ingest(&summary(&pair, S, end, &[100_000], 1), end),
            Ingest::Merged
        );
        let row = &matrix.rows(View::Minute, end)[0];
        assert!(
            row.received <= 60 && row.received >= second.min(51),
            "second {second}: {}",
            row.received
        );
        assert!(row.window_end_ms.unwrap() - row.window_start_ms.unwrap() <= 60 * S);
    }
    let late = summary(&pair, S, T + 100 * S, &[1], 0);
    assert_eq!(matrix.ingest(&late, T + 180 * S), Ingest::Merged);
    let received = |view| matrix.rows(view, T + 180 * S)[0].received;
    assert!(received(View::Minute) <= 60, "it belongs to the longer views only");
    assert_eq!([received(View::TenMinutes), received(View::Hour)], [181, 181]);
    let too_late = summary(&pair, S, T + 180 * S - 3600 * S, &[1], 0);
    assert_eq!(matrix.ingest(&too_late, T + 180 * S), Ingest::TooOld);
    let early = summary(&pair, S, T + 1000 * S, &[1], 0);
    assert_eq!(matrix.ingest(&early, T + 180 * S), Ingest::TooFarAhead);
    let stats = matrix.stats();
    assert_eq!((stats.merged, stats.too_old, stats.too_far_ahead), (181, 1, 1));
}

#[test]
fn a_clock_set_back_doesnt_bar_new_records() {
    let matrix = Matrix::new(MatrixConfig::default());
    let pair = pair(NODES[0], NODES[1], ProbeKind::Icmp);
    matrix.ingest(&summary(&pair, S, T + 3600 * S, &[7000], 0), T + 3600 * S);
    assert_eq!(matrix.ingest(&summary(&pair, S, T, &[100_000], 0), T), Ingest::Merged);
    let row = &matrix.rows(View::Minute, T)[0];
    assert_eq!((row.received, row.window_end_ms), (1, Some(T)));
}

/// Numbers received over each view, and that each holds no more than its name says.
fn over_each_view(matrix: &Matrix, now_ms: u64) -> [u64; 3] {
    [(View::Minute, 60), (View::TenMinutes, 600), (View::Hour, 3_600)].map(|(view, seconds)| {
        let row = &matrix.rows(view, now_ms)[0];
        let covered = row.window_end_ms.unwrap_or(0) - row.window_start_ms.unwrap_or(0);
        assert!(covered <= seconds * S, "{view} covers {covered} ms");
        row.received
    })
}

#[test]
fn a_record_of_an_outage_counts_in_views_as_long_as_it_and_leaves_them_alone() {
    let matrix = Matrix::new(MatrixConfig::default());
    let pair = pair(NODES[0], NODES[1], ProbeKind::Icmp);
    let send = |length: u64, second: u64, rtts: &[u64]| {
        let end = T + second * S;
        assert_eq!(
            matrix.ingest(&summary(&pair, length * S, end, rtts, 0), end),
            Ingest::Merged
        );
        end
    };
    send(10, 0, &[1_000]);
    // Half an hour in one, which ends within a pane of ten minutes.
    let now = send(1_810, 1_810, &[2_000; 5]);
    assert_eq!(over_each_view(&matrix, now), [0, 0, 6]);
    let row = &matrix.rows(View::Recent, now)[0];
    assert_eq!((row.state, row.sent, row.window_end_ms), (State::Fresh, 0, None));
    let now = send(10, 1_820, &[3_000]);
    assert_eq!(over_each_view(&matrix, now), [1, 1, 7]);
    assert_eq!(matrix.rows(View::Recent, now)[0].received, 1);
    for second in (1_830..=5_110).step_by(10) {
        let now = send(10, second, &[3_000]);
        over_each_view(&matrix, now);
    }
    // It left the hour, and none of the 330 windows after it did with it.
    assert_eq!(over_each_view(&matrix, T + 5_110 * S), [6, 55, 330]);
}

#[test]
fn how_long_a_series_is_fresh_is_up_to_its_usual_window() {
    let (one, other) = (
        pair(NODES[0], NODES[1], ProbeKind::Icmp),
        pair(NODES[1], NODES[0], ProbeKind::Icmp),
    );
    let matrix = Matrix::new(MatrixConfig::default());
    // The first that is heard of them is what they merged while nobody listened.
    for pair in [&one, &other] {
        matrix.ingest(&summary(pair, 1_800 * S, T, &[5_000; 3], 0), T);
    }
    let state = |second: u64| {
        let rows = matrix.rows(View::Minute, T + second * S);
        [rows[0].state, rows[1].state]
    };
    matrix.ingest(&summary(&one, 10 * S, T + 10 * S, &[6_000], 0), T + 10 * S);
    assert_eq!(
        over_each_view(&matrix, T + 10 * S),
        [1, 1, 4],
        "what turned out to be merged left"
    );
    assert_eq!(state(40), [State::Fresh; 2]);
    assert_eq!(state(41), [State::Stale, State::Fresh]);
    // More than an hour is in no view, and says nothing about when the next is due.
    for length in [3_601, 86_400, T / S] {
        let long = summary(&other, length * S, T + 20 * S, &[1], 1);
        assert_eq!(matrix.ingest(&long, T + 20 * S), Ingest::TooOld);
    }
    matrix.ingest(&summary(&other, 10 * S, T + 30 * S, &[6_000], 0), T + 30 * S);
    assert_eq!(state(61), [State::Stale; 2]);
    // A window that is no agent's doesn't make the next one late.
    matrix.ingest(&summary(&one, 1, T + 100 * S, &[6_000], 0), T + 100 * S);
    assert_eq!(state(103)[0], State::Fresh);
}

#[test]
fn who_writes_now_is_fresh_by_our_clock_and_the_past_by_its_own() {
    let pair = pair(NODES[0], NODES[1], ProbeKind::Icmp);
    // A record every ten seconds, each window said to have ended `behind` seconds before it arrives; the state just before the next.
    let states = |behind: u64, is_present: bool| {
        let matrix = Matrix::new(MatrixConfig::default());
        let state = |window: u64| {
            let now = T + window * 10 * S;
            let told = summary(&pair, 10 * S, now - behind * S, &[5_000], 0);
            let record = SummaryRecord::new(&told, &Origin::default(), window, Options::default());
            matrix.ingest_record(&record, 0, is_present, now).unwrap();
            matrix.rows(View::Minute, now + 9 * S)[0].state
        };
        let states: BTreeSet<State> = (1..20).map(state).collect();
        let stale_at = |second: u64| matrix.rows(View::Minute, T + 190 * S + second * S)[0].stale;
        (states.into_iter().collect::<Vec<_>>(), [30, 31].map(stale_at))
    };
    // Its clock is right, or behind by up to a minute: three windows after the last arrival it is stale.
    for behind in [0, 26, 40, 70] {
        assert_eq!(states(behind, true), (vec![State::Fresh], [false, true]), "{behind} s");
    }
    // What is older has waited somewhere, and its numbers are of the past.
    assert_eq!(states(71, true).0, [State::Stale]);
    assert_eq!(states(1_200, true).0, [State::Stale]);
    // What is read again doesn't make anybody look alive.
    assert_eq!(states(26, false).0, [State::Fresh]);
    assert_eq!(states(40, false).0, [State::Stale]);
}

#[test]
fn the_past_of_a_partition_ends_once_it_was_read_and_begins_anew_with_the_next_assignment() {
    let matrix = Arc::new(Matrix::new(MatrixConfig::default()));
    let mut intake = Intake::new(Arc::clone(&matrix));
    let mut seq = 0;
    // One record from each of two partitions, by a clock that is 40 s behind, and whether either is stale then.
    let mut stale = |intake: &mut Intake| {
        seq += 1;
        let now = T + seq * 10 * S;
        for (partition, node) in [(0, NODES[0]), (1, NODES[1])] {
            let told = summary(
                &pair(node, NODES[2], ProbeKind::Icmp),
                10 * S,
                now - 40 * S,
                &[5_000],
                0,
            );
            let origin = Origin {
                boot_id: node.0.to_owned(),
                ..Origin::default()
            };
            let record = SummaryRecord::new(&told, &origin, seq, Options::default()).to_json();
            let message = Message {
                payload: Some(&record),
                content_type: Some("application/json"),
                ce_id: None,
                partition,
            };
            assert_eq!(intake.take(&message, now), Outcome::Record(Ingest::Merged));
        }
        let rows = matrix.rows(View::Minute, now + S);
        rows.into_iter().map(|row| row.stale).collect::<Vec<_>>()
    };
    intake.begin_partition(0, T);
    intake.begin_partition(1, T);
    assert_eq!(stale(&mut intake), [true, true]);
    intake.end_of_past(1);
    assert_eq!(stale(&mut intake), [true, false]);
    intake.end_of_past(0);
    assert_eq!(stale(&mut intake), [false, false]);
    intake.begin_partition(0, T + 30 * S);
    assert_eq!(stale(&mut intake), [true, false]);
    intake.forget_partition(1);
    assert_eq!(stale(&mut intake), [true, true]);
}

#[test]
fn silence_is_a_state_of_its_own_and_is_forgotten_in_the_end() {
    let config = MatrixConfig {
        forget: Duration::from_secs(600),
        ..MatrixConfig::default()
    };
    let matrix = Matrix::new(config);
    let (quiet, busy) = (
        pair(NODES[0], NODES[1], ProbeKind::Icmp),
        pair(NODES[1], NODES[0], ProbeKind::Icmp),
    );
    matrix.expect(quiet.clone(), T);
    assert_eq!(matrix.rows(View::Minute, T + 3600 * S)[0].state, State::Waiting);
    matrix.ingest(&summary(&quiet, 10 * S, T, &[5000], 0), T);
    for (after, state) in [
        (0, State::Fresh),
        (30, State::Fresh),
        (31, State::Stale),
        (500, State::Stale),
    ] {
        let row = &matrix.rows(View::Minute, T + after * S)[0];
        assert_eq!(
            (row.state, row.stale),
            (state, state == State::Stale),
            "{after} s later"
        );
        // The last numbers known stay, with their time.
        assert_eq!((row.received, row.window_end_ms), (1, Some(T)));
    }
    matrix.ingest(&summary(&busy, 10 * S, T + 700 * S, &[5000], 0), T + 700 * S);
    let rows = matrix.rows(View::Minute, T + 700 * S);
    assert_eq!(
        (rows.len(), rows[0].src_node.as_str(), matrix.stats().series),
        (1, "node-2", 1)
    );
}

#[test]
fn series_beyond_the_bound_are_counted_and_dropped() {
    let matrix = Matrix::new(MatrixConfig {
        max_series: 2,
        ..MatrixConfig::default()
    });
    let send = |from, to| {
        let pair = pair(NODES[from], NODES[to], ProbeKind::Icmp);
        matrix.ingest(&summary(&pair, S, T, &[5000], 0), T)
    };
    assert_eq!(
        [send(0, 1), send(1, 0), send(2, 0), send(0, 1)],
        [Ingest::Merged, Ingest::Merged, Ingest::Full, Ingest::Merged]
    );
    assert_eq!(
        (
            matrix.stats().full,
            matrix.stats().series,
            matrix.rows(View::Minute, T).len()
        ),
        (1, 2, 2)
    );
}

#[test]
fn the_terminal_names_the_worst_first_and_stays_within_its_width() {
    let matrix = mesh::mesh();
    for width in [60, 80, 120] {
        let text = summary_table(&matrix, mesh::now_ms(), 3, width);
        let position = |words: &str| text.find(words).unwrap_or_else(|| panic!("no {words:?} in\n{text}"));
        assert!(position("zone-a -> zone-b") < position("worst pairs"), "{text}");
        assert!(position("(stale)") < position("100.0 %"), "{text}");
        assert!(position("10.0 %") > position("100.0 %"), "{text}");
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= usize::from(width), "{longest} columns of {width}:\n{text}");
    }
    assert_eq!(
        summary_table(&Matrix::new(MatrixConfig::default()), T, 3, 80),
        "no record yet\n"
    );
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    let matrix = Matrix::new(MatrixConfig::default());
    let pair = pair(
        ("\u{1b}[2Jevil\r\n", "z\u{7}", ""),
        (&"x".repeat(500), "", ""),
        ProbeKind::Icmp,
    );
    matrix.ingest(&summary(&pair, S, T, &[5000], 0), T);
    let text = summary_table(&matrix, T, 5, 80);
    assert!(
        text.contains("evil") && text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
}

#[test]
fn records_of_another_cluster_are_none_of_ours_where_one_is_named() {
    let told = summary(&pair(NODES[0], NODES[1], ProbeKind::Icmp), 10 * S, T, &[5_000], 0);
    for (wanted, outcome) in [
        ("", Outcome::Record(Ingest::Merged)),
        ("c1", Outcome::Record(Ingest::Merged)),
        ("c2", Outcome::Foreign),
    ] {
        let matrix = Arc::new(Matrix::new(MatrixConfig {
            cluster: wanted.to_owned(),
            ..MatrixConfig::default()
        }));
        let origin = Origin {
            cluster: "c1".to_owned(),
            boot_id: "b".to_owned(),
            ..Origin::default()
        };
        let record = SummaryRecord::new(&told, &origin, 1, Options::default()).to_json();
        let message = Message {
            payload: Some(&record),
            content_type: Some("application/json"),
            ce_id: None,
            partition: 0,
        };
        let taken = Intake::new(matrix).take(&message, T + S);
        assert_eq!(taken, outcome, "{wanted:?}");
    }
}
