//! The nodes of two groups alone.

use dt_collect::Level;
use dt_collect::grouped::Group;

/// What is shown of the level below: the nodes of one group as sources, of another as destinations.
#[derive(Clone, Debug)]
pub(crate) struct Zoom {
    /// The level that was left.
    pub(crate) from: Level,
    pub(crate) source: Group,
    pub(crate) destination: Group,
}

impl Zoom {
    pub(crate) fn is_row(&self, group: &Group) -> bool {
        self.holds(&self.source, group)
    }

    pub(crate) fn is_column(&self, group: &Group) -> bool {
        self.holds(&self.destination, group)
    }

    fn holds(&self, outer: &Group, inner: &Group) -> bool {
        let (region, zone, rack) = match self.from {
            Level::Node => return true,
            Level::Rack => (true, true, true),
            Level::Zone => (true, true, false),
            Level::Region => (true, false, false),
        };
        (!region || outer.region == inner.region)
            && (!zone || outer.zone == inner.zone)
            && (!rack || outer.rack == inner.rack)
    }
}
