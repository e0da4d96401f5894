//! A small data centre: nodes in racks, racks in zones, a router for each rack and one between them, so that what breaks
//! in a real network can be broken at the place where it would be.

use crate::delay::Line;
use crate::error::{LabError, Result};
use crate::namespaces::Namespace;

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its network.
    pub namespace: Namespace,
    /// `n0`, `n1`, ...
    pub name: String,
    /// Its one address.
    pub address: String,
    /// `z0`, `z1`, ...
    pub zone: String,
    /// `a`, `b`, ... within the zone.
    pub rack: String,
    /// Which of [`Fabric::racks`].
    pub rack_number: usize,
    /// The interface of the rack's router that leads here.
    pub port: String,
}

/// The whole.
#[derive(Debug)]
pub struct Fabric {
    /// In the order of their names.
    pub nodes: Vec<Node>,
    /// The routers of the racks, in the order of their nodes. Their interface to the core is `uplink`.
    pub racks: Vec<Namespace>,
    /// The router between the racks.
    pub core: Namespace,
    /// Links that can be made slow.
    lines: Vec<(Link, Line)>,
}

/// One link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Between a node and its rack's router.
    Node(usize),
    /// Between a rack's router and the core.
    Rack(usize),
}

/// Filters in one namespace; gone when dropped.
#[derive(Debug)]
pub struct Break<'a>(&'a Namespace);

impl Fabric {
    /// A node for each number: `zones[z][r]` nodes in rack `r` of zone `z`. Links in `slowable` have a delay line in
    /// them.
    ///
    /// # Errors
    /// As [`Namespace::new`].
    pub fn new(zones: &[&[usize]], slowable: &[Link]) -> Result<Fabric> {
        let core = router("core")?;
        let mut fabric = Fabric {
            nodes: Vec::new(),
            racks: Vec::new(),
            core,
            lines: Vec::new(),
        };
        for (z, racks) in zones.iter().enumerate() {
            for (r, count) in racks.iter().enumerate() {
                fabric.add_rack(z, r, *count, slowable)?;
            }
        }
        Ok(fabric)
    }

    /// The addresses of a zone, as filters match them.
    #[must_use]
    pub fn zone_net(zone: usize) -> String {
        format!("10.80.{}.0/21", zone * 8)
    }

    fn add_rack(&mut self, z: usize, r: usize, count: usize, slowable: &[Link]) -> Result {
        let number = self.racks.len();
        let rack = router(&format!("rack{number}"))?;
        let (net, port) = (z * 8 + r, format!("r{number}"));
        let link = Link::Rack(number);
        if slowable.contains(&link) {
            self.lines.push((link, Line::join(&rack, "uplink", &self.core, &port)?));
        } else {
            rack.join("uplink", &self.core, &port)?;
        }
        rack.address("uplink", &format!("10.81.{number}.2/30"))?;
        self.core.address(&port, &format!("10.81.{number}.1/30"))?;
        rack.ip(&format!("route add default via 10.81.{number}.1"))?;
        self.core
            .ip(&format!("route add 10.80.{net}.0/24 via 10.81.{number}.2"))?;
        for place in 0..count {
            let n = self.nodes.len();
            let namespace = Namespace::new(&format!("n{n}"))?;
            let port = format!("p{place}");
            let link = Link::Node(n);
            if slowable.contains(&link) {
                self.lines.push((link, Line::join(&namespace, "eth0", &rack, &port)?));
            } else {
                namespace.join("eth0", &rack, &port)?;
            }
            let (router, own) = (4 * place + 1, 4 * place + 2);
            rack.address(&port, &format!("10.80.{net}.{router}/30"))?;
            namespace.address("eth0", &format!("10.80.{net}.{own}/30"))?;
            namespace.ip(&format!("route add default via 10.80.{net}.{router}"))?;
            self.nodes.push(Node {
                namespace,
                name: format!("n{n}"),
                address: format!("10.80.{net}.{own}"),
                zone: format!("z{z}"),
                rack: char::from(b'a' + u8::try_from(r)?).to_string(),
                rack_number: number,
                port,
            });
        }
        self.racks.push(rack);
        Ok(())
    }

    /// The link that was named slowable.
    ///
    /// # Errors
    /// Where it was not.
    pub fn line(&self, link: Link) -> Result<&Line> {
        let found = self.lines.iter().find(|(known, _)| *known == link);
        let (_, line) = found.ok_or_else(|| LabError::new(format!("{link:?} has no delay line")))?;
        Ok(line)
    }

    /// The router of a node's rack.
    #[must_use]
    pub fn router_of(&self, node: usize) -> &Namespace {
        &self.racks[self.nodes[node].rack_number]
    }
}

impl<'a> Break<'a> {
    /// `rules` on what passes `hook` of `place` (`forward`, `input`, `output`), e.g. `numgen random mod 100 < 30 drop`.
    /// One break in a place at a time.
    ///
    /// # Errors
    /// Where `nft` refuses them.
    pub fn new<S: AsRef<str>>(place: &'a Namespace, hook: &str, rules: &[S]) -> Result<Break<'a>> {
        let mut text =
            format!("table inet fault {{ chain fault {{ type filter hook {hook} priority 0; policy accept;\n");
        for rule in rules {
            text += rule.as_ref();
            text += "\n";
        }
        text += "}\n}\n";
        place.nft(&text)?;
        Ok(Break(place))
    }
}

impl Drop for Break<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.nft("delete table inet fault\n") {
            eprintln!("a fault could not be mended: {error}");
        }
    }
}

fn router(role: &str) -> Result<Namespace> {
    let router = Namespace::new(role)?;
    router.sysctl("net.ipv4.ip_forward", "1")?;
    Ok(router)
}
