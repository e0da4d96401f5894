//! What is kept of one series: its panes, on three ladders of different reach.

use crate::observation::{Manner, Observation};
use crate::pane::Pane;
use crate::view::View;
use dt_record::packed::Scratch;

const MINUTE_MS: u64 = 60_000;
const TEN_MINUTES_MS: u64 = 600_000;
const HOUR_MS: u64 = 3_600_000;

/// Records whose window ends further in the future than this are not believed.
const AHEAD_MS: u64 = MINUTE_MS;
/// Records that arrive so long after they were due by their own time, or sooner, are taken for the present: the agent's clock is
/// behind. What is older still has waited somewhere, and its numbers are of the past.
const BEHIND_MS: u64 = MINUTE_MS;
/// An agent's windows are no shorter: what says so can't make a series stale between two records.
const SHORTEST_WINDOW_MS: u64 = 1_000;

/// What became of a record handed to the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingest {
    /// It counts.
    Merged,
    /// Its window ended more than an hour before the newest of its series, or before now; or it covers more than an hour, of
    /// which no view could say when it was.
    TooOld,
    /// Its window ends more than a minute (and more than its own length) in the future, so its clock can't be trusted.
    TooFarAhead,
    /// Its series isn't known and there are as many series as may be.
    Full,
}

/// How far a view reaches back; `None` where that is by the windows of each series.
fn reach_ms(view: View) -> Option<u64> {
    match view {
        View::Recent => None,
        View::Minute => Some(MINUTE_MS),
        View::TenMinutes => Some(TEN_MINUTES_MS),
        View::Hour => Some(HOUR_MS),
    }
}

/// Panes of one width, ascending and not overlapping.
#[derive(Debug, Default)]
pub(crate) struct Ladder(Vec<Pane>);

impl Ladder {
    fn add(&mut self, observation: &Observation<'_>, width_ms: u64, scratch: &mut Scratch) {
        // A merged record of several windows counts for the time it was completed.
        let slot = |end_ms: u64| end_ms.saturating_sub(1) / width_ms;
        // One that reaches far back is a pane of its own, before the other: in one pane with it, the windows after it would
        // leave the view as soon as it does.
        let place = |start_ms: u64, end_ms: u64| {
            let slot = slot(end_ms);
            (slot, start_ms.saturating_add(width_ms) >= slot.saturating_mul(width_ms))
        };
        let mine = place(observation.start_ms, observation.end_ms);
        let at = self.0.partition_point(|pane| place(pane.start_ms, pane.end_ms) < mine);
        match self.0.get_mut(at) {
            Some(found) if place(found.start_ms, found.end_ms) == mine => found.add(observation, scratch),
            _ => {
                let mut pane = Pane::of(observation);
                pane.add(observation, scratch);
                // One more at a time: there are half a million of these, and each soon has all it will ever have.
                self.0.reserve_exact(1);
                self.0.insert(at, pane);
            }
        }
    }

    /// Drops what covers more than `longest_ms`.
    fn without_longer(&mut self, longest_ms: u64) {
        self.0
            .retain(|pane| pane.end_ms.saturating_sub(pane.start_ms) <= longest_ms);
    }

    /// Drops what ended before `since_ms`, but never the newest.
    fn trim(&mut self, since_ms: u64) {
        let old = self.0.partition_point(|pane| pane.end_ms <= since_ms);
        let old = old.min(self.0.len().saturating_sub(1));
        if old > 0 {
            self.0.drain(..old);
        }
    }
}

/// One pair and probe kind.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) manner: Manner,
    /// When it was last heard of, by the collector's clock: see [`Series::heard`]. The time it was announced, where nothing has
    /// come.
    pub(crate) heard_ms: u64,
    /// Length of the shortest window seen, which is that of the agent once it hasn't merged any: a record that is made up of
    /// several says nothing about when the next is due. 0 before the first record.
    pub(crate) window_ms: u64,
    /// See [`Cell::failing_since_ms`](crate::snapshot::Cell::failing_since_ms).
    pub(crate) failing_since_ms: Option<u64>,
    /// The partition that its records come from.
    pub(crate) partition: i32,
    /// Windows of the last minute, minutes of the last ten, ten-minute panes of the last hour.
    ladders: [Ladder; 3],
}

impl Series {
    pub(crate) fn new(manner: Manner, partition: i32, now_ms: u64) -> Self {
        Self {
            manner,
            heard_ms: now_ms,
            window_ms: 0,
            failing_since_ms: None,
            partition,
            ladders: Default::default(),
        }
    }

    /// `width_ms` is that of the finest panes.
    pub(crate) fn ingest(
        &mut self,
        observation: &Observation<'_>,
        width_ms: u64,
        now_ms: u64,
        scratch: &mut Scratch,
    ) -> Ingest {
        let length = observation.end_ms.saturating_sub(observation.start_ms).max(1);
        if length > HOUR_MS {
            return Ingest::TooOld;
        }
        let horizon = now_ms.saturating_add(AHEAD_MS.max(length));
        if observation.end_ms > horizon {
            return Ingest::TooFarAhead;
        }
        if self.newest_end_ms() > horizon {
            // The clock was set back. What was filed under times that are yet to come would bar the way for long.
            self.ladders = Default::default();
            self.failing_since_ms = None;
        }
        let newest = self.newest_end_ms();
        if observation.end_ms.saturating_add(HOUR_MS) <= newest.max(now_ms) {
            return Ingest::TooOld;
        }
        self.manner = observation.manner;
        self.partition = observation.partition;
        let window_ms = length.max(SHORTEST_WINDOW_MS);
        let is_shorter = window_ms < self.window_ms;
        if self.window_ms == 0 || is_shorter {
            self.window_ms = window_ms;
        }
        let heard_ms = self.heard(observation, now_ms);
        self.heard_ms = if newest == 0 {
            heard_ms
        } else {
            self.heard_ms.max(heard_ms)
        };
        if observation.end_ms >= newest {
            self.failing_since_ms = self.failing(observation);
        }
        let newest = newest.max(observation.end_ms);
        for ((ladder, width_ms), reach_ms) in self
            .ladders
            .iter_mut()
            .zip([width_ms, MINUTE_MS.max(width_ms), TEN_MINUTES_MS.max(width_ms)])
            .zip([MINUTE_MS, TEN_MINUTES_MS, HOUR_MS])
        {
            let since = newest.saturating_sub(reach_ms);
            // What was merged over a longer time than the view's says nothing about that time. Where all windows are as long,
            // the newest is shown all the same; the first record may have looked so, and was a merged one.
            let longest = reach_ms.max(self.window_ms);
            if is_shorter {
                ladder.without_longer(longest);
            }
            if observation.end_ms > since && length <= longest {
                ladder.add(observation, width_ms, scratch);
                ladder.trim(since);
            }
        }
        Ingest::Merged
    }

    /// When a record that arrives at `now_ms` says that its agent lived. That is now, whatever the agent's clock says, as long as
    /// that is no more than [`BEHIND_MS`] behind. Records of the past say it of the time at which they were due, so that reading
    /// them again doesn't make the dead look alive: those that lay in the partition when its reading began, and those that
    /// come long after their time, as after an outage of Kafka: these show that the agent lives, but not how the network is.
    fn heard(&self, observation: &Observation<'_>, now_ms: u64) -> u64 {
        // A window's records are published within the first half of the next.
        let due_ms = observation.end_ms.saturating_add(self.window_ms);
        if observation.is_present && now_ms.saturating_sub(due_ms) <= BEHIND_MS {
            now_ms
        } else {
            now_ms.min(due_ms)
        }
    }

    fn failing(&self, observation: &Observation<'_>) -> Option<u64> {
        let counts = &observation.counts;
        if counts.unanswered() > 0 {
            return Some(self.failing_since_ms.unwrap_or(observation.start_ms));
        }
        // A window without a probe says neither.
        self.failing_since_ms.filter(|_| counts.sent() == 0)
    }

    fn newest_end_ms(&self) -> u64 {
        // The coarsest ladder has a pane wherever another has.
        self.ladders[2].0.last().map_or(0, |pane| pane.end_ms)
    }

    /// The panes that make up `view`, oldest first: those that begin within it, counted back from the newest record. Empty
    /// before the first record, and where that is a long one.
    pub(crate) fn panes(&self, view: View) -> &[Pane] {
        let ladder = match view {
            View::Recent | View::Minute => &self.ladders[0].0,
            View::TenMinutes => &self.ladders[1].0,
            View::Hour => &self.ladders[2].0,
        };
        let reach_ms = reach_ms(view).unwrap_or_else(|| MINUTE_MS.max(self.window_ms.saturating_mul(2)));
        let since = self.newest_end_ms().saturating_sub(reach_ms);
        let Some(newest) = ladder.len().checked_sub(1).filter(|at| ladder[*at].end_ms > since) else {
            // The newest record covers more time than the view, and is in longer ones only.
            return &[];
        };
        let old = match view {
            View::Recent => newest
                .saturating_sub(1)
                .max(ladder.partition_point(|pane| pane.end_ms <= since)),
            _ => ladder.partition_point(|pane| pane.start_ms < since),
        };
        // The newest stays even where one window is longer than the view.
        &ladder[old.min(newest)..]
    }

    /// Those of them that end within the view counted back from now; for [`View::Recent`] none, since what has ended since is
    /// recent no more.
    pub(crate) fn panes_since(&self, view: View, now_ms: u64) -> &[Pane] {
        let Some(reach_ms) = reach_ms(view) else { return &[] };
        let panes = self.panes(view);
        let since = now_ms.saturating_sub(reach_ms);
        &panes[panes.partition_point(|pane| pane.end_ms <= since)..]
    }

    /// The panes to be drawn over time for `view`, oldest first: as fine as they are kept. Where the width changes, the last
    /// wide one may reach into the first narrow one.
    pub(crate) fn over_time(&self, view: View) -> impl Iterator<Item = &Pane> {
        let [windows, minutes, tens] = [View::Minute, View::TenMinutes, View::Hour].map(|view| self.panes(view));
        let (coarse, fine) = match view {
            View::Recent | View::Minute => (&[][..], windows),
            View::TenMinutes => (minutes, windows),
            View::Hour => (tens, minutes),
        };
        let from = fine.first().map_or(u64::MAX, |pane| pane.start_ms);
        coarse.iter().filter(move |pane| pane.start_ms < from).chain(fine)
    }
}
