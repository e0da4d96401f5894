//! A delay line in user space, since the kernels that tests run on may have no netem: a namespace between two others,
//! whose two interfaces are joined by copying frames. Each is released at the kernel's receive stamp plus
//! the delay, so how busy this program is adds little.

use crate::error::Result;
use crate::namespaces::{Namespace, Pair};
use crate::tap::Tap;
use crate::wire::finish_checksum;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the line does to the frames of one direction; may be changed while it runs.
#[derive(Debug, Default)]
struct Direction {
    delay_ns: AtomicU64,
    copies: AtomicU64,
}

/// A namespace whose two interfaces, `left` and `right`, are one link that can be made longer.
#[derive(Debug)]
pub struct Line {
    there: Arc<Direction>,
    back: Arc<Direction>,
    stop: Arc<AtomicBool>,
    middle: Namespace,
}

impl Line {
    /// A link between `interface` of `a` and `other_interface` of `b`, both made here and without addresses.
    ///
    /// # Errors
    /// As [`Namespace::new`] and [`Tap::open`].
    pub fn new(a: &Namespace, interface: &str, b: &Namespace, other_interface: &str) -> Result<Line> {
        let middle = Namespace::new("delay")?;
        // The middle only passes frames on: what its own IPv6 would say about itself must not pass.
        middle.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        middle.sysctl("net.ipv6.conf.all.disable_ipv6", "1")?;
        a.join(interface, &middle, "left")?;
        b.join(other_interface, &middle, "right")?;
        let stop = Arc::new(AtomicBool::new(false));
        Ok(Line {
            there: pass(&middle, "left", "right", &stop)?,
            back: pass(&middle, "right", "left", &stop)?,
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
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// A pair of nodes with a delay line on the link between them. The addresses are those of [`Pair`].
#[derive(Debug)]
pub struct DelayedPair {
    /// The nodes.
    pub ends: Pair,
    line: Line,
}

impl DelayedPair {
    /// Two nodes whose frames are each `delay` late in either direction.
    ///
    /// # Errors
    /// As [`Line::new`].
    pub fn new(delay: Duration) -> Result<DelayedPair> {
        let (a, b) = (Namespace::new("a")?, Namespace::new("b")?);
        let line = Line::new(&a, "eth0", &b, "eth0")?;
        line.set_delay(delay);
        for (node, n) in [(&a, 1), (&b, 2)] {
            node.address("eth0", &format!("10.9.0.{n}/24"))?;
            node.address("eth0", &format!("fd09::{n}/64"))?;
        }
        Ok(DelayedPair {
            ends: Pair { a, b },
            line,
        })
    }

    /// From now on each direction takes `delay` longer than the bare link.
    pub fn set_delay(&self, delay: Duration) {
        self.line.set_delay(delay);
    }

    /// A socket of the middle whose frames reach `a` at once, past the delay, and which sees all of `a`'s.
    ///
    /// # Errors
    /// As [`Tap::open`].
    pub fn beside_a(&self) -> Result<Tap> {
        Tap::open(&self.line.middle, "left")
    }

    /// From now on each frame from `b` to `a` arrives `copies` times more than it was sent.
    pub fn repeat_answers(&self, copies: u64) {
        self.line.back.copies.store(copies, Ordering::Relaxed);
    }
}

fn pass(middle: &Namespace, from: &str, to: &str, stop: &Arc<AtomicBool>) -> Result<Arc<Direction>> {
    let mut incoming = Tap::open(middle, from)?;
    let outgoing = Tap::open(middle, to)?;
    let direction = Arc::new(Direction::default());
    let (settings, stop) = (Arc::clone(&direction), Arc::clone(stop));
    std::thread::spawn(move || {
        while !stop.load(Ordering::Acquire) {
            // No queue of our own: while this thread sleeps, later frames wait in the socket with their stamps.
            let mut frame = match incoming.receive() {
                Ok(Some(frame)) if !frame.outgoing => frame,
                Ok(_) => continue,
                // The interface goes with the namespaces when a test ends; the next look at `stop` tells.
                Err(_) if stop.load(Ordering::Acquire) => return,
                Err(error) => return eprintln!("the delay line ended: {error}"),
            };
            let due = frame.stamp_ns.saturating_add(settings.delay_ns.load(Ordering::Relaxed));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            std::thread::sleep(Duration::from_nanos(due).saturating_sub(now));
            finish_checksum(&mut frame.bytes);
            for _ in 0..=settings.copies.load(Ordering::Relaxed) {
                if let Err(error) = outgoing.send(&frame.bytes) {
                    // The far end may be gone already when a test ends.
                    eprintln!("the delay line lost a frame: {error}");
                }
            }
        }
    });
    Ok(direction)
}
