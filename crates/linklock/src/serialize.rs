//! Feature `serde`: the JSON that `linklock status --json` prints.

use std::time::{Duration, SystemTime};

use serde::de::Error as _;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::env::Env;
use crate::env::os::OsEnv;
use crate::holder::Holder;
use crate::inspect::{State, Status};
use crate::options::Protocol;
use crate::protocol::leftovers::{Leftover, LeftoverKind};
use crate::token::Token;

/// As its name: `link` or `dir`.
impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// As a string. Bytes that are not Unicode are replaced.
impl Serialize for Token {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&self.as_os_str().to_string_lossy())
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::new)
    }
}

/// As `free`, `held`, `expired`, `abandoned` or `not-a-lock`.
impl Serialize for State {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(match self {
            Self::Free => "free",
            Self::Held => "held",
            Self::Expired => "expired",
            Self::Abandoned => "abandoned",
            Self::NotALock => "not-a-lock",
        })
    }
}

/// `host`, `pid`, `token`; `command`, `user` and `since` (null if the holder does not say); `expires_at`. Times are
/// strings as in RFC 3339, in UTC with milliseconds; null outside the years that RFC 3339 can write.
impl Serialize for Holder {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut out = out.serialize_struct("Holder", 7)?;
        holder_fields::<S>(&mut out, Some(self))?;
        out.serialize_field("since", &since(Some(self)))?;
        out.serialize_field("expires_at", &rfc3339(self.expires_at))?;
        out.end()
    }
}

/// One flat object: `protocol`, `state`; `host`, `pid`, `token`, `command` and `user` of the holder; `owner_uid` and
/// `owner` of the file; `since` of the holder; `expires_at`, and `expires_in_ms`, which is negative after the lifetime.
/// Null: not applicable, or not known. `readers`: all who share the lock, each as a [`Holder`]; empty for any other lock.
impl Serialize for Status {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut out = out.serialize_struct("Status", 13)?;
        out.serialize_field("protocol", &self.protocol)?;
        out.serialize_field("state", &self.state)?;
        holder_fields::<S>(&mut out, self.holder.as_ref())?;
        out.serialize_field("owner_uid", &self.owner.as_ref().map(|owner| owner.uid))?;
        out.serialize_field("owner", &self.owner.as_ref().and_then(|owner| owner.name.as_deref()))?;
        out.serialize_field("since", &since(self.holder.as_ref()))?;
        out.serialize_field("expires_at", &self.expires_at.and_then(rfc3339))?;
        let now = OsEnv.wall_clock().to_system_time();
        out.serialize_field("expires_in_ms", &self.expires_at.map(|at| expires_in_ms(at, self.remaining, now)))?;
        out.serialize_field("readers", &self.readers)?;
        out.end()
    }
}

/// As `claim`, `broken-claim`, `break-claim`, `break-lock`, `ticket`, `queue`, `bell` or `free-lock`.
impl Serialize for LeftoverKind {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(match self {
            Self::Claim => "claim",
            Self::BrokenClaim => "broken-claim",
            Self::BreakClaim => "break-claim",
            Self::BreakLock => "break-lock",
            Self::Ticket => "ticket",
            Self::Queue => "queue",
            Self::Bell => "bell",
            Self::FreeLock => "free-lock",
        })
    }
}

/// `path`, `kind`, `host`, `pid` and `expires_at`. The verdict is for people: see its `Display`.
impl Serialize for Leftover {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut out = out.serialize_struct("Leftover", 5)?;
        out.serialize_field("path", &self.path.to_string_lossy())?;
        out.serialize_field("kind", &self.kind)?;
        out.serialize_field("host", &self.host)?;
        out.serialize_field("pid", &self.pid)?;
        out.serialize_field("expires_at", &self.expires_at.and_then(rfc3339))?;
        out.end()
    }
}

fn holder_fields<S: Serializer>(out: &mut S::SerializeStruct, holder: Option<&Holder>) -> Result<(), S::Error> {
    let about = holder.and_then(|holder| holder.about.as_ref());
    out.serialize_field("host", &holder.map(|holder| &holder.host))?;
    // Null for who acquired the lock for nobody and has ended.
    out.serialize_field("pid", &holder.filter(|holder| holder.has_process).map(|holder| holder.pid))?;
    out.serialize_field("token", &holder.map(|holder| &holder.token))?;
    out.serialize_field("command", &about.and_then(|about| about.command.as_deref()))?;
    out.serialize_field("user", &about.and_then(|about| about.user.as_deref()))
}

fn since(holder: Option<&Holder>) -> Option<String> {
    holder.and_then(|holder| holder.about.as_ref()?.since).and_then(rfc3339)
}

/// `None` outside the years that RFC 3339 can write: an mtime can be any number.
fn rfc3339(time: SystemTime) -> Option<String> {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since_epoch < YEAR_10000).then(|| humantime::format_rfc3339_millis(time).to_string())
}

/// Negative after the lifetime. Prefers `remaining`, from when the state was judged, so that both agree.
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
    fn an_expiry_in_the_past_has_negative_milliseconds() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        assert_eq!(expires_in_ms(at, None, at + Duration::from_secs(3)), -3000);
        assert_eq!(expires_in_ms(at, Some(Duration::from_millis(7)), at), 7);
    }

    #[test]
    fn a_held_lock_is_one_flat_object() {
        let dir = tempfile::tempdir().unwrap();
        let lock = crate::Lock::builder(dir.path().join("job.lock")).protocol(Protocol::Dir).build().unwrap();
        let guard = lock.acquire().unwrap();
        let status = serde_json::to_value(lock.inspect().unwrap()).unwrap();
        assert_eq!(status["state"], "held");
        assert_eq!(serde_json::from_value::<Protocol>(status["protocol"].clone()).unwrap(), Protocol::Dir);
        assert_eq!(serde_json::from_value::<Token>(status["token"].clone()).unwrap(), *guard.token());
        assert_eq!(status["pid"], OsEnv.process_id());
        assert!(status["expires_in_ms"].as_i64().unwrap() > 0);
        let holder = serde_json::to_value(lock.inspect().unwrap().holder).unwrap();
        assert_eq!([&holder["host"], &holder["expires_at"]], [&status["host"], &status["expires_at"]]);
    }
}
