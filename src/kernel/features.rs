//! What the kernel may be asked for. Everything is asked for by default and does without where it is refused;
//! the switches exist so that each fallback can be tested on a kernel that has it all.

use std::fmt;
use std::str::FromStr;

/// Which kernel features may be used. `Features::default()` allows all of them.
///
/// Parsed from a comma-separated list of the features to turn *off*: `"ts-opt-id,raw"`; `""` turns none off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    off: u16,
}

macro_rules! features {
    ($($bit:literal $method:ident $word:literal $doc:literal;)+) => {
        impl Features {
            /// Every feature's word and what turning it off does.
            pub const ALL: &'static [(&'static str, &'static str)] = &[$(($word, $doc)),+];

            $(
                #[doc = concat!("Whether `", $word, "` is allowed. Off: ", $doc, ".")]
                #[must_use]
                pub fn $method(self) -> bool {
                    self.off & (1 << $bit) == 0
                }
            )+

            fn bit(word: &str) -> Option<u16> {
                match word {
                    $($word => Some(1 << $bit),)+
                    _ => None,
                }
            }
        }
    };
}

features! {
    0 ts_opt_id "ts-opt-id" "transmit stamps bring the packet back instead of its key (kernels before 6.13)";
    1 tx_stamps "tx-stamps" "no kernel transmit stamps";
    2 rx_stamps "rx-stamps" "no kernel receive stamps";
    3 rcvbufforce "rcvbufforce" "the receive buffer is bounded by net.core.rmem_max (no CAP_NET_ADMIN)";
    4 raw "raw" "ICMP by datagram (ping) sockets";
    5 errqueue "errqueue" "ICMP errors about probes aren't seen";
    6 syn "syn" "TCP by connect()";
    7 rxq_ovfl "rxq-ovfl" "the receive buffer's drops aren't counted";
}

impl Features {
    /// These features without the one of this name.
    ///
    /// # Errors
    /// [`UnknownFeature`] where there is no such feature.
    pub fn without(self, word: &str) -> Result<Features, UnknownFeature> {
        match Features::bit(word) {
            Some(bit) => Ok(Features { off: self.off | bit }),
            None => Err(UnknownFeature { got: word.to_owned() }),
        }
    }
}

impl FromStr for Features {
    type Err = UnknownFeature;

    fn from_str(list: &str) -> Result<Features, UnknownFeature> {
        list.split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .try_fold(Features::default(), Features::without)
    }
}

/// The features turned off, as [`FromStr`] reads them.
impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (word, _) in Features::ALL {
            if Features::bit(word).is_some_and(|bit| self.off & bit != 0) {
                write!(f, "{separator}{word}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

/// A word that names no feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFeature {
    got: String,
}

impl std::error::Error for UnknownFeature {}

impl fmt::Display for UnknownFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown kernel feature {:?} to turn off; accepted:", self.got)?;
        for (index, (word, _)) in Features::ALL.iter().enumerate() {
            write!(f, "{} {word}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_on_until_turned_off() {
        let all = Features::default();
        assert!(all.ts_opt_id() && all.tx_stamps() && all.rx_stamps() && all.rcvbufforce());
        assert!(all.raw() && all.errqueue() && all.syn() && all.rxq_ovfl());
        let some: Features = " ts-opt-id, raw ,".parse().unwrap();
        assert!(!some.ts_opt_id() && !some.raw() && some.tx_stamps());
        assert_eq!(some.to_string(), "ts-opt-id,raw");
    }

    #[test]
    fn every_word_turns_exactly_itself_off_and_reads_back() {
        for (word, _) in Features::ALL {
            let one: Features = word.parse().unwrap();
            assert_eq!(one.to_string(), *word);
            assert_eq!(one.off.count_ones(), 1);
        }
        assert_eq!("".parse(), Ok(Features::default()));
    }

    #[test]
    fn an_unknown_word_is_named_with_what_is_accepted() {
        let error = "raw,hardware".parse::<Features>().unwrap_err().to_string();
        assert!(
            error.contains("\"hardware\"") && error.contains("ts-opt-id, tx-stamps"),
            "{error}"
        );
    }
}
