//! A delay line in user space, since the kernels that tests run on may have no netem: two nodes with a third namespace
//! between them, whose two interfaces are joined by copying frames. Each is released at the kernel's receive stamp plus
//! the delay, so how busy this program is adds little.

use crate::error::Result;
use crate::namespaces::{Namespace, Pair};
use crate::tap::Tap;
use crate::wire::finish_checksum;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the line does to the frames of one direction; may be changed while it runs.
#[derive(Debug, Default)]
struct Direction {
    delay_ns: AtomicU64,
    copies: AtomicU64,
    swap: AtomicBool,
}

/// A link between two namespaces that delays what passes; ends when dropped.
#[derive(Debug)]
pub struct Line {
    there: Arc<Direction>,
    back: Arc<Direction>,
    stop: Arc<AtomicBool>,
    middle: Namespace,
}

impl Line {
    /// Joins `a`, where it is called `a_interface`, to `b`. Both ends are up and have no address yet; nothing is delayed.
    ///
    /// # Errors
    /// As [`Namespace::new`] and [`Tap::open`].
    pub fn join(a: &Namespace, a_interface: &str, b: &Namespace, b_interface: &str) -> Result<Line> {
        let middle = Namespace::new("line")?;
        // The middle only passes frames on: what its own IPv6 would say about itself must not pass.
        middle.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        middle.sysctl("net.ipv6.conf.all.disable_ipv6", "1")?;
        a.join(a_interface, &middle, "left")?;
        b.join(b_interface, &middle, "right")?;
        let stop = Arc::new(AtomicBool::new(false));
        let there = pass(&middle, "left", "right", &stop)?;
        let back = pass(&middle, "right", "left", &stop)?;
        Ok(Line {
            there,
            back,
            stop,
            middle,
        })
    }

    /// From now on each direction takes `delay` longer than the bare link.
    pub fn set_delay(&self, delay: Duration) {
        let nanoseconds = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.there.delay_ns.store(nanoseconds, Ordering::Relaxed);
        self.back.delay_ns.store(nanoseconds, Ordering::Relaxed);
    }

    /// A socket of the middle whose frames reach `a` at once, past the delay, and which sees all of `a`'s.
    ///
    /// # Errors
    /// As [`Tap::open`].
    pub fn beside_a(&self) -> Result<Tap> {
        Tap::open(&self.middle, "left")
    }

    /// From now on each frame from `b` to `a` arrives `copies` times more than it was sent.
    pub fn repeat_answers(&self, copies: u64) {
        self.back.copies.store(copies, Ordering::Relaxed);
    }

    /// From now on, or no longer, every second frame from `b` to `a` is overtaken by the next one.
    pub fn swap_answers(&self, swap: bool) {
        self.back.swap.store(swap, Ordering::Relaxed);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// A pair of nodes with a delay line on the link between them. The addresses are those of [`Pair`].
#[derive(Debug)]
pub struct DelayedPair {
    /// The link; it ends before what it joins.
    pub line: Line,
    /// The nodes.
    pub ends: Pair,
}

impl DelayedPair {
    /// Two nodes whose frames are each `delay` late in either direction.
    ///
    /// # Errors
    /// As [`Line::join`].
    pub fn new(delay: Duration) -> Result<DelayedPair> {
        let (a, b) = (Namespace::new("a")?, Namespace::new("b")?);
        let line = Line::join(&a, "eth0", &b, "eth0")?;
        for (node, n) in [(&a, 1), (&b, 2)] {
            node.address("eth0", &format!("10.9.0.{n}/24"))?;
            node.address("eth0", &format!("fd09::{n}/64"))?;
        }
        line.set_delay(delay);
        Ok(DelayedPair {
            line,
            ends: Pair { a, b },
        })
    }
}

impl Deref for DelayedPair {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.line
    }
}

fn pass(middle: &Namespace, from: &str, to: &str, stop: &Arc<AtomicBool>) -> Result<Arc<Direction>> {
    let mut incoming = Tap::open(middle, from)?;
    let outgoing = Tap::open(middle, to)?;
    let direction = Arc::new(Direction::default());
    let (settings, stop) = (Arc::clone(&direction), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut held: Option<Vec<u8>> = None;
        while !stop.load(Ordering::Acquire) {
            // No queue of our own: while this thread sleeps, later frames wait in the socket with their stamps.
            let mut frame = match incoming.receive() {
                Ok(Some(frame)) if !frame.outgoing => frame,
                Ok(_) => {
                    // Nothing came to overtake it.
                    send(&outgoing, held.take(), 1);
                    continue;
                }
                // The interface goes with the namespaces when a test ends; the next look at `stop` tells.
                Err(_) if stop.load(Ordering::Acquire) => return,
                Err(error) => return eprintln!("the delay line ended: {error}"),
            };
            let due = frame.stamp_ns.saturating_add(settings.delay_ns.load(Ordering::Relaxed));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            std::thread::sleep(Duration::from_nanos(due).saturating_sub(now));
            finish_checksum(&mut frame.bytes);
            if settings.swap.load(Ordering::Relaxed) && held.is_none() {
                held = Some(frame.bytes);
                continue;
            }
            send(
                &outgoing,
                Some(frame.bytes),
                1 + settings.copies.load(Ordering::Relaxed),
            );
            send(&outgoing, held.take(), 1);
        }
    });
    Ok(direction)
}

fn send(outgoing: &Tap, frame: Option<Vec<u8>>, times: u64) {
    for frame in frame.iter() {
        for _ in 0..times {
            if let Err(error) = outgoing.send(frame) {
                // The far end may be gone already when a test ends.
                eprintln!("the delay line lost a frame: {error}");
            }
        }
    }
}
