//! When in the window a node publishes, so that 10,000 nodes, whose windows end together, don't speak at once.

use std::time::Duration;

/// How long after a window's end `node` publishes it: the same share of the first half of a `window` each time, evenly
/// spread over all nodes' names.
pub(crate) fn offset(node: &str, window: Duration) -> Duration {
    // The upper 32 bits as a fraction of one.
    let share = (hash(node.as_bytes()) >> 32) as f64 / f64::from(u32::MAX);
    (window / 2).mul_f64(share)
}

/// FNV-1a, finished by SplitMix64's mixer: names that differ in their last digit must land far apart.
fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_fill_the_first_half_evenly() {
        let window = Duration::from_secs(10);
        let mut tenths = [0_u32; 10];
        for node in 0..10_000 {
            let at = offset(&format!("node-{node}"), window);
            assert!(at <= window / 2);
            tenths[((at.as_millis() / 500) as usize).min(9)] += 1;
        }
        assert!(tenths.iter().all(|&count| (850..1_150).contains(&count)), "{tenths:?}");
    }

    #[test]
    fn a_node_keeps_its_moment() {
        let window = Duration::from_secs(10);
        assert_eq!(offset("a", window), offset("a", window));
        assert_ne!(offset("a", window), offset("b", window));
    }
}
