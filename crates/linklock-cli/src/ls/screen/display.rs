//! The terminal: taken over as a whole, and given back as it was, whatever happens.

use std::io::{self, IsTerminal, Stdout, stderr, stdout};
use std::mem::ManuallyDrop;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::{AutoStream, ColorChoice};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use ratatui::crossterm::execute;
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::layout::{Position, Rect};

use super::view::Paint;
use crate::console;
use crate::os::terminal;

/// The screen while it is linklock's. Dropping it gives the terminal back.
pub(super) struct Display {
    /// Never dropped: it would write on a terminal that may be gone, or take no output.
    pub(super) terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    pub(super) paint: Paint,
}

/// Whether the screen is linklock's.
static IS_OURS: AtomicBool = AtomicBool::new(false);

impl Display {
    pub(super) fn enter() -> io::Result<Self> {
        restore_on_panic();
        let has_colors = AutoStream::choice(&stdout()) != ColorChoice::Never;
        // It has decided: crossterm asks NO_COLOR alone.
        force_color_output(has_colors);
        take()?;
        match Terminal::new(CrosstermBackend::new(stdout())) {
            Ok(terminal) => Ok(Self { terminal: ManuallyDrop::new(terminal), paint: Paint { has_colors } }),
            Err(e) => {
                give_back();
                Err(e)
            }
        }
    }

    /// Draws all cells again with the next frame.
    pub(super) fn forget(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }

    /// Gives the terminal back for as long as `during` takes.
    pub(super) fn lend(&mut self, during: impl FnOnce()) -> io::Result<()> {
        give_back();
        during();
        take()?;
        self.forget()
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    IS_OURS.store(true, Ordering::Release);
    if stderr().is_terminal() {
        console::keep_errors();
    }
    let taken = enable_raw_mode().and_then(|()| execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste));
    taken.inspect_err(|_| give_back())
}

/// Any thread may call this, at any time.
pub(super) fn give_back() {
    if !IS_OURS.swap(false, Ordering::AcqRel) {
        return;
    }
    // If the terminal is gone there is nothing to restore.
    let _ = disable_raw_mode();
    // One that takes no output is not waited for.
    if terminal::has_room(stdout()) {
        let _ = execute!(stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
        console::print_kept_errors();
    }
}

/// Whether a panic has given the terminal back.
pub(super) fn was_given_back() -> bool {
    !IS_OURS.load(Ordering::Acquire)
}

/// A panic, in any thread, is reported on a terminal that is as it was.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            give_back();
            report(what);
        }));
    });
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::process::Command;
    use std::thread;

    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

    use super::*;

    const PANICS: &str = "LINKLOCK_TEST_PANICS";

    /// The test starts itself on a terminal, where another thread panics.
    #[test]
    fn a_panic_in_any_thread_is_reported_on_a_terminal_that_is_as_it_was() {
        if std::env::var_os(PANICS).is_some() {
            let _display = Display::enter().unwrap();
            let _ = thread::spawn(|| panic!("on purpose")).join();
            let is_known = was_given_back();
            // Nothing is dropped.
            std::process::exit(if is_known { 5 } else { 6 });
        }
        let mut master = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap());
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let end = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        tcsetwinsize(&end, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let modes = || tcgetattr(&end).unwrap().local_modes;
        let before = modes();
        let stream = || end.try_clone().unwrap();
        let name = thread::current().name().unwrap().to_owned();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &name, "--nocapture"]).env(PANICS, "1");
        let status = command.stdin(stream()).stdout(stream()).stderr(stream()).status().unwrap();
        assert_eq!((status.code(), modes()), (Some(5), before));
        drop((command, end));
        let mut shown = Vec::new();
        // Ends with an error: no process has the other end any more.
        let _ = master.read_to_end(&mut shown);
        let shown = String::from_utf8_lossy(&shown);
        let (_, rest) = shown.split_once("\x1b[?1049h").unwrap();
        let (_, rest) = rest.split_once("\x1b[?1049l").unwrap();
        assert!(rest.contains("\x1b[?25h") && rest.contains("on purpose"), "{shown:?}");
    }
}
