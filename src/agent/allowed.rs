//! Where members of a ZooKeeper may be probed: anybody who can write there could else have every node probe whom he likes.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::config::{AgentConfig, AllowedNetworks, Membership, is_link_local};

/// The node's own networks are looked at again after this long: interfaces come and go.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Judges addresses.
#[derive(Debug)]
pub struct Allowed {
    networks: AllowedNetworks,
    own: Vec<IpNet>,
    looked: Instant,
}

impl Allowed {
    /// What the configuration allows; `None` where it comes from a peers file, whose author may probe whom he likes.
    #[must_use]
    pub fn of(config: &AgentConfig) -> Option<Allowed> {
        let Membership::ZooKeeper(zookeeper) = &config.membership else {
            return None;
        };
        let networks = zookeeper.allowed_networks.clone();
        let own = if networks.own { own() } else { Vec::new() };
        Some(Allowed {
            networks,
            own,
            looked: Instant::now(),
        })
    }

    /// Looks at the node's own networks again, where that is some time ago.
    pub(crate) fn look_again(&mut self) {
        if self.networks.own && self.looked.elapsed() >= LOOK_AGAIN {
            self.looked = Instant::now();
            self.own = own();
        }
    }

    /// Whether `ip` may be probed.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, ip: IpAddr) -> Result<(), String> {
        // An IPv4 address in an IPv6 one's clothes is an IPv4 address.
        let ip = ip.to_canonical();
        if is_link_local(ip) {
            return Err(format!("{ip} is link-local, which is never probed"));
        }
        let mut networks = self.networks.listed.iter().chain(&self.own);
        if networks.any(|network| network.contains(&ip)) {
            Ok(())
        } else {
            Err(format!("{ip} is in none of zookeeper.allowed_networks"))
        }
    }
}

fn own() -> Vec<IpNet> {
    match dt_kernel::route::own_networks() {
        Ok(networks) => networks
            .into_iter()
            .filter_map(|(address, bits)| Some(IpNet::new(address, bits).ok()?.trunc()))
            .collect(),
        Err(error) => {
            tracing::warn!(%error, "this node's own networks can't be found out; members in them count as elsewhere");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(listed: &[&str], own: &[&str]) -> Allowed {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Allowed {
            networks: AllowedNetworks {
                listed: networks(listed),
                own: true,
            },
            own: networks(own),
            looked: Instant::now(),
        }
    }

    #[test]
    fn what_is_listed_or_our_own_is_allowed() {
        let allowed = judge(&["10.0.0.0/8", "fc00::/7"], &["203.0.113.0/24"]);
        for good in ["10.255.0.1", "::ffff:10.0.0.1", "fd00::7", "203.0.113.9"] {
            assert_eq!(allowed.check(good.parse().unwrap()), Ok(()), "{good}");
        }
        for bad in ["11.0.0.1", "::ffff:8.8.8.8", "2001:db8::1", "203.0.114.1", "127.0.0.1"] {
            let why = allowed.check(bad.parse().unwrap()).unwrap_err();
            assert!(why.contains("allowed_networks"), "{bad}: {why}");
        }
    }

    #[test]
    fn link_local_is_refused_whatever_is_allowed() {
        let allowed = judge(&["0.0.0.0/0", "::/0"], &["169.254.0.0/16", "fe80::/64"]);
        for bad in ["169.254.169.254", "::ffff:169.254.1.1", "fe80::1"] {
            let why = allowed.check(bad.parse().unwrap()).unwrap_err();
            assert!(why.contains("link-local"), "{bad}: {why}");
        }
        assert_eq!(allowed.check("8.8.8.8".parse().unwrap()), Ok(()));
    }
}
