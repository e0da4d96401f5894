//! The network cards' own clocks: which interfaces can stamp every packet on both ways, and which do.
//!
//! Finding out changes nothing. A card's state is host-wide, and other programs (PTP) may depend on it, so it is changed only
//! where the configuration asks for that. Stamps of different cards are by different clocks and would look the same to a
//! socket: they are used only where all that come are by one clock.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::str::FromStr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::sys;

/// Whether the network card's time stamps are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CardStamps {
    /// No.
    Off,
    /// Where the card is set to stamp every packet already.
    #[default]
    Use,
    /// The same, and a card that can is set to it.
    Configure,
}

impl CardStamps {
    /// Every value's word.
    pub const WORDS: [&'static str; 3] = ["off", "use", "configure"];
}

impl FromStr for CardStamps {
    type Err = String;

    fn from_str(text: &str) -> Result<CardStamps, String> {
        match text {
            "off" => Ok(CardStamps::Off),
            "use" => Ok(CardStamps::Use),
            "configure" => Ok(CardStamps::Configure),
            _ => Err(format!("{text:?} is none of {}", CardStamps::WORDS.join(", "))),
        }
    }
}

impl fmt::Display for CardStamps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CardStamps::WORDS[*self as usize])
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The clock whose stamps can be used.
    pub phc: Option<u32>,
    /// What was found and done, for the log; nothing where nothing was asked for.
    pub note: Option<String>,
}

/// Looks for a network card whose stamps can be used, in this network namespace, and sets it to give them where that is asked for.
#[must_use]
pub fn find(wanted: CardStamps) -> Found {
    if wanted == CardStamps::Off {
        return Found::default();
    }
    let (phc, note) = match interfaces() {
        Ok(interfaces) => choose(wanted, &interfaces, &mut configure),
        Err(error) => (None, format!("the interfaces can't be listed: {error}")),
    };
    let what = if phc.is_some() { "are used" } else { "can't be used" };
    Found {
        phc,
        note: Some(format!("the network card's time stamps {what}: {note}")),
    }
}

/// An interface that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    name: String,
    /// The clock it can stamp every packet by, on both ways.
    clock: Option<u32>,
    /// Whether it is set to do so.
    is_on: bool,
}

fn choose(
    wanted: CardStamps,
    interfaces: &[Interface],
    configure: &mut impl FnMut(&str) -> io::Result<()>,
) -> (Option<u32>, String) {
    let mut able: Vec<_> = interfaces.iter().filter(|i| i.clock.is_some()).cloned().collect();
    if able.is_empty() {
        return (
            None,
            format!(
                "none of the {} interfaces that are up can stamp every packet",
                interfaces.len()
            ),
        );
    }
    if wanted == CardStamps::Configure {
        let off: Vec<_> = able.iter_mut().filter(|i| !i.is_on).collect();
        if !off.is_empty() && clocks(interfaces).len() > 1 {
            return (
                None,
                format!(
                    "{} are by different clocks, so none is set to stamp every packet",
                    list(interfaces)
                ),
            );
        }
        for interface in off {
            if let Err(error) = configure(&interface.name) {
                return (
                    None,
                    format!(
                        "setting {} to stamp every packet failed: {error}; it needs the capability CAP_NET_ADMIN on the \
                         host's network",
                        interface.name
                    ),
                );
            }
            interface.is_on = true;
        }
    }
    able.retain(|i| i.is_on);
    let clocks = clocks(&able);
    match clocks.first() {
        None => (
            None,
            format!(
                "{} can stamp every packet, but {} not set to: hardware_timestamps = \"configure\" does it, or `hwstamp_ctl -i \
                 INTERFACE -t 1 -r 1`",
                list(interfaces),
                if interfaces.iter().filter(|i| i.clock.is_some()).count() > 1 {
                    "are"
                } else {
                    "is"
                }
            ),
        ),
        Some(_) if clocks.len() > 1 => (None, format!("{} are by different clocks", list(&able))),
        Some(clock) => (Some(*clock), list(&able)),
    }
}

fn clocks(interfaces: &[Interface]) -> BTreeSet<u32> {
    interfaces.iter().filter_map(|interface| interface.clock).collect()
}

/// Those that can, with their clocks.
fn list(interfaces: &[Interface]) -> String {
    let named: Vec<_> = interfaces
        .iter()
        .filter_map(|i| Some(format!("{} (phc{})", i.name, i.clock?)))
        .collect();
    named.join(" and ")
}

/// All that are up, but loopback.
fn interfaces() -> io::Result<Vec<Interface>> {
    let wanted =
        |flags: InterfaceFlags| flags.contains(InterfaceFlags::IFF_UP) && !flags.contains(InterfaceFlags::IFF_LOOPBACK);
    // One entry for each address.
    let names: BTreeSet<String> = getifaddrs()?
        .filter(|entry| wanted(entry.flags))
        .map(|entry| entry.interface_name)
        .collect();
    let socket = any_socket()?;
    let looked_at = |name: String| {
        // Whoever can't tell what it stamps doesn't.
        let clock = Ability::read(&socket, &name).ok().and_then(Ability::clock);
        let is_on = clock.is_some() && Setting::read(&socket, &name).is_ok_and(Setting::is_every_packet);
        Interface { name, clock, is_on }
    };
    Ok(names.into_iter().map(looked_at).collect())
}

/// A socket to ask about interfaces through: any will do, and a host may lack either IP version.
fn any_socket() -> io::Result<UdpSocket> {
    UdpSocket::bind("0.0.0.0:0").or_else(|_| UdpSocket::bind("[::]:0"))
}

/// Sets a card to stamp every packet.
fn configure(name: &str) -> io::Result<()> {
    let socket = any_socket()?;
    let granted = Setting::every_packet().write(&socket, name)?;
    if granted.is_every_packet() {
        Ok(())
    } else {
        Err(io::Error::other("the card stamps some packets only"))
    }
}

/// `ETHTOOL_GET_TS_INFO` [linux/ethtool.h], which reads alone and needs no privilege.
const GET_TS_INFO: u32 = 0x41;
/// `HWTSTAMP_TX_ON`, `HWTSTAMP_FILTER_ALL` [linux/net_tstamp.h].
const TX_ON: u32 = 1;
const FILTER_ALL: u32 = 1;

/// What an interface can stamp: `struct ethtool_ts_info` [linux/ethtool.h].
#[derive(Clone, Copy, Debug)]
struct Ability([u8; 44]);

impl Ability {
    fn read(socket: &UdpSocket, name: &str) -> io::Result<Ability> {
        let mut info = [0; 44];
        info[..4].copy_from_slice(&GET_TS_INFO.to_ne_bytes());
        sys::interface_call(socket.as_fd(), sys::SIOCETHTOOL, name, &mut info)?;
        Ok(Ability(info))
    }

    /// The clock by which it can stamp every packet on both ways and tell the reading as it is.
    fn clock(self) -> Option<u32> {
        const NEEDED: u32 = libc::SOF_TIMESTAMPING_TX_HARDWARE
            | libc::SOF_TIMESTAMPING_RX_HARDWARE
            | libc::SOF_TIMESTAMPING_RAW_HARDWARE;
        let able = word(&self.0, 4) & NEEDED == NEEDED;
        let both = word(&self.0, 12) & (1 << TX_ON) != 0 && word(&self.0, 28) & (1 << FILTER_ALL) != 0;
        // -1 where it has no clock of its own.
        u32::try_from(word(&self.0, 8) as i32).ok().filter(|_| able && both)
    }
}

/// What an interface is set to stamp: `struct hwtstamp_config` [linux/net_tstamp.h].
#[derive(Clone, Copy, Debug)]
struct Setting([u8; 12]);

impl Setting {
    fn every_packet() -> Setting {
        let mut setting = [0; 12];
        setting[4..8].copy_from_slice(&TX_ON.to_ne_bytes());
        setting[8..].copy_from_slice(&FILTER_ALL.to_ne_bytes());
        Setting(setting)
    }

    fn read(socket: &UdpSocket, name: &str) -> io::Result<Setting> {
        let mut setting = [0; 12];
        sys::interface_call(socket.as_fd(), sys::SIOCGHWTSTAMP, name, &mut setting)?;
        Ok(Setting(setting))
    }

    /// Returns what the card made of it.
    fn write(mut self, socket: &UdpSocket, name: &str) -> io::Result<Setting> {
        sys::interface_call(socket.as_fd(), sys::SIOCSHWTSTAMP, name, &mut self.0)?;
        Ok(self)
    }

    fn is_every_packet(self) -> bool {
        word(&self.0, 4) == TX_ON && word(&self.0, 8) == FILTER_ALL
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, clock: Option<u32>, is_on: bool) -> Interface {
        let name = name.to_owned();
        Interface { name, clock, is_on }
    }

    /// The choice, what was said of it, and which cards were set.
    fn chosen(wanted: CardStamps, interfaces: &[Interface]) -> (Option<u32>, String, Vec<String>) {
        let mut set = Vec::new();
        let (phc, note) = choose(wanted, interfaces, &mut |name| {
            set.push(name.to_owned());
            Ok(())
        });
        (phc, note, set)
    }

    #[test]
    fn a_card_is_used_as_it_is_set_and_set_only_where_asked() {
        let (eth0, on, other) = (
            interface("eth0", Some(0), false),
            interface("eth1", Some(1), true),
            interface("veth3", None, false),
        );
        let both = [eth0.clone(), on.clone(), other.clone()];
        assert_eq!(
            chosen(CardStamps::Use, &both),
            (Some(1), "eth1 (phc1)".to_owned(), vec![])
        );
        let (phc, note, set) = chosen(CardStamps::Use, &[eth0.clone(), other.clone()]);
        assert_eq!((phc, set.len()), (None, 0));
        assert!(
            note.contains("eth0 (phc0) can stamp every packet, but is not set to"),
            "{note}"
        );
        let alone = [eth0, other.clone()];
        assert_eq!(
            chosen(CardStamps::Configure, &alone),
            (Some(0), "eth0 (phc0)".to_owned(), vec!["eth0".to_owned()])
        );
        let (phc, note, set) = chosen(CardStamps::Configure, &both);
        assert_eq!((phc, set.len()), (None, 0), "{note}");
        assert!(
            note.contains("eth0 (phc0) and eth1 (phc1) are by different clocks"),
            "{note}"
        );
        let (phc, note, _) = chosen(CardStamps::Configure, &[other.clone(), other]);
        assert_eq!(phc, None);
        assert!(note.contains("none of the 2 interfaces"), "{note}");
    }

    #[test]
    fn stamps_by_different_clocks_are_not_used_and_two_ports_of_one_clock_are() {
        let two = |second| [interface("a", Some(0), true), interface("b", Some(second), true)];
        assert_eq!(chosen(CardStamps::Use, &two(0)).0, Some(0));
        let (phc, note, _) = chosen(CardStamps::Use, &two(3));
        assert_eq!(
            (phc, note.as_str()),
            (None, "a (phc0) and b (phc3) are by different clocks")
        );
    }

    #[test]
    fn a_card_that_refuses_is_named() {
        let mut refuse = |_: &str| Err(io::Error::from_raw_os_error(libc::EPERM));
        let (phc, note) = choose(CardStamps::Configure, &[interface("eth0", Some(0), false)], &mut refuse);
        assert_eq!(phc, None);
        assert!(note.contains("eth0") && note.contains("CAP_NET_ADMIN"), "{note}");
    }

    /// `ethtool -T` of an Intel I210 as the kernel lays it out, made by hand from its driver (igb_ethtool.c).
    #[test]
    fn abilities_are_read() {
        let info = |so: u32, phc: i32, tx: u32, rx: u32| {
            let mut bytes = [0; 44];
            for (at, word) in [(0, GET_TS_INFO), (4, so), (8, phc as u32), (12, tx), (28, rx)] {
                bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
            }
            Ability(bytes)
        };
        assert_eq!(info(0x5f, 0, 0b11, 0b11).clock(), Some(0));
        assert_eq!(info(0x5f, 7, 0b11, u32::MAX).clock(), Some(7));
        // Software only; no transmit stamps; no clock; PTP packets alone.
        for no in [
            info(0x1a, -1, 0, 0),
            info(0x5e, 0, 0b11, 0b11),
            info(0x5f, -1, 0b11, 0b11),
            info(0x5f, 0, 0b11, 0x1008),
        ] {
            assert_eq!(no.clock(), None);
        }
    }

    #[test]
    fn settings_are_read() {
        assert!(Setting::every_packet().is_every_packet());
        assert_eq!(
            Setting::every_packet().0,
            [[0; 4], 1_u32.to_ne_bytes(), 1_u32.to_ne_bytes()].concat()[..]
        );
        assert!(!Setting([0; 12]).is_every_packet());
    }

    #[test]
    fn words_are_read_back() {
        for word in CardStamps::WORDS {
            assert_eq!(word.parse::<CardStamps>().unwrap().to_string(), word);
        }
        assert!("on".parse::<CardStamps>().unwrap_err().contains("off, use, configure"));
        assert_eq!(CardStamps::default(), CardStamps::Use);
    }

    /// This host's own interfaces, whatever they are: reading asks for no right and changes nothing.
    #[test]
    fn loopback_stamps_by_software() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ability = Ability::read(&socket, "lo").unwrap();
        assert_eq!(ability.clock(), None);
        let software = libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_RX_SOFTWARE;
        assert_eq!(word(&ability.0, 4) & software, software, "the struct is the kernel's");
        assert_eq!(word(&ability.0, 8) as i32, -1);
        assert!(Setting::read(&socket, "lo").is_err());
        let error = Ability::read(&socket, "there-is-none").unwrap_err();
        assert_eq!(sys::errno(&error), libc::ENODEV);
        assert!(Ability::read(&socket, "a name that is much too long").is_err());
        assert_eq!(find(CardStamps::Off), Found::default());
    }
}
