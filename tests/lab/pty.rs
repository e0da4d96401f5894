//! A terminal: a program runs on the one side, on the other its screen is read as a person would see it, and keys are typed.

use crate::error::{Context, LabError, Result};
use crate::process::{DEADLINE, wait_for};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{Termios, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A terminal with a program on it. The program is killed when this is dropped.
pub struct Terminal {
    keyboard: File,
    /// Our own descriptor of the program's side: it keeps the terminal's settings readable after the program's end.
    inside: OwnedFd,
    shown: Arc<Mutex<Shown>>,
    child: Child,
    before: Termios,
}

/// What came out so far.
struct Shown {
    parser: vt100::Parser,
    raw: Vec<u8>,
}

impl Terminal {
    /// Starts `program` with its arguments as the leader of a session whose terminal this is, of so many columns and lines.
    /// Its environment is that of `program`; `TERM` ought to be in it.
    ///
    /// # Errors
    /// Where there is no terminal to be had, or no `setsid` (Debian: util-linux).
    pub fn start(program: &Command, (columns, lines): (u16, u16)) -> Result<Terminal> {
        let size = NonZeroU16::new(lines).zip(NonZeroU16::new(columns));
        let (rows, cols) = size.ok_or_else(|| LabError::new("a terminal of no size"))?;
        let size = Winsize {
            ws_row: lines,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None)
            .map_err(std::io::Error::from)
            .during("open a terminal")?;
        let before = tcgetattr(&pty.slave)
            .map_err(std::io::Error::from)
            .during("ask for its settings")?;
        let side = || pty.slave.try_clone();
        // Its own children need not wait for it: setsid becomes the program.
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .arg(program.get_program())
            .args(program.get_args());
        command.env_clear();
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let child = command
            .stdin(side()?)
            .stdout(side()?)
            .stderr(side()?)
            .spawn()
            .during(format!("start {command:?}"))?;
        let shown = Arc::new(Mutex::new(Shown {
            parser: vt100::Parser::new(rows, cols, 0),
            raw: Vec::new(),
        }));
        let mut screen = File::from(pty.master.try_clone()?);
        let show = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It ends by an error once nobody has the other side any more.
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                let mut show = show.lock().unwrap_or_else(PoisonError::into_inner);
                show.parser.process(&buffer[..count]);
                show.raw.extend_from_slice(&buffer[..count]);
            }
        });
        Ok(Terminal {
            keyboard: File::from(pty.master),
            inside: pty.slave,
            shown,
            child,
            before,
        })
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types `keys`, as the bytes that a terminal sends.
    ///
    /// # Errors
    /// Where nobody holds the other side any more.
    pub fn keys(&mut self, keys: &str) -> Result<()> {
        self.keyboard.write_all(keys.as_bytes())?;
        Ok(())
    }

    /// The lines on the screen.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let shown = self.shown();
        let screen = shown.parser.screen();
        screen
            .rows(0, screen.size().1.get())
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    /// All that is on the screen.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// What `look` makes of the screen.
    pub fn screen<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.shown().parser.screen())
    }

    /// Every byte that came so far.
    #[must_use]
    pub fn raw(&self) -> Vec<u8> {
        self.shown().raw.clone()
    }

    /// Waits until `holds` of the text on the screen.
    ///
    /// # Errors
    /// Where it doesn't within [`DEADLINE`], or the program ends before; with what is on the screen.
    pub fn wait(&mut self, what: &str, mut holds: impl FnMut(&str) -> bool) -> Result<()> {
        let shown = Arc::clone(&self.shown);
        let child = &mut self.child;
        let text = || {
            let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.parser.screen().contents()
        };
        let waited = wait_for(what, || {
            // In this order: what it wrote at its end is read after that.
            let ended = child.try_wait()?;
            if holds(&text()) {
                return Ok(Some(()));
            }
            match ended {
                Some(status) => Err(LabError::new(format!("ended with {status} before {what}"))),
                None => Ok(None),
            }
        });
        waited.map_err(|error| LabError::new(format!("{error}; on the screen:\n{}", text())))
    }

    /// Waits for the end of the program.
    ///
    /// # Errors
    /// Where that doesn't come within [`DEADLINE`].
    pub fn end(&mut self) -> Result<ExitStatus> {
        let child = &mut self.child;
        let shown = &self.shown;
        wait_for("the end", || Ok(child.try_wait()?)).map_err(|error| {
            let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let text = shown.parser.screen().contents();
            LabError::new(format!("{error} within {DEADLINE:?}; on the screen:\n{text}"))
        })
    }

    /// Waits until the terminal is as it was before the program: its settings, the screen in use, the cursor, the keypad and
    /// the mouse, the style of what is written next. To be called when the program has ended, or stopped.
    ///
    /// # Errors
    /// What of it is not, or that the settings can't be read.
    pub fn restored(&self) -> Result<()> {
        let mut left = Vec::new();
        let restored = wait_for("the terminal as it was", || {
            left = self.left_over()?;
            Ok(left.is_empty().then_some(()))
        });
        restored.map_err(|error| LabError::new(format!("{error}; left over: {left:?}")))
    }

    fn left_over(&self) -> Result<Vec<String>> {
        let now = tcgetattr(&self.inside)
            .map_err(std::io::Error::from)
            .during("ask for its settings")?;
        let (was, is) = (&self.before, &now);
        let same = was.input_flags == is.input_flags
            && was.output_flags == is.output_flags
            && was.control_flags == is.control_flags
            && was.local_flags == is.local_flags
            && was.control_chars == is.control_chars;
        let style = self.screen(|screen| (screen.fgcolor(), screen.bgcolor(), screen.inverse(), screen.bold()));
        let plain = (vt100::Color::Default, vt100::Color::Default, false, false);
        let left = [
            (!same, format!("settings {is:?}, before {was:?}")),
            (
                self.screen(vt100::Screen::alternate_screen),
                "the other screen".to_owned(),
            ),
            (self.screen(vt100::Screen::hide_cursor), "no cursor".to_owned()),
            (self.screen(vt100::Screen::application_keypad), "the keypad".to_owned()),
            (
                self.screen(vt100::Screen::bracketed_paste),
                "bracketed paste".to_owned(),
            ),
            (
                self.screen(vt100::Screen::mouse_protocol_mode) != vt100::MouseProtocolMode::None,
                "the mouse".to_owned(),
            ),
            (style != plain, format!("a style: {style:?}")),
        ];
        Ok(left
            .into_iter()
            .filter(|(is_left, _)| *is_left)
            .map(|(_, what)| what)
            .collect())
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
