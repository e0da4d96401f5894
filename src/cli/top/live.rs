//! Keys, signals, looks and log lines in; frames out.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use dt_collect::clock::now_ms;
use nix::sys::signal::{SigSet, Signal};
use ratatui::crossterm::event::{self, KeyEvent, KeyEventKind};

use super::desk::Desk;
use super::draw::{self, Theme};
use super::screen::Screen;
use super::signals;
use super::source::Source;
use super::state::{Effect, Top};

/// What comes by itself (numbers, log lines, the time) is drawn at most four times a second; the time once.
const NEWS: Duration = Duration::from_millis(250);
const TICK: Duration = Duration::from_secs(1);
/// The answer to a key is drawn at once, however fast a held key repeats.
const KEYS: Duration = Duration::from_millis(33);
/// Events that wait; log lines beyond are dropped.
const QUEUE: usize = 1024;

/// What can happen.
#[derive(Debug)]
pub(super) enum Event {
    Key(KeyEvent),
    Resized,
    Signal(Signal),
    /// There is a new look on the desk.
    Look,
    Log(String),
    /// A part ended that ought not to.
    Ended(&'static str),
}

pub(super) fn events() -> (SyncSender<Event>, Receiver<Event>) {
    sync_channel(QUEUE)
}

/// Shows `top` until a key or a signal ends it.
///
/// # Errors
/// What went wrong, once the terminal is as it was.
pub(super) fn run(
    mut top: Top,
    theme: &Theme,
    source: Source,
    signals: SigSet,
    (sender, events): (SyncSender<Event>, Receiver<Event>),
) -> Result<(), String> {
    let failed = |what: &str, error: io::Error| format!("{what}: {error}");
    let mut screen = Screen::take().map_err(|error| failed("taking the terminal", error))?;
    signals::watch(signals, sender.clone()).map_err(|error| failed("starting a thread", error))?;
    let desk = Desk::new(top.want.clone());
    watch_keys(sender.clone()).map_err(|error| failed("starting a thread", error))?;
    look(source, Arc::clone(&desk), sender).map_err(|error| failed("starting a thread", error))?;
    let mut frames = Frames::default();
    loop {
        let wait = frames.wait();
        if wait.is_zero() {
            let now_ms = now_ms();
            let drawn = screen.draw(|frame| draw::draw(frame, &mut top, theme, now_ms));
            drawn.map_err(|error| failed("drawing", error))?;
            frames.drawn();
            continue;
        }
        let event = match events.recv_timeout(wait) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Err("all parts ended".to_owned()),
        };
        match event {
            Event::Key(key) => match top.key(key) {
                Some(Effect::Quit) => return Ok(()),
                Some(Effect::Suspend) => signals::ask_job_to_stop(),
                Some(Effect::Repaint) => {
                    screen.repaint().map_err(|error| failed("drawing", error))?;
                    frames.due(KEYS);
                }
                None => {
                    desk.want(&top.want);
                    frames.due(KEYS);
                }
            },
            Event::Signal(signal) if signals::is_end(signal) => return Ok(()),
            Event::Signal(signal) => {
                let meanwhile = || {
                    if signal == Signal::SIGTSTP {
                        signals::stop()
                    } else {
                        Ok(())
                    }
                };
                screen
                    .lend(meanwhile)
                    .map_err(|error| failed("taking the terminal back", error))?;
                frames.due(KEYS);
            }
            Event::Resized => frames.due(KEYS),
            Event::Look => {
                if let Some(look) = desk.take() {
                    top.look(look);
                    frames.due(NEWS);
                }
            }
            Event::Log(line) => {
                top.log(&line, now_ms());
                frames.due(NEWS);
            }
            Event::Ended(what) => return Err(format!("{what} ended unexpectedly")),
        }
    }
}

/// When the next frame is due.
#[derive(Debug, Default)]
struct Frames {
    last: Option<Instant>,
    next: Option<Instant>,
}

impl Frames {
    /// There is something to draw, at least `apart` after the last frame.
    fn due(&mut self, apart: Duration) {
        let at = self.last.map_or_else(Instant::now, |last| last + apart);
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// How long until the next frame.
    fn wait(&self) -> Duration {
        let tick = self.last.map(|last| last + TICK);
        let next = self.next.into_iter().chain(tick).min();
        next.map_or(Duration::ZERO, |next| next.saturating_duration_since(Instant::now()))
    }

    fn drawn(&mut self) {
        *self = Frames {
            last: Some(Instant::now()),
            next: None,
        };
    }
}

fn watch_keys(events: SyncSender<Event>) -> io::Result<()> {
    let read = move || {
        let _ended = Ended("reading keys", events.clone());
        while let Ok(event) = event::read() {
            let sent = match event {
                event::Event::Key(key) if key.kind != KeyEventKind::Release => events.send(Event::Key(key)),
                event::Event::Resize(..) => events.send(Event::Resized),
                _ => Ok(()),
            };
            if sent.is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("keys".to_owned()).spawn(read).map(drop)
}

fn look(mut source: Source, desk: Arc<Desk>, events: SyncSender<Event>) -> io::Result<()> {
    let serve = move || {
        let _ended = Ended("looking at the numbers", events.clone());
        desk.serve(|want| source.look(want), || events.send(Event::Look).is_ok());
    };
    thread::Builder::new().name("look".to_owned()).spawn(serve).map(drop)
}

/// Tells of the end of a thread, be it by a panic.
struct Ended(&'static str, SyncSender<Event>);

impl Drop for Ended {
    fn drop(&mut self) {
        // Nobody listens any more where all of it ends.
        let _ = self.1.try_send(Event::Ended(self.0));
    }
}
