//! COMMAND as a child process.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::signals::{Signals, keep_statuses_of_children, number_of};
use super::spawn::spawn;

/// COMMAND, which on Linux does not outlive linklock.
pub(crate) struct Process {
    child: Child,
    /// Readable when COMMAND has ended.
    end: OwnedFd,
}

impl Process {
    pub(crate) fn start(command: Command) -> io::Result<Self> {
        keep_statuses_of_children();
        let mut child = spawn(command)?;
        match end_of(Pid::from_child(&child)) {
            Ok(end) => Ok(Self { child, end }),
            Err(e) => {
                stop(&mut child);
                Err(e)
            }
        }
    }

    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Passes on the signals that have come since the last call. Before COMMAND was `started`, none has reached it.
    pub(crate) fn pass_on(&mut self, signals: &Signals, started: bool) {
        for signal in signals.take(started) {
            self.send(Signal::from_named_raw(signal));
        }
    }

    /// Asks COMMAND to end, and says whether the system can ask.
    pub(crate) fn ask_to_end(&self) -> bool {
        self.send(Some(Signal::TERM));
        // A stopped process would not act upon it.
        self.send(Some(Signal::CONT));
        true
    }

    pub(crate) fn kill(&mut self) {
        self.send(Some(Signal::KILL));
    }

    /// Nobody has waited for COMMAND yet, so the pid is still COMMAND's.
    fn send(&self, signal: Option<Signal>) {
        if let Some(signal) = signal {
            // Fails if COMMAND has ended or has changed its user. Then nothing more can be done.
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    /// Sleeps until a signal comes, COMMAND ends, the alarm rings, or `limit` has passed.
    pub(crate) fn sleep(&self, signals: &Signals, alarm: Option<&Alarm>, limit: Option<Duration>) -> io::Result<()> {
        let fds = [Some(signals.as_fd()), Some(self.end.as_fd()), alarm.map(|alarm| alarm.0.as_fd())];
        let mut fds: Vec<PollFd<'_>> =
            fds.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let left = limit.map(|left| Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() });
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

/// COMMAND must not go on without linklock.
impl Drop for Process {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

fn stop(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(Some(_))) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A pipe that closes when something has happened for which a thread waits. `poll` can then wait for it and for signals.
pub(crate) struct Alarm(PipeReader);

impl Alarm {
    /// Rings when `happens` returns.
    pub(crate) fn when(name: &str, happens: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        thread::Builder::new().name(name.into()).spawn(move || {
            happens();
            drop(writer);
        })?;
        Ok(Self(reader))
    }
}

/// The number by which a shell reports how COMMAND ended.
pub(crate) fn number_of_end(status: ExitStatus) -> u32 {
    status.code().map_or_else(|| number_of(status.signal().unwrap_or_default()), |code| code as u32)
}

/// A descriptor that becomes readable when the child has ended. It leaves the child's status for `wait`.
fn end_of(child: Pid) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    if let Ok(fd) = rustix::process::pidfd_open(child, rustix::process::PidfdFlags::empty()) {
        return Ok(fd);
    }
    end_by_thread(child)
}

/// For systems without pidfds, and kernels before 5.3.
fn end_by_thread(child: Pid) -> io::Result<OwnedFd> {
    let alarm = Alarm::when("linklock-end", move || {
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(child), ended).is_err_and(|e| e == Errno::INTR) {}
    })?;
    Ok(alarm.0.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(fd: &OwnedFd, secs: i64) -> bool {
        poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&Timespec { tv_sec: secs, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn a_pidfd_and_a_thread_both_report_the_end_of_a_child() {
        for end_of in [end_of, end_by_thread] {
            let mut child = Command::new("sleep").arg("60").spawn().unwrap();
            let end = end_of(Pid::from_child(&child)).unwrap();
            assert!(!is_readable(&end, 0), "the child still runs");
            child.kill().unwrap();
            assert!(is_readable(&end, 30), "the child has ended");
            assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL), "its status is still there");
        }
    }
}
