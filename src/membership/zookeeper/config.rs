//! What the operator sets, and the paths that follow from it.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use super::access::{Access, Role};
use super::login::Login;
use crate::member::{Registration, unbracketed};

/// Where and as what to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZooKeeperConfig {
    /// `host:port,host:port`, optionally followed by `/chroot`. Port 2181 where none is given.
    pub servers: String,
    /// The original's `ROOT_PATH_ZK`: one or more path segments, with or without slashes at its ends.
    pub root: String,
    /// The original's `HEART_BEAT_NODE_PATH`, under the root: one or more path segments.
    pub heart_beat: String,
    /// The session timeout asked for; the server may grant another.
    pub session_timeout: Duration,
    /// How sessions are authenticated; `None`: not at all.
    pub login: Option<Login>,
    /// Who may do what with the nodes that are created. All but [`Access::Open`] needs a login.
    pub access: Access,
    /// Whether nodes that are there already get the rights that they would have been created with.
    pub repair: bool,
    /// What to register.
    pub own: Registration,
}

/// Absolute paths of the nodes in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paths {
    /// The members' parent.
    pub(super) members: String,
    /// The kill switch.
    pub(super) control: String,
}

impl Paths {
    /// The kill switch's parent and itself.
    pub(super) fn switch(&self) -> [&str; 2] {
        let parent = self.control.rsplit_once('/').map_or("", |(parent, _)| parent);
        [parent, &self.control]
    }

    /// The nodes that all agents share, from the root on. What is above the root belongs to others, too.
    pub(super) fn shared(&self) -> Vec<(String, Role)> {
        let root = self.control.strip_suffix("/control/probing").unwrap_or_default();
        let parents = self
            .members
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([self.members.len()])
            .filter(|at| *at >= root.len().max(1))
            .map(|at| (self.members[..at].to_owned(), Role::Parent));
        let switch = self.switch().map(|path| (path.to_owned(), Role::Own));
        parents.chain(switch).collect()
    }
}

impl ZooKeeperConfig {
    /// Everything that can never work, each as a sentence that names the value and what is accepted. [`start`] does
    /// not call this: it would try such a configuration for ever.
    ///
    /// [`start`]: super::start
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let (hosts, chroot) = self.split_servers();
        for host in hosts {
            if host_of(host).is_none() {
                problems.push(format!(
                    "ZooKeeper server {host:?}; accepted: host or host:port, port 1 to 65535"
                ));
            }
        }
        if let Some(why) = path_problem(chroot) {
            problems.push(format!("ZooKeeper chroot {chroot:?} {why}"));
        }
        let paths = self.paths();
        if let Some(why) = path_problem(&paths.members) {
            problems.push(format!("members' path {:?} {why}", paths.members));
        }
        if segments(&self.heart_beat).next().is_none() {
            problems
                .push("the members' path has no name under the root; accepted: one or more path segments".to_owned());
        }
        if paths.control.starts_with(&format!("{}/", paths.members)) {
            let Paths { members, control } = &paths;
            problems.push(format!(
                "members' path {members:?}; accepted: one that {control:?} doesn't lie under"
            ));
        }
        if self.access != Access::Open && self.login.is_none() {
            problems.push(format!(
                "access {:?} to ZooKeeper's nodes without a login; accepted: Open, or a login",
                self.access
            ));
        }
        if self.session_timeout < Duration::from_secs(1) || self.session_timeout > Duration::from_secs(3600) {
            problems.push(format!(
                "ZooKeeper session timeout {:?}; accepted: 1 s to 1 h",
                self.session_timeout
            ));
        }
        problems
    }

    fn split_servers(&self) -> (impl Iterator<Item = &str>, &str) {
        let (hosts, chroot) = match self.servers.find('/').filter(|_| !self.servers.contains("://")) {
            Some(at) => self.servers.split_at(at),
            None => (self.servers.as_str(), ""),
        };
        (hosts.split(','), chroot)
    }

    pub(super) fn paths(&self) -> Paths {
        let join = |parts: &[&str]| -> String {
            parts
                .iter()
                .flat_map(|part| segments(part))
                .map(|segment| format!("/{segment}"))
                .collect()
        };
        Paths {
            members: join(&[&self.root, &self.heart_beat]),
            control: join(&[&self.root, "control/probing"]),
        }
    }

    /// Set where a loopback address is registered for others that reach ZooKeeper over a network.
    pub(super) fn loopback_warning(&self) -> Option<String> {
        let remote = self
            .split_servers()
            .0
            .filter_map(host_of)
            .find(|host| !is_loopback(host))?;
        is_loopback(&self.own.address).then(|| {
            format!(
                "the loopback address {} is registered at ZooKeeper on {remote}: other hosts will probe themselves in \
                 our place; set the address that others reach this node by (--advertise, REGISTER_PUBLIC_DNS)",
                self.own.address
            )
        })
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// The host of `host:port`, `[v6]:port` or `host`.
fn host_of(server: &str) -> Option<&str> {
    let server = server.strip_prefix("tcp://").unwrap_or(server);
    let (host, port) = match server.rfind(']') {
        Some(end) if server.starts_with('[') => (&server[..=end], &server[end + 1..]),
        Some(_) => return None,
        None => server.find(':').map_or((server, ""), |at| server.split_at(at)),
    };
    let port_is_good = match port.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok_and(|port| port != 0),
        None => port.is_empty(),
    };
    (port_is_good && crate::member::check_address(host).is_ok()).then(|| unbracketed(host))
}

fn is_loopback(host: &str) -> bool {
    let host = unbracketed(host);
    IpAddr::from_str(host).map_or_else(
        |_| host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
        |ip| ip.to_canonical().is_loopback(),
    )
}

/// Why ZooKeeper takes no such path.
fn path_problem(path: &str) -> Option<&'static str> {
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Some("has a relative segment; accepted: names other than . and ..");
    }
    let bad =
        |c: char| c.is_control() || ('\u{e000}'..='\u{f8ff}').contains(&c) || ('\u{fff0}'..='\u{ffff}').contains(&c);
    path.chars()
        .any(bad)
        .then_some("has a character that ZooKeeper refuses; accepted: printable ones")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(servers: &str, root: &str, heart_beat: &str, address: &str) -> ZooKeeperConfig {
        ZooKeeperConfig {
            servers: servers.into(),
            root: root.into(),
            heart_beat: heart_beat.into(),
            session_timeout: Duration::from_secs(10),
            login: None,
            access: Access::Open,
            repair: false,
            own: Registration {
                node: "n".into(),
                address: address.into(),
                port: 4000,
                tcp_port: 4000,
                ..Registration::default()
            },
        }
    }

    #[test]
    fn paths_are_joined_whatever_their_slashes() {
        for (root, heart_beat, members) in [
            (
                "distributed_trace",
                "heart_beat_nodes",
                "/distributed_trace/heart_beat_nodes",
            ),
            ("/a/b//c/", "/d/e/", "/a/b/c/d/e"),
            ("", "m", "/m"),
        ] {
            assert_eq!(config("h", root, heart_beat, "a").paths().members, members);
        }
        assert_eq!(config("h", "a/b", "m", "a").paths().control, "/a/b/control/probing");
        assert_eq!(config("h", "", "m", "a").paths().control, "/control/probing");
    }

    #[test]
    fn the_shared_nodes_are_the_root_and_what_is_below_it() {
        let shared = |root: &str, heart_beat: &str| -> Vec<String> {
            let shared = config("h", root, heart_beat, "a").paths().shared();
            shared.into_iter().map(|(path, _)| path).collect()
        };
        assert_eq!(shared("r", "m"), ["/r", "/r/m", "/r/control", "/r/control/probing"]);
        assert_eq!(
            shared("a/r", "m/n"),
            ["/a/r", "/a/r/m", "/a/r/m/n", "/a/r/control", "/a/r/control/probing"]
        );
        assert_eq!(shared("", "m"), ["/m", "/control", "/control/probing"]);
    }

    #[test]
    fn what_can_never_work_is_told_all_at_once() {
        assert_eq!(
            config("a,b:2181,[::1]:2182", "r", "m", "a").problems(),
            Vec::<String>::new()
        );
        assert_eq!(
            config("a,b:2181/chroot/x", "r", "m", "a").problems(),
            Vec::<String>::new()
        );
        assert_eq!(config("a:0,b:x,", "r", "m", "a").problems().len(), 3);
        assert_eq!(config("a", "r/../x", "m\u{7}", "a").problems().len(), 1);
        assert_eq!(config("a", "r", "/", "a").problems().len(), 2);
        assert_eq!(config("a", "r", "control", "a").problems().len(), 1);
    }

    #[test]
    fn only_loopback_at_a_remote_service_is_warned_about() {
        assert!(
            config("zk1:2181,zk2", "r", "m", "localhost")
                .loopback_warning()
                .is_some()
        );
        assert!(config("10.0.0.1", "r", "m", "127.0.0.5").loopback_warning().is_some());
        assert!(config("zk1", "r", "m", "[::1]").loopback_warning().is_some());
        assert!(
            config("localhost:2181", "r", "m", "localhost")
                .loopback_warning()
                .is_none()
        );
        assert!(
            config("127.0.0.1:2181,[::1]:2181/x", "r", "m", "127.0.0.2")
                .loopback_warning()
                .is_none()
        );
        assert!(config("zk1", "r", "m", "10.0.0.1").loopback_warning().is_none());
    }
}
