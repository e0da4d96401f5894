//! One cell of the heat map.

use dt_collect::State;
use dt_collect::grouped::GroupCell;

/// What the series of one kind from one group to another add up to. Kept small: there may be a million.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    /// Places in the table's groups.
    pub(crate) source: u32,
    pub(crate) destination: u32,
    /// How many series, and how many of them are stale.
    pub(crate) series: u32,
    pub(crate) stale: u32,
    pub(crate) state: State,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Left their source and got no answer in time.
    pub(crate) failed: u64,
    /// Nanoseconds.
    pub(crate) p50: Option<u64>,
    pub(crate) p99: Option<u64>,
    pub(crate) p999: Option<u64>,
    pub(crate) host_p99: Option<u64>,
}

/// What a cell shows beyond its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// No record yet.
    Waiting,
    /// No probe in this span.
    Idle,
    /// Answers.
    Live,
    /// Nothing could be sent.
    Unsent,
    /// No record for several windows.
    Stale,
    /// No answer to any probe.
    Dead,
}

impl Cell {
    pub(crate) fn status(&self) -> Status {
        match self.state {
            State::Waiting => Status::Waiting,
            State::Stale => Status::Stale,
            State::Fresh if self.sent == 0 => Status::Idle,
            State::Fresh if self.received + self.failed == 0 => Status::Unsent,
            State::Fresh if self.received == 0 => Status::Dead,
            State::Fresh => Status::Live,
        }
    }

    /// The share of probes without an answer; `None` where none left its source.
    pub(crate) fn loss(&self) -> Option<f64> {
        let left = self.received.saturating_add(self.failed);
        // Counts stay far below 2^53.
        (left > 0).then(|| self.failed as f64 / left as f64)
    }
}

impl From<&GroupCell> for Cell {
    fn from(cell: &GroupCell) -> Cell {
        let counts = &cell.counts;
        Cell {
            source: cell.source,
            destination: cell.destination,
            series: cell.series,
            stale: cell.stale,
            state: cell.state,
            sent: counts.sent(),
            received: counts.received,
            failed: counts.unanswered(),
            p50: cell.rtt.p50,
            p99: cell.rtt.p99,
            p999: cell.rtt.p999,
            host_p99: cell.host_delay.p99,
        }
    }
}

impl Status {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Status::Waiting => "no record yet",
            Status::Idle => "no probe in this span",
            Status::Live => "answers",
            Status::Unsent => "nothing could be sent",
            Status::Stale => "stale: no record for several windows",
            Status::Dead => "no answer to any probe",
        }
    }
}
