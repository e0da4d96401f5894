//! Durations: whatever is written is read back, whatever is read is exact, nothing panics.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use dt_agent::config::duration::{format, parse};
use proptest::prelude::*;

const UNITS: [(&str, u128); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

proptest! {
    #[test]
    fn what_is_written_is_read_back(nanos: u64) {
        let duration = Duration::from_nanos(nanos);
        prop_assert_eq!(parse(&format(duration)), Ok(duration));
    }

    #[test]
    fn whole_numbers_are_exact_or_refused(number: u64, unit in 0..UNITS.len()) {
        let (name, nanos) = UNITS[unit];
        let exact = u128::from(number) * nanos;
        match parse(&format!("{number}{name}")) {
            Ok(duration) => prop_assert_eq!(duration.as_nanos(), exact),
            Err(_) => prop_assert!(exact > u128::from(u64::MAX)),
        }
    }

    #[test]
    fn decimals_are_exact_or_refused(whole in 0..1_000_000_u64, digits in 0..1_000_000_000_u64, unit in 0..UNITS.len()) {
        let (name, nanos) = UNITS[unit];
        let billionths = u128::from(whole) * 1_000_000_000 + u128::from(digits);
        let exact = billionths * nanos;
        match parse(&format!("{whole}.{digits:09}{name}")) {
            Ok(duration) => prop_assert_eq!(duration.as_nanos() * 1_000_000_000, exact),
            Err(_) => prop_assert!(exact % 1_000_000_000 != 0 || exact / 1_000_000_000 > u128::from(u64::MAX)),
        }
    }

    #[test]
    fn bare_numbers_other_than_zero_are_refused(number in 1_u64..) {
        prop_assert!(parse(&number.to_string()).unwrap_err().contains("unit"));
    }

    #[test]
    fn no_text_panics(text in ".{0,40}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_text_of_likely_characters_panics(text in "[0-9.a-z+-]{0,60}") {
        let _ = parse(&text);
    }
}
