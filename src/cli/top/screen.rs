//! The terminal while it is ours: raw, its other screen, no cursor. Given back whatever ends us.

use std::io::{self, BufWriter, Stdout, stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::layout::Rect;
use ratatui::{Frame, Terminal};

/// Whether it is ours: there is one terminal, and a panic may come on any thread.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// A whole frame goes out in one write.
const FRAME: usize = 64 * 1024;

pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn take() -> io::Result<Screen> {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            hook(info);
        }));
        take()?;
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(FRAME, stdout())));
        Ok(Screen {
            terminal: terminal.inspect_err(|_| give_back())?,
        })
    }

    /// # Errors
    /// Where it can't be written to, or a panic on another thread gave it back.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if !IS_OURS.load(SeqCst) {
            return Err(io::Error::other("a part of it panicked"));
        }
        self.terminal.draw(draw).map(drop)
    }

    /// The next frame is drawn whole: what is on the screen is not what was drawn.
    pub(super) fn repaint(&mut self) -> io::Result<()> {
        let size = self.terminal.backend().size()?;
        // `clear` would ask the terminal where its cursor is, and the answer would come as keys to another thread.
        self.terminal
            .resize(Rect::from((ratatui::layout::Position::ORIGIN, size)))
    }

    /// Gives it back while `meanwhile` runs.
    pub(super) fn lend(&mut self, meanwhile: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        give_back();
        meanwhile()?;
        take()?;
        self.repaint()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    IS_OURS.store(true, SeqCst);
    let taken = enable_raw_mode().and_then(|()| execute!(stdout(), EnterAlternateScreen, Hide));
    taken.inspect_err(|_| give_back())
}

/// Once is enough. Nothing more can be done where it fails.
fn give_back() {
    if IS_OURS.swap(false, SeqCst) {
        let _ = execute!(stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use distributed_trace_tests::process::wait_for;
    use distributed_trace_tests::pty::Terminal;

    use super::*;

    #[test]
    #[ignore = "run by the test below, on a terminal of its own"]
    fn panics() {
        let mut screen = Screen::take().unwrap();
        screen.draw(|frame| frame.render_widget("drawn", frame.area())).unwrap();
        thread::spawn(|| panic!("on purpose")).join().unwrap_err();
        assert_eq!(screen.draw(|_| {}).unwrap_err().to_string(), "a part of it panicked");
        std::process::exit(7);
    }

    #[test]
    fn a_panic_on_any_thread_gives_the_terminal_back_and_is_read_there() {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program
            .args(["--ignored", "--exact", "--nocapture", "top::screen::tests::panics"])
            .env("TERM", "xterm");
        let mut terminal = Terminal::start(&program, (80, 24)).unwrap();
        assert_eq!(terminal.end().unwrap().code(), Some(7), "{}", terminal.text());
        wait_for("the panic's words", || {
            Ok(terminal.text().contains("on purpose").then_some(()))
        })
        .unwrap();
        terminal.restored().unwrap();
        // It was taken, before.
        let raw = String::from_utf8_lossy(&terminal.raw()).into_owned();
        assert!(raw.contains("\x1b[?1049h") && raw.contains("drawn"), "{raw}");
    }
}
