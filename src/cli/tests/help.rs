//! What a user sees first: help, version, exit codes, and output that nobody reads to its end.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Read;
use std::process::Stdio;

use common::{dt, run};
use dt_agent::config::{KEYS, ORIGINALS, reference};

/// Help without its line breaks, which depend on the width.
fn help(arguments: &[&str]) -> String {
    let ran = run(arguments, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{arguments:?}");
    ran.out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_help_of_each_command_names_every_flag_its_default_and_its_variable() {
    for command in [&["config", "show"][..], &["config", "check"], &["plan"], &["agent"]] {
        let help = help(&[command, &["--help"]].concat());
        for key in KEYS.iter().filter(|key| !key.hidden) {
            assert!(
                help.contains(&format!(" --{} <{}>", key.flag(), key.value)),
                "--{} in {help}",
                key.flag()
            );
            let variable = key.variable();
            assert!(help.contains(&format!("[env: {variable}]")) || help.contains(&format!("[env: {variable},")));
            if !key.default.is_empty() {
                let default = format!("[default: {}] [env: {variable}", key.default);
                assert!(help.contains(&default), "{default} in {help}");
            }
        }
        for original in ORIGINALS {
            assert!(help.contains(original.variable), "{}", original.variable);
        }
        assert!(!help.contains("kernel-off") && help.contains("[env: DT_CONFIG]"));
    }
}

#[test]
fn every_option_of_every_command_names_its_variable() {
    for command in [
        &["agent"][..],
        &["config", "check"],
        &["config", "show"],
        &["demo"],
        &["diagnose"],
        &["drain"],
        &["health"],
        &["ping"],
        &["plan"],
        &["records"],
        &["top"],
    ] {
        let ran = run(&[command, &["--help"]].concat(), &[]);
        let mut options: Vec<String> = Vec::new();
        for line in ran.out.lines() {
            // Descriptions stand further in.
            let name = line.trim_start();
            if name.starts_with('-') && line.len() - name.len() < 8 {
                options.push(name.to_owned());
            } else if let Some(option) = options.last_mut() {
                option.push(' ');
                option.push_str(name);
            }
        }
        assert!(options.len() > 1, "{command:?}: {}", ran.out);
        for option in options.iter().filter(|option| !option.contains("--help")) {
            assert!(option.contains("[env: DT_"), "{command:?}: {option}");
        }
    }
}

#[test]
fn the_options_of_commands_are_read_from_their_variables() {
    for (arguments, variable, value, named) in [
        (&["ping", "127.0.0.1"][..], "DT_PING_COUNT", "0", "--count"),
        (&["ping", "127.0.0.1"], "DT_PING_FILE", "/no/such/file", "/no/such/file"),
        (&["demo"], "DT_DEMO_ZOOKEEPER", "a:x", "--zookeeper"),
        (&["demo"], "DT_DEMO_KAFKA", "a:0", "--kafka"),
        (&["demo"], "DT_DEMO_LOG_LEVEL", "loud", "--log-level"),
    ] {
        let ran = run(arguments, &[(variable, value)]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{variable}: {ran:?}");
        assert!(ran.err.contains(named), "{variable}: {ran:?}");
    }
    // Empty ones are not set.
    let ran = run(
        &["ping", "-f", "/no/such/file"],
        &[("DT_PING_COUNT", ""), ("DT_PING_JSON", "")],
    );
    assert!(ran.code == Some(2) && ran.err.contains("/no/such/file"), "{ran:?}");
}

#[test]
fn names_follow_from_the_path_and_no_two_are_alike() {
    let mut seen = std::collections::BTreeSet::new();
    for key in KEYS {
        assert!(seen.insert(key.flag()) && seen.insert(key.variable()), "{}", key.path);
        // Kubernetes sets such variables for every service it knows.
        let variable = key.variable();
        for injected in ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"] {
            assert!(!variable.ends_with(injected), "{variable} may be injected");
        }
        assert!(
            !key.help.is_empty() && !key.help.ends_with('.') && !key.accepted.is_empty(),
            "{}",
            key.path
        );
    }
}

#[test]
fn exit_codes() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["help"],
        &["config", "--help"],
        &["config", "check"],
    ] {
        assert_eq!(run(arguments, &[]).code, Some(0), "{arguments:?}");
    }
    for arguments in [
        &[][..],
        &["nonsense"],
        &["config"],
        &["plan", "--nonsense"],
        &["config", "show", "x"],
        &["plan", "--window"],
        &["plan", "--window", "1s", "--window", "2s"],
    ] {
        let ran = run(arguments, &[]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!ran.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_version_names_the_commit() {
    let ran = run(&["--version"], &[]);
    let text = ran.out.trim_end();
    let (version, commit) = text.strip_prefix("dt ").unwrap().split_once(' ').unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let commit = commit.strip_prefix('(').unwrap().strip_suffix(')').unwrap();
    assert!(commit == "unknown" || commit.len() >= 7, "{text}");
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    for arguments in [&["config", "show"][..], &["config", "reference"]] {
        let mut child = dt()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before anything can be written to it, or soon after.
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), err.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = dt()
        .args(["config", "show"])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"));
}

#[test]
fn the_documentation_is_what_the_table_of_keys_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert_eq!(run(&["config", "reference"], &[]).out, reference());
    assert!(
        page == reference(),
        "docs/configuration.md is out of date: dt config reference > docs/configuration.md"
    );
}
