//! COMMAND and all that it started.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, kill_process};

use super::descendants::{Descendant, adopt_orphans, descendants, reap_orphans, send};
use super::group::{group_of, own_group};
use super::signals::{Signals, keep_statuses_of_children, number_of};
use super::spawn::spawn;
use crate::os::wishes::{Reached, Wishes};

/// COMMAND, which on Linux does not outlive linklock, nor does what it started if linklock ends it.
pub(crate) struct Process {
    child: Child,
    status: Option<ExitStatus>,
}

/// How long the processes of our process group have to stop by themselves at a Ctrl-Z: editors restore the terminal before.
const STOPS_WITHIN: Duration = Duration::from_millis(200);

impl Process {
    /// Starts COMMAND, unless the lock can no longer be trusted: it can for this long from now on.
    pub(crate) fn start(command: Command, signals: &Signals, trusted_for: Duration) -> io::Result<Self> {
        keep_statuses_of_children();
        adopt_orphans()?;
        signals.catch_those_of_children()?;
        Ok(Self { child: spawn(command, trusted_for)?, status: None })
    }

    /// COMMAND's status, once it has ended.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        reap_orphans(self.pid());
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Passes on the signals that have come since the last call, and says what they want. Before COMMAND was `started`, none has
    /// reached it.
    pub(crate) fn pass_on(&mut self, signals: &Signals, started: bool) -> Wishes {
        // The terminal sends what is typed to its foreground process group. COMMAND may have left ours, as timeout(1) does.
        let gets_keys = started && group_of(self.pid()) == own_group();
        let mut wishes = Wishes::default();
        for (signal, is_typed) in signals.take() {
            wishes.end |= Signals::ends(signal) && !is_typed;
            wishes.interrupt |= Signals::ends(signal) && is_typed;
            wishes.stop |= signal == libc::SIGTSTP;
            if signal == libc::SIGTSTP || is_typed && gets_keys {
                continue;
            }
            match Signal::from_named_raw(signal) {
                // What COMMAND left when it ended is not meant.
                Some(Signal::INT | Signal::QUIT) if self.status.is_some() => {}
                // As a terminal sends them, to all: a shell that waits for a step goes on waiting if only itself gets one.
                Some(signal @ (Signal::INT | Signal::QUIT)) => {
                    self.send_to_all(signal);
                }
                signal => self.send_to_command(signal),
            }
        }
        wishes
    }

    fn send_to_command(&self, signal: Option<Signal>) {
        // Nobody has waited for COMMAND as long as there is no status, so the pid is still COMMAND's.
        if let Some(signal) = signal.filter(|_| self.status.is_none()) {
            // Fails if COMMAND has ended or has changed its user. Then nothing more can be done.
            let _ = kill_process(self.pid(), signal);
        }
    }

    /// Asks COMMAND and all that it started to end; `None` if the system cannot ask.
    pub(crate) fn ask_to_end(&self) -> Option<Reached> {
        let reached = self.send_to_all(Signal::TERM);
        // A stopped process would not act upon it.
        self.send_to_all(Signal::CONT);
        Some(reached)
    }

    /// Kills COMMAND and all that it started. What they start meanwhile is for the next call.
    pub(crate) fn kill(&mut self) -> Reached {
        self.send_to_all(Signal::KILL)
    }

    /// COMMAND first: a shell shall not start its next step when this one ends.
    fn send_to_all(&self, signal: Signal) -> Reached {
        let mut reached = Reached::All;
        let processes = self.processes();
        for process in &processes {
            if !send(process, signal) {
                reached = Reached::NotThis(process.pid.as_raw_nonzero().get() as u32);
            }
        }
        if processes.iter().all(|process| process.pid != self.pid()) {
            // Without /proc nothing else is known.
            self.send_to_command(Some(signal));
        }
        reached
    }

    fn processes(&self) -> Vec<Descendant> {
        let mut all = descendants();
        all.sort_by_key(|process| process.pid != self.pid());
        all
    }

    /// Whether COMMAND has ended, and all that it started.
    pub(crate) fn is_all_over(&self) -> bool {
        self.status.is_some() && descendants().is_empty()
    }

    /// Stops COMMAND and all that it started, and then linklock. Once linklock is continued, it continues them if it `may`.
    pub(crate) fn suspend(&self, may: impl FnOnce() -> bool) {
        let own = own_group();
        let mut suspended = Vec::new();
        let begin = Instant::now();
        loop {
            let running: Vec<_> = self.processes().into_iter().filter(|process| !process.is_stopped).collect();
            // Those of our group have got the key too, and may have something to do before they stop.
            let has_time = begin.elapsed() < STOPS_WITHIN;
            let (late, soon): (Vec<_>, Vec<_>) =
                running.into_iter().partition(|process| process.group != own || !has_time);
            if late.is_empty() && soon.is_empty() {
                break;
            }
            for process in late {
                // One that may not be stopped works on. Nothing more can be done.
                if send(&process, Signal::STOP) {
                    suspended.push(process);
                }
            }
            // What cannot be stopped does not keep linklock from stopping.
            if begin.elapsed() > 2 * STOPS_WITHIN {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = kill_process(getpid(), Signal::STOP);
        if may() {
            for process in suspended {
                send(&process, Signal::CONT);
            }
        }
    }

    /// Sleeps until a signal comes, COMMAND or another child ends, the alarm rings, or `limit` has passed.
    pub(crate) fn sleep(&self, signals: &Signals, alarm: Option<&Alarm>, limit: Option<Duration>) -> io::Result<()> {
        let fds: [Option<BorrowedFd<'_>>; 2] = [Some(signals.as_fd()), alarm.map(|alarm| alarm.0.as_fd())];
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
        if !matches!(self.try_wait(), Ok(Some(_))) {
            self.kill();
            let _ = self.child.wait();
        }
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

/// The signal that ended COMMAND, if one did.
pub(crate) fn signal_of_end(status: ExitStatus) -> Option<i32> {
    status.signal()
}
