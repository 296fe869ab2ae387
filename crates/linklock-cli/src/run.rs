//! `run`: COMMAND, its signals, and the loss of its lock.

use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use linklock::{Error, Guard, Printable};

use crate::args::RunArgs;
use crate::commands::wait_for;
use crate::console::Console;
use crate::duration::short;
use crate::exit::{Exit, Failure};
use crate::os::{Alarm, Process, Signals, number_of_end};

pub(crate) fn run(args: &RunArgs, console: Console) -> Result<Exit, Failure> {
    let builder = args.contest.apply(args.at.builder()).lifetime(args.lifetime).fence(args.fence);
    let lock = builder.command(description(args)).build()?;
    let signals = Signals::catch()?;
    let guard = wait_for(&lock, &args.contest.patience, &signals, console, |wait| lock.acquire_with(wait))?;
    // From here on every failure drops the guard, which releases the lock.
    let process = start(args, &guard)?;
    let (status, lost) = Attendance::new(process, &guard, &signals, args.kill_after, console).until_end()?;
    conclude(status, lost, guard, console)
}

/// What others may read of COMMAND: its name alone, because its arguments may contain secrets.
fn description(args: &RunArgs) -> String {
    if args.contest.describe_command {
        let words: Vec<_> = args.command.iter().map(|word| word.to_string_lossy()).collect();
        return words.join(" ");
    }
    let program = args.command.first().map_or(Path::new(""), Path::new);
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into()
}

fn start(args: &RunArgs, guard: &Guard) -> Result<Process, Failure> {
    let [program, arguments @ ..] = args.command.as_slice() else {
        return Err(Failure::Message(Exit::Usage, "COMMAND is missing".into()));
    };
    let mut command = Command::new(program);
    command.args(arguments).env("LINKLOCK_PATH", guard.path()).env("LINKLOCK_TOKEN", guard.token().as_os_str());
    match guard.fencing_token() {
        Some(number) => command.env("LINKLOCK_FENCE", number.to_string()),
        // COMMAND would take an outer lock's number for this lock's.
        None => command.env_remove("LINKLOCK_FENCE"),
    };
    Process::start(command).map_err(|e| {
        let is_missing =
            matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) || program.is_empty();
        let program = Printable::new(program);
        if is_missing {
            let message = format!("cannot run {program}: not found; if it is a script, its interpreter may be missing");
            Failure::Message(Exit::NotFound, message)
        } else {
            Failure::Message(Exit::NotExecutable, format!("cannot run {program}: {e}"))
        }
    })
}

/// Attends to COMMAND until it has ended.
struct Attendance<'a> {
    process: Process,
    guard: &'a Guard,
    signals: &'a Signals,
    /// Rings when the lock is lost.
    loss: Option<Alarm>,
    lost: bool,
    kill_after: Duration,
    kill_at: Option<Instant>,
    console: Console,
}

/// How long a COMMAND runs before linklock starts the threads that keep the lock alive and watch for its loss, so that a short
/// COMMAND does not pay for them.
const SHORT: Duration = Duration::from_millis(20);

impl<'a> Attendance<'a> {
    fn new(
        mut process: Process,
        guard: &'a Guard,
        signals: &'a Signals,
        kill_after: Duration,
        console: Console,
    ) -> Self {
        process.pass_on(signals, false);
        Self { process, guard, signals, loss: None, lost: false, kill_after, kill_at: None, console }
    }

    /// Gives COMMAND's status, and whether the lock was lost before it ended.
    fn until_end(mut self) -> io::Result<(ExitStatus, bool)> {
        let status = self.attend()?;
        Ok((status, self.lost))
    }

    fn attend(&mut self) -> io::Result<ExitStatus> {
        // Safe: the lock is fresh, and this is less than a tenth of its lifetime.
        if self.guard.lifetime() > 10 * SHORT {
            self.sleep(Some(SHORT))?;
        }
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            self.guard.keep_alive();
            self.process.pass_on(self.signals, true);
            if !self.lost && self.guard.is_lost() {
                self.stop();
            } else if !self.lost && self.loss.is_none() {
                let loss = self.guard.loss();
                self.loss = Some(Alarm::when("linklock-loss", move || {
                    loss.wait();
                })?);
            }
            if self.kill_at.is_some_and(|at| Instant::now() >= at) {
                self.kill_at = None;
                self.process.kill();
            }
            self.sleep(self.kill_at.map(|at| at.saturating_duration_since(Instant::now())))?;
        }
    }

    /// Stops COMMAND, which no longer holds the lock.
    fn stop(&mut self) {
        self.lost = true;
        let path = Printable::new(self.guard.path());
        let how = if self.process.ask_to_end() {
            self.kill_at = Instant::now().checked_add(self.kill_after);
            format!("linklock has sent TERM to COMMAND, and sends KILL in {}", short(self.kill_after))
        } else {
            self.process.kill();
            "linklock has ended COMMAND".into()
        };
        self.console.error(&format!("{path}: the lock is lost; {how}"));
    }

    /// Sleeps until a signal comes, COMMAND ends, the lock is lost, or `limit` has passed.
    fn sleep(&self, limit: Option<Duration>) -> io::Result<()> {
        let loss = self.loss.as_ref().filter(|_| !self.lost);
        self.process.sleep(self.signals, loss, limit)
    }
}

/// Releases the lock. Work under a lost lock never counts as a success.
fn conclude(status: ExitStatus, lost: bool, guard: Guard, console: Console) -> Result<Exit, Failure> {
    let exit = Exit::Command(number_of_end(status));
    let released = guard.release().map_err(Error::from);
    match released {
        // The loss was reported when it happened.
        _ if lost => Ok(Exit::Lost),
        Ok(()) => Ok(exit),
        Err(e) if status.success() => Err(e.into()),
        Err(e) => {
            console.error(&e.to_string());
            Ok(exit)
        }
    }
}
