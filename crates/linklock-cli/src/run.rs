//! `run`: COMMAND, its signals, and the loss of its lock.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::Builder;
use std::time::Duration;

use linklock::{Guard, Guards, Lock, Printable, Slots, acquire_all};

use crate::args::RunArgs;
use crate::attendance::{Attendance, End};
use crate::commands::wait_for;
use crate::console::Console;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::os::{Process, Signals, hand_over_sockets, number_of_end, signal_of_end};

pub(crate) fn run(args: &RunArgs, journal: &Journal, console: Console) -> Result<Exit, Failure> {
    let build = |path: &Path| {
        let builder = args.contest.apply(args.at.builder_of(path)).lifetime(args.lifetime).fence(args.fence);
        builder.command(description(args)).build()
    };
    let paths = std::iter::once(&args.at.path).chain(&args.and);
    let mut locks = paths.map(|path| build(path)).collect::<Result<Vec<_>, _>>()?;
    let slots = args.contest.slots.map(|number| locks[0].slots(number)).transpose()?;
    let slot_locks = slots.as_ref().map_or(&[][..], Slots::locks);
    journal.begin(&locks, slot_locks, Some(args.contest.protocol()), Some(std::process::id()), args.at.separator);
    let signals = Signals::catch()?;
    let mut slot = None;
    let guards = wait_for(&args.at.path, &args.contest.patience, &signals, console, |wait| match &slots {
        None => acquire_all(&locks, wait),
        Some(slots) => {
            let held = slots.acquire_with(wait)?;
            slot = Some(held.number());
            Ok(held.into_guard().into())
        }
    })
    .inspect_err(|failure| journal.not_acquired(failure, locks[0].path()))?;
    if let (Some(slots), Some(slot)) = (slots, slot) {
        locks = vec![slots.locks()[slot - 1].clone()];
    }
    // From here on every failure drops the guards, which releases the locks.
    let process = start(args, &locks, &guards, slot, &signals)?;
    let end = Attendance::new(process, &guards, &signals, args, journal, console).until_end()?;
    conclude(end, guards, &signals, console)
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

fn start(
    args: &RunArgs,
    locks: &[Lock],
    guards: &Guards,
    slot: Option<usize>,
    signals: &Signals,
) -> Result<Process, Failure> {
    let [program, arguments @ ..] = args.command.as_slice() else {
        return Err(Failure::Message(Exit::Usage, "COMMAND is missing".into()));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    for (n, guard) in locks.iter().filter_map(|lock| guards.of(lock)).enumerate() {
        let name = |what: &str| if n == 0 { format!("LINKLOCK_{what}") } else { format!("LINKLOCK_{what}_{}", n + 1) };
        command.env(name("PATH"), guard.path()).env(name("TOKEN"), guard.token().as_os_str());
        match guard.fencing_token() {
            Some(number) => command.env(name("FENCE"), number.to_string()),
            // COMMAND would take an outer lock's number for this lock's.
            None => command.env_remove(name("FENCE")),
        };
    }
    match slot {
        Some(slot) => command.env("LINKLOCK_SLOT", slot.to_string()),
        None => command.env_remove("LINKLOCK_SLOT"),
    };
    Process::start(hand_over_sockets(command), signals, guards.remaining()).map_err(|e| {
        let is_missing =
            matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) || program.is_empty();
        let program = Printable::new(program);
        if let Some(guard) = guards.lost() {
            let path = Printable::new(guard.path());
            let message =
                format!("{path}: the lock expired before {program} could start, so linklock did not start it");
            Failure::Message(Exit::Lost, message)
        } else if is_missing {
            let message = format!("cannot run {program}: not found; if it is a script, its interpreter may be missing");
            Failure::Message(Exit::NotFound, message)
        } else {
            Failure::Message(Exit::NotExecutable, format!("cannot run {program}: {e}"))
        }
    })
}

/// Releases the lock. Work under a lost lock never counts as a success.
fn conclude(end: End, guards: Guards, signals: &Signals, console: Console) -> Result<Exit, Failure> {
    let released = release(guards, end.lost);
    for report in end.reports {
        report.finish();
    }
    let exit = match signal_of_end(end.status) {
        // Who sent it to us sees that we have ended by it.
        Some(signal) if signals.concern_us(signal) => Exit::Signal(signal),
        _ => Exit::Command(number_of_end(end.status)),
    };
    match released {
        // The loss was reported when it happened.
        _ if end.lost => Ok(Exit::Lost),
        Ok(()) => Ok(exit),
        Err(e) if end.status.success() => Err(e),
        Err(e) => {
            e.report(console);
            Ok(exit)
        }
    }
}

/// How long the release of a lost lock may take: it only tidies up.
const TIDIES_WITHIN: Duration = Duration::from_secs(1);

/// Releases the locks, but waits no longer than it can be of use: a file server that does not answer must not keep linklock, and with it
/// the caller, from going on.
fn release(guards: Guards, lost: bool) -> Result<(), Failure> {
    // There is no waiting for a thread in a disk's driver: linklock could not even end before it. To start one takes a fifth of a short
    // COMMAND's time.
    if !guards.iter().any(Guard::has_file_server) {
        return Ok(guards.release()?);
    }
    let limit = if lost { TIDIES_WITHIN } else { guards.until_takeover().max(TIDIES_WITHIN) };
    let paths: Vec<_> = guards.iter().map(|guard| Printable::new(guard.path()).to_string()).collect();
    let (sender, released) = mpsc::channel();
    let guards = Arc::new(Mutex::new(Some(guards)));
    let theirs = Arc::clone(&guards);
    let act = move || {
        let guards = theirs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = sender.send(guards.map_or(Ok(()), Guards::release));
    };
    let in_time = match Builder::new().name("linklock-release".into()).spawn(act) {
        Ok(_) => released.recv_timeout(limit),
        // Without a thread there is only the slow way.
        Err(_) => {
            let guards = guards.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok(guards.map_or(Ok(()), Guards::release))
        }
    };
    match in_time {
        Ok(released) => Ok(released?),
        Err(_) => {
            let paths = paths.join(", ");
            let message = format!("{paths}: the file system does not answer, so the lock was not released; it expires");
            Err(Failure::Message(Exit::Io, message))
        }
    }
}
