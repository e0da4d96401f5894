//! The roll-up topic, which collectors of a group write for one another.

use std::collections::BTreeSet;

use dt_collect::View;
use dt_collect::rollup::{Applied, Partial, RollupTable};

use crate::input::Input;
use crate::made::NOW_MS;
use crate::memory::bounded;

/// Messages of the roll-up topic.
///
/// # Panics
/// Where a message is kept under another key than its own, or the whole can't be made of what is kept.
pub fn fuzz_rollup(data: &[u8]) {
    let mut input = Input::new(data);
    let table = RollupTable::default();
    let mut kept = BTreeSet::new();
    for _ in 0..32 {
        if input.is_empty() {
            break;
        }
        let options = input.u8();
        let length = usize::from(input.u16());
        let value = input.bytes(length);
        let partial = serde_json::from_slice::<Partial>(value).ok();
        let key = match (&partial, options & 1) {
            (Some(partial), 0) => partial.key(),
            _ => String::from_utf8_lossy(input.bytes(usize::from(options >> 2))).into_owned(),
        };
        let value = (options & 2 == 0).then_some(value);
        match bounded(length, 64 * 1024, 256, || table.apply(&key, value)) {
            Applied::Kept => {
                let partial = partial.unwrap();
                assert_eq!(partial.key(), key);
                let again = serde_json::to_vec(&partial).unwrap();
                assert_eq!(serde_json::from_slice::<Partial>(&again).unwrap(), partial);
                assert_eq!(table.apply(&key, Some(&again)), Applied::Kept);
                kept.insert(key);
            }
            Applied::Removed => _ = kept.remove(&key),
            Applied::Refused => {}
        }
    }
    let partitions = (i32::MIN..=i32::MAX).step_by(1 << 30).chain(0..8).collect();
    assert!(table.keys_of(&partitions).is_subset(&kept));
    assert!(table.fresh_partitions(NOW_MS).len() <= kept.len());
    for (view, now_ms) in [(View::Minute, NOW_MS), (View::TenMinutes, 0), (View::Hour, u64::MAX)] {
        let whole = table.whole(view, now_ms);
        assert!(whole.zones.len() <= kept.len());
        serde_json::to_string(&whole).unwrap();
    }
}
