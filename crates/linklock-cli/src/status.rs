//! `status`, in words and as JSON.

use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use anstyle::AnsiColor;
use linklock::{Error, Lock, Printable, Protocol, State, Status};
use serde::Serialize;
use serde_json::Value;

use crate::args::StatusArgs;
use crate::console::{Console, Versioned, json, printable};
use crate::directory;
use crate::duration::short;
use crate::exit::{Exit, Failure};
use crate::os::Running;
use crate::timestamp::rfc3339;

/// An error does not stop it from looking at the other paths. The first error decides the exit status.
pub(crate) fn status(args: &StatusArgs, console: Console) -> Result<Exit, Failure> {
    let mut stdout = anstream::stdout().lock();
    let (mut failed, mut state) = (None, 0);
    let locks = args.paths.iter().flat_map(|path| match locks(args, path) {
        Ok(locks) => locks.into_iter().map(Ok).collect(),
        Err(e) => vec![Err(e)],
    });
    for lock in locks {
        match lock.and_then(|lock| Ok((look(&lock)?, lock))) {
            Ok((seen, lock)) => {
                state = state.max(number_of(seen.status.state));
                if args.json {
                    writeln!(stdout, "{}", to_json(&lock, &seen)?)?;
                } else {
                    writeln!(stdout, "{}: {}", Printable::new(lock.path()), describe_in_color(&seen))?;
                }
            }
            Err(e) => {
                let exit = e.report(console);
                failed.get_or_insert(exit);
            }
        }
    }
    stdout.flush()?;
    Ok(failed.unwrap_or(if args.exit_code { Exit::State(state) } else { Exit::Done }))
}

/// The lock at this path, or its slots.
fn locks(args: &StatusArgs, path: &Path) -> Result<Vec<Lock>, Failure> {
    let lock = args.judgement.apply(Lock::builder(path).separator(args.separator)).build()?;
    match args.slots {
        None => Ok(vec![lock]),
        Some(slots) => Ok(lock.slots(slots)?.locks().to_vec()),
    }
}

/// What is at the lock path, and what this machine knows of the holder's process.
struct Seen {
    status: Status,
    process: Option<Running>,
}

fn look(lock: &Lock) -> Result<Seen, Failure> {
    directory::check(lock)?;
    let (status, process) = with_process(lock.inspect()?, || lock.inspect())?;
    Ok(Seen { status, process })
}

/// The status, which was seen before, and what the system says of the process of a link lock's holder.
pub(crate) fn with_process(
    mut status: Status,
    look_again: impl FnOnce() -> Result<Status, Error>,
) -> Result<(Status, Option<Running>), Error> {
    let mut process = None;
    // A dir lock says it itself.
    if let Some(pid) = status.process.filter(|_| status.protocol == Some(Protocol::Link)) {
        process = Running::of(pid);
        // Only now is it certain that the pid had not been given to another process when we asked.
        let before = status;
        status = look_again()?;
        let token = |status: &Status| status.holder.as_ref().map(|holder| holder.token.clone());
        process = process.filter(|_| status.process == Some(pid) && token(&status) == token(&before));
    }
    Ok((status, process))
}

/// The exit status of --exit-code. With several paths the greatest counts.
fn number_of(state: State) -> u8 {
    match state {
        State::Free => 0,
        State::Held => 1,
        State::Expired => 2,
        State::Abandoned => 3,
        // What a later library adds is not a lock that this program knows.
        _ => 4,
    }
}

/// Who holds the lock, since when, and for how much longer.
pub(crate) fn describe(status: &Status) -> String {
    describe_with(status, None)
}

/// The same, with what the system says of the process of a link lock's holder.
pub(crate) fn describe_with(status: &Status, process: Option<&Running>) -> String {
    format!("{}{}", status.state, details(status, process))
}

/// The same for a terminal, with the state in colour.
fn describe_in_color(Seen { status, process }: &Seen) -> String {
    let color = match status.state {
        State::Free => AnsiColor::Green,
        State::Held => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    let style = color.on_default();
    format!("{style}{}{style:#}{}", status.state, details(status, process.as_ref()))
}

/// What follows the state.
fn details(status: &Status, process: Option<&Running>) -> String {
    let holder = holder_of(status, process);
    let what = |unknown| printable(status.what.as_deref().unwrap_or(unknown));
    match status.state {
        State::Free => String::new(),
        State::Held if status.expires_at.is_none() => {
            format!(": {}", what("its holder and its expiry are unknown"))
        }
        State::Held if !status.readers.is_empty() => {
            let (count, left) = (status.readers.len(), short(status.remaining.unwrap_or_default()));
            format!(" by {count} that share it: {}; the last expires in {left}", readers_of(status))
        }
        State::Held => {
            let left = short(status.remaining.unwrap_or_default());
            format!(" by {holder}, refreshed {}, expires in {left}", ago(status.refreshed_at))
        }
        State::Expired => {
            format!(" {}, held by {holder}, refreshed {}", ago(status.expires_at), ago(status.refreshed_at))
        }
        State::Abandoned => {
            format!(": {holder} has ended, refreshed {}; the next contender takes it", ago(status.refreshed_at))
        }
        _ => format!(": {}", what("something that linklock does not know")),
    }
}

/// So many of those who share a lock are named. JSON has all.
const NAMED_MOST: usize = 8;

fn readers_of(status: &Status) -> String {
    let named = status.readers.iter().take(NAMED_MOST).map(ToString::to_string);
    let more = status.readers.len().checked_sub(NAMED_MOST + 1).map(|more| format!("and {} more", more + 1));
    printable(&named.chain(more).collect::<Vec<_>>().join(", "))
}

/// The holder's own words, the owner of the lock's file, which the file system reports, and what the system says of its process.
fn holder_of(status: &Status, process: Option<&Running>) -> String {
    let (holder, mut known) = match &status.holder {
        Some(holder) if holder.has_process => (holder.to_string(), Vec::new()),
        // To name it as the holder would send the reader after a process that has ended.
        Some(holder) => ("no known process".into(), vec![format!("acquired by {holder}")]),
        None => ("an unknown holder".into(), Vec::new()),
    };
    let mut says = Vec::new();
    if let Some(about) = status.holder.as_ref().and_then(|holder| holder.about.as_ref()) {
        says.extend(about.command.as_ref().map(|command| Printable::word(command).to_string()));
        says.extend(about.user.as_ref().map(|user| format!("user {}", Printable::word(user))));
        says.extend(about.since.map(|since| format!("started {}", ago(Some(since)))));
    }
    known.extend(status.owner.iter().map(|owner| format!("file owner: {owner}")));
    if !says.is_empty() {
        known.push(format!("the lock says: {}", says.join(", ")));
    }
    if let Some(process) = process {
        let mut runs = vec![Printable::word(&process.command).to_string()];
        runs.extend(user_of(status, process).map(|user| format!("user {}", Printable::word(&user))));
        runs.extend(process.since.map(|since| format!("started {}", ago(Some(since)))));
        known.push(format!("its process: {}", runs.join(", ")));
    }
    let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join("; ")) };
    printable(&format!("{holder}{known}"))
}

/// The name of the process's user, if it is that of the lock's file, or the number.
pub(crate) fn user_of(status: &Status, process: &Running) -> Option<String> {
    let uid = process.uid?;
    let owner = status.owner.as_ref().filter(|owner| owner.uid == uid);
    Some(owner.and_then(|owner| owner.name.clone()).unwrap_or_else(|| uid.to_string()))
}

pub(crate) fn ago(time: Option<SystemTime>) -> String {
    let passed = time.and_then(|time| SystemTime::now().duration_since(time).ok());
    passed.map_or_else(|| "just now".into(), |passed| format!("{} ago", short(passed)))
}

/// One line for programs. The names are part of the program's interface.
#[derive(Serialize)]
pub(crate) struct Line {
    path: String,
    protocol: Value,
    state: Value,
    host: Value,
    pid: Value,
    token: Value,
    command: Value,
    user: Value,
    owner_uid: Value,
    owner: Value,
    since: Value,
    expires_at: Value,
    expires_in_ms: Value,
    readers: Value,
}

impl Line {
    /// The library's object, which says nothing of the process of a `link` lock's holder.
    pub(crate) fn of(lock: &Lock, status: &Status, process: Option<&Running>) -> io::Result<Self> {
        let mut fields = serde_json::to_value(status)?;
        let mut field = |name: &str| fields.get_mut(name).map(Value::take).unwrap_or_default();
        let mut line = Self {
            path: lock.path().to_string_lossy().into_owned(),
            protocol: field("protocol"),
            state: field("state"),
            host: field("host"),
            pid: field("pid"),
            token: field("token"),
            command: field("command"),
            user: field("user"),
            owner_uid: field("owner_uid"),
            owner: field("owner"),
            since: field("since"),
            expires_at: field("expires_at"),
            expires_in_ms: field("expires_in_ms"),
            readers: field("readers"),
        };
        if let Some(process) = process {
            line.command = process.command.as_str().into();
            line.user = user_of(status, process).into();
            line.since = process.since.and_then(rfc3339).into();
        }
        Ok(line)
    }
}

fn to_json(lock: &Lock, Seen { status, process }: &Seen) -> io::Result<String> {
    json(&Versioned::new(Line::of(lock, status, process.as_ref())?))
}
