//! The subcommands for scripts and operators, and the wait that some of them share with `run`.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use linklock::{Builder, Error, ErrorKind, Guard, Lock, OnBehalfOf, Printable, Slots, Status, Token, Wait, Which};

use crate::args::{AcquireArgs, BreakArgs, Patience, RefreshArgs, ReleaseArgs, WaitArgs};
use crate::console::Console;
use crate::directory;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::os::{self, Signals};
use crate::progress::Line;
use crate::status;

pub(crate) fn acquire(args: &AcquireArgs, journal: &Journal, console: Console) -> Result<Exit, Failure> {
    if os::stdout_is_closed() {
        let message =
            format!("{}: not acquired: cannot print the token: stdout is closed", Printable::new(&args.at.path));
        return Err(Failure::Message(Exit::Io, message));
    }
    let shell = os::calling_shell().map(OnBehalfOf::Process);
    let whom = args.pid.or(shell).unwrap_or(OnBehalfOf::Nobody);
    let builder = args.contest.apply(args.at.builder()).lifetime(args.lifetime).fence(args.fence);
    let described = match whom {
        OnBehalfOf::Process(pid) if args.contest.describe_command => os::command_line(pid),
        _ => None,
    };
    let builder = described.into_iter().fold(builder.on_behalf_of(whom), Builder::command);
    let lock = builder.build()?;
    let slots = args.contest.slots.map(|number| lock.slots(number)).transpose()?;
    let pid = if let OnBehalfOf::Process(pid) = whom { Some(pid) } else { None };
    let locks = std::slice::from_ref(&lock);
    let slot_locks = slots.as_ref().map_or(&[][..], Slots::locks);
    journal.begin(locks, slot_locks, Some(args.contest.protocol()), pid, args.at.separator);
    let signals = Signals::catch()?;
    let (guard, slot) = wait_for(lock.path(), &args.contest.patience, &signals, console, |wait| match &slots {
        None => Ok((lock.acquire_with(wait)?, None)),
        Some(slots) => {
            slots.acquire_with(wait).map(|slot| (slot.number(), slot.into_guard())).map(|(n, guard)| (guard, Some(n)))
        }
    })
    .inspect_err(|failure| journal.not_acquired(failure, lock.path()))?;
    // Nobody could release a lock whose token was not printed. On an error dropping the guard releases it.
    print_token(guard.token(), guard.fencing_token(), slot).map_err(|e| {
        Failure::Message(
            Exit::Io,
            format!("{}: not acquired: cannot print the token: {e}", Printable::new(lock.path())),
        )
    })?;
    guard.leave();
    journal.left();
    if args.pid.is_none() && shell.is_none() {
        console.hint(&format!("{}: {BELONGS_TO_NOBODY}", Printable::new(lock.path())));
    }
    Ok(Exit::Done)
}

/// For who relies on contenders that take the lock of a script that has died.
#[cfg(unix)]
const BELONGS_TO_NOBODY: &str = "the lock belongs to no process, because no calling shell is known to read the token. It is held \
    until its release or its expiry, even if the script dies. Use --pid \"$$\" to name the script's shell; --pid none turns \
    this note off";
#[cfg(windows)]
const BELONGS_TO_NOBODY: &str = "the lock belongs to no process, because linklock was not started by a shell. It is held until \
    its release or its expiry, even if the script dies. Use --pid PID to name the script's process; --pid none turns this \
    note off";

fn print_token(token: &Token, fence: Option<u64>, slot: Option<usize>) -> io::Result<()> {
    let mut lines = token.as_os_str().as_encoded_bytes().to_vec();
    lines.push(b'\n');
    for number in [fence, slot.map(|slot| slot as u64)].into_iter().flatten() {
        lines.extend(format!("{number}\n").into_bytes());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(&lines)?;
    stdout.flush()
}

/// Takes over the lock that this token holds.
fn adopt(lock: &Lock, text: &OsStr, separator: char, journal: &Journal) -> Result<Guard, Error> {
    let token = token(text);
    journal.begin(std::slice::from_ref(lock), &[], None, None, separator);
    let adopted = lock.adopt(&token);
    match &adopted {
        Ok(guard) => journal.adopted(guard, lock),
        Err(e) => journal.not_adopted(e, &token),
    }
    adopted
}

pub(crate) fn refresh(args: &RefreshArgs, journal: &Journal) -> Result<Exit, Failure> {
    let builder = args.at.builder();
    // Checks it, before anything is asked of the disk.
    let builder = if let Some(lifetime) = args.lifetime { builder.lifetime(lifetime) } else { builder };
    let guard = adopt(&builder.build()?, &args.token, args.at.separator, journal)?;
    let refreshed = args.lifetime.map_or_else(|| guard.refresh(), |lifetime| guard.refresh_for(lifetime));
    // Even if the refresh failed, only the script releases the lock.
    let token = guard.leave();
    refreshed.inspect_err(|e| journal.not_refreshed(e, &token))?;
    journal.left();
    Ok(Exit::Done)
}

pub(crate) fn release(args: &ReleaseArgs, journal: &Journal) -> Result<Exit, Failure> {
    let lock = args.at.builder().wake(args.waking.wake.into()).build()?;
    let guard = adopt(&lock, &args.token, args.at.separator, journal)?;
    guard.release().map_err(Error::from)?;
    Ok(Exit::Done)
}

pub(crate) fn wait(args: &WaitArgs, console: Console) -> Result<Exit, Failure> {
    let lock = args.judgement.apply(args.at.builder()).build()?;
    directory::check(&lock)?;
    let signals = Signals::catch()?;
    wait_for(lock.path(), &args.patience, &signals, console, |wait| lock.wait_until_free(wait))?;
    Ok(Exit::Done)
}

pub(crate) fn break_lock(args: &BreakArgs, journal: &Journal, console: Console) -> Result<Exit, Failure> {
    let lock = args.judgement.apply(args.at.builder()).build()?;
    let which = match &args.token {
        Some(text) => Which::Claim(token(text)),
        None if args.expired => Which::Expired,
        None => Which::Any,
    };
    let broken = break_in_journal(&lock, &which, args.at.separator, journal)?;
    let path = Printable::new(lock.path());
    match broken {
        Some(status) => console.note(&format!("{path}: broken; it was {}", status::describe(&status)))?,
        None => console.note(&format!("{path}: the lock was free"))?,
    }
    Ok(Exit::Done)
}

/// Breaks the lock. The journal, if there is one, tells it.
pub(crate) fn break_in_journal(
    lock: &Lock,
    which: &Which,
    separator: char,
    journal: &Journal,
) -> Result<Option<Status>, Failure> {
    directory::check(lock)?;
    journal.begin(std::slice::from_ref(lock), &[], None, Some(std::process::id()), separator);
    lock.break_lock(which).map_err(|e| not_broken(lock, which, e))
}

/// The library reports a time-out, as for a contender. An operator did not wait.
fn not_broken(lock: &Lock, which: &Which, e: Error) -> Failure {
    match e.kind() {
        ErrorKind::Timeout => {}
        // In this situation an operator needs to know why breaking takes any room.
        ErrorKind::CannotCreate => {
            let path = Printable::new(lock.path());
            let cause = e.io_error().map_or_else(|| e.to_string(), ToString::to_string);
            let message = format!(
                "{path}: not broken: {cause}; breakers take turns by a small directory and a file beside the lock, because two \
                 at once could remove the next holder's lock; make room, for example with linklock clean --yes, or as root, \
                 who may use reserved space"
            );
            return Failure::Message(Exit::CannotCreate, message);
        }
        _ => return e.into(),
    }
    let holder = e.holder().map_or_else(|| "an unknown holder".into(), ToString::to_string);
    let why = if *which == Which::Expired {
        format!("{holder} holds it, and its lifetime and the grace have not passed; wait, or break it with --token")
    } else {
        format!(
            "another process is breaking the lock of {holder}, or broke it a moment ago; check its status and retry"
        )
    };
    let message = format!("{}: not broken: {why}", Printable::new(lock.path()));
    Failure::Message(Exit::of_error(&e), message)
}

/// The shell has removed the newline that `acquire` printed.
fn token(text: &OsStr) -> Token {
    Token::new(text)
}

/// Waits for the lock at this path as long as the user wants, and shows the wait on a terminal. The first signal ends the wait; a lock that was acquired
/// at that moment is dropped, which releases it.
pub(crate) fn wait_for<T>(
    path: &Path,
    patience: &Patience,
    signals: &Signals,
    console: Console,
    act: impl FnOnce(&Wait) -> Result<T, Error>,
) -> Result<T, Failure> {
    let limit = if patience.nonblock { Some(Wait::never()) } else { patience.timeout.map(Wait::up_to) };
    let mut wait = limit.unwrap_or_default().cancelled_by(signals.cancel());
    let line = Line::new(console);
    if let Some(line) = &line {
        wait = line.report_of(wait);
    }
    let done = act(&wait);
    if let Some(line) = line {
        let by_signal = signals.any().is_some();
        if by_signal || done.is_ok() {
            line.log_end(by_signal, path);
        }
    }
    if let Some(signal) = signals.any() {
        return Err(Failure::Signal(signal));
    }
    done.map_err(|e| match e.kind() {
        ErrorKind::Timeout => Failure::NotInTime(e, patience.conflict_exit_code),
        _ => e.into(),
    })
}
