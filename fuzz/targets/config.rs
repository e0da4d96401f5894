//! The configuration file, and with it everything that a key's text may be.

use std::cell::RefCell;
use std::io::{Seek, Write};
use std::net::IpAddr;
use std::sync::LazyLock;

use dt_agent::Allowed;
use dt_agent::config::{HostPort, Inputs, KEYS, duration, load, show};
use tempfile::NamedTempFile;

/// All keys: named, they are all read, but not held against one another, for that looks at files they name.
static PATHS: LazyLock<Vec<&'static str>> = LazyLock::new(|| KEYS.iter().map(|key| key.path).collect());

thread_local! {
    static FILE: RefCell<Option<NamedTempFile>> = const { RefCell::new(None) };
}

/// The text of a configuration file; what is no TOML is taken for a single value.
///
/// # Panics
/// Where a wrong one isn't refused by name, or a good one isn't the same after `dt config show`.
pub fn fuzz_config(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        values(text);
    }
    let Some(loaded) = read(data) else { return };
    let shown = show(&loaded);
    let is_secret = |line: &String| line.contains("\"***\"");
    if !shown.iter().any(is_secret) {
        let again = read(shown.join("\n").as_bytes()).unwrap();
        assert_eq!(again.config, loaded.config);
    }
    if let Some(allowed) = Allowed::of(&loaded.config) {
        for text in ["169.254.169.254", "::ffff:169.254.0.1", "fe80::1", "febf::1"] {
            let address: IpAddr = text.parse().unwrap();
            assert!(
                allowed.check(address).is_err(),
                "{text} by {:?}",
                loaded.config.membership
            );
        }
    }
}

fn read(text: &[u8]) -> Option<dt_agent::config::Loaded> {
    FILE.with_borrow_mut(|file| {
        let file = file.get_or_insert_with(|| NamedTempFile::new().unwrap());
        file.as_file().set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(text).unwrap();
        let inputs = Inputs {
            file: Some(file.path().to_owned()),
            host_name: Some("host".to_owned()),
            only: Some(PATHS.as_slice()),
            ..Inputs::default()
        };
        match load(&inputs) {
            Ok(loaded) => Some(loaded),
            Err(wrong) => {
                assert!(!wrong.errors.is_empty());
                for error in &wrong.errors {
                    assert!(!error.key.is_empty() && !error.reason.is_empty() && !error.accepted.is_empty());
                }
                None
            }
        }
    })
}

fn values(text: &str) {
    if let Ok(read) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::format(read)), Ok(read));
    }
    if let Ok(read) = HostPort::parse(text) {
        assert_eq!(HostPort::parse(&read.to_string()), Ok(read));
    }
}
