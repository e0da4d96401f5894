//! The nodes that records name: numbers for their names, and where they stand.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use dt_record::Endpoint;
use smol_str::SmolStr;

use crate::observation::End;
use crate::tally::{NodeTally, ZoneNumber, Zones};

#[derive(Debug)]
struct Node {
    endpoint: Arc<Endpoint>,
    /// How many series begin or end here.
    uses: u32,
    /// Its labels came from records of its own, which others' don't overrule.
    told_itself: bool,
    /// Where it stands, by number.
    zone: ZoneNumber,
    /// What was counted of it; `None` where too many others have one.
    tally: Option<NodeTally>,
}

/// Numbered from 0; a number whose node was forgotten is given again.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    by_name: HashMap<SmolStr, u32>,
    nodes: Vec<Option<Node>>,
    /// Numbers that may be given again, and those that may once [`Nodes::rested`] says so.
    free: Vec<u32>,
    resting: Vec<u32>,
    zones: Zones,
    /// How many have a tally.
    tallied: usize,
}

impl Nodes {
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn endpoint(&self, number: u32) -> Option<&Arc<Endpoint>> {
        Some(&self.nodes.get(number as usize)?.as_ref()?.endpoint)
    }

    /// The zones in which there are nodes.
    pub(crate) fn zones(&self) -> &Zones {
        &self.zones
    }

    /// The zone of a node.
    pub(crate) fn zone(&self, number: u32) -> Option<ZoneNumber> {
        Some(self.nodes.get(number as usize)?.as_ref()?.zone)
    }

    /// What was counted of a node, begun where it is new; `None` where there are `most` already.
    pub(crate) fn tally(&mut self, number: u32, most: usize) -> Option<&mut NodeTally> {
        let tally = &mut self.nodes.get_mut(number as usize)?.as_mut()?.tally;
        if tally.is_none() {
            if self.tallied >= most {
                return None;
            }
            self.tallied += 1;
        }
        Some(tally.get_or_insert_default())
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Copies of what was counted of those with numbers in `range`.
    pub(crate) fn tallies(&self, range: Range<usize>) -> impl Iterator<Item = (Arc<Endpoint>, NodeTally)> {
        let nodes = self.nodes.get(range).unwrap_or_default().iter().flatten();
        nodes.filter_map(|node| Some((Arc::clone(&node.endpoint), node.tally.clone()?)))
    }

    /// Numbers are below this.
    pub(crate) fn bound(&self) -> usize {
        self.nodes.len()
    }

    /// The number of `end`, given to it where it is new, and counts one more series. `itself` says whether the node
    /// speaks of itself.
    pub(crate) fn use_by_series(&mut self, end: &End<'_>, itself: bool) -> u32 {
        let number = match self.find(end.node) {
            Some(number) => number,
            None => self.insert(end, itself),
        };
        if let Some(Some(node)) = self.nodes.get_mut(number as usize) {
            node.uses += 1;
        }
        number
    }

    fn insert(&mut self, end: &End<'_>, itself: bool) -> u32 {
        let endpoint = Arc::new(end.endpoint());
        let number = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
        });
        self.by_name.insert(endpoint.node.clone(), number);
        let zone = self.zones.enter(&endpoint);
        if let Some(place) = self.nodes.get_mut(number as usize) {
            *place = Some(Node {
                endpoint,
                uses: 0,
                told_itself: itself,
                zone,
                tally: None,
            });
        }
        number
    }

    /// Takes over what a record says of where a node stands.
    pub(crate) fn label(&mut self, number: u32, end: &End<'_>, itself: bool) {
        let Some(Some(node)) = self.nodes.get_mut(number as usize) else {
            return;
        };
        if itself || !node.told_itself {
            node.told_itself |= itself;
            if !end.is(&node.endpoint) {
                self.zones.leave(&node.endpoint);
                node.endpoint = Arc::new(end.endpoint());
                node.zone = self.zones.enter(&node.endpoint);
            }
        }
    }

    /// Makes the numbers of nodes forgotten so far free: whoever was reading by number then has come to its end.
    pub(crate) fn rested(&mut self) {
        self.free.append(&mut self.resting);
    }

    /// One series less. The last forgets the node.
    pub(crate) fn release(&mut self, number: u32) {
        let Some(place) = self.nodes.get_mut(number as usize) else {
            return;
        };
        let Some(node) = place else { return };
        node.uses = node.uses.saturating_sub(1);
        if node.uses == 0 {
            self.by_name.remove(&node.endpoint.node);
            self.zones.leave(&node.endpoint);
            self.tallied -= usize::from(node.tally.is_some());
            *place = None;
            self.resting.push(number);
        }
    }
}
