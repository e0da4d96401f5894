//! The table of targets, and the source ports that their SYNs take in turn.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use crate::config::{AddError, MAX_TARGETS, Protocol, TargetSpec};
use crate::event::TargetId;
use crate::grow;
use crate::time::Mono;

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) source: Source,
    /// Tells the probes of this target from those of an earlier one with the same id.
    pub(crate) generation: u32,
    /// Probes without a fate.
    pub(crate) in_flight: u32,
    /// Probes still to be sent in a counted lane.
    pub(crate) remaining: u32,
    /// The pair's minimum interval ends then.
    pub(crate) not_before: Mono,
    /// Row of the [`Ports`].
    pub(crate) flow: u32,
    pub(crate) presence: Presence,
}

const _: () = assert!(size_of::<Target>() <= 64);

/// Names an address in the table's list of them, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source(u32);

/// Whether a row is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Vacant,
    Active,
    /// Removed, with probes in flight.
    Leaving,
}

const VACANT: Target = Target {
    address: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0),
    source: Source(0),
    generation: 0,
    in_flight: 0,
    remaining: 0,
    not_before: Mono(0),
    flow: 0,
    presence: Presence::Vacant,
};

/// Targets by id.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    rows: Vec<Target>,
    /// The local addresses that probes leave from: a host has few.
    sources: Vec<IpAddr>,
}

impl Targets {
    /// Checks and stores a target; gives its address as it will be probed.
    pub(crate) fn insert(
        &mut self,
        spec: TargetSpec,
        protocol: &Protocol,
        remaining: u32,
    ) -> Result<&mut Target, AddError> {
        let index = spec.id.0 as usize;
        if spec.id.0 >= MAX_TARGETS {
            return Err(AddError::IdTooLarge(spec.id));
        }
        if self.rows.get(index).is_some_and(|row| row.presence != Presence::Vacant) {
            return Err(AddError::IdInUse(spec.id));
        }
        let address = check_address(&spec, protocol)?;
        grow::fill_to(&mut self.rows, index + 1, VACANT);
        let source = self.intern(spec.source);
        let row = &mut self.rows[index];
        *row = Target {
            address,
            source,
            generation: row.generation.wrapping_add(1),
            remaining,
            presence: Presence::Active,
            ..VACANT
        };
        Ok(row)
    }

    fn intern(&mut self, source: Option<IpAddr>) -> Source {
        let Some(source) = source.map(|source| source.to_canonical()) else {
            return Source(0);
        };
        let place = self.sources.iter().position(|known| *known == source);
        let place = place.unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len() - 1
        });
        // There are no more of them than rows.
        Source(place as u32 + 1)
    }

    /// The address that a target's probes leave from.
    pub(crate) fn source(&self, source: Source) -> Option<IpAddr> {
        self.sources.get((source.0 as usize).checked_sub(1)?).copied()
    }

    /// The row of an id in use.
    pub(crate) fn get(&mut self, id: TargetId) -> Option<&mut Target> {
        self.rows
            .get_mut(id.0 as usize)
            .filter(|row| row.presence != Presence::Vacant)
    }

    /// The target that a probe was sent to, if it wasn't forgotten since.
    pub(crate) fn owner(&mut self, target: u32, generation: u32) -> Option<&mut Target> {
        self.get(TargetId(target)).filter(|row| row.generation == generation)
    }
}

fn check_address(spec: &TargetSpec, protocol: &Protocol) -> Result<SocketAddr, AddError> {
    let ip = spec.address.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || broadcast {
        return Err(AddError::NotUnicast(ip));
    }
    let mut address = spec.address;
    // Only where it changes: setting it drops an IPv6 scope.
    if ip != address.ip() {
        address.set_ip(ip);
    }
    match protocol {
        // A port would make the kernel refuse a raw IPv6 destination.
        Protocol::Echo { .. } => address.set_port(0),
        Protocol::Syn { .. } | Protocol::Connect if address.port() == 0 => return Err(AddError::PortNeeded(address)),
        Protocol::Syn { .. } | Protocol::Connect => {}
    }
    let source = spec.source.map(|source| source.to_canonical());
    let fits = match source {
        Some(source) => source.is_ipv4() == ip.is_ipv4(),
        None => !(ip.is_ipv4() && matches!(protocol, Protocol::Syn { .. })),
    };
    if fits {
        Ok(address)
    } else {
        Err(AddError::Source {
            address,
            source_address: spec.source,
        })
    }
}

/// Source ports, one after the other for each address, and never one that is still in flight there: a second SYN of
/// the same four-tuple would be answered for the first (RFC 9293, section 3.10.7.4), which would look like loss.
///
/// Rows belong to addresses, not targets, since two targets may have the same one, and a target that left and came
/// back may still have probes in flight.
#[derive(Debug)]
pub(crate) struct Ports {
    ports: Vec<u16>,
    /// The least and the greatest of them.
    range: RangeInclusive<u16>,
    /// Words of `busy` per row.
    words: usize,
    /// A bit per row and port.
    busy: Vec<u64>,
    rows: Vec<Flow>,
    free: Vec<u32>,
    by_address: HashMap<SocketAddr, u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    /// Index of the port to try first.
    cursor: u16,
    /// Targets with this address.
    users: u32,
}

impl Ports {
    pub(crate) fn new(ports: Vec<u16>) -> Ports {
        Ports {
            words: ports.len().div_ceil(64),
            range: ports.iter().copied().min().unwrap_or(1)..=ports.iter().copied().max().unwrap_or(0),
            ports,
            busy: Vec::new(),
            rows: Vec::new(),
            free: Vec::new(),
            by_address: HashMap::new(),
        }
    }

    /// Number of ports; 0 where the protocol has none of its own.
    pub(crate) fn len(&self) -> usize {
        self.ports.len()
    }

    /// Whether `port` lies within the block of them.
    pub(crate) fn may_hold(&self, port: u16) -> bool {
        self.range.contains(&port)
    }

    /// The port that stands at `index`.
    pub(crate) fn port(&self, index: u16) -> u16 {
        self.ports.get(usize::from(index)).copied().unwrap_or(0)
    }

    /// The row for `address`; a new one starts at a port that `random` chooses.
    pub(crate) fn join(&mut self, address: SocketAddr, random: u64) -> u32 {
        if self.ports.is_empty() {
            return 0;
        }
        let row = *self.by_address.entry(address).or_insert_with(|| {
            let cursor = (random % self.ports.len() as u64) as u16;
            let flow = Flow { cursor, users: 0 };
            if let Some(row) = self.free.pop() {
                self.rows[row as usize] = flow;
                return row;
            }
            grow::push(&mut self.rows, flow);
            grow::fill_to(&mut self.busy, self.rows.len() * self.words, 0);
            (self.rows.len() - 1) as u32
        });
        self.rows[row as usize].users += 1;
        row
    }

    /// Ends a target's use of its row. None of its probes may be in flight.
    pub(crate) fn leave(&mut self, row: u32, address: SocketAddr) {
        let Some(flow) = self.rows.get_mut(row as usize) else {
            return;
        };
        flow.users = flow.users.saturating_sub(1);
        if flow.users == 0 && self.by_address.remove(&address).is_some() {
            self.free.push(row);
        }
    }

    /// The next port that isn't in flight, by its index; `None` where all are.
    pub(crate) fn take(&mut self, row: u32) -> Option<u16> {
        let count = self.ports.len() as u16;
        let flow = self.rows.get_mut(row as usize)?;
        let busy = &mut self.busy[row as usize * self.words..][..self.words];
        let index = (0..count)
            .map(|step| (flow.cursor + step) % count)
            .find(|index| busy[usize::from(index / 64)] & (1 << (index % 64)) == 0)?;
        busy[usize::from(index / 64)] |= 1 << (index % 64);
        flow.cursor = (index + 1) % count;
        Some(index)
    }

    /// The probe on this port is decided.
    pub(crate) fn release(&mut self, row: u32, index: u16) {
        if let Some(word) = self.busy.get_mut(row as usize * self.words + usize::from(index / 64)) {
            *word &= !(1 << (index % 64));
        }
    }

    /// The probe on this port never left: the next one takes it again.
    pub(crate) fn give_back(&mut self, row: u32, index: u16) {
        self.release(row, index);
        if let Some(flow) = self.rows.get_mut(row as usize) {
            flow.cursor = index;
        }
    }
}
