//! `run`: COMMAND, its signals, and the loss of its lock.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use linklock::{Error, Guard};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::args::RunArgs;
use crate::commands::wait_for;
use crate::console::Console;
use crate::duration::spoken;
use crate::exit::{Exit, Failure};
use crate::os;
use crate::signals::{Signals, send};

pub(crate) fn run(args: &RunArgs, console: Console) -> Result<Exit, Failure> {
    let builder = args.judgement.apply(args.at.builder()).lifetime(args.lifetime).protocol(args.protocol.into());
    let words: Vec<_> = args.command.iter().map(|word| word.to_string_lossy()).collect();
    let lock = builder.command(words.join(" ")).fence(args.fence).build()?;
    let signals = Signals::catch()?;
    os::keep_statuses_of_children();
    let guard = wait_for(&lock, &args.patience, &signals, console, |wait| lock.acquire_with(wait))?;
    // Whatever fails from here on drops the guard, which releases the lock.
    let mut child = start(args, &guard)?;
    let attended =
        Attendance::new(&child, &guard, &signals, args.kill_after, console).and_then(|a| a.until_end(&mut child));
    // Without us COMMAND must not go on.
    let (status, lost) = attended.inspect_err(|_| drop(child.kill().and_then(|()| child.wait())))?;
    conclude(status, lost, guard, console)
}

fn start(args: &RunArgs, guard: &Guard) -> Result<Child, Failure> {
    let [program, arguments @ ..] = args.command.as_slice() else {
        return Err(Failure::Said(Exit::Usage, "no COMMAND".into()));
    };
    let mut command = Command::new(program);
    command.args(arguments).env("LINKLOCK_PATH", guard.path()).env("LINKLOCK_TOKEN", guard.token().as_os_str());
    match guard.fencing_token() {
        Some(number) => command.env("LINKLOCK_FENCE", number.to_string()),
        // One of an outer lock would be taken for this one's.
        None => command.env_remove("LINKLOCK_FENCE"),
    };
    os::die_with_parent(&mut command);
    command.spawn().map_err(|e| {
        let exit = if e.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::NotExecutable };
        Failure::Said(exit, format!("{}: cannot be run: {e}", program.display()))
    })
}

/// Staying with COMMAND until it has ended.
struct Attendance<'a> {
    command: Pid,
    guard: &'a Guard,
    signals: &'a Signals,
    /// Readable when COMMAND has ended.
    end: OwnedFd,
    /// Readable when the lock is lost.
    loss: Option<PipeReader>,
    lost: bool,
    kill_after: Duration,
    kill_at: Option<Instant>,
    console: Console,
}

/// So long the lock is neither kept alive nor its loss watched for, unless its lifetime is short itself: a COMMAND that ends
/// sooner is spared the threads that do it.
const SHORT: Duration = Duration::from_millis(20);

impl<'a> Attendance<'a> {
    fn new(
        child: &Child,
        guard: &'a Guard,
        signals: &'a Signals,
        kill_after: Duration,
        console: Console,
    ) -> io::Result<Self> {
        let command = Pid::from_child(child);
        signals.pass_on(command, false);
        let end = os::end_of(command)?;
        Ok(Self { command, guard, signals, end, loss: None, lost: false, kill_after, kill_at: None, console })
    }

    /// Gives COMMAND's status, and whether the lock was lost before it ended.
    fn until_end(mut self, child: &mut Child) -> io::Result<(ExitStatus, bool)> {
        if self.guard.lifetime() > 10 * SHORT {
            self.sleep(Some(SHORT))?;
        }
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok((status, self.lost));
            }
            self.guard.keep_alive();
            self.signals.pass_on(self.command, true);
            if !self.lost && self.guard.is_lost() {
                self.stop();
            } else if !self.lost && self.loss.is_none() {
                self.loss = Some(watch(self.guard)?);
            }
            if self.kill_at.is_some_and(|at| Instant::now() >= at) {
                self.kill_at = None;
                send(self.command, Some(Signal::KILL));
            }
            self.sleep(self.kill_at.map(|at| at.saturating_duration_since(Instant::now())))?;
        }
    }

    /// COMMAND must not go on as if it held the lock.
    fn stop(&mut self) {
        self.lost = true;
        send(self.command, Some(Signal::TERM));
        // Stopped, it could not heed it.
        send(self.command, Some(Signal::CONT));
        self.kill_at = Instant::now().checked_add(self.kill_after);
        let (path, after) = (self.guard.path().display(), spoken(self.kill_after));
        self.console.error(&format!("{path}: the lock is lost: COMMAND gets TERM, and KILL in {after}"));
    }

    /// Until a signal comes, COMMAND ends, the lock is lost, or `limit` is over.
    fn sleep(&self, limit: Option<Duration>) -> io::Result<()> {
        let loss = self.loss.as_ref().filter(|_| !self.lost);
        let fds = [Some(self.signals.as_fd()), Some(self.end.as_fd()), loss.map(AsFd::as_fd)];
        let mut fds: Vec<PollFd<'_>> =
            fds.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let left = limit.map(|left| Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() });
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

/// A pipe that ends when the lock is lost: what waits for signals can wait for that too.
fn watch(guard: &Guard) -> io::Result<PipeReader> {
    let (reader, writer) = io::pipe()?;
    let loss = guard.loss();
    thread::Builder::new().name("linklock-loss".into()).spawn(move || {
        loss.wait();
        drop(writer);
    })?;
    Ok(reader)
}

/// Releases the lock. What was done under a lost one is never a success.
fn conclude(status: ExitStatus, lost: bool, guard: Guard, console: Console) -> Result<Exit, Failure> {
    let exit = Exit::of_command(status);
    let released = guard.release().map_err(Error::from);
    match released {
        // Told when it happened.
        _ if lost => Ok(Exit::Lost),
        Ok(()) => Ok(exit),
        Err(e) if status.success() => Err(e.into()),
        Err(e) => {
            console.error(&e.to_string());
            Ok(exit)
        }
    }
}
