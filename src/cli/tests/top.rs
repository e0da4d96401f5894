//! `dt top` on a real terminal, with the records of a real broker.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/records.rs"]
mod records;

use std::process::{Command, Stdio};

use common::dt;
use distributed_trace_tests::kafka::Kafka;
use distributed_trace_tests::process::{Process, wait_for};
use distributed_trace_tests::pty::Terminal;
use dt_probe::ProbeKind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use records::{Seen, publish};

const SMALL: (u16, u16) = (80, 24);

fn seen(from: &'static str, to: &'static str, probe: ProbeKind, rtt_ns: u64) -> Seen {
    Seen {
        from,
        to,
        probe,
        received: 60,
        lost: 0,
        rtt_ns,
    }
}

/// Two zones of two nodes: b2 is dead for a1 by ICMP, a2 is slow for b1.
fn cluster() -> Vec<Seen> {
    let nodes = ["a1", "a2", "b1", "b2"];
    let mut all = Vec::new();
    for from in nodes {
        for to in nodes.iter().copied().filter(|to| *to != from) {
            all.push(match (from, to) {
                ("a1", "b2") => Seen {
                    received: 0,
                    lost: 60,
                    ..seen(from, to, ProbeKind::Icmp, 0)
                },
                ("b1", "a2") => seen(from, to, ProbeKind::Icmp, 70_000_000),
                _ => seen(from, to, ProbeKind::Icmp, 120_000),
            });
            all.push(seen(from, to, ProbeKind::Tcp, 440_000));
        }
    }
    all
}

fn publish_cluster(kafka: &Kafka, topic: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(publish(kafka.bootstrap(), topic, topic, &cluster()));
}

/// `dt top` reading `topic`, in a terminal's environment.
fn command(bootstrap: &str, topic: &str, arguments: &[&str]) -> Command {
    let mut command = dt();
    command
        .args(["top", "--bootstrap", bootstrap, "--topic", topic])
        .args(arguments);
    command.env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
    command
}

/// Waits until all of the texts are on the screen.
fn wait(terminal: &mut Terminal, texts: &[&str]) {
    let holds = |screen: &str| texts.iter().all(|text| screen.contains(text));
    terminal.wait(&format!("{texts:?}"), holds).unwrap();
}

/// The line of the screen that begins with `start`.
fn line(terminal: &Terminal, start: &str) -> String {
    let lines = terminal.lines();
    let line = lines.iter().find(|line| line.starts_with(start));
    line.cloned()
        .unwrap_or_else(|| panic!("no line {start:?} in\n{}", lines.join("\n")))
}

fn signal(terminal: &Terminal, signal: Signal) {
    kill(Pid::from_raw(terminal.pid().cast_signed()), signal).unwrap();
}

#[test]
fn keys_lead_from_the_heat_map_to_a_pair_and_out_again() {
    let kafka = Kafka::shared();
    publish_cluster(&kafka, "keys");
    let mut terminal = Terminal::start(&command(kafka.bootstrap(), "keys", &[]), SMALL).unwrap();
    wait(
        &mut terminal,
        &[
            "nodes, icmp p99 delay, 1m",
            "X  dead",
            "*70.",
            "12 pairs",
            "newest record",
        ],
    );
    assert!(terminal.screen(vt100::Screen::alternate_screen));
    assert!(terminal.screen(vt100::Screen::hide_cursor));
    // Rows and columns in order, in 80 columns with the numbers. 120 us stands for the bucket that holds it.
    let row = line(&terminal, " a1 ");
    let expected = ["a1", "\\", ":", "X", "dead"];
    assert!(expected.iter().all(|part| row.contains(part)), "{row}");
    assert!(line(&terminal, " b1 ").contains("*70."), "{}", terminal.text());
    // The worst come first.
    let worst = terminal
        .lines()
        .into_iter()
        .filter(|line| line.contains(" \u{2192} "))
        .collect::<Vec<_>>();
    assert!(
        worst[1].contains("X a1 \u{2192} b2") && worst[1].contains("100%") && worst[1].contains("0/60"),
        "{worst:?}"
    );
    assert!(
        worst[2].contains("* b1 \u{2192} a2") && worst[2].contains("60/60"),
        "{worst:?}"
    );

    // Down and right by the keys a terminal sends, then the pair.
    terminal.keys("\x1b[B\x1b[B\x1b[C").unwrap();
    wait(&mut terminal, &["b1 \u{2192} a2  p50 "]);
    terminal.keys("\r").unwrap();
    wait(
        &mut terminal,
        &[
            "b1 (b) \u{2192} a2 (a)",
            "a2 (a) \u{2192} b1 (b)",
            "p99 delay over time",
            "\u{2588}",
        ],
    );
    let text = terminal.text();
    assert!(
        text.contains("icmp  echo") && text.contains("tcp   syn") && text.contains("60/60"),
        "{text}"
    );
    terminal.keys("m").unwrap();
    wait(&mut terminal, &["p99.9 delay over time"]);
    terminal.keys("\x1b").unwrap();
    wait(&mut terminal, &["nodes, icmp p99.9 delay, 1m"]);

    // Another kind of probe, another span, zones, and the nodes of two zones.
    terminal.keys("pvL").unwrap();
    terminal.keys("L").unwrap();
    wait(&mut terminal, &["zones, tcp p99.9 delay, 10m", "2 pairs"]);
    terminal.keys("gj\r").unwrap();
    wait(&mut terminal, &["nodes, tcp", "in b \u{2192} a"]);
    terminal
        .wait("b's nodes alone", |screen| {
            !screen.contains("\n a1 ") && screen.contains("\n b1 ")
        })
        .unwrap();

    // Search, help, and the end.
    terminal.keys("\x1b\x1bLLLL").unwrap();
    terminal.keys("/b2\r").unwrap();
    wait(&mut terminal, &["/b2", "6 pairs"]);
    terminal.keys("?").unwrap();
    wait(&mut terminal, &["Ctrl-L", "quit"]);
    terminal.keys("q").unwrap();
    assert_eq!(terminal.end().unwrap().code(), Some(0));
    terminal.restored().unwrap();
}

#[test]
fn signals_end_it_and_the_terminal_is_as_it_was() {
    // Nobody listens on port 1 of the loopback: it ends whether there is a broker or not.
    for ends in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut terminal = Terminal::start(&command("127.0.0.1:1", "t", &[]), SMALL).unwrap();
        // What is logged is seen, on the last line and not across the screen.
        wait(&mut terminal, &["dt top", "! WARN", "no record yet"]);
        assert!(
            terminal.lines().last().unwrap().starts_with(" ! WARN"),
            "{}",
            terminal.text()
        );
        signal(&terminal, ends);
        assert_eq!(terminal.end().unwrap().code(), Some(0), "{ends}");
        terminal.restored().unwrap();
    }
}

#[test]
fn a_shell_stops_it_and_goes_on_with_it() {
    let kafka = Kafka::shared();
    publish_cluster(&kafka, "stop");
    let mut shell = Command::new("bash");
    shell
        .args(["--norc", "--noprofile", "-i"])
        .env("TERM", "xterm-256color")
        .env("PS1", "ready> ");
    shell
        .env("LANG", "C.UTF-8")
        .env("DT", env!("CARGO_BIN_EXE_dt"))
        .env("BROKER", kafka.bootstrap());
    let mut terminal = Terminal::start(&shell, SMALL).unwrap();
    wait(&mut terminal, &["ready>"]);
    terminal
        .keys("$DT top --bootstrap $BROKER --topic stop & echo pid $!; fg\n")
        .unwrap();
    wait(&mut terminal, &["nodes, icmp p99 delay"]);
    // By the key, then by a signal from elsewhere.
    terminal.keys("\x1a").unwrap();
    for again in 0..2 {
        wait(&mut terminal, &["Stopped"]);
        assert!(!terminal.screen(vt100::Screen::alternate_screen) && !terminal.screen(vt100::Screen::hide_cursor));
        // The terminal is the shell's again: what is typed is seen.
        terminal.keys(&format!("echo it is {again}$?\n")).unwrap();
        wait(&mut terminal, &[&format!("it is {again}148")]);
        terminal.keys("clear; fg\n").unwrap();
        wait(&mut terminal, &["nodes, icmp p99 delay", "X  dead"]);
        assert!(terminal.screen(vt100::Screen::alternate_screen) && terminal.screen(vt100::Screen::hide_cursor));
        if again == 0 {
            let pid = child_of(terminal.pid());
            kill(pid, Signal::SIGTSTP).unwrap();
        }
    }
    terminal.keys("\x1b[C").unwrap();
    wait(&mut terminal, &["a1 \u{2192} a2  p50"]);
    terminal.keys("q").unwrap();
    // What is typed before that may still be taken for keys.
    wait_for("the shell's screen", || {
        Ok((!terminal.screen(vt100::Screen::alternate_screen)).then_some(()))
    })
    .unwrap();
    terminal.keys("exit\n").unwrap();
    assert_eq!(terminal.end().unwrap().code(), Some(0));
    terminal.restored().unwrap();
}

/// The one child of a process.
fn child_of(pid: u32) -> Pid {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    Pid::from_raw(children.trim().parse().unwrap())
}

#[test]
fn after_a_stop_that_nobody_can_refuse_it_takes_the_terminal_back() {
    let mut terminal = Terminal::start(&command("127.0.0.1:1", "t", &[]), SMALL).unwrap();
    wait(&mut terminal, &["no record yet"]);
    signal(&terminal, Signal::SIGSTOP);
    let pid = terminal.pid();
    wait_for("the stop", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Ok(status.contains(") T ").then_some(()))
    })
    .unwrap();
    // Meanwhile a shell makes the terminal its own.
    let tty = std::fs::read_link(format!("/proc/{pid}/fd/0")).unwrap();
    let sane = Command::new("stty").arg("-F").arg(&tty).arg("sane").status().unwrap();
    assert!(sane.success());
    signal(&terminal, Signal::SIGCONT);
    // In the sane state the key would wait for the end of its line.
    terminal
        .wait("the frame drawn again", |screen| screen.contains("no record yet"))
        .unwrap();
    wait_for("the raw terminal", || {
        let settings = Command::new("stty").arg("-F").arg(&tty).arg("-a").output()?;
        Ok(String::from_utf8_lossy(&settings.stdout)
            .contains("-icanon")
            .then_some(()))
    })
    .unwrap();
    // Here is no shell that could go on with it, so the kernel refuses to stop it.
    terminal.keys("\x1a?").unwrap();
    wait(&mut terminal, &["Ctrl-L"]);
    terminal.keys("q").unwrap();
    assert_eq!(terminal.end().unwrap().code(), Some(0));
}

#[test]
fn colours_come_with_characters_and_can_be_done_without() {
    let kafka = Kafka::shared();
    publish_cluster(&kafka, "colours");
    let grounds = |terminal: &Terminal| {
        terminal.screen(|screen| {
            let (rows, columns) = screen.size();
            let cells = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
            let mut grounds: Vec<_> = cells
                .filter_map(|(row, column)| Some(screen.cell(row, column)?.bgcolor()))
                .collect();
            grounds.retain(|ground| *ground != vt100::Color::Default);
            grounds
        })
    };
    let dead = vt100::Color::Idx(197);
    let mut terminal = Terminal::start(&command(kafka.bootstrap(), "colours", &[]), SMALL).unwrap();
    wait(&mut terminal, &["X  dead"]);
    assert!(grounds(&terminal).contains(&dead));
    terminal.keys("q").unwrap();
    terminal.end().unwrap();

    let mut plain = command(kafka.bootstrap(), "colours", &[]);
    plain.env("NO_COLOR", "1").env("LANG", "C");
    let mut terminal = Terminal::start(&plain, SMALL).unwrap();
    wait(&mut terminal, &["X  dead", "a1 -> b2"]);
    terminal.keys("\x1b[B?").unwrap();
    wait(&mut terminal, &["Ctrl-L"]);
    terminal.keys("q").unwrap();
    terminal.end().unwrap();
    // Not one colour, not one character that isn't ASCII.
    let raw = terminal.raw();
    assert!(raw.is_ascii());
    let text = String::from_utf8(raw).unwrap();
    let mut sequences = text
        .split("\x1b[")
        .skip(1)
        .filter_map(|rest| rest.split_once('m'))
        .map(|(numbers, _)| numbers);
    let is_colour = |numbers: &str| {
        let mut numbers = numbers.split(';').map(str::parse::<u32>);
        numbers.any(|number| {
            number.is_ok_and(|number| (30..=38).contains(&number) || (40..=48).contains(&number) || number >= 90)
        })
    };
    assert_eq!(sequences.find(|numbers| is_colour(numbers)), None);
}

#[test]
fn without_a_terminal_or_with_once_it_prints_one_summary() {
    let kafka = Kafka::shared();
    publish_cluster(&kafka, "once");
    let ran = common::ran(command(kafka.bootstrap(), "once", &[]).output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    assert!(!ran.out.contains('\x1b'), "{ran:?}");
    let of = |start: &str| {
        ran.out
            .lines()
            .find(|line| line.trim_start().starts_with(start))
            .unwrap_or_else(|| panic!("{ran:?}"))
    };
    assert!(of("a1 -> b2").contains("100.0 %"), "{ran:?}");
    assert!(
        ran.out.contains("b2") && of("a -> b").contains("icmp") && ran.out.contains("b -> a"),
        "{ran:?}"
    );

    let mut once = command(kafka.bootstrap(), "once", &["--once"]);
    let mut terminal = Terminal::start(&once, SMALL).unwrap();
    assert_eq!(terminal.end().unwrap().code(), Some(0));
    wait_for("the summary", || Ok(terminal.text().contains("a1 -> b2").then_some(()))).unwrap();
    assert!(!terminal.raw().contains(&0x1b));

    // A terminal that can't be drawn on.
    once = command(kafka.bootstrap(), "once", &[]);
    once.env("TERM", "dumb");
    let mut terminal = Terminal::start(&once, SMALL).unwrap();
    assert_eq!(terminal.end().unwrap().code(), Some(0));
    wait_for("the summary", || Ok(terminal.text().contains("a1 -> b2").then_some(()))).unwrap();
}

#[test]
fn without_a_broker_the_summary_gives_up_and_names_it() {
    let ran = common::ran(command("127.0.0.1:1", "t", &[]).output().unwrap());
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.err.contains("error: Kafka 127.0.0.1:1, t: no answer"), "{ran:?}");
    // And ends at once where it is told to.
    let mut waiting = command("127.0.0.1:1", "t", &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = waiting.id();
    wait_for("its threads", || {
        let names = std::fs::read_dir(format!("/proc/{pid}/task"))?
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .collect::<Vec<_>>();
        Ok(names.iter().any(|name| name.trim() == "summary").then_some(()))
    })
    .unwrap();
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
}

/// A process that serves on a free port of the loopback, and where: what follows `before` in what it says.
fn serving(arguments: &[&str], before: &str) -> (Process, String) {
    let mut process = Process::spawn(arguments[0], dt().args(arguments)).unwrap();
    let address = process.wait_for("the address", |process| {
        let said = process.stdout()? + &process.stderr()?;
        let after = said.split_once(before).map(|(_, after)| after);
        let word = after.and_then(|after| after.split_once([' ', '\n']));
        Ok(word.map(|(word, _)| word.to_owned()))
    });
    (process, format!("http://{}", address.unwrap()))
}

#[test]
fn a_running_demo_is_shown_with_its_fault() {
    let demo = [
        "demo",
        "--http",
        "127.0.0.1:0",
        "--fault",
        "dead-node",
        "--fault-after",
        "5s",
    ];
    let (demo, url) = serving(&demo, "http://");
    let shown = |arguments: &[&str]| {
        let mut command = dt();
        command
            .args(["top", "--url", &url])
            .args(arguments)
            .env("TERM", "xterm");
        command
    };
    let mut terminal = Terminal::start(&shown(&["--probe", "tcp", "--view", "recent"]), SMALL).unwrap();
    wait(
        &mut terminal,
        &[&url, "node-1", "node-6", "nodes, tcp p99 delay, recent", "30 pairs"],
    );
    // Every pair and kind; the pair by the API's own path.
    terminal.keys("l\r").unwrap();
    wait(
        &mut terminal,
        &[
            "node-1 (zone-",
            "node-2 (zone-",
            "icmp  echo",
            "tcp   syn",
            "grpc  ping_node",
        ],
    );
    // Escape alone, and what follows only once it has acted: together they would be one key with Alt.
    terminal.keys("\x1b").unwrap();
    wait(&mut terminal, &["nodes, tcp p99 delay, recent"]);
    // What is found is named, and opens.
    // In its first window it may look like a bad link.
    let holds =
        |screen: &str| screen.contains("findings") && screen.contains("node-5 is down") && screen.contains("% ");
    terminal.keys("\t\t").unwrap();
    terminal
        .wait("the finding", |screen| holds(screen) && screen.contains("> "))
        .unwrap();
    terminal.keys("\r").unwrap();
    wait(&mut terminal, &["kind        node down", "nodes       node-5"]);
    terminal.keys("\x1b").unwrap();
    wait(&mut terminal, &["nodes, tcp"]);
    terminal.keys("L").unwrap();
    wait(&mut terminal, &["racks, tcp"]);

    let once = common::ran(shown(&[]).output().unwrap());
    assert_eq!((once.code, once.err.as_str()), (Some(0), ""), "{once:?}");
    assert!(
        once.out.starts_with("! ") && once.out.contains("node-5") && once.out.contains("zone-a -> zone-b"),
        "{once:?}"
    );

    // Its end is told; what was known last stays.
    demo.terminate().unwrap();
    wait(&mut terminal, &["! http://127.0.0.1:", "as of "]);
    terminal.keys("q").unwrap();
    assert_eq!(terminal.end().unwrap().code(), Some(0));
    terminal.restored().unwrap();
    let once = common::ran(shown(&[]).output().unwrap());
    assert_eq!((once.code, once.out.as_str()), (Some(1), ""), "{once:?}");
    assert!(once.err.contains(&url), "{once:?}");
}

#[test]
fn a_server_that_asks_for_a_token_is_shown_it() {
    let collect = [
        "collect",
        "--http",
        "127.0.0.1:0",
        "--bootstrap",
        "127.0.0.1:1",
        "--token",
        "s3cret",
    ];
    let (_collect, url) = serving(&collect, "address=");
    let mut command = dt();
    command.args(["top", "--url", &url]).env("TERM", "xterm");
    let mut terminal = Terminal::start(&command, SMALL).unwrap();
    wait(&mut terminal, &["! http://", "401"]);
    command.env("DT_COLLECT_TOKEN", "s3cret");
    let mut terminal = Terminal::start(&command, SMALL).unwrap();
    wait(&mut terminal, &["no record yet"]);
    assert!(!terminal.text().contains("401"));
}

#[test]
fn what_is_wrong_with_its_options_is_said() {
    for (option, value, accepted) in [
        ("--url", "localhost:8080", "http://HOST[:PORT]"),
        ("--view", "2m", "recent, 1m, 10m, 1h"),
        ("--level", "row", "node, rack, zone, region"),
        ("--metric", "p95", "p50, p99, p99.9, loss, host"),
        ("--probe", "udp", "icmp"),
        ("--since", "2d", "a number with a unit"),
        ("--since", "25h", "up to 24h"),
        ("--window", "1ms", "1s to 10m"),
        ("--color", "red", "auto, dark, light, never"),
        ("--token", "a b", "no spaces"),
        ("--bootstrap", "a:x", "--bootstrap"),
    ] {
        let ran = common::run(&["top", option, value], &[]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.err.contains(accepted) && ran.err.contains(value), "{ran:?}");
    }
}
