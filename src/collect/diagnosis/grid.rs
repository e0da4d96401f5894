//! The counts that are to be explained: one trial for each pair and kind of probe, found by source and by destination.

use std::ops::Range;

use super::topology::Topology;

/// What kind of probe a trial is of. Finer than the records' word where size matters, and where nothing else is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    Echo,
    /// An echo with a payload that may be too large for a path.
    LargeEcho,
    Tcp,
    Grpc,
    /// gRPC between nodes that have no other probe: all there is to tell the path by.
    GrpcAlone,
}

impl Probe {
    pub(super) const COUNT: usize = 5;
}

/// A set of kinds that a cause makes fail, the widest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Layer {
    /// All packets. gRPC goes along but says nothing: TCP sends again what is lost.
    Path,
    /// Echoes, for their size alone.
    Large,
    /// Echoes.
    Echo,
    /// All that goes to the agent's port.
    Port,
    Tcp,
    Grpc,
}

impl Layer {
    pub(super) const ALL: [Layer; 6] = [
        Layer::Path,
        Layer::Large,
        Layer::Echo,
        Layer::Port,
        Layer::Tcp,
        Layer::Grpc,
    ];

    pub(super) fn contains(self, probe: Probe) -> bool {
        match self {
            Layer::Path => probe != Probe::Grpc,
            Layer::Large => probe == Probe::LargeEcho,
            Layer::Echo => matches!(probe, Probe::Echo | Probe::LargeEcho),
            Layer::Port => matches!(probe, Probe::Tcp | Probe::Grpc),
            Layer::Tcp => probe == Probe::Tcp,
            Layer::Grpc => probe == Probe::Grpc,
        }
    }

    /// The kinds that must be sound where this layer, and not the whole path, is said to fail.
    pub(super) fn must_pass(self, probe: Probe) -> bool {
        self != Layer::Path && !matches!(probe, Probe::Grpc | Probe::GrpcAlone) && !self.contains(probe)
    }
}

/// `k` of `n` probes of one pair and kind failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) probe: Probe,
    pub(super) n: u32,
    pub(super) k: u32,
    /// Where it stands in the snapshot.
    pub(super) cell: u32,
}

/// Trials and the two ways to find them.
#[derive(Debug)]
pub(super) struct Grid {
    pub(super) trials: Vec<Trial>,
    /// Whether a cause has been found for it already.
    pub(super) explained: Vec<bool>,
    rows: Vec<u32>,
    columns: Vec<u32>,
    by_destination: Vec<u32>,
}

impl Grid {
    /// `trials` ascend by (source, destination), as cells do.
    pub(super) fn new(trials: Vec<Trial>, topology: &Topology) -> Grid {
        let offsets = |of: fn(&Trial) -> u32| {
            let mut starts = vec![0_u32; topology.len() + 1];
            for trial in &trials {
                if let Some(count) = starts.get_mut(of(trial) as usize + 1) {
                    *count += 1;
                }
            }
            let mut sum = 0;
            for start in &mut starts {
                sum += *start;
                *start = sum;
            }
            starts
        };
        let (rows, columns) = (offsets(|trial| trial.source), offsets(|trial| trial.destination));
        let mut by_destination: Vec<u32> = (0..).take(trials.len()).collect();
        // Stable, so that a column ascends by source.
        by_destination.sort_by_key(|at| trials.get(*at as usize).map(|trial| trial.destination));
        Grid {
            explained: vec![false; trials.len()],
            trials,
            rows,
            columns,
            by_destination,
        }
    }

    /// What no cause has been found for, with its place.
    pub(super) fn open(&self) -> impl Iterator<Item = (&Trial, usize)> + '_ {
        let trials = self.trials.iter().zip(0..);
        trials.filter(|(_, at)| !self.explained[*at])
    }

    fn range(offsets: &[u32], node: u32) -> Range<usize> {
        let at = node as usize;
        match (offsets.get(at), offsets.get(at + 1)) {
            (Some(start), Some(end)) => *start as usize..*end as usize,
            _ => 0..0,
        }
    }

    /// All of which `source` is the source.
    pub(super) fn row(&self, source: u32) -> Range<usize> {
        Grid::range(&self.rows, source)
    }

    /// All of which `destination` is the destination.
    pub(super) fn column(&self, destination: u32) -> impl Iterator<Item = usize> + '_ {
        let range = Grid::range(&self.columns, destination);
        self.by_destination[range].iter().map(|at| *at as usize)
    }

    /// All from `source` to `destination`.
    pub(super) fn between(&self, source: u32, destination: u32) -> Range<usize> {
        let row = self.row(source);
        let of_row = &self.trials[row.clone()];
        let start = of_row.partition_point(|trial| trial.destination < destination);
        let end = of_row.partition_point(|trial| trial.destination <= destination);
        row.start + start..row.start + end
    }
}

/// Counts by kind of probe.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums([(f64, f64); Probe::COUNT]);

impl Sums {
    pub(super) fn add(&mut self, trial: &Trial) {
        let (n, k) = &mut self.0[trial.probe as usize];
        *n += f64::from(trial.n);
        *k += f64::from(trial.k);
    }

    pub(super) fn subtract(&mut self, trial: &Trial) {
        let (n, k) = &mut self.0[trial.probe as usize];
        *n -= f64::from(trial.n);
        *k -= f64::from(trial.k);
    }

    pub(super) fn of(&self, probe: Probe) -> (f64, f64) {
        self.0[probe as usize]
    }

    /// (n, k) of a layer.
    pub(super) fn layer(&self, layer: Layer) -> (f64, f64) {
        PROBES
            .into_iter()
            .filter(|probe| layer.contains(*probe))
            .fold((0.0, 0.0), |(n, k), probe| {
                let (more_n, more_k) = self.of(probe);
                (n + more_n, k + more_k)
            })
    }
}

/// Every kind.
pub(super) const PROBES: [Probe; Probe::COUNT] =
    [Probe::Echo, Probe::LargeEcho, Probe::Tcp, Probe::Grpc, Probe::GrpcAlone];
