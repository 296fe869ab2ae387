//! Who holds a lock, as others see it: plain values, and the JSON in a `dir` lock.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::lifetime::LIFETIME_MOST;
use crate::printable::Printable;
use crate::token::Token;

/// Who holds a lock, as the lock path says. Whoever may write to the lock's directory can forge it;
/// [`Status::owner`](crate::Status::owner) is what the file system says. The fields contain what is on disk: to print
/// them, use [`Printable`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The name of the holder's machine.
    pub host: String,
    /// The holder's process, on that machine. If it is not known to have one, the process that acquired the lock.
    pub pid: u32,
    /// Whether the claim names a process. False for a lock that was acquired on nobody's behalf, or where nothing told the process
    /// from others: such a lock is never abandoned. flufl.lock always names its process.
    pub has_process: bool,
    /// The name of the holder's claim.
    pub token: Token,
    /// When the lock's lifetime ends, on the file server's clock.
    pub expires_at: SystemTime,
    /// What the holder says about itself. `None` under the `link` protocol, which has no room for it.
    pub about: Option<About>,
}

/// What a holder says about itself under the `dir` protocol. Nobody checks it, and whoever may read the lock can read
/// it. The fields contain what is on disk, at most 200 characters of each text: to print them, use [`Printable`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct About {
    /// How long the lock lasts after its last refresh.
    pub lifetime: Duration,
    /// What the holder runs: the name of its process, or the value of [`Builder::command`](crate::Builder::command).
    pub command: Option<String>,
    /// The name of the user who runs it.
    pub user: Option<String>,
    /// When the holder started to contend, on its own wall clock.
    pub since: Option<SystemTime>,
}

/// The longest command and user name, in characters.
const TEXT_MOST: usize = 200;

/// The part of a text that is written and read.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(TEXT_MOST).collect()
}

impl About {
    pub(crate) fn to_json(&self) -> String {
        let since_epoch = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
        let since = self.since.and_then(since_epoch).map(|since| since.as_millis() as u64);
        // Rounded up, never too short.
        let lifetime = self.lifetime.as_micros().div_ceil(1000) as u64;
        // None of this can fail. Building a JSON value first would take a tenth of a cycle on tmpfs.
        let text = |text: &Option<String>| serde_json::to_string(text).unwrap_or_else(|_| "null".into());
        let (command, user) = (text(&self.command), text(&self.user));
        let since = since.map_or("null".into(), |ms| ms.to_string());
        format!(r#"{{"version":1,"lifetime_ms":{lifetime},"command":{command},"user":{user},"since_unix_ms":{since}}}"#)
    }

    /// `None` if it is incomplete, or not ours.
    pub(crate) fn from_json(content: &[u8]) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_slice(content).ok()?;
        let text = |key: &str| value.get(key).and_then(|v| v.as_str()).map(cut);
        let since = value.get("since_unix_ms").and_then(serde_json::Value::as_u64);
        Some(Self {
            lifetime: Duration::from_millis(value.get("lifetime_ms")?.as_u64()?).min(LIFETIME_MOST),
            command: text("command"),
            user: text("user"),
            since: since.and_then(|ms| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))),
        })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, Printable::word(&self.host))
    }
}

/// The owner of a file, as the file system reports it. A server may map root to another user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The user's name on this machine, if there is one.
    pub name: Option<String>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => Printable::new(name).fmt(f),
            None => write!(f, "user {}", self.uid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_holder_says_of_itself_is_read_as_it_was_written() {
        let lifetime = Duration::from_millis(90_061);
        let since = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_000_000_123));
        for text in [None, Some("sh -c 'echo \"a\\b\"\n\u{1b}[1m' {} \u{e9}"), Some("")] {
            let text = text.map(str::to_owned);
            let about = About { lifetime, command: text.clone(), user: text, since };
            assert_eq!(About::from_json(about.to_json().as_bytes()), Some(about));
        }
        let unknown = About { lifetime, command: None, user: None, since: None };
        assert_eq!(About::from_json(unknown.to_json().as_bytes()), Some(unknown));
    }

    #[test]
    fn no_more_is_read_than_a_holder_may_say() {
        let (command, user) = ("é".repeat(201), "u".repeat(3000));
        let read = About::from_json(format!(r#"{{"lifetime_ms":1,"command":"{command}","user":"{user}"}}"#).as_bytes());
        let Some(About { command: Some(command), user: Some(user), .. }) = read else { panic!("{read:?}") };
        assert_eq!([command.chars().count(), user.len()], [200, 200]);
    }

    #[test]
    fn a_lifetime_is_not_written_too_short() {
        let lifetime = Duration::from_micros(15_000_001);
        let about = About { lifetime, command: None, user: None, since: None };
        assert_eq!(About::from_json(about.to_json().as_bytes()).unwrap().lifetime, Duration::from_millis(15_001));
    }

    #[test]
    fn what_others_may_have_written_is_read_with_bounds_or_not_at_all() {
        let lifetime = |json: &str| About::from_json(json.as_bytes()).map(|about| about.lifetime);
        let long = [u64::MAX.to_string(), "315360000001".into()];
        for number in long {
            let json = format!(r#"{{"lifetime_ms":{number},"since_unix_ms":{number}}}"#);
            assert_eq!(lifetime(&json), Some(LIFETIME_MOST), "{number}");
        }
        for number in ["-1", "1.5", "1e3", "1e400", "18446744073709551616", "\"1\"", "null", "[]", "true"] {
            assert_eq!(lifetime(&format!(r#"{{"lifetime_ms":{number}}}"#)), None, "{number}");
        }
        // The deepest nesting that the limit of the content has room for.
        for (open, close) in [("[", "]"), (r#"{"lifetime_ms":"#, "}")] {
            let deep = open.repeat(4000 / open.len()) + &close.repeat(4000 / open.len());
            assert_eq!(lifetime(&deep), None, "{open}");
            assert_eq!(lifetime(&format!(r#"{{"lifetime_ms":1,"more":{deep}}}"#)), None, "{open}");
        }
        let twice = r#"{"lifetime_ms":1,"lifetime_ms":2}"#;
        assert!(lifetime(twice) >= Some(Duration::from_millis(1)), "either");
    }
}
