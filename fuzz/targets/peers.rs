//! The peers file.

use std::collections::HashSet;
use std::fmt::Write;

use dt_membership::internals;

use crate::member::checked;
use crate::memory::bounded;

/// The text of a peers file.
///
/// # Panics
/// Where what it lists isn't sound, or isn't the same after being written again.
pub fn fuzz_peers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // TOML makes a table of each part of a dotted key, and 80 of them may stand in one another.
    match bounded(text.len(), 256 * 1024, 1_000, || internals::peers(text)) {
        Ok(members) => {
            let mut again = String::new();
            for member in &members {
                checked(member);
                // Every string of TOML may be written like one of JSON, but for the character DEL.
                let quoted = |text: &str| serde_json::to_string(text).unwrap().replace('\u{7f}', "\\u007f");
                writeln!(again, "[[peer]]\nnode = {}", quoted(&member.node)).unwrap();
                writeln!(again, "address = {}\nport = {}", quoted(&member.address), member.port).unwrap();
                writeln!(again, "tcp_port = {}\nzone = {}", member.tcp_port, quoted(&member.zone)).unwrap();
                writeln!(
                    again,
                    "rack = {}\nregion = {}",
                    quoted(&member.rack),
                    quoted(&member.region)
                )
                .unwrap();
            }
            assert_eq!(internals::peers(&again).as_ref(), Ok(&members));
            let nodes: HashSet<_> = members.iter().map(|member| &member.node).collect();
            assert_eq!(nodes.len(), members.len());
        }
        Err(faults) => {
            assert!(!faults.is_empty() && faults.is_sorted_by_key(|fault| fault.line));
            let lines = 1 + text.matches('\n').count();
            for fault in &faults {
                assert!((1..=lines).contains(&fault.line), "{fault} of {lines} lines");
                assert!(!fault.what.is_empty());
            }
        }
    }
}
