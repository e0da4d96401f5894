//! Whether the cells that a cause predicts to be bad are bad: not only in sum, but node by node, either way and kind
//! by kind. A rack is not at fault where one of its nodes is.

use super::grid::{Grid, Layer, PROBES, Sums, Trial};
use super::search::Rules;
use super::shape::Shape;
use super::stats::{looks_sound, support};
use super::topology::Topology;

/// As many nats must speak for a part's being sound before it speaks against the whole.
const AGAINST: f64 = 3.0;

/// (n, k) for each node in one role.
type Members = Vec<(f64, f64)>;

struct Strata {
    /// The nodes that the cause is about (of a group: its members; of a row: the probed).
    near: Members,
    /// Those at the other end.
    far: Members,
    /// The two directions, where the shape has two.
    ways: [(f64, f64); 2],
    sums: Sums,
}

/// The share (0 to 1) of what the cause predicts that looks as predicted; `None` where too much doesn't.
pub(super) fn agreement(
    shape: Shape,
    layer: Layer,
    rate: f64,
    grid: &Grid,
    topology: &Topology,
    rules: &Rules,
) -> Option<f64> {
    let mut strata = Strata {
        near: vec![(0.0, 0.0); topology.len()],
        far: vec![(0.0, 0.0); topology.len()],
        ways: [(0.0, 0.0); 2],
        sums: Sums::default(),
    };
    shape.visit(grid, topology, |at| {
        if grid.explained[at] {
            return;
        }
        let trial = &grid.trials[at];
        strata.sums.add(trial);
        if layer.contains(trial.probe) {
            strata.file(shape, trial, topology);
        }
    });
    let sound = |(n, k): (f64, f64)| n > 0.0 && support(k, n, rate, rules.background) < -AGAINST;
    // What is not said to fail must be seen to pass; else the whole path is the smaller claim.
    let others = PROBES.into_iter().filter(|probe| layer.must_pass(*probe));
    let mut others = others
        .map(|probe| strata.sums.of(probe))
        .filter(|(n, _)| *n > 0.0)
        .peekable();
    if layer != Layer::Path && (others.peek().is_none() || !others.all(sound)) {
        return None;
    }
    let mut kinds = PROBES.into_iter().filter(|probe| layer.contains(*probe));
    if kinds.any(|probe| sound(strata.sums.of(probe))) || strata.ways.into_iter().any(sound) {
        return None;
    }
    let near = members_agree(&strata.near, rate, rules)?;
    let far = members_agree(&strata.far, rate, rules)?;
    Some(near.min(far))
}

impl Strata {
    fn file(&mut self, shape: Shape, trial: &Trial, topology: &Topology) {
        let (source, destination) = (trial.source, trial.destination);
        // Whether the source is the end that the shape is about.
        let outward = match shape {
            Shape::Row(_) | Shape::OneWay(..) | Shape::Across(_) | Shape::Everything => true,
            Shape::Column(_) => false,
            Shape::Pair(a, _) | Shape::Node(a) => source == a,
            Shape::Between { level, from, .. } => topology.group_of(level, source) == from,
            Shape::Edge(level, group) | Shape::Whole(level, group) => topology.group_of(level, source) == group,
        };
        let (near, far) = if outward {
            (source, destination)
        } else {
            (destination, source)
        };
        add(&mut self.near, near, trial);
        add(&mut self.far, far, trial);
        let two_ways = match shape {
            Shape::Pair(..) | Shape::Node(_) | Shape::Edge(..) | Shape::Whole(..) => true,
            Shape::Between { both, .. } => both,
            _ => false,
        };
        if two_ways {
            let (n, k) = &mut self.ways[usize::from(outward)];
            *n += f64::from(trial.n);
            *k += f64::from(trial.k);
        }
    }
}

fn add(members: &mut Members, node: u32, trial: &Trial) {
    if let Some((n, k)) = members.get_mut(node as usize) {
        *n += f64::from(trial.n);
        *k += f64::from(trial.k);
    }
}

/// The share of the members, by weight, that look as if `rate` of theirs failed. `None` where fewer do than the
/// exceptions and chance leave, or only one of several does.
fn members_agree(members: &Members, rate: f64, rules: &Rules) -> Option<f64> {
    let (mut all, mut sound, mut by_chance) = (0.0, 0.0, 0.0);
    let (mut known, mut bad) = (0_usize, 0_usize);
    for (n, k) in members.iter().copied().filter(|(n, _)| *n > 0.0) {
        known += 1;
        all += n;
        if support(k, n, rate, rules.background) < 0.0 {
            sound += n;
        } else {
            bad += 1;
        }
        by_chance += n * looks_sound(n, rate, rules.background);
    }
    (bad >= known.min(2) && sound <= rules.exceptions * all + by_chance).then(|| 1.0 - sound / all)
}
