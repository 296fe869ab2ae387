//! `status`, in words and as JSON.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

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
    format!("{}{}", word(status.state), details(status))
}

/// The same for a terminal, with the state in colour.
fn describe_in_color(status: &Status) -> String {
    let color = match status.state {
        State::Free => AnsiColor::Green,
        State::Held => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    let style = color.on_default();
    format!("{style}{}{style:#}{}", word(status.state), details(status))
}

fn word(state: State) -> String {
    if state == State::Dead { "abandoned".into() } else { state.to_string() }
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
        State::Dead => {
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
struct Line {
    path: String,
    protocol: Option<String>,
    state: &'static str,
    host: Option<String>,
    pid: Option<u32>,
    token: Option<String>,
    command: Option<String>,
    user: Option<String>,
    owner_uid: Option<u32>,
    owner: Option<String>,
    since: Option<String>,
    expires_at: Option<String>,
    expires_in_ms: Option<i64>,
}

fn to_json(lock: &Lock, status: &Status) -> io::Result<String> {
    let holder = status.holder.as_ref();
    let about = holder.and_then(|holder| holder.about.as_ref());
    let line = Line {
        path: lock.path().to_string_lossy().into_owned(),
        protocol: status.protocol.map(|protocol| protocol.to_string()),
        state: match status.state {
            State::Free => "free",
            State::Held => "held",
            State::Expired => "expired",
            State::Dead => "abandoned",
            _ => "not-a-lock",
        },
        host: holder.map(|holder| holder.host.clone()),
        pid: holder.map(|holder| holder.pid),
        // Not escaped: `break --token` needs it as it is.
        token: holder.map(|holder| holder.token.as_os_str().to_string_lossy().into_owned()),
        command: about.and_then(|about| about.command.clone()),
        user: about.and_then(|about| about.user.clone()),
        owner_uid: status.owner.as_ref().map(|owner| owner.uid),
        owner: status.owner.as_ref().and_then(|owner| owner.name.clone()),
        since: about.and_then(|about| about.since).and_then(rfc3339),
        expires_at: status.expires_at.and_then(rfc3339),
        expires_in_ms: status.expires_at.map(|at| expires_in_ms(at, status.remaining, SystemTime::now())),
    };
    json(&line)
}

/// `None` for a year that RFC 3339 cannot write: others can set an mtime to anything.
pub(crate) fn rfc3339(time: SystemTime) -> Option<String> {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since_epoch < YEAR_10000).then(|| humantime::format_rfc3339_millis(time).to_string())
}

/// Negative after the expiry. `remaining` comes first, so that this agrees with the state, which was judged with it.
fn expires_in_ms(at: SystemTime, remaining: Option<Duration>, now: SystemTime) -> i64 {
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    remaining.map_or_else(|| -ms(now.duration_since(at).unwrap_or_default()), ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_that_rfc3339_cannot_write_becomes_none() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(rfc3339(epoch + Duration::from_millis(1_500)).as_deref(), Some("1970-01-01T00:00:01.500Z"));
        assert_eq!(rfc3339(epoch + Duration::from_secs(253_402_300_799)).as_deref(), Some("9999-12-31T23:59:59.000Z"));
        assert_eq!(rfc3339(epoch + Duration::from_secs(253_402_300_800)), None);
        assert_eq!(rfc3339(epoch - Duration::from_secs(1)), None);
    }

    #[test]
    fn an_expired_lock_has_negative_milliseconds_left() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        assert_eq!(expires_in_ms(at, None, at + Duration::from_secs(3)), -3000);
        assert_eq!(expires_in_ms(at, Some(Duration::from_millis(7)), at), 7);
    }
}
