//! From what stands on the command line or in a file to addresses, in input order.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use dt_agent::config::is_one_host;
use smol_str::SmolStr;

/// How many names are looked up side by side: a dead name server must not make a list of names take for ever.
const LOOKUPS: usize = 16;
/// The longest line accepted in a target file: the longest DNS name, a port, and room for a comment.
const LONGEST_LINE: usize = 1024;

/// One target as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// As written.
    pub(crate) name: SmolStr,
    /// Where in `name` the host stands, without port and brackets.
    host: Range<u16>,
    /// The port, 0 where none applies.
    port: u16,
}

impl Target {
    /// `host` is a part of `text`.
    fn new(text: &str, host: &str, port: u16) -> Option<Target> {
        let start = u16::try_from(text.find(host)?).ok()?;
        let end = start.checked_add(u16::try_from(host.len()).ok()?)?;
        Some(Target {
            name: text.into(),
            host: start..end,
            port,
        })
    }

    fn host(&self) -> &str {
        self.name
            .get(usize::from(self.host.start)..usize::from(self.host.end))
            .unwrap_or_default()
    }
}

/// A target's address as it is kept while 100,000 of them are probed: the port stands with the [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    ip: IpAddr,
    /// Which link a link-local address is on, 0 where that doesn't apply.
    scope: u32,
}

const _: () = assert!(size_of::<Option<Kept>>() <= 24);

impl From<SocketAddr> for Kept {
    fn from(address: SocketAddr) -> Kept {
        let scope = match address {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        Kept {
            ip: address.ip(),
            scope,
        }
    }
}

impl Kept {
    /// With the port of its target.
    pub(super) fn of(self, target: &Target) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddr::new(ip.into(), target.port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, target.port, 0, self.scope).into(),
        }
    }
}

/// Which addresses of a name may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    Any,
    V4,
    V6,
}

impl Families {
    fn admits(self, ip: IpAddr) -> bool {
        match self {
            Families::Any => true,
            Families::V4 => ip.is_ipv4(),
            Families::V6 => ip.is_ipv6(),
        }
    }
}

/// Reads `text` as a name, an address or `host:port` (`[v6]:port`). `port` is what `--port` says; `tcp` whether a port
/// is needed at all.
///
/// # Errors
/// A message that names the target and what is accepted.
pub(crate) fn parse(text: &str, tcp: bool, port: Option<u16>) -> Result<Target, String> {
    let bad = |why: &str| format!("target {text:?}: {why}; accepted: a name, an address, host:port or [v6]:port");
    if text.parse::<IpAddr>().is_ok_and(|ip| !is_one_host(ip)) {
        return Err(bad("no single host's address (unspecified, multicast or broadcast)"));
    }
    if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(bad("empty or with blanks in it"));
    }
    let (host, own) = if text.parse::<IpAddr>().is_ok() {
        (text, None)
    } else if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(|| bad("'[' without ']'"))?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(bad("what stands in brackets is no IPv6 address"));
        }
        (
            host,
            if after.is_empty() {
                None
            } else {
                Some(after.strip_prefix(':').ok_or_else(|| bad("no ':' after ']'"))?)
            },
        )
    } else {
        match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => return Err(bad("too many ':'")),
            Some((host, own)) => (host, Some(own)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err(bad("no host before ':'"));
    }
    let own = match own {
        None => None,
        Some(digits) => match digits.parse::<u16>() {
            Ok(number) if number > 0 => Some(number),
            _ => return Err(bad("the port is not in 1..65535")),
        },
    };
    let port = match (tcp, own.or(port)) {
        (true, None) => {
            return Err(format!(
                "target {text:?}: --proto tcp needs a port: write host:port or add --port N"
            ));
        }
        (true, Some(port)) => port,
        (false, _) if own.is_some() => return Err(format!("target {text:?}: a port needs --proto tcp; ICMP has none")),
        (false, _) => 0,
    };
    Target::new(text, host, port).ok_or_else(|| bad("too long"))
}

/// So many faults of a file are told one by one: of a file that is none of targets, every line is one.
const MOST_FAULTS: usize = 100;

/// Reads targets from a file (`-` is standard input), one a line; what follows `#` is a comment.
///
/// # Errors
/// The faults of the file at once, a line each: the first [`MOST_FAULTS`], and how many more there are.
pub(crate) fn read_file(path: &Path, tcp: bool, port: Option<u16>) -> Result<Vec<Target>, Vec<String>> {
    let open: std::io::Result<Box<dyn Read>> = if path.as_os_str() == "-" {
        Ok(Box::new(std::io::stdin()))
    } else {
        std::fs::File::open(path).map(|f| Box::new(f) as Box<dyn Read>)
    };
    let file = open.map_err(|e| vec![format!("target file {}: can't be opened: {e}", path.display())])?;
    read_lines(BufReader::new(file), &path.display().to_string(), tcp, port)
}

fn read_lines(mut from: impl BufRead, name: &str, tcp: bool, port: Option<u16>) -> Result<Vec<Target>, Vec<String>> {
    let (mut targets, mut errors, mut line, mut number) = (Vec::new(), Vec::new(), Vec::new(), 0_u64);
    let mut untold = 0_u64;
    let mut fault = |number: u64, why: &dyn Display| {
        if errors.len() < MOST_FAULTS {
            errors.push(format!("{name}:{number}: {why}"));
        } else {
            untold += 1;
        }
    };
    loop {
        line.clear();
        number += 1;
        match from.by_ref().take(LONGEST_LINE as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(read) if read > LONGEST_LINE => {
                fault(number, &format!("longer than {LONGEST_LINE} bytes"));
                break;
            }
            Ok(_) => {}
            Err(e) => {
                fault(number, &format!("can't be read: {e}"));
                break;
            }
        }
        let Ok(text) = std::str::from_utf8(&line) else {
            fault(number, &"not UTF-8");
            continue;
        };
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        match parse(text, tcp, port) {
            Ok(target) => targets.push(target),
            Err(why) => fault(number, &why),
        }
    }
    if untold > 0 {
        errors.push(format!("{name}: {untold} more lines with faults"));
    }
    if errors.is_empty() { Ok(targets) } else { Err(errors) }
}

/// Looks all targets up, at most [`LOOKUPS`] at a time; the answers stand in input order.
pub(crate) fn resolve(targets: &[Target], families: Families) -> Vec<Result<SocketAddr, String>> {
    let mut answers: Vec<Option<Result<SocketAddr, String>>> = targets.iter().map(|t| literal(t, families)).collect();
    let names: Vec<usize> = (0..targets.len()).filter(|i| answers[*i].is_none()).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..LOOKUPS.min(names.len()))
            .map(|_| {
                scope.spawn(|| {
                    let mut found = Vec::new();
                    while let Some(&i) = names.get(next.fetch_add(1, Relaxed)) {
                        found.push((i, look_up(&targets[i], families)));
                    }
                    found
                })
            })
            .collect();
        for worker in workers {
            for (i, answer) in worker.join().unwrap_or_default() {
                answers[i] = Some(answer);
            }
        }
    });
    answers
        .into_iter()
        .map(|a| a.unwrap_or_else(|| Err("the look-up failed".to_owned())))
        .collect()
}

fn literal(target: &Target, families: Families) -> Option<Result<SocketAddr, String>> {
    let ip: IpAddr = target.host().parse().ok()?;
    Some(if families.admits(ip) {
        Ok(SocketAddr::new(ip, target.port))
    } else {
        Err(format!("{}: not of the asked address family", target.name))
    })
}

fn look_up(target: &Target, families: Families) -> Result<SocketAddr, String> {
    let mut found = (target.host(), target.port)
        .to_socket_addrs()
        .map_err(|e| format!("{}: can't be resolved: {e}", target.name))?;
    found
        .find(|a| families.admits(a.ip()) && is_one_host(a.ip()))
        .ok_or_else(|| format!("{}: has no address of a single host of the asked family", target.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Result<(String, u16), String> {
        parse(text, true, Some(80)).map(|t| (t.host().to_owned(), t.port))
    }

    #[test]
    fn a_target_is_a_name_an_address_or_a_host_and_port() {
        assert_eq!(tcp("example"), Ok(("example".into(), 80)));
        assert_eq!(tcp("example:4000"), Ok(("example".into(), 4000)));
        assert_eq!(tcp("10.0.0.1:1"), Ok(("10.0.0.1".into(), 1)));
        assert_eq!(tcp("::1"), Ok(("::1".into(), 80)));
        assert_eq!(tcp("[::1]:4000"), Ok(("::1".into(), 4000)));
        assert_eq!(tcp("[::1]"), Ok(("::1".into(), 80)));
        assert_eq!(parse("::1", false, None).map(|t| t.port), Ok(0));
    }

    #[test]
    fn what_is_none_names_itself_and_what_is_accepted() {
        for text in [
            "", "a b", "a:", "a:0", "a:65536", "a:x", ":80", "[::1", "[x]:1", "[::1]80", "a:b:c",
        ] {
            let error = tcp(text).expect_err(text);
            assert!(error.contains("accepted"), "{text}: {error}");
            assert!(error.contains(&format!("{text:?}")), "{text}: {error}");
        }
        for text in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"] {
            assert!(tcp(text).expect_err(text).contains("single host"), "{text}");
        }
        assert!(parse("a", true, None).expect_err("no port").contains("--port"));
        assert!(parse("a:80", false, None).expect_err("a port").contains("--proto tcp"));
    }

    #[test]
    fn a_file_has_comments_and_tells_all_its_faults() {
        let good = read_lines("# all\n127.0.0.1\n\n ::1 # me\n".as_bytes(), "f", false, None).expect("good");
        assert_eq!(
            good.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
            ["127.0.0.1", "::1"]
        );
        let bad = read_lines("a:0\nok\n\u{1}\n".as_bytes(), "f", true, Some(1)).expect_err("bad");
        assert_eq!(bad.len(), 2);
        assert!(bad[0].starts_with("f:1: ") && bad[1].starts_with("f:3: "), "{bad:?}");
        let all_bad = read_lines("a b\n".repeat(5000).as_bytes(), "f", false, None).expect_err("bad");
        assert_eq!(all_bad.len(), MOST_FAULTS + 1);
        assert_eq!(all_bad[MOST_FAULTS], "f: 4900 more lines with faults");
        let long = "x".repeat(LONGEST_LINE + 1);
        assert!(read_lines(long.as_bytes(), "f", false, None).expect_err("long")[0].contains("longer"));
    }

    #[test]
    fn an_address_is_kept_whole() {
        for text in ["127.0.0.1:4000", "[::1]:4000", "[fe80::1%7]:4000"] {
            let address: SocketAddr = text.parse().expect(text);
            let target = parse("some.name", true, Some(4000)).expect("a target");
            assert_eq!(Kept::from(address).of(&target), address);
        }
    }

    #[test]
    fn answers_stand_in_input_order() {
        let names = ["127.0.0.1", "localhost", "name.invalid", "::1"];
        let targets: Vec<_> = names.iter().filter_map(|n| parse(n, false, None).ok()).collect();
        let found = resolve(&targets, Families::Any);
        assert_eq!(found.len(), 4);
        assert_eq!(found[0].as_ref().map(SocketAddr::ip), Ok(IpAddr::from([127, 0, 0, 1])));
        assert!(found[1].as_ref().is_ok_and(|a| a.ip().is_loopback()));
        assert!(found[2].as_ref().is_err_and(|e| e.contains("name.invalid")));
        assert!(resolve(&targets, Families::V6)[0].is_err());
    }
}
