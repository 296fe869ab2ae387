//! Looking at a lock without touching it.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::claim::{Claim, Token};
use crate::env::Env;
use crate::error::Error;
use crate::lease::{LIFETIME_MOST, ServerTime};
use crate::printable::Printable;
use crate::protocol::{Place, Protocol, Seen, SeenLock, Verdict, stuck};

/// Who holds a lock, as the lock path tells it: whoever may write to the lock's directory can make it tell anything. Whose file it
/// is, [`Status::owner`] says. The fields hold what is written there; to print them, see [`Printable`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The name of the machine that it runs on.
    pub host: String,
    /// Its process, on that machine.
    pub pid: u32,
    /// The name of its claim.
    pub token: Token,
    /// When the lock's lifetime ends, by the file server's clock.
    pub expires_at: SystemTime,
    /// What it says of itself; `link` has no room for that.
    pub about: Option<About>,
}

impl Holder {
    pub(crate) fn new(claim: &Claim, expiry: ServerTime, about: Option<About>) -> Self {
        let expires_at = expiry.to_system_time();
        Self { host: claim.host.clone(), pid: claim.pid, token: claim.token.clone(), expires_at, about }
    }
}

/// What a holder says of itself under the `dir` protocol. Nobody checks it, and whoever may read the lock can read it. The fields
/// hold what is written there, 200 characters of each text at most; to print them, see [`Printable`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct About {
    /// How long the lock lasts from its last refresh.
    pub lifetime: Duration,
    /// What it runs: the name of the process, unless `Builder::command` was set.
    pub command: Option<String>,
    /// Who runs it, as it says.
    pub user: Option<String>,
    /// When it began to contend, by its own wall clock.
    pub since: Option<SystemTime>,
}

/// Of a command and of a user's name, in characters.
const TEXT_MOST: usize = 200;

fn cut(text: &str) -> String {
    text.chars().take(TEXT_MOST).collect()
}

impl About {
    pub(crate) fn new(place: &Place, claim: &Claim) -> Self {
        let env = place.env.as_ref();
        let command = place.command.clone().or_else(|| env.command(claim.pid));
        let since = Some(env.wall_clock().to_system_time());
        // The lifetime counts, and must not be cut off by a long text.
        let [command, user] = [command, env.user()].map(|text| text.as_deref().map(cut));
        Self { lifetime: place.lifetime, command, user, since }
    }

    pub(crate) fn to_json(&self) -> String {
        let since_epoch = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
        let since = self.since.and_then(since_epoch).map(|since| since.as_millis() as u64);
        // Never too short.
        let lifetime = self.lifetime.as_micros().div_ceil(1000) as u64;
        // None of it can fail. To put it together as a value takes a tenth of a cycle on tmpfs.
        let text = |text: &Option<String>| serde_json::to_string(text).unwrap_or_else(|_| "null".into());
        let (command, user) = (text(&self.command), text(&self.user));
        let since = since.map_or("null".into(), |ms| ms.to_string());
        format!(r#"{{"version":1,"lifetime_ms":{lifetime},"command":{command},"user":{user},"since_unix_ms":{since}}}"#)
    }

    /// `None`: it is not whole, or another's.
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

/// Whose a file is, as the file system has it: a server may have put another user in place of root.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The user's name on this machine, where the number has one.
    pub name: Option<String>,
}

impl Owner {
    pub(crate) fn new(env: &dyn Env, uid: u32) -> Self {
        Self { uid, name: env.name_of_user(uid) }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => Printable::new(name).fmt(f),
            None => write!(f, "user {}", self.uid),
        }
    }
}

/// What is at a lock path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Nothing: whoever comes first has it.
    Free,
    /// A lock within its lifetime.
    Held,
    /// A lock whose lifetime is over. It is broken by the next contender once the grace is over too.
    Expired,
    /// A lock whose holder, on this machine, has ended without releasing it. It is broken by the next contender.
    Dead,
    /// Something else, which linklock never removes.
    NotALock,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Free => "free",
            Self::Held => "held",
            Self::Expired => "expired",
            Self::Dead => "dead",
            Self::NotALock => "not a lock",
        })
    }
}

/// What a look at a lock path found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// What is there.
    pub state: State,
    /// By which protocol the lock is held.
    pub protocol: Option<Protocol>,
    /// Who holds it; `None` if nobody does, or if it may not be read.
    pub holder: Option<Holder>,
    /// Whose the file is that says so: this the file system tells, whatever the holder says of itself. `None` if nobody holds the
    /// lock, if its directory and the entry in it are different users', and on Windows.
    pub owner: Option<Owner>,
    /// When the lifetime ends, by the file server's clock.
    pub expires_at: Option<SystemTime>,
    /// How much of the lifetime is left; `None` once it is over.
    pub remaining: Option<Duration>,
    /// When the lock was taken or last refreshed.
    pub refreshed_at: Option<SystemTime>,
    /// Whether the next contender may take the lock at once: nobody holds it, or who does is over, grace and all.
    pub available: bool,
    /// For [`State::NotALock`]: what is there instead. For a lock that this user may not look into: that it is one.
    pub what: Option<String>,
}

impl Status {
    fn without_lock(state: State, what: Option<String>) -> Self {
        Self {
            state,
            protocol: None,
            holder: None,
            owner: None,
            expires_at: None,
            remaining: None,
            refreshed_at: None,
            available: state == State::Free,
            what,
        }
    }
}

/// Looks, and judges by this machine's wall clock: to learn the server's would need a change on disk.
pub(crate) fn inspect(place: &Place) -> Result<Status, Error> {
    let now = place.env.wall_clock();
    Ok(match place.look()? {
        Seen::EmptyDirectory { ours: false } => {
            Status::without_lock(State::NotALock, Some("an empty directory".into()))
        }
        Seen::Stuck { since, .. } => match stuck(place.env.as_ref(), since) {
            Some(what) => Status::without_lock(State::NotALock, Some(what.into())),
            // It is about to be removed.
            None => Status::without_lock(State::Free, None),
        },
        Seen::Free | Seen::EmptyDirectory { ours: true } => Status::without_lock(State::Free, None),
        Seen::NotALock(what) => Status::without_lock(State::NotALock, Some(what)),
        Seen::Lock(lock) => of_lock(place, &lock, now),
    })
}

fn of_lock(place: &Place, lock: &SeenLock, now: ServerTime) -> Status {
    let owner = lock.owner.filter(|_| place.env.user_id().is_some()).map(|uid| Owner::new(place.env.as_ref(), uid));
    if lock.is_hidden() {
        let what = Some("a lock that this user may not look into".into());
        return Status { protocol: Some(lock.protocol), owner, ..Status::without_lock(State::Held, what) };
    }
    let verdict = place.judge(lock, now);
    let expiry = lock.expiry(place.lifetime);
    let remaining = expiry.since(now);
    // Without a clock to compare with, a contender has to watch it first.
    let available = verdict == Verdict::Dead || (verdict == Verdict::Over && place.clock_is_known());
    Status {
        state: match verdict {
            Verdict::Dead => State::Dead,
            _ if remaining.is_zero() => State::Expired,
            _ => State::Held,
        },
        protocol: Some(lock.protocol),
        holder: lock.holder(),
        owner,
        expires_at: Some(expiry.to_system_time()),
        remaining: (!remaining.is_zero()).then_some(remaining),
        refreshed_at: Some(lock.attr.ctime.to_system_time()),
        available: available && lock.is_certain,
        what: None,
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
        // As deep as there is room for.
        for (open, close) in [("[", "]"), (r#"{"lifetime_ms":"#, "}")] {
            let deep = open.repeat(4000 / open.len()) + &close.repeat(4000 / open.len());
            assert_eq!(lifetime(&deep), None, "{open}");
            assert_eq!(lifetime(&format!(r#"{{"lifetime_ms":1,"more":{deep}}}"#)), None, "{open}");
        }
        let twice = r#"{"lifetime_ms":1,"lifetime_ms":2}"#;
        assert!(lifetime(twice) >= Some(Duration::from_millis(1)), "either");
    }
}
