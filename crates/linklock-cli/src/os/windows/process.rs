//! COMMAND as a child process.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{FALSE, HANDLE, STATUS_CONTROL_C_EXIT, WAIT_FAILED};
use windows_sys::Win32::System::Threading::{INFINITE, WaitForMultipleObjects};

use super::job::Job;
use super::raw;
use super::signals::Signals;
use crate::os::wishes::{Reached, Wishes};

/// COMMAND. Neither it nor the processes that it starts outlive linklock.
pub(crate) struct Process {
    child: Child,
    status: Option<ExitStatus>,
    job: Job,
}

impl Process {
    /// Starts COMMAND, unless the lock can no longer be trusted: it can for this long from now on.
    pub(crate) fn start(mut command: Command, _signals: &Signals, trusted_for: Duration) -> io::Result<Self> {
        let until = Instant::now() + trusted_for;
        let job = Job::enter()?;
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let child = command.spawn()?;
        Ok(Self { child, status: None, job })
    }

    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.status = self.child.try_wait()?;
        Ok(self.status)
    }

    /// Wishes for nothing, since the console itself sees to linklock and to COMMAND. COMMAND can only have missed what came before
    /// it was `started`.
    pub(crate) fn pass_on(&mut self, signals: &Signals, started: bool) -> Wishes {
        if !started && signals.any().is_some() {
            self.end(STATUS_CONTROL_C_EXIT as u32);
        }
        Wishes::default()
    }

    /// Nothing stops linklock here.
    pub(crate) fn suspend(&self, _may: impl FnOnce() -> bool) {}

    /// Asks COMMAND to end; `None` if the system cannot ask. Here it can't: Ctrl-Break would reach the whole console with
    /// the caller, unless COMMAND had its own process group, which then would not get the user's Ctrl-C.
    pub(crate) fn ask_to_end(&self) -> Option<Reached> {
        None
    }

    /// Also kills the processes that COMMAND has started.
    pub(crate) fn kill(&mut self) -> Reached {
        self.end(1);
        Reached::All
    }

    /// Whether COMMAND has ended, and all that it started.
    pub(crate) fn is_all_over(&self) -> bool {
        self.status.is_some() && self.job.is_empty()
    }

    fn end(&mut self, status: u32) {
        // If the job cannot be listed, this still ends COMMAND itself. If it could, COMMAND has ended, and this fails.
        let _ = self.job.end_others(status);
        let _ = self.child.kill();
    }

    /// Sleeps until an event comes, COMMAND ends, the alarm rings, or `limit` has passed.
    pub(crate) fn sleep(&self, signals: &Signals, alarm: Option<&Alarm>, limit: Option<Duration>) -> io::Result<()> {
        let mut handles: Vec<HANDLE> = vec![raw(signals)];
        // The handle of one that has ended would wake us again and again.
        handles.extend(self.status.is_none().then(|| raw(&self.child)));
        handles.extend(alarm.map(|alarm| raw(&alarm.0)));
        // Rounded up to whole milliseconds. If the limit is too long for the call, the caller looks once more and sleeps again.
        let ms = limit.map_or(INFINITE, |limit| {
            u32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(INFINITE - 1).min(INFINITE - 1)
        });
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: the length is that of the vector, and the owners of the handles are borrowed for the whole call.
        let woken = unsafe { WaitForMultipleObjects(handles.len() as u32, handles.as_ptr(), FALSE, ms) };
        if woken == WAIT_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// COMMAND must not go on without linklock. If it has ended by itself, the processes that it has started may go on.
impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

/// A thread that ends when something has happened. A wait for events can then wait for that too.
pub(crate) struct Alarm(JoinHandle<()>);

impl Alarm {
    /// Rings when `happens` returns.
    pub(crate) fn when(name: &str, happens: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        Ok(Self(Builder::new().name(name.into()).spawn(happens)?))
    }
}

/// The number with which COMMAND ended.
pub(crate) fn number_of_end(status: ExitStatus) -> u32 {
    status.code().unwrap_or_default() as u32
}

/// Here no signal ends a process.
pub(crate) fn signal_of_end(_status: ExitStatus) -> Option<i32> {
    None
}
