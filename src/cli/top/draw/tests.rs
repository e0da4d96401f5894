//! What is on the screen.

use std::sync::Arc;

use dt_collect::{Level, State};
use dt_probe::ProbeKind;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use super::*;
use crate::top::fixture::{NOW, cell, dead, findings, group, mesh, pair, picture, press, table, top};
use crate::top::model::{Cell, Metric, Picture};

const PLAIN: Theme = Theme {
    colours: Colours::None,
    is_ascii: true,
};
const COLOURED: Theme = Theme {
    colours: Colours::Dark,
    is_ascii: false,
};
const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 60);

fn screen(top: &mut Top, theme: &Theme, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, top, theme, NOW + 1_000)).unwrap();
    terminal.backend().buffer().clone()
}

/// The screen as text, without the blanks at the ends of lines.
fn lines(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    let line = |y| (0..area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..area.height).map(|y| line(y).trim_end().to_owned()).collect()
}

fn text(top: &mut Top, size: (u16, u16)) -> String {
    lines(&screen(top, &PLAIN, size)).join("\n")
}

/// Six nodes: n0002 does not answer n0000, and n0001 is slow for it.
fn small() -> Picture {
    let mesh = mesh(6, ProbeKind::Icmp, |cell| match (cell.source, cell.destination) {
        (0, 1) => cell.p99 = Some(80_000_000),
        (0, 2) => *cell = dead(0, 2),
        (3, 4) => cell.state = State::Stale,
        _ => {}
    });
    Picture {
        findings: Ok(findings(&["node n0002 is down"])),
        ..picture(&mesh)
    }
}

fn showing(picture: Picture) -> Top {
    let mut top = top();
    top.look(Ok(picture));
    top
}

#[test]
fn in_80_columns_map_pairs_and_findings_stand_one_below_the_other() {
    let mut top = showing(small());
    press(&mut top, "<Right>");
    let expected = [
        r" dt top  Kafka 127.0.0.1:9?dTrace.summaries  newest record 3 s ago 22:13:21 UTC",
        r" [L] node [p] icmp [m] p99 [v] 1m",
        r"= nodes, icmp p99 delay, 1m ====================================================",
        r"      n0000    n0001    n0002    n0003    n0004    n0005",
        r"n0000  \       >*80.0ms  X  dead  : 200us  : 200us  : 200us",
        r"n0001  : 200us  \        : 200us  : 200us  : 200us  : 200us",
        r"n0002  : 200us  : 200us  \        : 200us  : 200us  : 200us",
        r"n0003  : 200us  : 200us  : 200us  \        ~ 200us  : 200us",
        r"n0004  : 200us  : 200us  : 200us  : 200us  \        : 200us",
        r"n0005  : 200us  : 200us  : 200us  : 200us  : 200us  \",
        r" n0000 -> n0001  p50 100us p99 80.0ms p99.9 200us loss 0% host 9.00us 60/60",
        r" .50us :250us -1ms =5ms +25ms *100ms #more Xdead ~stale ?wait !unsent",
        r"- worst pairs ---------------------------------------------- 30 pairs, 1 stale -",
        r"    from, to                         p50    p99  p99.9   loss   host     answers",
        r"  X n0000 -> n0002                     -      -      -   100%      -        0/60",
        r"  * n0000 -> n0001                 100us 80.0ms  200us     0% 9.00us       60/60",
        r"  ~ n0003 -> n0004                 100us  200us  200us     0% 9.00us       60/60",
        r"  : n0000 -> n0003                 100us  200us  200us     0% 9.00us       60/60",
        r"  : n0000 -> n0004                 100us  200us  200us     0% 9.00us       60/60",
        r"  : n0000 -> n0005                 100us  200us  200us     0% 9.00us       60/60",
        r"  : n0001 -> n0000                 100us  200us  200us     0% 9.00us       60/60",
        r"- findings ---------------------------------------------- pattern: podset down -",
        r"   97%  2 min  node n0002 is down",
        r" arrows move  Enter opens  Tab next panel  / search  ? help  q quits",
    ];
    assert_eq!(text(&mut top, SMALL).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn in_200_columns_the_lists_stand_beside_the_map() {
    let mut top = showing(small());
    let lines = lines(&screen(&mut top, &COLOURED, LARGE));
    assert!(
        lines[2].starts_with("\u{2550} nodes, icmp p99 delay, 1m \u{2550}"),
        "{}",
        lines[2]
    );
    assert!(lines[2].contains("\u{2500} worst pairs \u{2500}"), "{}", lines[2]);
    assert!(
        lines[4].starts_with("n0000 >\\") && lines[4].contains("X n0000 \u{2192} n0002"),
        "{}",
        lines[4]
    );
    // All thirty, then what is at fault.
    let count = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!(
        count("60/60") + count("0/60  ") + usize::from(lines[4].ends_with("0/60")),
        30
    );
    assert!(lines[58].starts_with(" .50us"), "{}", lines[58]);
    assert_eq!(count("node n0002 is down"), 1);
}

#[test]
fn each_state_has_its_character_and_its_word() {
    let change = |cell: &mut Cell| match (cell.source, cell.destination) {
        (0, 1) => cell.state = State::Waiting,
        (0, 2) => cell.state = State::Stale,
        (0, 3) => (cell.received, cell.failed) = (0, 0),
        (0, 4) => *cell = dead(0, 4),
        (0, 5) => (cell.sent, cell.received, cell.p99) = (0, 0, None),
        _ => {}
    };
    let mut top = showing(picture(&mesh(6, ProbeKind::Icmp, change)));
    let buffer = screen(&mut top, &PLAIN, SMALL);
    let row = &lines(&buffer)[4];
    assert_eq!(row, "n0000 >\\        ?  wait  ~ 200us  !unsent  X  dead  _     -");
    for (keys, words) in [
        ("", "the node itself"),
        ("<Right>", "no record yet"),
        ("<Right>", "stale: no record for several windows"),
        ("<Right>", "nothing could be sent"),
        ("<Right>", "no answer to any probe"),
        ("<Right>", "no probe in this span"),
    ] {
        press(&mut top, keys);
        let screen = text(&mut top, SMALL);
        let line = screen.lines().find(|line| line.starts_with(" n0000 -> ")).unwrap();
        assert!(line.contains(words), "{line}");
    }
    // A pair that nobody measures, and the sum of several of which one is stale.
    let zones = vec![group("z0", "z0", ""), group("", "", "")];
    let sum = Cell {
        series: 12,
        stale: 1,
        ..cell(0, 1)
    };
    let map = table(Level::Zone, ProbeKind::Icmp, zones, vec![sum]);
    top.look(Ok(picture(&map)));
    press(&mut top, "<Home>");
    assert!(text(&mut top, SMALL).contains(" z0 -> z0  not probed"));
    press(&mut top, "<Right>");
    assert!(text(&mut top, SMALL).contains(" z0 -> -  12 pairs 1 stale p50"));
}

#[test]
fn levels_have_grounds_where_there_are_colours_and_the_selected_cell_is_turned_around() {
    let mut top = showing(small());
    press(&mut top, "<Down>");
    let buffer = screen(&mut top, &COLOURED, SMALL);
    // Cells are nine columns wide, after five of the name.
    let at = |row: u16, column: u16| &buffer[(6 + 9 * column + 1, 4 + row)];
    let level = |level| COLOURED.shade(theme::Shade::Level(level)).bg.unwrap();
    assert_eq!((at(0, 3).symbol(), at(0, 3).bg), (":", level(1)));
    assert_eq!((at(0, 1).symbol(), at(0, 1).bg), ("*", level(5)));
    assert_eq!((at(0, 2).symbol(), at(0, 2).bg), ("X", Color::Indexed(197)));
    let reversed = |row, column| at(row, column).modifier.contains(Modifier::REVERSED);
    assert!(reversed(1, 0) && !reversed(0, 0) && !reversed(1, 1) && !reversed(2, 0));
    assert_eq!(buffer[(6, 5)].symbol(), ">");
    // Its row and its column are named.
    assert!(buffer[(0, 5)].modifier.contains(Modifier::REVERSED));
    assert!(buffer[(6, 3)].modifier.contains(Modifier::REVERSED));
    assert!(!buffer[(0, 4)].modifier.contains(Modifier::REVERSED));
}

#[test]
fn a_thousand_nodes_scroll_with_the_selection() {
    let mesh = mesh(1_000, ProbeKind::Icmp, |_| {});
    let mut top = showing(picture(&mesh));
    let screen_of = |top: &mut Top, size| text(top, size);
    let first = screen_of(&mut top, SMALL);
    assert!(first.contains("rows 1-11 of 1000, columns 1-37 of 1000"), "{first}");
    assert!(
        first.contains("n0000 >\\ : : ") && first.contains("\nn0010 ") && !first.contains("\nn0011 "),
        "{first}"
    );
    // One step beyond the edge scrolls by one.
    press(&mut top, "jjjjjjjjjjj");
    let next = screen_of(&mut top, SMALL);
    assert!(
        next.contains("rows 2-12 of 1000") && next.contains("\nn0011 >:"),
        "{next}"
    );
    press(&mut top, "G");
    let last = screen_of(&mut top, SMALL);
    assert!(
        last.contains("rows 990-1000 of 1000, columns 964-1000 of 1000"),
        "{last}"
    );
    assert!(
        last.lines()
            .any(|line| line.starts_with("n0999 ") && line.ends_with(">\\")),
        "{last}"
    );
    // The selected column's name stands left of its mark where there is no room on its right.
    assert!(last.lines().nth(3).unwrap().ends_with("n0999 v"), "{last}");
    // More room shows more, and less again scrolls as little as needed.
    let large = screen_of(&mut top, LARGE);
    assert!(large.contains("rows 948-1000 of 1000"), "{large}");
    press(&mut top, "/n0500<Enter>");
    let found = screen_of(&mut top, SMALL);
    assert!(found.lines().any(|line| line.starts_with("n0500 ")), "{found}");
    // Lists as well.
    press(&mut top, "<Esc><Tab>");
    screen_of(&mut top, SMALL);
    press(&mut top, "<PageDown><PageDown>");
    let pairs = screen_of(&mut top, SMALL);
    assert!(
        pairs.contains("999000 pairs") && pairs.contains("\n> : n0000 -> n0021"),
        "{pairs}"
    );
}

#[test]
fn names_from_the_network_stay_in_their_place() {
    let hostile = [
        "\u{1b}[2J\u{1b}[31mred",
        "new\nline\rand\ttab",
        "\u{202e}desrever",
        "zero\u{200b}\u{301}width",
        "\u{7bc0}\u{9ede}\u{4e00}",
        "",
    ];
    let long = "x".repeat(3_000);
    let groups: Vec<_> = hostile
        .iter()
        .copied()
        .chain([long.as_str()])
        .map(|name| group(name, name, name))
        .collect();
    let places = 0..u32::try_from(groups.len()).unwrap();
    let pairs = places.clone().flat_map(|a| places.clone().map(move |b| (a, b)));
    let cells = pairs.filter(|(a, b)| a != b).map(|(a, b)| cell(a, b)).collect();
    let map = table(Level::Node, ProbeKind::Icmp, groups, cells);
    let mut shown = picture(&map);
    shown.news = hostile.concat();
    shown.notes = vec![hostile.concat()];
    shown.findings = Ok(findings(&[&hostile.concat(), &long]));
    shown.pair = Some(pair(hostile[0], hostile[1]));
    for size in [SMALL, LARGE] {
        for keys in [
            "",
            "<Tab>",
            "<Tab>",
            "<Enter>",
            "<Esc><Tab><Right><Enter>",
            "<Esc>?",
            "<Esc>/\u{202e}e",
            "<Enter>",
        ] {
            let mut top = showing(shown.clone());
            press(&mut top, keys);
            top.log("a line\u{1b}c", NOW);
            for theme in [&PLAIN, &COLOURED] {
                let buffer = screen(&mut top, theme, size);
                let bad = |symbol: &str| {
                    symbol
                        .chars()
                        .any(|c| c.is_control() || "\u{202e}\u{200b}\u{301}".contains(c))
                };
                let found = buffer.content().iter().find(|cell| bad(cell.symbol()));
                assert!(found.is_none(), "{keys}: {found:?}");
                assert!(
                    !theme.is_ascii || buffer.content().iter().all(|cell| cell.symbol().is_ascii()),
                    "{keys}"
                );
            }
        }
        // Each row's cells stand where those of the first do, whatever its name.
        let mut top = showing(shown.clone());
        let buffer = screen(&mut top, &COLOURED, size);
        let width = if size == LARGE { 9 } else { 2 };
        let diagonal = (0..7_u16).map(|at| buffer[(21 + width * at + 1, 4 + at)].symbol());
        assert_eq!(diagonal.collect::<String>(), "\\".repeat(7));
    }
}

#[test]
fn a_pair_is_shown_in_both_directions_and_over_time() {
    let mut shown = small();
    shown.pair = Some(pair("n0000", "n0001"));
    let mut top = showing(shown);
    press(&mut top, "<Right><Enter>");
    let screen = text(&mut top, SMALL);
    let lines: Vec<&str> = screen.lines().collect();
    assert!(lines[2].starts_with("= n0000 -> n0001, 1m ="), "{screen}");
    let expected = [
        " n0000 (z0/r00) -> n0001 (z0/r00)",
        "   probe method          answers   loss     p50     p99   p99.9     max    host",
        " * icmp  echo              50/60  16.7%   100us  80.0ms  90.0ms  90.0ms  9.00us",
        "         10 lost (in every window since 22:11:20 UTC, 2 min)",
        " : tcp   syn               60/60     0%   100us   200us   200us   200us  9.00us",
        "         lost by source port, 41000: 3",
    ];
    assert_eq!(lines[3..9], expected, "{screen}");
    // Its greatest values, on one scale with the other direction's; the minute without an answer is blank.
    assert!(
        lines[9].starts_with(" icmp  ") && lines[9].ends_with(" max 80.0ms"),
        "{screen}"
    );
    let bars = &lines[9][7..lines[9].len() - " max 80.0ms".len()];
    assert!(
        bars.starts_with('.') && bars.ends_with('#') && bars.contains(" "),
        "{bars:?}"
    );
    assert!(
        screen.contains(" n0001 (z0/r00) -> n0000 (z0/r00)") && screen.contains("   not probed"),
        "{screen}"
    );
    // Of another metric; and before the numbers of this very pair have come.
    press(&mut top, "mm");
    assert!(text(&mut top, SMALL).contains("loss over time"));
    press(&mut top, "<Esc><Right><Enter>");
    assert!(text(&mut top, SMALL).contains("nothing is known of this pair (yet)"));
}

#[test]
fn a_finding_is_shown_whole_and_the_help_scrolls() {
    let mut top = showing(small());
    press(&mut top, "<BackTab>");
    let list = text(&mut top, SMALL);
    assert!(list.contains("\n>  97%  2 min  node n0002 is down"), "{list}");
    press(&mut top, "<Enter>");
    let whole = text(&mut top, SMALL);
    for part in [
        "node n0002 is down",
        "kind        node down",
        "22:11:15 UTC, 2 min ago",
        "9 pairs of nodes",
        "- 9 of 9 pairs",
    ] {
        assert!(whole.contains(part), "{part}: {whole}");
    }
    press(&mut top, "?");
    assert!(text(&mut top, SMALL).contains("arrows, h j k l"));
    // As far as there is anything, and back.
    press(&mut top, &"j".repeat(100));
    let end = text(&mut top, SMALL);
    assert!(
        end.contains("nobody measures it") && !end.contains("arrows, h j k l"),
        "{end}"
    );
    press(&mut top, &"k".repeat(100));
    assert!(text(&mut top, SMALL).contains("arrows, h j k l"));
    // Each character that there is has a meaning.
    let help = text(&mut top, (80, 60));
    for meaning in [
        "  .  delay up to 50us; loss none",
        "  #  delay more; loss more",
        "  ~  stale",
        "  \\  a node and itself",
    ] {
        assert!(help.contains(meaning), "{meaning}: {help}");
    }
}

#[test]
fn what_is_the_matter_is_said() {
    let mut top = top();
    let screen = text(&mut top, SMALL);
    assert!(
        screen.contains("waiting for the first numbers") && screen.contains("no numbers yet"),
        "{screen}"
    );
    top.look(Err("http://x: refused".to_owned()));
    assert!(text(&mut top, SMALL).ends_with(" ! http://x: refused"));
    let empty = table(Level::Node, ProbeKind::Icmp, vec![], vec![]);
    let mut shown = picture(&empty);
    shown.findings = Err("not looked for".to_owned());
    shown.notes = vec!["ICMP is not permitted".to_owned()];
    top.look(Ok(shown));
    let screen = text(&mut top, SMALL);
    assert!(
        screen.contains("no record yet") && screen.contains("  not looked for"),
        "{screen}"
    );
    assert!(screen.ends_with(" note: ICMP is not permitted"), "{screen}");
    // For a minute.
    top.log("the broker is gone", NOW - 58_000);
    assert!(text(&mut top, SMALL).ends_with(" ! the broker is gone"));
    top.log("the broker is gone", NOW - 60_000);
    assert!(text(&mut top, SMALL).ends_with("not permitted"));
    // What is typed comes first.
    press(&mut top, "/ab");
    assert!(text(&mut top, SMALL).contains("\n /ab_"));
    // An old picture says so, and one that isn't what is wanted.
    let mut top = showing(small());
    press(&mut top, "v");
    let mut terminal = Terminal::new(TestBackend::new(120, 24)).unwrap();
    terminal
        .draw(|frame| draw(frame, &mut top, &PLAIN, NOW + 60_000))
        .unwrap();
    let screen = lines(terminal.backend().buffer()).join("\n");
    assert!(
        screen.contains("as of 22:13:20") && screen.contains("[v] 10m ..."),
        "{screen}"
    );
}

#[test]
fn any_size_is_drawn() {
    let mut shown = small();
    shown.pair = Some(pair("n0000", "n0001"));
    let shown = [shown, picture(&mesh(40, ProbeKind::Icmp, |_| {})), {
        let empty: Arc<_> = table(Level::Node, ProbeKind::Icmp, vec![], vec![]);
        picture(&empty)
    }];
    for picture in shown {
        for keys in [
            "",
            "<Tab>",
            "<Tab><Tab>",
            "<Right><Enter>",
            "?",
            "<BackTab><Enter>",
            "/n",
        ] {
            let mut top = showing(picture.clone());
            press(&mut top, keys);
            for width in [1, 10, 39, 40, 41, 60, 80, 119, 120, 121, 250] {
                for height in [1, 11, 12, 13, 24, 70] {
                    for metric in Metric::ALL {
                        top.metric = metric;
                        screen(&mut top, &COLOURED, (width, height));
                    }
                }
            }
        }
    }
    assert!(text(&mut top(), (39, 12)).contains("39 x 12 is too small"));
}
