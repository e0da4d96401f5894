//! Networks in which members of a ZooKeeper may be probed, as they are configured.

use std::net::IpAddr;

use ipnet::IpNet;

/// The word for the networks that this node's own interfaces are in.
const OWN: &str = "own";

/// Networks in which members may be probed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedNetworks {
    /// Those that are listed.
    pub listed: Vec<IpNet>,
    /// Whether those of the node's own interfaces are allowed too.
    pub own: bool,
}

/// Addresses that no router forwards. A cloud answers there with what is nobody else's business (169.254.169.254).
#[must_use]
pub fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Reads networks, addresses and `own`; each item may itself hold several, comma-separated.
pub(super) fn parse(items: &[String]) -> Result<AllowedNetworks, String> {
    let mut allowed = AllowedNetworks::default();
    for item in items.iter().flat_map(|item| item.split(',')).map(str::trim) {
        if item == OWN {
            allowed.own = true;
        } else {
            allowed.listed.push(network(item)?);
        }
    }
    if items.is_empty() {
        Err("empty: no member could be probed".to_owned())
    } else {
        Ok(allowed)
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text
            .parse::<IpNet>()
            .map_err(|_| format!("{text:?} is neither a network nor an address nor {OWN:?}"))?,
    };
    if network.trunc() != network {
        return Err(format!(
            "{text:?} has bits set beyond its prefix; perhaps {} is meant",
            network.trunc()
        ));
    }
    // A wider one may hold them: they are refused all the same.
    if is_link_local(network.network()) && is_link_local(network.broadcast()) {
        return Err(format!("{text:?} is link-local, which is never probed"));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AllowedNetworks, String> {
        parse(&[text.to_owned()])
    }

    #[test]
    fn networks_addresses_and_own_are_read() {
        let allowed = read("10.0.0.0/8,fc00::/7,192.0.2.7,2001:db8::1,own,0.0.0.0/0").unwrap();
        assert!(allowed.own);
        let listed: Vec<String> = allowed.listed.iter().map(ToString::to_string).collect();
        assert_eq!(
            listed,
            ["10.0.0.0/8", "fc00::/7", "192.0.2.7/32", "2001:db8::1/128", "0.0.0.0/0"]
        );
        assert!(!read("::/0").unwrap().own);
    }

    #[test]
    fn what_is_no_network_is_refused_by_name() {
        for (bad, why) in [
            ("10.0.0.0/33", "neither"),
            ("10.0.0.0/", "neither"),
            ("everything", "neither"),
            ("", "neither"),
            ("10.1.0.0/8", "10.0.0.0/8"),
            ("169.254.0.0/16", "link-local"),
            ("169.254.169.254", "link-local"),
            ("fe80::/10", "link-local"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(why) && error.contains(bad), "{bad}: {error}");
        }
        assert!(parse(&[]).unwrap_err().contains("empty"));
    }
}
