//! The credential for ZooKeeper: where it may come from, and that nothing shows it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Ran, file, run};

fn shows_no_secret(ran: &Ran) {
    assert!(!ran.out.contains("hush") && !ran.err.contains("hush"), "{ran:?}");
}

#[test]
fn it_is_masked_wherever_it_comes_from() {
    let directory = tempfile::tempdir().unwrap();
    let config = file(
        &directory,
        "dt.toml",
        "[zookeeper]\nauth = \"dt:hush\"\nacl = \"read\"\n",
    );
    let auth = file(&directory, "auth", "dt:hush\n");
    for (arguments, environment) in [
        (&["--config", config.to_str().unwrap()][..], &[][..]),
        (&["--zookeeper-acl", "read"], &[("DT_ZOOKEEPER_AUTH", "dt:hush")]),
        (&["--zookeeper-auth", "dt:hush", "--zookeeper-acl", "private"], &[]),
        (
            &[
                "--zookeeper-auth-file",
                auth.to_str().unwrap(),
                "--zookeeper-acl",
                "read",
            ],
            &[],
        ),
    ] {
        for command in ["check", "show"] {
            let ran = run(&[&["config", command], arguments].concat(), environment);
            assert_eq!(ran.code, Some(0), "{ran:?}");
            shows_no_secret(&ran);
        }
    }
    let ran = run(&["config", "show"], &[("DT_ZOOKEEPER_AUTH", "dt:hush")]);
    assert!(
        ran.out.contains("zookeeper.auth = \"***\"  # DT_ZOOKEEPER_AUTH"),
        "{ran:?}"
    );
}

#[test]
fn what_is_wrong_with_it_is_said_without_it() {
    let directory = tempfile::tempdir().unwrap();
    let bad = file(&directory, "bad", "hush");
    let bad = bad.to_str().unwrap();
    for (arguments, words) in [
        (&["--zookeeper-auth", "hush"][..], "accepted: USER:PASSWORD"),
        (&["--zookeeper-auth", ":hush"], "accepted: USER:PASSWORD"),
        (&["--zookeeper-auth-file", bad], "accepted: a file with USER:PASSWORD"),
        (&["--zookeeper-auth-file", "/none"], "No such file"),
        (
            &["--zookeeper-auth", "dt:hush", "--zookeeper-auth-file", bad],
            "which is it?",
        ),
        (&["--zookeeper-acl", "read"], "neither zookeeper.auth nor"),
    ] {
        for command in [&["config", "check"][..], &["agent", "--listen", "127.0.0.1:0"]] {
            let ran = run(&[command, arguments].concat(), &[]);
            assert!(ran.code != Some(0) && ran.err.contains(words), "{arguments:?}: {ran:?}");
            shows_no_secret(&ran);
        }
    }
    // A wrong type in a file is shown by its key alone, too.
    let config = file(&directory, "dt.toml", "[zookeeper]\nauth = [\"dt:hush\"]\n");
    let ran = run(&["config", "check", "--config", config.to_str().unwrap()], &[]);
    assert!(ran.code == Some(2) && ran.err.contains("zookeeper.auth"), "{ran:?}");
    shows_no_secret(&ran);
}
