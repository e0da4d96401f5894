//! The peers file: TOML, `[[peer]]` entries. All faults of a file are reported at once, each with its line.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use smol_str::SmolStr;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::member::{Member, State, canonical, check_address, check_label, unbracketed};

/// Largest peers file read, bytes: room for some 500,000 peers.
pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The gRPC port of an entry that names none: the original's default.
const DEFAULT_PORT: u16 = 4000;

const KEYS: &str = "node, address, port, tcp_port, zone, rack, region";

/// Why a peers file was refused.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be read.
    #[error("peers file {}: can't be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is larger than [`MAX_FILE_BYTES`].
    #[error("peers file {}: {bytes} bytes; accepted: at most {MAX_FILE_BYTES}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Its content is wrong.
    #[error("peers file {}:{}", path.display(), faults.iter().map(|f| format!("\n  {f}")).collect::<String>())]
    Content {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong with it.
        faults: Vec<Fault>,
    },
}

/// One thing that is wrong with a peers file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what is accepted.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// The peers that `text` lists, in its order, or everything that is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Vec<Member>, Vec<Fault>> {
    let mut reader = Reader {
        lines: Lines::new(text),
        faults: Vec::new(),
        base: 0,
    };
    let mut members = Vec::new();
    for piece in pieces(text) {
        reader.piece(piece, &mut members);
        reader.base += piece.len();
    }
    reader.base = 0;
    reader.duplicates(&members);
    let members = members.into_iter().map(|(_, member)| member).collect();
    if reader.faults.is_empty() {
        Ok(members)
    } else {
        reader.faults.sort_by_key(|fault| fault.line);
        Err(reader.faults)
    }
}

/// A parsed file takes some ten times its size until it is read through, so a long one is read in pieces of about this
/// many bytes.
const PIECE: usize = 256 * 1024;

/// Cuts the text before lines that begin with `[[peer]]`. Such a line can begin nothing but an entry, unless it stands
/// in a string of several lines: a file with one of those stays whole.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let whole = text.contains("\"\"\"") || text.contains("'''");
    let mut rest = (!text.is_empty()).then_some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let least = if whole {
            text.len()
        } else {
            text.ceil_char_boundary(PIECE)
        };
        let (piece, more) = match text[least..].find("\n[[peer]]") {
            Some(at) => text.split_at(least + at + 1),
            None => (text, ""),
        };
        rest = (!more.is_empty()).then_some(more);
        Some(piece)
    })
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Lines(
            std::iter::once(0)
                .chain(text.match_indices('\n').map(|(at, _)| at + 1))
                .collect(),
        )
    }

    fn of(&self, offset: usize) -> usize {
        self.0.partition_point(|&start| start <= offset)
    }
}

struct Reader {
    lines: Lines,
    faults: Vec<Fault>,
    /// Where the piece begins.
    base: usize,
}

impl Reader {
    /// `offset` is within the piece.
    fn fault(&mut self, offset: usize, what: String) {
        self.faults.push(Fault {
            line: self.lines.of(self.base + offset),
            what,
        });
    }

    fn piece(&mut self, text: &str, members: &mut Vec<(usize, Member)>) {
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                self.fault(
                    error.span().map_or(0, |span| span.start),
                    format!("no valid TOML: {}", error.message()),
                );
                return;
            }
        };
        for (key, value) in table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("peer", DeValue::Array(entries)) => {
                    for entry in entries.iter() {
                        match entry.get_ref() {
                            DeValue::Table(table) => self.entry(entry.span().start, table, members),
                            _ => self.fault(
                                entry.span().start,
                                "peer is no table; accepted: [[peer]] entries".to_owned(),
                            ),
                        }
                    }
                }
                ("peer", _) => self.fault(
                    value.span().start,
                    "peer is no list; accepted: [[peer]] entries".to_owned(),
                ),
                (other, _) => self.fault(
                    key.span().start,
                    format!("unknown key {other:?}; accepted: [[peer]] entries"),
                ),
            }
        }
    }

    fn entry(&mut self, at: usize, table: &DeTable<'_>, members: &mut Vec<(usize, Member)>) {
        let before = self.faults.len();
        for (key, _) in table.iter() {
            if !KEYS.split(", ").any(|known| known == key.get_ref().as_ref()) {
                self.fault(
                    key.span().start,
                    format!("unknown key {:?} of a peer; accepted: {KEYS}", key.get_ref()),
                );
            }
        }
        let node = self.text(at, table, "node", true);
        let address = self.text(at, table, "address", true);
        let port = self.port(table, "port").unwrap_or(DEFAULT_PORT);
        let member = Member {
            node,
            address: unbracketed(&address).into(),
            port,
            tcp_port: self.port(table, "tcp_port").unwrap_or(port),
            zone: self.text(at, table, "zone", false),
            rack: self.text(at, table, "rack", false),
            region: self.text(at, table, "region", false),
            version: SmolStr::default(),
            boot_id: SmolStr::default(),
            state: State::Serving,
            original: false,
        };
        if self.faults.len() == before {
            members.push((self.base + at, member));
        }
    }

    fn text(&mut self, at: usize, table: &DeTable<'_>, key: &str, required: bool) -> SmolStr {
        let Some(value) = table.get(key) else {
            if required {
                self.fault(at, format!("this peer has no {key}; accepted: {key} = \"...\""));
            }
            return SmolStr::default();
        };
        let DeValue::String(text) = value.get_ref() else {
            self.fault(
                value.span().start,
                format!("{key} is no string; accepted: {key} = \"...\""),
            );
            return SmolStr::default();
        };
        let checked = match key {
            "address" => check_address(text),
            _ if required && text.is_empty() => Err("is empty; accepted: a name".to_owned()),
            _ => check_label(text),
        };
        if let Err(why) = checked {
            self.fault(value.span().start, format!("{key} {why}"));
        }
        text.as_ref().into()
    }

    fn port(&mut self, table: &DeTable<'_>, key: &str) -> Option<u16> {
        let value: &Spanned<DeValue<'_>> = table.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => {
                self.fault(value.span().start, format!("{key} is no integer; accepted: 1 to 65535"));
                return None;
            }
        };
        match number.and_then(|number| u16::try_from(number).ok()) {
            Some(port) if port != 0 => Some(port),
            _ => {
                let DeValue::Integer(number) = value.get_ref() else {
                    return None;
                };
                self.fault(value.span().start, format!("{key} is {number}; accepted: 1 to 65535"));
                None
            }
        }
    }

    /// Of the whole file; the offsets are within it.
    fn duplicates(&mut self, members: &[(usize, Member)]) {
        let mut nodes = HashMap::new();
        let mut addresses = HashMap::new();
        for (at, member) in members {
            let line = self.lines.of(*at);
            if let Some(first) = nodes.insert(member.node.as_str(), line) {
                let what = format!(
                    "node {:?} stands in line {first} already; accepted: each node once",
                    member.node
                );
                self.fault(*at, what);
            }
            if let Some(first) = addresses.insert((canonical(&member.address), member.port), line) {
                let what = format!(
                    "{} stands in line {first} already; accepted: each address and port once",
                    member.authority()
                );
                self.fault(*at, what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_read_in_pieces_and_its_lines_keep_their_numbers() {
        let entry = |n: usize| {
            format!(
                "[[peer]]\nnode = \"n{n}\"\naddress = \"10.{}.{}.1\"\n",
                n / 256,
                n % 256
            )
        };
        let mut text: String = (0..20_000).map(entry).collect();
        assert!(pieces(&text).count() > 2 && pieces(&text).collect::<String>() == text);
        let members = parse(&text).unwrap();
        assert!(members.len() == 20_000 && members[19_999].node == "n19999");
        text.push_str(
            "[[peer]]\nnode = \"n0\"\naddress = \"10.0.0.1\"\nport = 0\n[[peer]]\nnode = \"n7\"\naddress = \"a\"\n",
        );
        let faults = parse(&text).unwrap_err();
        let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [60_004, 60_005], "{faults:?}");
        assert!(faults[1].what.contains("stands in line 22 already"), "{faults:?}");
        // What looks like an entry in a string of several lines is none.
        let text = format!(
            "[[peer]]\nnode = \"a\"\naddress = \"b\"\nzone = \"\"\"{}\n[[peer]]\n\"\"\"\n",
            "x".repeat(PIECE)
        );
        assert_eq!(pieces(&text).count(), 1);
    }

    #[test]
    fn the_contracts_example_is_read() {
        let peers =
            parse("[[peer]]\nnode=\"b\"\naddress=\"10.0.0.2\" \nport=4000\nzone=\"z1\"\nrack=\"r1\"\n").unwrap();
        assert_eq!(peers.len(), 1);
        let b = &peers[0];
        assert_eq!(
            (b.node.as_str(), b.address.as_str(), b.port, b.tcp_port),
            ("b", "10.0.0.2", 4000, 4000)
        );
        assert_eq!((b.zone.as_str(), b.rack.as_str(), b.original), ("z1", "r1", false));
    }

    #[test]
    fn empty_files_and_left_out_labels_are_valid() {
        assert_eq!(parse("").unwrap(), vec![]);
        assert_eq!(parse("# nobody\n").unwrap(), vec![]);
        assert_eq!(parse("peer = []").unwrap(), vec![]);
        let peers = parse("[[peer]]\nnode='b'\naddress='[::1]'\ntcp_port=0x50\n").unwrap();
        assert_eq!(
            (peers[0].address.as_str(), peers[0].port, peers[0].tcp_port),
            ("::1", 4000, 80)
        );
    }

    #[test]
    fn every_fault_is_reported_with_its_line() {
        let text = "colour = 1\n\
                    [[peer]]\nnode = 'a'\naddress = '10.0.0.1'\nport = 0\nweight = 3\n\
                    [[peer]]\naddress = 'b c'\nport = 70000\n\
                    [[peer]]\nnode = 7\naddress = '10.0.0.3'\nport = '4000'\n\
                    [[peer]]\nnode = ''\naddress = ''\nport = 99999999999999999999\n";
        let faults = parse(text).unwrap_err();
        let seen: Vec<(usize, &str)> = faults
            .iter()
            .map(|f| (f.line, f.what.split([';', ' ']).next().unwrap()))
            .collect();
        assert_eq!(
            seen,
            vec![
                (1, "unknown"),
                (5, "port"),
                (6, "unknown"),
                (7, "this"),
                (8, "address"),
                (9, "port"),
                (11, "node"),
                (13, "port"),
                (15, "node"),
                (16, "address"),
                (17, "port"),
            ],
            "{faults:#?}"
        );
        assert!(
            faults
                .iter()
                .all(|fault| fault.what.contains("accepted") || fault.what.contains("neither"))
        );
    }

    #[test]
    fn duplicates_are_refused() {
        let twice = |a: &str, b: &str| parse(&format!("[[peer]]\n{a}\n[[peer]]\n{b}\n"));
        let same_node = twice("node='a'\naddress='10.0.0.1'", "node='a'\naddress='10.0.0.2'").unwrap_err();
        assert_eq!((same_node.len(), same_node[0].line), (1, 4));
        assert!(same_node[0].what.contains("line 1"), "{same_node:?}");
        assert_eq!(
            twice("node='a'\naddress='H'", "node='b'\naddress='h'")
                .unwrap_err()
                .len(),
            1
        );
        assert_eq!(
            twice("node='a'\naddress='h'", "node='b'\naddress='h'\nport=1")
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn what_is_no_toml_is_refused_with_its_line() {
        for (text, line) in [
            ("[[peer]\n", 1),
            ("\n\nnode", 3),
            ("[[peer]]\nnode='a'\nnode='b'", 3),
            ("[peer]\nnode='a'", 1),
        ] {
            let faults = parse(text).unwrap_err();
            assert_eq!(faults[0].line, line, "{text:?} {faults:?}");
        }
        assert_eq!(parse("peer = [1, 2]").unwrap_err().len(), 2);
    }
}
