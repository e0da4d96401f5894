//! Too few open files: an error that says so, not a panic of a library.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::Command;

use common::ran;

#[test]
fn a_command_that_may_open_too_few_files_says_so() {
    for (command, allowed) in [
        ("agent", 3),
        ("agent", 7),
        ("agent", 63),
        ("demo", 20),
        ("collect", 20),
        ("records", 20),
    ] {
        // The shell's limits are the child's; the soft one may be raised up to the hard one, so both are set.
        let line = format!("ulimit -n {allowed}; exec \"$0\" {command}");
        let dt = env!("CARGO_BIN_EXE_dt");
        let output = Command::new("sh").args(["-c", &line, dt]).output().unwrap();
        let ran = ran(output);
        // With hardly any the program itself can't be started.
        if allowed > 5 {
            let words = format!("this process may have {allowed} open files; accepted: 64 or more");
            assert!(ran.err.contains(&words), "{command}: {ran:?}");
        }
        assert!(
            ran.code != Some(0) && !ran.err.contains("panicked"),
            "{command}: {ran:?}"
        );
        assert_eq!(ran.out, "", "{command}");
    }
}
