//! Which clocks may be subtracted from one another, and what a probe's sample is by them.
//!
//! Kernel stamps are readings of `CLOCK_REALTIME`, which can be stepped. Their difference counts only where the user's
//! clock readings around it are of the same epoch (no step in between), where it isn't negative, and where it isn't
//! longer than what the user's monotonic clock saw around it. Otherwise the user's clocks are taken, and the sample
//! says so.
//!
//! A network card's stamps are of a clock of its own (PHC), are subtracted from none but its own, and make a round trip only
//! in pairs. No step of the wall clock touches them, but theirs may be set as well: what they say counts only where it is
//! more than nothing and no longer than the round trip that the kernel, or else the user's monotonic clock, saw around it.
//! A card's clock set back between its two stamps by less than the round trip can't be told from a shorter round trip; set
//! in any other way, it is.

use crate::event::Sample;
use crate::kind::Clock;
use crate::time::{Phc, Wall};

/// A kernel's or a card's stamp.
pub(crate) type Stamp = (Wall, Clock);

/// What the user saw of an answered probe, and the stamps it got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    /// The user's wall clock just before the send, and the epoch it was of.
    pub(crate) sent_wall: Wall,
    pub(crate) sent_epoch: u8,
    /// The user's wall clock as the reply was read, and the epoch it was of.
    pub(crate) read_wall: Wall,
    pub(crate) read_epoch: u8,
    /// Between the two by the monotonic clock: no true round trip is longer.
    pub(crate) user_rtt: u64,
    pub(crate) tx: Option<Stamp>,
    pub(crate) rx: Option<Stamp>,
    /// This host's delay after the receive stamp.
    pub(crate) rx_delay: u64,
    pub(crate) card: Option<Card>,
}

/// A network card's stamps of one exchange, both by the same clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Card {
    pub(crate) sent: Phc,
    pub(crate) received: Phc,
}

/// Which stamps the socket was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps {
    pub(crate) tx: bool,
    pub(crate) rx: bool,
    pub(crate) card: bool,
}

/// The sample of an answered probe, by the best clocks that fit together.
pub(crate) fn sample(exchange: &Exchange, wanted: Stamps) -> Sample {
    let by_stamps = stamped(exchange);
    let (rtt, tx, rx) = by_stamps.unwrap_or((exchange.user_rtt, Clock::User, Clock::User));
    let host_delay_ns = (tx == Clock::Kernel && rx == Clock::Kernel).then(|| {
        let tx_delay = exchange
            .tx
            .and_then(|(stamp, _)| stamp.since(exchange.sent_wall))
            .unwrap_or(0);
        tx_delay.saturating_add(exchange.rx_delay)
    });
    let longest = if host_delay_ns.is_some() {
        rtt
    } else {
        exchange.user_rtt
    };
    if let Some(rtt_ns) = on_the_wire(exchange, longest) {
        return Sample {
            rtt_ns,
            // What the kernel's figure is longer by was spent in this host's stack and its card.
            host_delay_ns: host_delay_ns.map(|delay| delay.saturating_add(rtt - rtt_ns)),
            tx: Clock::Hardware,
            rx: Clock::Hardware,
            fallback: false,
        };
    }
    Sample {
        rtt_ns: rtt.max(1),
        host_delay_ns,
        tx,
        rx,
        fallback: wanted.card || (wanted.tx && tx == Clock::User) || (wanted.rx && rx == Clock::User),
    }
}

/// The round trip by the card's clock, where it is plausible.
fn on_the_wire(exchange: &Exchange, longest: u64) -> Option<u64> {
    let card = exchange.card?;
    let rtt = card.received.since(card.sent)?;
    (1..=longest).contains(&rtt).then_some(rtt)
}

/// The round trip by whatever stamps there are, where it is plausible.
fn stamped(exchange: &Exchange) -> Option<(u64, Clock, Clock)> {
    if exchange.sent_epoch != exchange.read_epoch {
        return None;
    }
    let (from, until, tx, rx) = match (exchange.tx, exchange.rx) {
        (Some((sent, Clock::Kernel)), Some((received, Clock::Kernel))) => {
            (sent, received, Clock::Kernel, Clock::Kernel)
        }
        (None, Some((received, Clock::Kernel))) => (exchange.sent_wall, received, Clock::User, Clock::Kernel),
        (Some((sent, Clock::Kernel)), None) => (sent, exchange.read_wall, Clock::Kernel, Clock::User),
        _ => return None,
    };
    let rtt = until.since(from)?;
    (rtt <= exchange.user_rtt).then_some((rtt, tx, rx))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Stamps = Stamps {
        tx: true,
        rx: true,
        card: false,
    };
    const WANTED_CARD: Stamps = Stamps { card: true, ..WANTED };

    /// Sent at 1,000, stamped at 1,100, answered at 5,100, read at 9,000.
    fn exchange() -> Exchange {
        Exchange {
            sent_wall: Wall(1_000),
            sent_epoch: 3,
            read_wall: Wall(9_000),
            read_epoch: 3,
            user_rtt: 8_000,
            tx: Some((Wall(1_100), Clock::Kernel)),
            rx: Some((Wall(5_100), Clock::Kernel)),
            rx_delay: 700,
            card: None,
        }
    }

    fn check(exchange: Exchange, rtt_ns: u64, clocks: (Clock, Clock), host_delay_ns: Option<u64>, fallback: bool) {
        let (tx, rx) = clocks;
        assert_eq!(
            sample(&exchange, WANTED),
            Sample {
                rtt_ns,
                host_delay_ns,
                tx,
                rx,
                fallback
            },
            "{exchange:?}"
        );
    }

    #[test]
    fn two_kernel_stamps_give_the_round_trip_and_the_hosts_delay() {
        check(exchange(), 4_000, (Clock::Kernel, Clock::Kernel), Some(800), false);
    }

    #[test]
    fn one_kernel_stamp_goes_with_the_users_wall_clock() {
        check(
            Exchange { tx: None, ..exchange() },
            4_100,
            (Clock::User, Clock::Kernel),
            None,
            true,
        );
        check(
            Exchange { rx: None, ..exchange() },
            7_900,
            (Clock::Kernel, Clock::User),
            None,
            true,
        );
    }

    #[test]
    fn without_stamps_the_monotonic_clock_counts() {
        let bare = Exchange {
            tx: None,
            rx: None,
            read_epoch: 9,
            ..exchange()
        };
        check(bare, 8_000, (Clock::User, Clock::User), None, true);
        assert!(
            !sample(
                &bare,
                Stamps {
                    tx: false,
                    rx: false,
                    card: false
                }
            )
            .fallback,
            "no better clock was in use"
        );
    }

    #[test]
    fn a_stepped_clock_is_never_subtracted_from() {
        let user = (Clock::User, Clock::User);
        check(
            Exchange {
                read_epoch: 4,
                ..exchange()
            },
            8_000,
            user,
            None,
            true,
        );
        // Backwards, and longer than the user saw.
        check(
            Exchange {
                rx: Some((Wall(1_099), Clock::Kernel)),
                ..exchange()
            },
            8_000,
            user,
            None,
            true,
        );
        check(
            Exchange {
                rx: Some((Wall(9_101), Clock::Kernel)),
                ..exchange()
            },
            8_000,
            user,
            None,
            true,
        );
        check(
            Exchange {
                tx: None,
                rx: Some((Wall(999), Clock::Kernel)),
                ..exchange()
            },
            8_000,
            user,
            None,
            true,
        );
        check(
            Exchange {
                rx: Some((Wall(9_100), Clock::Kernel)),
                ..exchange()
            },
            8_000,
            (Clock::Kernel, Clock::Kernel),
            Some(800),
            false,
        );
    }

    /// The card's clock was set to something else altogether.
    fn by_card(sent: u64, received: u64) -> Exchange {
        let card = Some(Card {
            sent: Phc(sent),
            received: Phc(received),
        });
        Exchange { card, ..exchange() }
    }

    #[test]
    fn a_cards_two_stamps_are_the_round_trip_and_the_rest_is_the_hosts_delay() {
        let expected = Sample {
            rtt_ns: 3_000,
            // 800 beyond the kernel's stamps, 1,000 between those and the card's.
            host_delay_ns: Some(1_800),
            tx: Clock::Hardware,
            rx: Clock::Hardware,
            fallback: false,
        };
        assert_eq!(sample(&by_card(70, 3_070), WANTED_CARD), expected);
        // Where the wall clock was stepped meanwhile they count all the same, and what the host added isn't known.
        let stepped = Exchange {
            read_epoch: 4,
            ..by_card(70, 3_070)
        };
        let expected = Sample {
            host_delay_ns: None,
            ..expected
        };
        assert_eq!(sample(&stepped, WANTED_CARD), expected);
        let alone = Exchange {
            tx: None,
            rx: None,
            ..by_card(70, 3_070)
        };
        assert_eq!(sample(&alone, WANTED_CARD), expected);
    }

    #[test]
    fn implausible_stamps_of_a_card_leave_the_kernels_round_trip() {
        // Run backwards, stood still, set forward, and one stamp by another clock: longer than the kernel's 4,000.
        for (sent, received) in [(70, 69), (70, 70), (70, 4_071), (0, u64::MAX), (u64::MAX, 0)] {
            let expected = Sample {
                rtt_ns: 4_000,
                host_delay_ns: Some(800),
                tx: Clock::Kernel,
                rx: Clock::Kernel,
                fallback: true,
            };
            assert_eq!(
                sample(&by_card(sent, received), WANTED_CARD),
                expected,
                "{sent} {received}"
            );
        }
        assert_eq!(
            sample(&by_card(70, 4_070), WANTED_CARD).tx,
            Clock::Hardware,
            "no longer than the kernel's"
        );
        // Without the kernel's, the user's monotonic clock is the bound.
        let alone = |received| Exchange {
            tx: None,
            rx: None,
            ..by_card(70, received)
        };
        assert_eq!(sample(&alone(8_070), WANTED_CARD).rtt_ns, 8_000);
        assert_eq!(sample(&alone(8_071), WANTED_CARD).tx, Clock::User);
    }

    #[test]
    fn a_round_trip_without_the_cards_stamps_is_a_fallback_where_they_are_in_use() {
        let sample = sample(&exchange(), WANTED_CARD);
        assert_eq!(
            (sample.tx, sample.rx, sample.rtt_ns, sample.fallback),
            (Clock::Kernel, Clock::Kernel, 4_000, true)
        );
    }

    #[test]
    fn no_sample_is_zero_and_no_delay_negative() {
        let at_once = Exchange {
            tx: Some((Wall(900), Clock::Kernel)),
            rx: Some((Wall(900), Clock::Kernel)),
            rx_delay: 0,
            ..exchange()
        };
        check(at_once, 1, (Clock::Kernel, Clock::Kernel), Some(0), false);
    }
}
