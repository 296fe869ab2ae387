//! `status`, in words and as JSON.

use std::io::{self, Write};
use std::time::SystemTime;

use anstyle::AnsiColor;
use linklock::{Lock, Printable, State, Status};
use serde::Serialize;

use crate::args::StatusArgs;
use crate::console::{Console, json, printable};
use crate::duration::short;
use crate::exit::{Exit, Failure};

/// An error does not stop it from looking at the other paths. The first error decides the exit status.
pub(crate) fn status(args: &StatusArgs, console: Console) -> Result<Exit, Failure> {
    let mut stdout = anstream::stdout().lock();
    let mut exit = Exit::Done;
    for path in &args.paths {
        let builder = args.judgement.apply(Lock::builder(path).separator(args.separator));
        let looked = builder.build().and_then(|lock| Ok((lock.inspect()?, lock)));
        match looked {
            Ok((status, lock)) if args.json => writeln!(stdout, "{}", to_json(&lock, &status)?)?,
            Ok((status, lock)) => {
                writeln!(stdout, "{}: {}", Printable::new(lock.path()), describe_in_color(&status))?;
            }
            Err(e) => {
                let failed = Failure::from(e).report(console);
                exit = if exit == Exit::Done { failed } else { exit };
            }
        }
    }
    stdout.flush()?;
    Ok(exit)
}

/// Who holds the lock, since when, and for how much longer.
pub(crate) fn describe(status: &Status) -> String {
    format!("{}{}", status.state, details(status))
}

/// The same for a terminal, with the state in colour.
fn describe_in_color(status: &Status) -> String {
    let color = match status.state {
        State::Free => AnsiColor::Green,
        State::Held => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    let style = color.on_default();
    format!("{style}{}{style:#}{}", status.state, details(status))
}

/// What follows the state.
fn details(status: &Status) -> String {
    let holder = holder_of(status);
    let what = |unknown| printable(status.what.as_deref().unwrap_or(unknown));
    match status.state {
        State::Free => String::new(),
        State::Held if status.expires_at.is_none() => {
            format!(": {}", what("its holder and its expiry are unknown"))
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

/// The holder's own words, and the owner of the lock's file, which the file system reports.
fn holder_of(status: &Status) -> String {
    let holder = status.holder.as_ref().map_or_else(|| "an unknown holder".into(), ToString::to_string);
    let mut says = Vec::new();
    if let Some(about) = status.holder.as_ref().and_then(|holder| holder.about.as_ref()) {
        says.extend(about.command.as_ref().map(|command| Printable::word(command).to_string()));
        says.extend(about.user.as_ref().map(|user| format!("user {}", Printable::word(user))));
        says.extend(about.since.map(|since| format!("started {}", ago(Some(since)))));
    }
    let mut known: Vec<_> = status.owner.iter().map(|owner| format!("file owner: {owner}")).collect();
    if !says.is_empty() {
        known.push(format!("the lock says: {}", says.join(", ")));
    }
    let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join("; ")) };
    printable(&format!("{holder}{known}"))
}

pub(crate) fn ago(time: Option<SystemTime>) -> String {
    let passed = time.and_then(|time| SystemTime::now().duration_since(time).ok());
    passed.map_or_else(|| "just now".into(), |passed| format!("{} ago", short(passed)))
}

/// One line for programs. The names are part of the program's interface.
#[derive(Serialize)]
struct Line<'a> {
    path: String,
    #[serde(flatten)]
    status: &'a Status,
}

fn to_json(lock: &Lock, status: &Status) -> io::Result<String> {
    json(&Line { path: lock.path().to_string_lossy().into_owned(), status })
}
