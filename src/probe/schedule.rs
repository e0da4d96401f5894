//! When each target is due. All targets of a schedule share one period, so a queue in which every target goes to the
//! back as it is served stays sorted by itself: constant work per probe, however many targets there are.
//!
//! Phases are even: the n-th target stands at the fraction n x golden ratio of the period, which spreads any number of
//! targets and leaves room between them for more. Targets added together are shuffled by the seed, so that two hosts
//! with the same list don't probe in the same order.

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::config::MIN_PAIR_INTERVAL;
use crate::event::TargetId;
use crate::grow;
use crate::time::{MILLISECOND, Mono};

/// No probe of a continuous schedule is sent later than this, in nanoseconds.
pub(crate) const LONGEST_LATENESS: u64 = 250 * MILLISECOND;

/// How late a probe of a continuous schedule may be sent, in nanoseconds: a quarter of the period, at least 20 ms (a
/// driver's tick), at most 250 ms. Later than that it is skipped: what it would measure belongs to another time.
#[must_use]
pub const fn late_limit(period_ns: u64) -> u64 {
    let quarter = period_ns / 4;
    if quarter < 20 * MILLISECOND {
        20 * MILLISECOND
    } else if quarter > LONGEST_LATENESS {
        LONGEST_LATENESS
    } else {
        quarter
    }
}

/// The golden ratio's fraction of 2^64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The distance between the first probes of a waiting schedule's targets, where the period allows: two targets of
/// `dt ping` start together, a thousand don't start as a burst.
const START_SPACING: u64 = 10 * MILLISECOND;

/// What happens to a target whose time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// What is late by more than [`late_limit`] is skipped and counted; the target keeps its phase. No two probes of
    /// a target come closer than [`MIN_PAIR_INTERVAL`].
    Continuous,
    /// Nothing is skipped, however late; two probes of a target come no closer than half a period. Targets take
    /// their turns in the order in which they were added.
    Waiting,
}

/// A target whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose turn.
    pub target: TargetId,
    /// How many of its earlier turns passed by unserved, this one included where `send` is false.
    pub skipped: u32,
    /// Whether to send now.
    pub send: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    due: Mono,
    target: TargetId,
    /// Matches the target's in `generations`, or the entry is a removed target's.
    generation: u32,
    /// Turns that passed while nobody asked, not reported yet.
    missed: u32,
}

/// Targets and their due times.
///
/// [`add`](Schedule::add) and [`remove`](Schedule::remove) are cheap and may come in thousands; the additions are
/// merged in one step at the next [`pop_due`](Schedule::pop_due). A driver sleeps until
/// [`next_due`](Schedule::next_due), then calls `pop_due` until it gives `None`.
#[derive(Debug)]
pub struct Schedule {
    pattern: Pattern,
    period: u64,
    /// No probe is due before.
    start: Mono,
    /// Where phase 0 is; set when the first targets are merged.
    origin: Option<Mono>,
    next_phase: u64,
    /// Sorted by `due`.
    queue: VecDeque<Entry>,
    arrivals: Vec<Entry>,
    /// By target id: odd while the target is scheduled.
    generations: Vec<u32>,
    live: usize,
    /// At most this many entries belong to removed targets.
    stale: usize,
    paused: bool,
    rng: SmallRng,
}

impl Schedule {
    /// An empty schedule in which nothing is due before `start`; the first target added is due then at once, the
    /// others within a period. A continuous period is raised to [`MIN_PAIR_INTERVAL`].
    #[must_use]
    pub fn new(pattern: Pattern, period_ns: u64, seed: u64, start: Mono) -> Schedule {
        Schedule {
            pattern,
            period: clamp_period(pattern, period_ns),
            start,
            origin: None,
            next_phase: 0,
            queue: VecDeque::new(),
            arrivals: Vec::new(),
            generations: Vec::new(),
            live: 0,
            stale: 0,
            paused: false,
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// Schedules `target`: its first turn comes within one period. Without effect where it is scheduled already.
    pub fn add(&mut self, target: TargetId, now: Mono) {
        let index = target.0 as usize;
        grow::fill_to(&mut self.generations, index + 1, 0);
        if self.contains(target) {
            return;
        }
        self.generations[index] = self.generations[index].wrapping_add(1);
        let generation = self.generations[index];
        let arrival = Entry {
            due: now,
            target,
            generation,
            missed: 0,
        };
        grow::push(&mut self.arrivals, arrival);
        self.live += 1;
    }

    /// Takes `target` out: it has no turn any more. Turns that it missed and that weren't reported yet never will be.
    pub fn remove(&mut self, target: TargetId) {
        if !self.contains(target) {
            return;
        }
        let generation = &mut self.generations[target.0 as usize];
        *generation = generation.wrapping_add(1);
        self.live -= 1;
        self.stale += 1;
        // Removed entries go when their turn comes; only a churn faster than the period makes them pile up.
        if self.stale > self.live + 64 {
            let generations = &self.generations;
            self.queue.retain(|entry| is_current(generations, entry));
            self.arrivals.retain(|entry| is_current(generations, entry));
            self.stale = 0;
        }
    }

    /// Whether `target` is scheduled.
    #[must_use]
    pub fn contains(&self, target: TargetId) -> bool {
        self.generations
            .get(target.0 as usize)
            .is_some_and(|generation| generation % 2 == 1)
    }

    /// Targets scheduled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether nobody is scheduled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The period in nanoseconds.
    #[must_use]
    pub fn period(&self) -> u64 {
        self.period
    }

    /// Changes the period. The order of turns stays, the next turn of all keeps its time (now, if it is
    /// late), the others move proportionally.
    pub fn set_period(&mut self, period_ns: u64, now: Mono) {
        let period = clamp_period(self.pattern, period_ns);
        if period == self.period {
            return;
        }
        self.merge(now);
        let old = std::mem::replace(&mut self.period, period);
        let Some(head) = self.queue.front().map(|entry| entry.due) else {
            self.origin = None;
            return;
        };
        let base = head.max(now);
        for entry in &mut self.queue {
            let scaled = u128::from(entry.due.since(head)) * u128::from(period);
            entry.due = head
                .max(now)
                .plus(narrow(scaled.checked_div(u128::from(old)).unwrap_or(0)));
        }
        if let Some(origin) = self.origin {
            // The phase of the head is the same fraction of either period.
            let fraction = u128::from(head.since(origin)).checked_rem(u128::from(old)).unwrap_or(0);
            let offset = narrow(fraction * u128::from(period) / u128::from(old.max(1)));
            self.origin = Some(Mono(base.0.saturating_add(period).saturating_sub(offset)));
        }
    }

    /// Stops all turns; those that pass until [`resume`](Schedule::resume) are nobody's overload and not counted.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Goes on after [`pause`](Schedule::pause), in the same phases.
    pub fn resume(&mut self, now: Mono) {
        if !std::mem::replace(&mut self.paused, false) {
            return;
        }
        for entry in &mut self.queue {
            let periods = now.since(entry.due).div_ceil(self.period.max(1));
            entry.due = entry.due.plus(periods.saturating_mul(self.period));
        }
        self.sort();
    }

    /// The earliest time at which [`pop_due`](Schedule::pop_due) may give something; `None` while there is nobody.
    #[must_use]
    pub fn next_due(&self) -> Option<Mono> {
        if self.paused {
            return None;
        }
        let arrival = self.arrivals.first().map(|entry| entry.due);
        let head = self.queue.front().map(|entry| entry.due);
        arrival.into_iter().chain(head).min()
    }

    /// How late the next turn is, in nanoseconds; `None` where nobody is due. Late turns of a whole period or more
    /// are turned into missed ones first, so of a continuous schedule the answer is less than a period.
    pub fn overdue(&mut self, now: Mono) -> Option<u64> {
        if self.paused {
            return None;
        }
        self.merge(now);
        loop {
            let head = self.queue.front()?;
            if !is_current(&self.generations, head) {
                self.queue.pop_front();
                self.stale = self.stale.saturating_sub(1);
                continue;
            }
            if head.due > now {
                return None;
            }
            let late = now.since(head.due);
            if self.pattern == Pattern::Waiting || late < self.period {
                return Some(late);
            }
            self.count_missed(now);
        }
    }

    /// The next target whose turn it is. It goes to the back of the queue, one period on.
    pub fn pop_due(&mut self, now: Mono) -> Option<Due> {
        let late = self.overdue(now)?;
        let mut entry = self.queue.pop_front()?;
        let next = entry.due.plus(self.period);
        let send = self.pattern == Pattern::Waiting || late <= late_limit(self.period);
        let skipped = entry.missed.saturating_add(u32::from(!send));
        entry.missed = 0;
        entry.due = match self.pattern {
            Pattern::Continuous if send => next.max(now.plus(MIN_PAIR_INTERVAL)),
            Pattern::Continuous => next,
            Pattern::Waiting => next.max(now.plus(self.period / 2)),
        };
        self.push_sorted(entry);
        Some(Due {
            target: entry.target,
            skipped,
            send,
        })
    }

    /// Usually at the back; after a late turn at a short period a few places before it.
    fn push_sorted(&mut self, entry: Entry) {
        let mut place = self.queue.len();
        while place > 0 && self.queue[place - 1].due > entry.due {
            place -= 1;
        }
        debug_assert!(
            place == 0 || self.queue[place - 1].due <= entry.due,
            "sorted by due time"
        );
        self.queue.insert(place, entry);
    }

    /// Moves every entry that is late by whole periods to its latest turn and counts those it missed. This looks at
    /// all entries, but at most once in a period's time: all of them were due in between.
    fn count_missed(&mut self, now: Mono) {
        for entry in &mut self.queue {
            let periods = now.since(entry.due) / self.period.max(1);
            entry.due = entry.due.plus(periods * self.period);
            entry.missed = entry.missed.saturating_add(u32::try_from(periods).unwrap_or(u32::MAX));
        }
        self.sort();
    }

    fn sort(&mut self) {
        self.queue.make_contiguous().sort_unstable_by_key(|entry| entry.due);
    }

    /// Gives the new targets their phases and merges them into the queue.
    fn merge(&mut self, now: Mono) {
        if self.arrivals.is_empty() {
            return;
        }
        let mut arrivals = std::mem::take(&mut self.arrivals);
        arrivals.retain(|entry| is_current(&self.generations, entry));
        let now = now.max(self.start);
        match self.pattern {
            Pattern::Continuous => {
                arrivals.shuffle(&mut self.rng);
                for entry in &mut arrivals {
                    entry.due = self.next_turn(now);
                }
            }
            Pattern::Waiting => {
                let count = arrivals.len() as u64;
                let spacing = (self.period / count.max(1)).min(START_SPACING);
                let mut due = now;
                for entry in &mut arrivals {
                    entry.due = due;
                    due = due.plus(spacing);
                }
            }
        }
        if self.queue.is_empty() {
            self.queue = arrivals.into();
        } else {
            self.queue.reserve_exact(arrivals.len());
            self.queue.extend(arrivals);
        }
        // Stable, so that a waiting schedule keeps the order of its targets.
        self.queue.make_contiguous().sort_by_key(|entry| entry.due);
    }

    /// The first time from `now` on at the next phase of the sequence.
    fn next_turn(&mut self, now: Mono) -> Mono {
        let origin = *self.origin.get_or_insert(now);
        let offset = (u128::from(self.next_phase) * u128::from(self.period)) >> 64;
        self.next_phase = self.next_phase.wrapping_add(GOLDEN);
        let turn = origin.plus(narrow(offset));
        // The whole periods that have passed since, and one more where its phase of this one has passed too.
        turn.plus(now.since(turn).div_ceil(self.period).saturating_mul(self.period))
    }

    /// A number from the schedule's own seeded sequence, for whoever needs one that goes with it.
    pub(crate) fn random(&mut self) -> u64 {
        self.rng.random()
    }
}

fn is_current(generations: &[u32], entry: &Entry) -> bool {
    generations.get(entry.target.0 as usize) == Some(&entry.generation)
}

const fn clamp_period(pattern: Pattern, period_ns: u64) -> u64 {
    match pattern {
        Pattern::Continuous if period_ns < MIN_PAIR_INTERVAL => MIN_PAIR_INTERVAL,
        _ => period_ns,
    }
}

fn narrow(nanos: u128) -> u64 {
    u64::try_from(nanos).unwrap_or(u64::MAX)
}
