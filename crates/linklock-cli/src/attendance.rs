//! Attending to COMMAND: the lock is kept alive, signals are passed on, and the work ends with the lock.

use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use linklock::{Guard, Guards, Loss, Printable};

use crate::args::RunArgs;
use crate::console::{Console, Report};
use crate::duration::short;
use crate::journal::Journal;
use crate::os::{Alarm, Process, Reached, Signals, Wishes, signal_of_end};

/// How COMMAND ended.
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    /// Whether the lock was lost before.
    pub(crate) lost: bool,
    /// What may not be printed yet.
    pub(crate) reports: Vec<Report>,
}

/// Attends to COMMAND until it has ended, and where linklock ends it, also all that it started.
pub(crate) struct Attendance<'a> {
    process: Process,
    guards: &'a Guards,
    signals: &'a Signals,
    keeping: Keeping,
    work: Work,
    lost: bool,
    /// Whether somebody has sent a signal that asks the work to end.
    is_asked_to_end: bool,
    /// When such a signal was typed last. A program may have another use for a key.
    interrupted: Option<Instant>,
    wait_all: bool,
    kill_after: Duration,
    /// COMMAND's start.
    started: Instant,
    hold: Duration,
    journal: &'a Journal,
    console: Console,
    reports: Vec<Report>,
}

/// Who keeps the lock alive.
enum Keeping {
    /// Nobody yet: the lock is fresh.
    Nobody,
    /// A thread of the library. The alarm rings when the lock is lost; without one linklock looks now and then.
    Thread(Option<Alarm>),
    /// This loop, since the system has no thread for it.
    Ourselves { next: Instant },
}

/// What becomes of COMMAND and of all that it started.
enum Work {
    GoesOn,
    /// Linklock has asked it to end, and kills it then.
    IsAsked {
        kill_at: Option<Instant>,
    },
    /// Linklock has killed it so often, and does so again until nothing is left: a process may just have started another.
    IsKilled {
        rounds: u32,
    },
}

/// How long a COMMAND runs before linklock starts the threads that keep the lock alive and watch for its loss, so that a short
/// COMMAND does not pay for them.
const SHORT: Duration = Duration::from_millis(20);

/// How often linklock looks for a loss of which no alarm tells, and for what is left of the work.
const LOOKS_EVERY: Duration = Duration::from_secs(1);
const KILLS_EVERY: Duration = Duration::from_millis(10);

impl<'a> Attendance<'a> {
    pub(crate) fn new(
        mut process: Process,
        guards: &'a Guards,
        signals: &'a Signals,
        args: &RunArgs,
        journal: &'a Journal,
        console: Console,
    ) -> Self {
        let wishes = process.pass_on(signals, false);
        let (kill_after, wait_all, started, hold) = (args.kill_after, args.wait_all, Instant::now(), args.hold);
        let (keeping, work, lost, reports) = (Keeping::Nobody, Work::GoesOn, false, Vec::new());
        let (is_asked_to_end, interrupted) = (false, None);
        let mut attendance = Self {
            process,
            guards,
            signals,
            keeping,
            work,
            lost,
            is_asked_to_end,
            interrupted,
            wait_all,
            kill_after,
            started,
            hold,
            journal,
            console,
            reports,
        };
        attendance.heed(wishes);
        attendance
    }

    pub(crate) fn until_end(mut self) -> io::Result<End> {
        // Safe: the lock is fresh, and this is less than a tenth of its lifetime. The signal of a COMMAND that has ended already was
        // taken note of by `new`, and would not end the sleep.
        if self.guards.lifetime() > 10 * SHORT && self.process.try_wait()?.is_none() {
            self.sleep(Some(SHORT))?;
        }
        let status = loop {
            // First: what it takes note of may be the end of COMMAND, which is looked for next. Later ones wake the next sleep.
            self.heed_signals();
            let status = self.process.try_wait()?;
            if let Some(status) = status
                && self.is_done(status)
            {
                self.hold()?;
                break status;
            }
            self.keep();
            if !self.lost && self.guards.lost().is_some() {
                self.lost = true;
                self.journal.saw_losses(self.guards);
                self.end_lost_work();
            }
            if let Work::IsAsked { kill_at: Some(kill_at) } = self.work
                && Instant::now() >= kill_at
            {
                self.work = Work::IsKilled { rounds: 0 };
            }
            if let Work::IsKilled { rounds } = &mut self.work {
                *rounds += 1;
                if !self.kill(status.is_some()) {
                    break status.map_or_else(|| self.wait_for_command(), Ok)?;
                }
            }
            self.sleep(self.until_next())?;
        };
        Ok(End { status, lost: self.lost, reports: self.reports })
    }

    /// COMMAND has ended: whether the lock may go, too.
    fn is_done(&mut self, status: ExitStatus) -> bool {
        // A key that COMMAND has ended by, or soon after.
        let ended_by_key = |at: Instant| signal_of_end(status).is_some() || at.elapsed() < self.kill_after;
        self.is_asked_to_end |= self.interrupted.take().is_some_and(ended_by_key);
        // What COMMAND left in the background when it ended by itself stays. What linklock was to end has to end.
        let all_must_end = self.wait_all || self.is_asked_to_end || !matches!(self.work, Work::GoesOn);
        if !all_must_end || self.process.is_all_over() {
            return true;
        }
        if self.is_asked_to_end && matches!(self.work, Work::GoesOn) {
            self.ask_to_end();
        }
        false
    }

    /// Holds the lock until `--hold` has passed, so that a contender whose clock is a little late does not run a short COMMAND once
    /// more. A signal that asks linklock to end also ends this, also one that came while COMMAND ran.
    fn hold(&mut self) -> io::Result<()> {
        loop {
            let left = self.hold.saturating_sub(self.started.elapsed());
            if self.lost || left.is_zero() || self.signals.asked_to_end() {
                return Ok(());
            }
            self.keep();
            if self.guards.lost().is_some() {
                self.lost = true;
                self.journal.saw_losses(self.guards);
                let path = Printable::new(self.lost_path());
                let message = format!("{path}: the lock is lost; COMMAND had ended");
                self.reports.push(self.console.error_without_waiting(message));
                return Ok(());
            }
            self.sleep(Some(self.until_next().unwrap_or(left).min(left)))?;
            self.heed_signals();
        }
    }

    fn keep(&mut self) {
        match &mut self.keeping {
            Keeping::Nobody => {
                self.keeping = if self.guards.keep_alive().is_ok() {
                    let losses = self.guards.losses();
                    let alarm = Alarm::when("linklock-loss", move || wait_for_one(&losses));
                    Keeping::Thread(alarm.ok())
                } else {
                    Keeping::Ourselves { next: Instant::now() }
                };
            }
            Keeping::Thread(_) => {}
            Keeping::Ourselves { next } => {
                if !self.lost && Instant::now() >= *next {
                    // After an error that may pass it is tried again soon; a loss is seen by all who ask.
                    let share = if self.guards.refresh().is_ok() { 3 } else { 8 };
                    *next = Instant::now() + (self.guards.remaining() / share).max(KILLS_EVERY);
                }
            }
        }
    }

    fn heed_signals(&mut self) {
        let wishes = self.process.pass_on(self.signals, true);
        self.heed(wishes);
    }

    fn heed(&mut self, wishes: Wishes) {
        self.is_asked_to_end |= wishes.end;
        if wishes.interrupt {
            self.interrupted = Some(Instant::now());
        }
        if wishes.stop {
            // The lock may have expired meanwhile, or an operator may have broken it. Then all stay stopped until they are ended.
            self.process.suspend(|| {
                let _ = self.guards.check();
                self.guards.lost().is_none()
            });
        }
    }

    /// Ends COMMAND and all that it started, which no longer hold the lock.
    fn end_lost_work(&mut self) {
        let path = Printable::new(self.lost_path());
        let how = match self.ask_to_end() {
            None => {
                self.kill(false);
                "linklock has ended COMMAND".into()
            }
            Some((Reached::All, kill_in)) => {
                format!("linklock has sent TERM to COMMAND, and sends KILL in {}", short(kill_in))
            }
            Some((Reached::NotThis(pid), _)) => {
                format!(
                    "linklock may not signal process {pid}, which goes on without the lock; end it as its user or as root"
                )
            }
        };
        let message = format!("{path}: the lock is lost; {how}");
        self.reports.push(self.console.error_without_waiting(message));
    }

    /// TERM now, and KILL later: after --kill-after, but if the lock is lost, before another contender can have it. Says in how long;
    /// `None` where the system cannot ask.
    fn ask_to_end(&mut self) -> Option<(Reached, Duration)> {
        let reached = self.process.ask_to_end()?;
        let now = Instant::now();
        let most = if self.lost { self.guards.until_takeover() } else { Duration::MAX };
        let kill_at = now.checked_add(self.kill_after.min(most));
        let kill_at = match self.work {
            // Lost on the way: not later than before.
            Work::IsAsked { kill_at: Some(before) } => Some(kill_at.map_or(before, |at| at.min(before))),
            Work::IsKilled { .. } => return Some((reached, Duration::ZERO)),
            Work::IsAsked { kill_at: None } | Work::GoesOn => kill_at,
        };
        self.work = Work::IsAsked { kill_at };
        Some((reached, kill_at.map_or(Duration::MAX, |at| at.saturating_duration_since(now))))
    }

    /// Whether it is of use to go on: not if all that is left of the work may not be killed by this user.
    fn kill(&mut self, command_has_ended: bool) -> bool {
        let Reached::NotThis(pid) = self.process.kill() else { return true };
        if command_has_ended {
            let path = Printable::new(self.lost_path());
            let message = format!(
                "{path}: linklock may not end process {pid}, which COMMAND started; end it as its user or as root"
            );
            self.reports.push(self.console.error_without_waiting(message));
        }
        !command_has_ended
    }

    /// The path of the lock that is lost.
    fn lost_path(&self) -> &'a Path {
        let guards = self.guards;
        guards.lost().or(guards.iter().next()).map_or(Path::new(""), Guard::path)
    }

    fn wait_for_command(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            self.sleep(None)?;
        }
    }

    /// In how long there is something to do, if nothing happens before.
    fn until_next(&self) -> Option<Duration> {
        let work = match self.work {
            Work::GoesOn => None,
            Work::IsAsked { kill_at } => kill_at.map(|at| at.saturating_duration_since(Instant::now())),
            // A process that hangs in a file system may not end for long: less and less often.
            Work::IsKilled { rounds } => Some((KILLS_EVERY * rounds).min(LOOKS_EVERY)),
        };
        let keeping = match &self.keeping {
            _ if self.lost => None,
            Keeping::Nobody => Some(Duration::ZERO),
            Keeping::Thread(alarm) => alarm.is_none().then_some(LOOKS_EVERY),
            Keeping::Ourselves { next } => Some(next.saturating_duration_since(Instant::now())),
        };
        // The end of what COMMAND started is told only of those that have become orphans.
        let leaving = (self.wait_all || self.is_asked_to_end).then_some(LOOKS_EVERY);
        [work, keeping, leaving].into_iter().flatten().min()
    }

    /// Sleeps until a signal comes, COMMAND ends, the lock is lost, or `limit` has passed.
    fn sleep(&self, limit: Option<Duration>) -> io::Result<()> {
        let loss = match &self.keeping {
            Keeping::Thread(alarm) if !self.lost => alarm.as_ref(),
            _ => None,
        };
        self.process.sleep(self.signals, loss, limit)
    }
}

/// How long it may take until it is known which of several locks was lost first.
const ASKS_EVERY: Duration = Duration::from_millis(50);

/// Waits until one of the locks is lost, or the first is released.
fn wait_for_one(losses: &[Loss]) {
    let [first, others @ ..] = losses else { return };
    if others.is_empty() {
        first.wait();
        return;
    }
    while first.wait_timeout(ASKS_EVERY).is_none() && !others.iter().any(Loss::is_lost) {}
}
