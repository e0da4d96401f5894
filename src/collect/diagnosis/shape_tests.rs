use std::collections::HashSet;
use std::sync::Arc;

use dt_record::Endpoint;

use super::*;
use crate::diagnosis::grid::Probe;
use crate::snapshot::Snapshot;

/// Two zones of two racks of two nodes, one node without labels.
fn topology() -> Topology {
    let node = |zone: &str, rack: &str, node: usize| {
        Arc::new(Endpoint {
            node: format!("n{node}").into(),
            zone: zone.into(),
            rack: rack.into(),
            region: "".into(),
        })
    };
    let labels = [("", ""), ("a", "1"), ("a", "1"), ("a", "2"), ("a", "2")];
    let more = [("b", "1"), ("b", "1"), ("b", "2"), ("b", "2")];
    let nodes = labels.iter().chain(&more).enumerate();
    Topology::new(&Snapshot {
        nodes: nodes.map(|(n, (zone, rack))| node(zone, rack, n)).collect(),
        ..Snapshot::default()
    })
}

/// Every pair but some, as with a pinglist.
fn grid(topology: &Topology) -> Grid {
    let count = u32::try_from(topology.len()).unwrap_or(0);
    let pairs = (0..count).flat_map(|s| (0..count).map(move |d| (s, d)));
    let trials = pairs.filter(|(s, d)| s != d && (s + 3 * d) % 5 != 0);
    let trials = trials.map(|(source, destination)| Trial {
        source,
        destination,
        probe: Probe::Tcp,
        n: 1,
        k: 0,
        cell: 0,
    });
    Grid::new(trials.collect(), topology)
}

/// The two ways to say what belongs to what agree: by shape and by trial.
#[test]
fn a_shape_holds_exactly_the_trials_that_are_in_it() {
    let topology = topology();
    let grid = grid(&topology);
    let mut shapes = HashSet::new();
    for trial in &grid.trials {
        Shape::containing(trial.source, trial.destination, &topology, |shape| {
            shapes.insert(shape);
        });
    }
    assert!(shapes.len() > 100, "{}", shapes.len());
    for shape in shapes {
        let mut visited = Vec::new();
        shape.visit(&grid, &topology, |at| visited.push(at));
        let once: HashSet<usize> = visited.iter().copied().collect();
        assert_eq!(once.len(), visited.len(), "{shape:?} visits a trial twice");
        for (at, trial) in grid.trials.iter().enumerate() {
            let mut inside = 0;
            Shape::containing(trial.source, trial.destination, &topology, |other| {
                inside += usize::from(other == shape);
            });
            let expected = usize::from(once.contains(&at));
            assert_eq!(inside, expected, "{shape:?} {} -> {}", trial.source, trial.destination);
        }
    }
}

#[test]
fn racks_of_the_same_name_in_two_zones_are_two_racks() {
    let topology = topology();
    let names: Vec<&str> = topology
        .groups(Level::Rack)
        .iter()
        .map(|rack| rack.name.as_str())
        .collect();
    assert_eq!(names, ["a/1", "a/2", "b/1", "b/2"]);
    assert_eq!(topology.group_of(Level::Zone, 0), NONE);
    assert_eq!(topology.members(Level::Rack, 3), [7, 8]);
}
