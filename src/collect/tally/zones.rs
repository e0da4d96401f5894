//! Zones by number, and what is counted from one to another.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use dt_record::Endpoint;
use smol_str::SmolStr;

use super::Kinds;

/// A zone's labels, empty where unlabelled. Two regions may have zones of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Zone {
    pub(crate) region: SmolStr,
    pub(crate) zone: SmolStr,
}

impl From<&Endpoint> for Zone {
    fn from(endpoint: &Endpoint) -> Zone {
        Zone {
            region: endpoint.region.clone(),
            zone: endpoint.zone.clone(),
        }
    }
}

/// A zone. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ZoneNumber(u32);

/// The zones in which there are nodes.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    /// The number, and how many nodes.
    by_name: HashMap<Zone, (ZoneNumber, u32)>,
    given: u32,
    forgotten: u32,
}

impl Zones {
    /// One more node in the zone of `endpoint`.
    pub(crate) fn enter(&mut self, endpoint: &Endpoint) -> ZoneNumber {
        let given = &mut self.given;
        let (number, nodes) = self.by_name.entry(endpoint.into()).or_insert_with(|| {
            *given = given.wrapping_add(1);
            (ZoneNumber(*given), 0)
        });
        *nodes += 1;
        *number
    }

    /// One less. The last forgets the zone.
    pub(crate) fn leave(&mut self, endpoint: &Endpoint) {
        let zone = Zone::from(endpoint);
        if let Some((_, nodes)) = self.by_name.get_mut(&zone) {
            *nodes = nodes.saturating_sub(1);
            if *nodes == 0 {
                self.by_name.remove(&zone);
                self.forgotten = self.forgotten.wrapping_add(1);
            }
        }
    }
}

/// What was counted from one zone to another.
#[derive(Clone, Debug)]
pub(crate) struct ZonePair {
    pub(crate) source: Zone,
    pub(crate) destination: Zone,
    pub(crate) kinds: Kinds,
}

/// By numbers of source and destination.
#[derive(Debug, Default)]
pub(super) struct ZonePairs {
    pairs: HashMap<(ZoneNumber, ZoneNumber), ZonePair>,
    /// How many zones had been forgotten when those between them were.
    forgotten: u32,
}

impl ZonePairs {
    /// What is counted between two zones, called by `names`; `None` where there are `most` pairs already.
    pub(super) fn get(
        &mut self,
        numbers: (ZoneNumber, ZoneNumber),
        names: impl FnOnce() -> Option<(Zone, Zone)>,
        zones: &Zones,
        most: usize,
    ) -> Option<&mut Kinds> {
        if !self.pairs.contains_key(&numbers) {
            // A zone that was forgotten may be back under another number: there is one pair of a name at a time.
            self.forget(zones);
            if self.pairs.len() >= most {
                return None;
            }
        }
        match self.pairs.entry(numbers) {
            Entry::Occupied(known) => Some(&mut known.into_mut().kinds),
            Entry::Vacant(place) => {
                let (source, destination) = names()?;
                let pair = ZonePair {
                    source,
                    destination,
                    kinds: Kinds::default(),
                };
                Some(&mut place.insert(pair).kinds)
            }
        }
    }

    /// Forgets those of zones that are no more.
    pub(super) fn forget(&mut self, zones: &Zones) {
        if self.forgotten == zones.forgotten {
            return;
        }
        self.forgotten = zones.forgotten;
        let alive: HashSet<ZoneNumber> = zones.by_name.values().map(|(number, _)| *number).collect();
        self.pairs
            .retain(|(source, destination), _| alive.contains(source) && alive.contains(destination));
    }

    /// A copy of all, ascending by name.
    pub(super) fn all(&self) -> Vec<ZonePair> {
        let mut all: Vec<ZonePair> = self.pairs.values().cloned().collect();
        all.sort_by(|a, b| (&a.source, &a.destination).cmp(&(&b.source, &b.destination)));
        all
    }
}
