//! `status`: for people, and for programs.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use linklock::{Lock, Printable, State, Status};
use serde::Serialize;

use crate::args::StatusArgs;
use crate::console::{Console, Painted, json, printable};
use crate::duration::spoken;
use crate::exit::{Exit, Failure};

/// Looks at every path, whatever became of the others; the first failure is what it ends with.
pub(crate) fn status(args: &StatusArgs, console: Console) -> Result<Exit, Failure> {
    let mut stdout = io::stdout().lock();
    let painted = console.paints(&stdout);
    let mut exit = Exit::Done;
    for path in &args.paths {
        let builder = args.judgement.apply(Lock::builder(path).separator(args.separator));
        let looked = builder.build().and_then(|lock| Ok((lock.inspect()?, lock)));
        match looked {
            Ok((status, lock)) if args.json => writeln!(stdout, "{}", to_json(&lock, &status)?)?,
            Ok((status, lock)) => {
                writeln!(stdout, "{}: {}", Printable::new(lock.path()), describe(&status, painted))?;
            }
            Err(e) => {
                let failed = Failure::from(e).tell(console);
                exit = if exit == Exit::Done { failed } else { exit };
            }
        }
    }
    stdout.flush()?;
    Ok(exit)
}

/// Who holds the lock, since when, for how much longer; in words.
pub(crate) fn describe(status: &Status, painted: bool) -> String {
    const GREEN: &str = "32";
    const YELLOW: &str = "33";
    const RED: &str = "31";
    let word = status.state.to_string();
    let state = |code| Painted { text: &word, code, on: painted };
    let holder = holder_of(status);
    match status.state {
        State::Free => state(GREEN).to_string(),
        State::Held if status.expires_at.is_none() => {
            format!("{}: {}", state(YELLOW), status.what.as_deref().unwrap_or("by whom and until when is not known"))
        }
        State::Held => {
            let left = spoken(status.remaining.unwrap_or_default());
            format!("{} by {holder}, refreshed {}, expires in {left}", state(YELLOW), ago(status.refreshed_at))
        }
        State::Expired => {
            format!(
                "{} {}, held by {holder}, refreshed {}",
                state(RED),
                ago(status.expires_at),
                ago(status.refreshed_at)
            )
        }
        State::Abandoned => {
            format!(
                "{}: {holder} has ended, refreshed {}; the next contender has it",
                state(RED),
                ago(status.refreshed_at)
            )
        }
        _ => {
            let what = status.what.as_deref().unwrap_or("something that linklock does not know");
            format!("{}: {}", state(RED), printable(what))
        }
    }
}

/// Who the lock says that its holder is, and whose its file is: that the file system says.
fn holder_of(status: &Status) -> String {
    let holder = status.holder.as_ref().map_or_else(|| "a holder that may not be read".into(), ToString::to_string);
    let mut says = Vec::new();
    if let Some(about) = status.holder.as_ref().and_then(|holder| holder.about.as_ref()) {
        says.extend(about.command.as_ref().map(|command| Printable::word(command).to_string()));
        says.extend(about.user.as_ref().map(|user| format!("user {}", Printable::word(user))));
        says.extend(about.since.map(|since| format!("began {}", ago(Some(since)))));
    }
    let mut known: Vec<_> = status.owner.iter().map(|owner| format!("file owner: {owner}")).collect();
    if !says.is_empty() {
        known.push(format!("it says: {}", says.join(", ")));
    }
    let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join("; ")) };
    printable(&format!("{holder}{known}"))
}

pub(crate) fn ago(time: Option<SystemTime>) -> String {
    let passed = time.and_then(|time| SystemTime::now().duration_since(time).ok());
    passed.map_or_else(|| "just now".into(), |passed| format!("{} ago", spoken(passed)))
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
            State::Abandoned => "abandoned",
            _ => "not-a-lock",
        },
        host: holder.map(|holder| holder.host.clone()),
        pid: holder.map(|holder| holder.pid),
        // As it is, for `break --token`.
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

/// `None` outside of the years that RFC 3339 can write: an mtime may be anything.
pub(crate) fn rfc3339(time: SystemTime) -> Option<String> {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since_epoch < YEAR_10000).then(|| humantime::format_rfc3339_millis(time).to_string())
}

/// Negative once it is over. What was left when the state was judged comes first, so that both agree.
fn expires_in_ms(at: SystemTime, remaining: Option<Duration>, now: SystemTime) -> i64 {
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    remaining.map_or_else(|| -ms(now.duration_since(at).unwrap_or_default()), ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_cannot_be_written_is_left_out() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(rfc3339(epoch + Duration::from_millis(1_500)).as_deref(), Some("1970-01-01T00:00:01.500Z"));
        assert_eq!(rfc3339(epoch + Duration::from_secs(253_402_300_799)).as_deref(), Some("9999-12-31T23:59:59.000Z"));
        assert_eq!(rfc3339(epoch + Duration::from_secs(253_402_300_800)), None);
        assert_eq!(rfc3339(epoch - Duration::from_secs(1)), None);
    }

    #[test]
    fn what_is_over_has_negative_milliseconds() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        assert_eq!(expires_in_ms(at, None, at + Duration::from_secs(3)), -3000);
        assert_eq!(expires_in_ms(at, Some(Duration::from_millis(7)), at), 7);
    }
}
