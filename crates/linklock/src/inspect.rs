//! Looking at a lock without touching it.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::claim::{Claim, Token};
use crate::error::Error;
use crate::lease::ServerTime;
use crate::protocol::{Place, Protocol, Seen, SeenLock, Verdict};

/// Who holds a lock, as the lock path tells it.
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
}

impl Holder {
    pub(crate) fn new(claim: &Claim, expiry: ServerTime) -> Self {
        Self {
            host: claim.host.clone(),
            pid: claim.pid,
            token: claim.token.clone(),
            expires_at: expiry.to_system_time(),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
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
    /// When the lifetime ends, by the file server's clock.
    pub expires_at: Option<SystemTime>,
    /// How much of the lifetime is left; `None` once it is over.
    pub remaining: Option<Duration>,
    /// When the lock was taken or last refreshed.
    pub refreshed_at: Option<SystemTime>,
    /// Whether the next contender may take the lock at once: nobody holds it, or who does is over, grace and all.
    pub available: bool,
    /// For [`State::NotALock`]: what is there instead.
    pub what: Option<String>,
}

impl Status {
    fn without_lock(state: State, what: Option<String>) -> Self {
        Self {
            state,
            protocol: None,
            holder: None,
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
        Seen::EmptyDirectory if place.protocol == Protocol::Link => {
            Status::without_lock(State::NotALock, Some("an empty directory".into()))
        }
        Seen::Free | Seen::EmptyDirectory => Status::without_lock(State::Free, None),
        Seen::NotALock(what) => Status::without_lock(State::NotALock, Some(what)),
        Seen::Lock(lock) => of_lock(place, &lock, now),
    })
}

fn of_lock(place: &Place, lock: &SeenLock, now: ServerTime) -> Status {
    let verdict = place.judge(lock, now);
    let remaining = lock.attr.mtime.since(now);
    Status {
        state: match verdict {
            Verdict::Dead => State::Dead,
            _ if remaining.is_zero() => State::Expired,
            _ => State::Held,
        },
        protocol: Some(lock.protocol),
        holder: lock.holder(),
        expires_at: Some(lock.attr.mtime.to_system_time()),
        remaining: (!remaining.is_zero()).then_some(remaining),
        refreshed_at: Some(lock.attr.ctime.to_system_time()),
        available: verdict != Verdict::Live,
        what: None,
    }
}
