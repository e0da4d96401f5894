//! The kernel's 32-bit drop counter, made 64-bit.

/// Follows a counter of 32 bits that wraps, from readings that may come late.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DropCounter {
    latest: u32,
    total: u64,
}

impl DropCounter {
    /// Takes a reading. One that lies behind the latest was taken earlier and changes nothing: packets carry the count of
    /// the moment they were queued.
    pub(crate) fn observe(&mut self, reading: u32) {
        let ahead = reading.wrapping_sub(self.latest);
        if ahead < 1 << 31 {
            self.total += u64::from(ahead);
            self.latest = reading;
        }
    }

    pub(crate) fn total(self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_wraps_and_ignores_late_readings() {
        let mut counter = DropCounter::default();
        for reading in [0, 5, 3, 5, 1 << 30, (3 << 30) - 1, 7, u32::MAX, 8] {
            counter.observe(reading);
        }
        assert_eq!(counter.total(), (1 << 32) + 8);
    }
}
