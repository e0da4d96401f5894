//! Key by key.

use std::sync::Arc;

use dt_collect::{Level, State, View};
use dt_probe::ProbeKind;

use super::*;
use crate::top::fixture::{cell, control, dead, findings, group, key, mesh, picture, press, table, top};
use crate::top::model::Cell;
use ratatui::crossterm::event::KeyCode;

/// What is selected in the heat map.
fn selected(top: &Top) -> (String, String) {
    let (source, destination) = top.map.selected().unwrap();
    let table = top.table().unwrap();
    (table.label(source).to_owned(), table.label(destination).to_owned())
}

fn names(pair: (&str, &str)) -> (String, String) {
    (pair.0.to_owned(), pair.1.to_owned())
}

fn showing(count: u32) -> Top {
    let mut top = top();
    top.look(Ok(picture(&mesh(count, ProbeKind::Icmp, |_| {}))));
    top
}

#[test]
fn arrows_and_their_letters_move_the_selection_and_stop_at_the_edges() {
    let mut top = showing(30);
    for (keys, pair) in [
        ("", ("n0000", "n0000")),
        ("<Down><Right><Right>", ("n0001", "n0002")),
        ("jjllhk", ("n0002", "n0003")),
        ("<Up><Up><Up><Up><Left>", ("n0000", "n0002")),
        ("G", ("n0029", "n0029")),
        ("<Right><Down>", ("n0029", "n0029")),
        ("g", ("n0000", "n0000")),
        ("<End>", ("n0029", "n0029")),
        ("<Home>", ("n0000", "n0000")),
    ] {
        press(&mut top, keys);
        assert_eq!(selected(&top), names(pair), "{keys}");
    }
    // A page is as many rows as are seen.
    top.map.scroll(10, 20);
    press(&mut top, "<PageDown><PageDown><PageUp><PageDown>");
    assert_eq!(selected(&top), names(("n0020", "n0000")));
    top.map.scroll(10, 20);
    assert_eq!(top.map.seen, (11..21, 0..20));
}

#[test]
fn what_is_selected_stays_selected_while_others_come_and_go() {
    let nodes = |names: &[&str]| {
        let groups = names.iter().map(|name| group(name, "z", "")).collect();
        table(Level::Node, ProbeKind::Icmp, groups, vec![])
    };
    let mut top = top();
    top.look(Ok(picture(&nodes(&["a", "c", "d"]))));
    press(&mut top, "<Down><Right><Right>");
    assert_eq!(selected(&top), names(("c", "d")));
    top.look(Ok(picture(&nodes(&["a", "b", "c", "d"]))));
    assert_eq!(selected(&top), names(("c", "d")));
    // Those that are gone leave it where it was.
    top.look(Ok(picture(&nodes(&["a", "b"]))));
    assert_eq!(selected(&top), names(("b", "b")));
    top.look(Ok(picture(&nodes(&[]))));
    assert_eq!(top.map.selected(), None);
    press(&mut top, "<Down><Enter><Right>");
    top.look(Ok(picture(&nodes(&["a"]))));
    assert_eq!(selected(&top), names(("a", "a")));
}

#[test]
fn level_probe_metric_and_view_go_around() {
    let mut top = showing(2);
    for (keys, level) in [
        ("L", Level::Rack),
        ("L", Level::Zone),
        ("L", Level::Region),
        ("L", Level::Node),
    ] {
        press(&mut top, keys);
        assert_eq!(top.want.level, level);
    }
    assert!(top.is_current());
    // Nobody chose one so far: it goes on from what is shown.
    for probe in [ProbeKind::Tcp, ProbeKind::Grpc, ProbeKind::Icmp] {
        press(&mut top, "p");
        assert_eq!(top.want.probe, Some(probe));
    }
    assert!(top.is_current());
    for (keys, view) in [
        ("v", View::TenMinutes),
        ("v", View::Hour),
        ("v", View::Recent),
        ("V", View::Hour),
    ] {
        press(&mut top, keys);
        assert_eq!(top.want.view, view);
        assert!(!top.is_current());
    }
    for (keys, metric) in [
        ("m", Metric::P999),
        ("m", Metric::Loss),
        ("mm", Metric::P50),
        ("M", Metric::Host),
    ] {
        press(&mut top, keys);
        assert_eq!(top.metric, metric);
    }
}

#[test]
fn tab_goes_around_the_panels_and_each_takes_the_arrows() {
    let mut top = showing(3);
    let mut picture = picture(&mesh(3, ProbeKind::Icmp, |_| {}));
    picture.findings = Ok(findings(&["one", "two", "three"]));
    top.look(Ok(picture));
    press(&mut top, "<Tab><Down><Down>");
    assert_eq!((top.panel, top.worst.at, top.map.row), (Panel::Worst, 2, 0));
    press(&mut top, "<Tab><Down><Down><Down><Up>");
    assert_eq!((top.panel, top.finding), (Panel::Findings, 1));
    press(&mut top, "<Tab>");
    assert_eq!(top.panel, Panel::Map);
    press(&mut top, "<BackTab>");
    assert_eq!(top.panel, Panel::Findings);
}

#[test]
fn enter_opens_the_pair_and_escape_closes_it() {
    let mut top = showing(3);
    press(&mut top, "<Enter>");
    assert_eq!(
        (&top.overlay, top.answer.as_deref()),
        (&Overlay::None, Some("no node probes itself"))
    );
    press(&mut top, "<Right><Enter>");
    assert_eq!(top.answer, None);
    assert_eq!(top.overlay, Overlay::Pair);
    assert_eq!(top.want.pair, Some(("n0000".into(), "n0001".into())));
    // What the pair is shown by can be changed; what is below can't.
    press(&mut top, "mvL<Tab>/<Down>");
    assert_eq!(
        (top.metric, top.want.view, top.want.level),
        (Metric::P999, View::TenMinutes, Level::Node)
    );
    assert_eq!((top.panel, top.search.is_typing, top.scroll), (Panel::Map, false, 1));
    press(&mut top, "?");
    assert_eq!(top.overlay, Overlay::Help);
    press(&mut top, "<Esc>");
    assert_eq!(top.overlay, Overlay::Pair);
    press(&mut top, "<Esc>");
    assert_eq!((&top.overlay, &top.want.pair), (&Overlay::None, &None));
    assert_eq!(selected(&top), names(("n0000", "n0001")));
}

#[test]
fn enter_on_groups_shows_their_nodes_and_escape_the_groups_again() {
    let nodes = mesh(250, ProbeKind::Icmp, |_| {});
    let zones = ["z0", "z1", "z2"].map(|zone| group(zone, zone, ""));
    let zones = table(
        Level::Zone,
        ProbeKind::Icmp,
        zones.to_vec(),
        vec![cell(0, 1), cell(1, 2)],
    );
    let zones = || Picture {
        nodes: Arc::clone(&nodes),
        ..picture(&zones)
    };
    let mut top = top();
    top.want.level = Level::Zone;
    top.look(Ok(zones()));
    press(&mut top, "<Down><Right><Right><Enter>");
    assert_eq!((top.want.level, top.want.pair.is_none()), (Level::Node, true));
    // Until there are nodes the zones stay.
    assert_eq!(selected(&top), names(("z1", "z2")));
    top.look(Ok(picture(&nodes)));
    assert_eq!((top.map.rows.len(), top.map.columns.len()), (100, 50));
    press(&mut top, "g");
    assert_eq!(selected(&top), names(("n0100", "n0200")));
    press(&mut top, "<Down><Esc>");
    assert_eq!((top.want.level, top.zoom.is_none()), (Level::Zone, true));
    top.look(Ok(zones()));
    assert_eq!(selected(&top), names(("z1", "z2")));
    // Choosing a level ends it too.
    press(&mut top, "<Enter>L");
    top.look(Ok(picture(&nodes)));
    assert_eq!(top.map.rows.len(), 250);
}

#[test]
fn a_search_moves_the_map_and_thins_the_lists() {
    let mut top = showing(30);
    let mut picture = picture(&mesh(30, ProbeKind::Icmp, |_| {}));
    picture.findings = Ok(findings(&["n0012 is down", "n0013 is down"]));
    top.look(Ok(picture));
    press(&mut top, "<Right>/");
    assert!(top.search.is_typing);
    press(&mut top, "001");
    assert_eq!(selected(&top), names(("n0001", "n0001")));
    // Letters are letters now.
    press(&mut top, "qq");
    assert_eq!(
        (top.search.text.as_str(), top.answer.as_deref()),
        ("001qq", Some("no such name in the heat map"))
    );
    press(&mut top, "<Backspace><Backspace>2");
    assert_eq!(selected(&top), names(("n0012", "n0001")));
    // Pairs from it and to it.
    assert_eq!(top.worst.all, 58);
    assert_eq!(top.findings().unwrap().1.len(), 1);
    press(&mut top, "<Enter>");
    assert_eq!((top.search.is_typing, top.search.text.as_str()), (false, "0012"));
    press(&mut top, "/00<Enter>nnN");
    assert_eq!(selected(&top), names(("n0013", "n0001")));
    press(&mut top, "<Esc>");
    assert_eq!((top.search.text.as_str(), top.worst.all), ("", 870));
    press(&mut top, "/0029<Enter>n");
    assert_eq!(selected(&top), names(("n0029", "n0001")));
    press(&mut top, "/N0<Enter>n");
    assert_eq!(selected(&top), names(("n0000", "n0001")));
    press(&mut top, "N");
    assert_eq!(selected(&top), names(("n0029", "n0001")));
    press(&mut top, "/n<Esc>");
    assert_eq!((top.search.is_typing, top.search.text.as_str()), (false, ""));
}

#[test]
fn the_worst_come_first_whatever_makes_them_bad() {
    let mut top = top();
    let change = |cell: &mut Cell| match (cell.source, cell.destination) {
        (0, 1) => cell.p99 = Some(80_000_000),
        (0, 2) => *cell = dead(0, 2),
        // A quarter lost, the rest in time.
        (0, 3) => (cell.received, cell.failed) = (45, 15),
        (1, 0) => cell.state = State::Stale,
        (1, 2) => cell.p99 = Some(3_000_000),
        (1, 3) => (cell.sent, cell.received, cell.state) = (0, 0, State::Waiting),
        (2, 0) => cell.p99 = Some(300_000),
        _ => {}
    };
    top.look(Ok(picture(&mesh(4, ProbeKind::Icmp, change))));
    let order = |top: &Top| -> Vec<(u32, u32)> {
        let pairs = top.worst.pairs.iter().take(6);
        pairs.map(|pair| (pair.cell.source, pair.cell.destination)).collect()
    };
    assert_eq!(order(&top), [(0, 2), (0, 1), (0, 3), (1, 2), (1, 0), (2, 0)]);
    assert_eq!((top.worst.all, top.worst.stale), (11, 1));
    // By loss.
    press(&mut top, "mm");
    assert_eq!(order(&top)[..3], [(0, 2), (0, 3), (1, 0)]);
}

#[test]
fn a_pair_of_the_list_stays_selected_when_the_order_changes() {
    let slow = |source, destination| {
        mesh(3, ProbeKind::Icmp, move |cell| {
            if (cell.source, cell.destination) == (source, destination) {
                cell.p99 = Some(80_000_000);
            }
        })
    };
    let mut top = top();
    top.look(Ok(picture(&slow(2, 1))));
    press(&mut top, "<Tab><Down><Down>");
    assert_eq!(
        top.worst.selected(top.table().unwrap()),
        Some(("n0000".into(), "n0002".into()))
    );
    top.look(Ok(picture(&slow(0, 2))));
    assert_eq!(top.worst.at, 0);
    press(&mut top, "<Enter>");
    assert_eq!(top.want.pair, Some(("n0000".into(), "n0002".into())));
    // At the top it is whichever is the worst.
    press(&mut top, "<Esc><Home>");
    top.look(Ok(picture(&slow(1, 0))));
    assert_eq!(
        top.worst.selected(top.table().unwrap()),
        Some(("n0001".into(), "n0000".into()))
    );
}

#[test]
fn a_finding_opens_and_stays_as_it_was_when_opened() {
    let mut top = showing(2);
    let mut picture = picture(&mesh(2, ProbeKind::Icmp, |_| {}));
    picture.findings = Ok(findings(&["one", "two"]));
    top.look(Ok(picture.clone()));
    press(&mut top, "<BackTab><Down><Enter>");
    picture.findings = Ok(findings(&["three"]));
    top.look(Ok(picture));
    assert!(matches!(&top.overlay, Overlay::Finding(finding) if finding.summary == "two"));
    press(&mut top, "<Enter>");
    assert_eq!((&top.overlay, top.finding), (&Overlay::None, 0));
}

#[test]
fn a_look_that_failed_leaves_the_last_one_and_says_why() {
    let mut top = top();
    top.look(Err("no answer \x1b[31m".to_owned()));
    assert_eq!(top.trouble.as_deref(), Some("no answer \u{fffd}[31m"));
    // Keys before the first numbers do no harm.
    press(&mut top, "jkhl<Enter>pLmv/x<Enter>nN<Tab>jk<Enter><Tab>jk<Enter><Esc>");
    assert_eq!(top.overlay, Overlay::None);
    top.look(Ok(picture(&mesh(2, ProbeKind::Tcp, |_| {}))));
    assert_eq!(top.trouble, None);
    top.look(Err("gone".to_owned()));
    assert!(top.picture.is_some());
}

#[test]
fn the_program_ends_stops_and_repaints_whatever_is_open() {
    for keys in ["", "?", "<Right><Enter>", "/"] {
        let mut top = showing(2);
        press(&mut top, keys);
        let quits = if keys == "/" { None } else { Some(Effect::Quit) };
        assert_eq!(top.key(key(KeyCode::Char('q'))), quits, "{keys}");
        assert_eq!(top.key(control('c')), Some(Effect::Quit));
        assert_eq!(top.key(control('z')), Some(Effect::Suspend));
        assert_eq!(top.key(control('l')), Some(Effect::Repaint));
    }
}
