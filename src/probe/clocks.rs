//! Which clocks may be subtracted from one another, and what a probe's sample is by them.
//!
//! Kernel stamps are readings of `CLOCK_REALTIME`, which can be stepped. Their difference counts only where the user's
//! clock readings around it are of the same epoch (no step in between), where it isn't negative, and where it isn't
//! longer than what the user's monotonic clock saw around it. Otherwise the user's clocks are taken, and the sample
//! says so. A network card's stamps are of a clock of its own and are compared with none but its own.

use crate::event::Sample;
use crate::kind::Clock;
use crate::time::Wall;

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
}

/// Which stamps the socket was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps {
    pub(crate) tx: bool,
    pub(crate) rx: bool,
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
    Sample {
        rtt_ns: rtt.max(1),
        host_delay_ns,
        tx,
        rx,
        fallback: (wanted.tx && tx == Clock::User) || (wanted.rx && rx == Clock::User),
    }
}

/// The round trip by whatever stamps there are, where it is plausible.
fn stamped(exchange: &Exchange) -> Option<(u64, Clock, Clock)> {
    if exchange.sent_epoch != exchange.read_epoch {
        return None;
    }
    let (from, until, tx, rx) = match (exchange.tx, exchange.rx) {
        (Some((sent, tx)), Some((received, rx))) if tx == rx => (sent, received, tx, rx),
        (None, Some((received, Clock::Kernel))) => (exchange.sent_wall, received, Clock::User, Clock::Kernel),
        (Some((sent, Clock::Kernel)), None) => (sent, exchange.read_wall, Clock::Kernel, Clock::User),
        _ => return None,
    };
    let rtt = until.since(from)?;
    (rtt <= exchange.user_rtt).then_some((rtt, tx, rx))
}
