//! Times and spans as they stand on the screen.

/// The time of day of UTC milliseconds, `12:03:59`.
pub(super) fn clock(utc_ms: u64) -> String {
    let seconds = utc_ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// A span in one unit, `59 s`, `2 min`, `3 h`, `2 d`: cut, never rounded up.
pub(super) fn span(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_spans() {
        assert_eq!(clock(1_700_000_000_123), "22:13:20");
        for (ms, text) in [
            (0, "0 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (3_599_999, "59 min"),
            (3_600_000, "1 h"),
            (86_400_000 * 2, "2 d"),
        ] {
            assert_eq!(span(ms), text);
        }
    }
}
