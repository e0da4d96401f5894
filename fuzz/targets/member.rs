//! What stands in ZooKeeper: members, and the kill switch.

use dt_membership::{Member, Registration, internals, own_entry};

use crate::memory::bounded;

/// The longest reason that may go into a log line.
const LONGEST_REASON: usize = 1_024;

/// The data of a member's znode, and of the kill switch.
///
/// # Panics
/// Where a member is let in that could do harm, or isn't the same after being written again.
pub fn fuzz_member(data: &[u8]) {
    match bounded(data.len(), 8 * 1024, 16, || internals::member(data)) {
        Ok(member) => {
            checked(&member);
            let mut member = member;
            if member.original {
                // It is called by its address and port, which is longer than a name may be.
                member.node = "original".into();
            }
            let own = registration(&member);
            assert!(own_entry(&own, &member));
            let written = internals::registration(&own, member.state).unwrap();
            let again = internals::member(&written).unwrap();
            let expected = Member {
                original: false,
                ..member
            };
            assert_eq!(again, expected);
        }
        Err(why) => reason(&why),
    }
    match bounded(data.len(), 8 * 1024, 16, || internals::switch(data)) {
        Ok(enabled) => {
            let word = if enabled { &b"true"[..] } else { b"false" };
            // As a list it has no other name for it.
            assert!(data.windows(word.len()).any(|part| part == word));
        }
        Err(why) => reason(&why),
    }
}

/// What is said of bad data goes into a log, and into `/peers`.
fn reason(why: &str) {
    assert!(
        !why.is_empty() && why.len() <= LONGEST_REASON,
        "{} bytes of reason",
        why.len()
    );
    assert!(!why.chars().any(char::is_control), "{why:?}");
}

pub(crate) fn checked(member: &Member) {
    assert!(!member.node.is_empty() && member.port > 0 && member.tcp_port > 0);
    assert!(!member.address.is_empty() && member.address.len() <= 253);
    let odd = |c: char| c.is_control() || c.is_whitespace() || "/|[]@?#".contains(c);
    assert!(!member.address.contains(odd), "{:?}", member.address);
    let Member {
        node,
        zone,
        rack,
        region,
        version,
        boot_id,
        ..
    } = member;
    for label in [zone, rack, region, version, boot_id] {
        assert!(label.len() <= 255 && !label.contains(char::is_control), "{label:?}");
    }
    // A node without a name of its own is called by its address and port.
    assert!(
        node.len() <= 253 + "[]:65535".len() && !node.contains(char::is_control),
        "{node:?}"
    );
}

fn registration(member: &Member) -> Registration {
    let own = |text: &str| text.to_owned();
    Registration {
        node: own(&member.node),
        address: own(&member.address),
        port: member.port,
        tcp_port: member.tcp_port,
        zone: own(&member.zone),
        rack: own(&member.rack),
        region: own(&member.region),
        version: own(&member.version),
        boot_id: own(&member.boot_id),
        state: member.state,
        poll_timeout_ms: 5_000,
        poll_interval_ms: 10_000,
    }
}
