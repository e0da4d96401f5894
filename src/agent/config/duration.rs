//! Durations as operators write them: a decimal number and its unit, as in `10s`, `0.5s` or `200ms`.

use std::time::Duration;

/// What [`parse`] accepts, in words for messages.
pub const ACCEPTED: &str = "a number with a unit (ns, us, ms, s, m, h), as in 200ms, 0.5s or 10s";

/// Units and their length in nanoseconds, the longest first, so that writing picks the largest that fits.
const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration: digits, perhaps a decimal point and further digits, then a unit. `0` needs no unit; every other
/// bare number is refused, since nobody can tell what it counts. Parts below a nanosecond are refused too.
///
/// # Errors
/// Says what is wrong; [`ACCEPTED`] says what would be right.
pub fn parse(text: &str) -> Result<Duration, String> {
    let unit_at = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || number.ends_with('.') {
        return Err("not a duration".to_owned());
    }
    let digits = format!("{whole}{fraction}");
    let value: u128 = digits.parse().map_err(|_| "the number is too large".to_owned())?;
    if unit.is_empty() {
        return if value == 0 {
            Ok(Duration::ZERO)
        } else {
            Err("the unit is missing".to_owned())
        };
    }
    let Some(&(_, unit_ns)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("unknown unit {unit:?}"));
    };
    let too_large = || "the duration is too large".to_owned();
    let scaled = value.checked_mul(u128::from(unit_ns)).ok_or_else(too_large)?;
    let places = u32::try_from(fraction.len()).map_err(|_| too_large())?;
    let divisor = 10_u128.checked_pow(places).ok_or_else(too_large)?;
    if !scaled.is_multiple_of(divisor) {
        return Err("parts of a nanosecond can't be kept".to_owned());
    }
    // u64 nanoseconds are 584 years; nothing here waits longer.
    u64::try_from(scaled / divisor)
        .map(Duration::from_nanos)
        .map_err(|_| too_large())
}

/// Writes `duration` in the largest unit that needs no fraction: `90s`, `1500ms`. [`parse`] reads it back exactly.
#[must_use]
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    // Minutes and hours only where they are whole, and never for zero.
    let fits = |unit_ns: u64| nanos != 0 && nanos.is_multiple_of(u128::from(unit_ns));
    match UNITS.iter().find(|(_, unit_ns)| fits(*unit_ns)) {
        Some((name, unit_ns)) => format!("{}{name}", nanos / u128::from(*unit_ns)),
        None => "0s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_decimals() {
        for (text, nanos) in [
            ("1ns", 1),
            ("2us", 2_000),
            ("3ms", 3_000_000),
            ("4s", 4_000_000_000),
            ("5m", 300_000_000_000),
            ("1h", 3_600_000_000_000),
            ("0.5s", 500_000_000),
            ("1.25ms", 1_250_000),
            ("0.000000001s", 1),
            ("00.50s", 500_000_000),
            ("0", 0),
            ("0s", 0),
            ("0.0ms", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "s",
            "1",
            "10",
            ".5s",
            "5.s",
            "1..5s",
            "1.2.3s",
            "-1s",
            "+1s",
            "1 s",
            " 1s",
            "1s ",
            "1sec",
            "1S",
            "1d",
            "1s2",
            "1m30s",
            "1e3s",
            "1,5s",
            "0x1s",
            "0.5ns",
            "1.0000000001s",
            "\u{661}s",
            "99999999999999999999h",
            "340282366920938463463374607431768211456s",
        ] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
        let many = format!("0.{}1s", "0".repeat(5_000));
        assert!(parse(&many).is_err());
    }

    #[test]
    fn written_in_the_largest_whole_unit() {
        for text in ["0s", "1ns", "1500ms", "90s", "2m", "3h", "10s", "1001us"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }
}
