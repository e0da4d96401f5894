//! Where the one who looks and the one who draws meet: what is wanted lies here, and the newest look.
//!
//! Looks may take long (a quarter of a million cells) and the terminal may be slow: neither waits for the other, and never
//! more than one look lies here.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::model::{Look, Want};

/// Looks come at least so far apart, and so many times what one took: a twentieth of one processor at most, but for what
/// was asked for by a key.
const PERIOD: Duration = Duration::from_secs(1);
const LONGEST_PERIOD: Duration = Duration::from_secs(30);
const TIMES: u32 = 20;

#[derive(Debug)]
pub(super) struct Desk {
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Debug)]
struct Held {
    want: Want,
    /// Counts changes of `want`.
    wish: u64,
    look: Option<Look>,
}

impl Desk {
    pub(super) fn new(want: Want) -> Arc<Desk> {
        Arc::new(Desk {
            held: Mutex::new(Held {
                want,
                wish: 0,
                look: None,
            }),
            changed: Condvar::new(),
        })
    }

    /// Says what is wanted from now on.
    pub(super) fn want(&self, want: &Want) {
        let mut held = self.lock();
        if held.want != *want {
            held.want = want.clone();
            held.wish += 1;
            self.changed.notify_all();
        }
    }

    /// Takes the newest look, once.
    pub(super) fn take(&self) -> Option<Look> {
        let look = self.lock().look.take();
        if look.is_some() {
            self.changed.notify_all();
        }
        look
    }

    /// Looks again and again, and tells of each look by `tell`, until that says that nobody listens.
    pub(super) fn serve(&self, mut look: impl FnMut(&Want) -> Look, mut tell: impl FnMut() -> bool) {
        loop {
            let (want, wish) = {
                let held = self.lock();
                (held.want.clone(), held.wish)
            };
            let begun = Instant::now();
            let seen = look(&want);
            let pause = (begun.elapsed() * TIMES).clamp(PERIOD, LONGEST_PERIOD);
            {
                let mut held = self.lock();
                if held.wish != wish {
                    // Of no use any more.
                    continue;
                }
                held.look = Some(seen);
            }
            if !tell() {
                return;
            }
            self.wait(wish, Instant::now() + pause);
        }
    }

    /// Until something else is wanted, or it is time and the last look was taken.
    fn wait(&self, wish: u64, until: Instant) {
        let mut held = self.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if held.wish != wish || (left.is_zero() && held.look.is_none()) {
                return;
            }
            let patience = if left.is_zero() { LONGEST_PERIOD } else { left };
            held = match self.changed.wait_timeout(held, patience) {
                Ok((held, _)) => held,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    // Whoever panicked with it left it whole: it is only ever replaced.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use dt_collect::{Level, View};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    fn want(level: Level) -> Want {
        Want {
            view: View::Minute,
            level,
            probe: None,
            pair: None,
        }
    }

    /// A desk that is served: each look waits for its answer and says what was wanted.
    fn served() -> (Arc<Desk>, Receiver<Want>, Sender<&'static str>, Receiver<()>) {
        let desk = Desk::new(want(Level::Node));
        let ((asked, wants), (answer, answers), (tell, told)) = (channel(), channel(), channel());
        let served = Arc::clone(&desk);
        thread::spawn(move || {
            let look = |want: &Want| {
                asked.send(want.clone()).unwrap();
                Err(answers.recv().unwrap_or("gone").to_owned())
            };
            served.serve(look, || tell.send(()).is_ok());
        });
        (desk, wants, answer, told)
    }

    #[test]
    fn a_look_of_what_is_wanted_no_more_is_thrown_away() {
        let (desk, wants, answer, told) = served();
        assert_eq!(wants.recv_timeout(DEADLINE).unwrap().level, Level::Node);
        desk.want(&want(Level::Zone));
        answer.send("nodes").unwrap();
        // No word of that; what is wanted now is looked at instead.
        assert_eq!(wants.recv_timeout(DEADLINE).unwrap().level, Level::Zone);
        answer.send("zones").unwrap();
        told.recv_timeout(DEADLINE).unwrap();
        assert_eq!(desk.take().unwrap().unwrap_err(), "zones");
        assert!(desk.take().is_none());
    }

    #[test]
    fn nothing_is_looked_at_before_the_last_look_was_taken_but_a_new_wish_is_at_once() {
        let (desk, wants, answer, told) = served();
        wants.recv_timeout(DEADLINE).unwrap();
        answer.send("first").unwrap();
        told.recv_timeout(DEADLINE).unwrap();
        // Longer than the period, and no second look is begun.
        thread::sleep(PERIOD + PERIOD / 2);
        assert!(wants.try_recv().is_err());
        desk.want(&want(Level::Rack));
        assert_eq!(wants.recv_timeout(DEADLINE).unwrap().level, Level::Rack);
        answer.send("second").unwrap();
        told.recv_timeout(DEADLINE).unwrap();
        assert_eq!(desk.take().unwrap().unwrap_err(), "second");
        assert_eq!(wants.recv_timeout(DEADLINE).unwrap().level, Level::Rack);
        answer.send("third").unwrap();
        told.recv_timeout(DEADLINE).unwrap();
    }
}
