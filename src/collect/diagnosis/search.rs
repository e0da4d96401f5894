//! The fewest causes that explain the bad trials: again and again the one that explains most, as long as what it
//! explains is more than chance.

use std::collections::HashMap;

use super::grid::{Grid, Layer, Probe, Sums};
use super::shape::Shape;
use super::stats::excess;
use super::strata::agreement;
use super::topology::Topology;

/// What is asked of a cause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The share of trials that fails without a cause.
    pub(super) background: f64,
    /// The smallest share that is a fault.
    pub(super) min_share: f64,
    /// How many nats chance must be beaten by, before it is counted how many causes were tried.
    pub(super) beyond_chance: f64,
    /// The share of what a cause predicts that may be sound all the same.
    pub(super) exceptions: f64,
    /// At most this many causes.
    pub(super) most: usize,
}

/// One cause found.
#[derive(Debug)]
pub(super) struct Cause {
    pub(super) shape: Shape,
    pub(super) layer: Layer,
    /// The share of its trials that failed.
    pub(super) rate: f64,
    /// By how much it beats chance, as a multiple of what was asked.
    pub(super) strength: f64,
    /// The share of its cells that look as it predicts.
    pub(super) agreement: f64,
    /// The trials it explains, bad and good, ascending.
    pub(super) trials: Vec<u32>,
}

struct Candidate {
    shape: Shape,
    layer: Layer,
    sums: Sums,
    n: f64,
    k: f64,
    gain: f64,
    needed: f64,
}

/// Finds causes and marks what they explain in `grid`.
pub(super) fn explain(grid: &mut Grid, topology: &Topology, rules: &Rules) -> Vec<Cause> {
    let mut shapes = promising(grid, topology, rules);
    let mut refused: HashMap<(Shape, Layer), Sums> = HashMap::new();
    let mut causes = Vec::new();
    while causes.len() < rules.most {
        let mut candidates: Vec<Candidate> = shapes
            .iter()
            .flat_map(|(shape, sums)| Layer::ALL.map(|layer| (*shape, layer, *sums)))
            .filter_map(|(shape, layer, sums)| candidate(shape, layer, sums, topology, rules))
            .collect();
        // The numbers of trials are whole, so equal sets have exactly equal gains.
        candidates.sort_by(|a, b| {
            let order = |c: &Candidate| (c.shape.extent(), c.layer, c.shape);
            b.gain.total_cmp(&a.gain).then_with(|| order(a).cmp(&order(b)))
        });
        let accepted = candidates.into_iter().find_map(|c| {
            // Its counts are as they were when it did not hold.
            if refused.get(&(c.shape, c.layer)) == Some(&c.sums) {
                return None;
            }
            let agreement = agreement(c.shape, c.layer, c.k / c.n, grid, topology, rules);
            if agreement.is_none() {
                refused.insert((c.shape, c.layer), c.sums);
            }
            Some((agreement?, c))
        });
        let Some((agreement, best)) = accepted else { break };
        causes.push(Cause {
            shape: best.shape,
            layer: best.layer,
            rate: best.k / best.n,
            strength: best.gain / best.needed,
            agreement,
            trials: cover(best.shape, best.layer, grid, topology, &mut shapes),
        });
    }
    causes
}

fn candidate(shape: Shape, layer: Layer, sums: Sums, topology: &Topology, rules: &Rules) -> Option<Candidate> {
    let (n, k) = sums.layer(layer);
    if k <= 0.0 || k < n * rules.min_share {
        return None;
    }
    let gain = excess(k, n, rules.background);
    let tried = shape.rivals(topology) * Layer::ALL.len() as f64;
    let needed = rules.beyond_chance + tried.ln();
    (gain >= needed).then_some(Candidate {
        shape,
        layer,
        sums,
        n,
        k,
        gain,
        needed,
    })
}

/// The shapes that could explain enough, with their counts.
fn promising(grid: &Grid, topology: &Topology, rules: &Rules) -> HashMap<Shape, Sums> {
    let mut failures: HashMap<Shape, f64> = HashMap::new();
    for (trial, _) in grid.open().filter(|(trial, _)| trial.k > 0) {
        Shape::containing(trial.source, trial.destination, topology, |shape| {
            *failures.entry(shape).or_default() += f64::from(trial.k);
        });
    }
    // No more can be gained than if every trial had failed.
    let most_each = -rules.background.ln();
    failures.retain(|_, k| *k * most_each >= rules.beyond_chance);
    let shapes = failures.into_keys().map(|shape| {
        let mut sums = Sums::default();
        shape.visit(grid, topology, |at| {
            if !grid.explained[at] {
                sums.add(&grid.trials[at]);
            }
        });
        (shape, sums)
    });
    shapes.collect()
}

/// Marks what the cause explains, takes it from the counts of all others, and returns its places.
fn cover(
    shape: Shape,
    layer: Layer,
    grid: &mut Grid,
    topology: &Topology,
    shapes: &mut HashMap<Shape, Sums>,
) -> Vec<u32> {
    let mut places = Vec::new();
    shape.visit(grid, topology, |at| {
        // A call goes where packets go: where they fail, it says nothing of its own.
        let goes_along = layer == Layer::Path && grid.trials[at].probe == Probe::Grpc;
        if !grid.explained[at] && (goes_along || layer.contains(grid.trials[at].probe)) {
            places.push(at);
        }
    });
    for at in &places {
        let trial = grid.trials[*at];
        grid.explained[*at] = true;
        Shape::containing(trial.source, trial.destination, topology, |shape| {
            if let Some(sums) = shapes.get_mut(&shape) {
                sums.subtract(&trial);
            }
        });
    }
    places.sort_unstable();
    places.iter().filter_map(|at| u32::try_from(*at).ok()).collect()
}
