//! Ctrl-Z while linklock has the whole screen, which it gives back before it stops.

use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Signal, getpid, kill_current_process_group, kill_process};

use super::signals::is_ignored;

/// From here on SIGTSTP only asks linklock to stop. If it was ignored it stays ignored.
pub(crate) struct Stops {
    asked: Arc<AtomicBool>,
    continued: Arc<AtomicBool>,
    is_ignored: bool,
}

impl Stops {
    pub(crate) fn catch() -> io::Result<Self> {
        let is_ignored = is_ignored(libc::SIGTSTP);
        let stops = Self { asked: Arc::default(), continued: Arc::default(), is_ignored };
        if !is_ignored {
            catch(libc::SIGTSTP, Arc::clone(&stops.asked))?;
        }
        catch(libc::SIGCONT, Arc::clone(&stops.continued))?;
        Ok(stops)
    }

    /// Whether a SIGTSTP has come since the last call.
    pub(crate) fn was_asked(&self) -> bool {
        self.asked.swap(false, Ordering::AcqRel)
    }

    /// Whether linklock was continued since the last call.
    pub(crate) fn has_continued(&self) -> bool {
        self.continued.swap(false, Ordering::AcqRel)
    }

    /// Stops until linklock is continued. Like the terminal for a key, it stops the `whole_group`: who waits for linklock, such as
    /// sudo, then stops too. The kernel does not stop a group that no shell could continue.
    pub(crate) fn stop(&self, whole_group: bool) {
        if self.is_ignored {
            return;
        }
        let ours = disposition(None);
        disposition(Some(&default()));
        let _ =
            if whole_group { kill_current_process_group(Signal::TSTP) } else { kill_process(getpid(), Signal::TSTP) };
        disposition(Some(&ours));
        // Whoever called this knows.
        self.continued.store(false, Ordering::Release);
    }
}

fn catch(signal: i32, flag: Arc<AtomicBool>) -> io::Result<()> {
    #[expect(unsafe_code, reason = "the compiler cannot check what a signal handler does")]
    // SAFETY: the action must be async-signal-safe and must not panic. It stores an atomic. It owns the flag and is never
    // unregistered, so a handler cannot be the one to free it.
    unsafe {
        signal_hook_registry::register(signal, move || flag.store(true, Ordering::Release))?;
    }
    Ok(())
}

fn default() -> libc::sigaction {
    #[expect(unsafe_code, reason = "sigaction(2) has no safe wrapper")]
    // SAFETY: all of its fields may be zero, which also is SIG_DFL.
    unsafe {
        MaybeUninit::zeroed().assume_init()
    }
}

/// Gives SIGTSTP this disposition, if there is one, and returns the one before.
fn disposition(new: Option<&libc::sigaction>) -> libc::sigaction {
    let mut before = default();
    #[expect(unsafe_code, reason = "sigaction(2) has no safe wrapper")]
    // SAFETY: the new one is the default, or one that this function has returned, so its handler is there; `before` has room.
    unsafe {
        libc::sigaction(libc::SIGTSTP, new.map_or(std::ptr::null(), std::ptr::from_ref), &raw mut before);
    }
    before
}
