//! Looking at a lock without touching it.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::error::Error;
use crate::holder::{Holder, Owner};
use crate::options::Protocol;
use crate::protocol::judge::{Verdict, judge};
use crate::protocol::look::look;
use crate::protocol::place::Place;
use crate::protocol::seen::{Seen, SeenLock, stuck};
use crate::time::ServerTime;

/// What is at a lock path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Nothing: whoever comes first has it.
    Free,
    /// A lock within its lifetime.
    Held,
    /// A lock whose lifetime has ended. The next contender breaks it once the grace has passed too.
    Expired,
    /// A lock whose holder, on this machine, has ended without releasing it. The next contender breaks it.
    Abandoned,
    /// Something else, which linklock never removes.
    NotALock,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Free => "free",
            Self::Held => "held",
            Self::Expired => "expired",
            Self::Abandoned => "abandoned",
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
    Ok(match look(place)? {
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
    let owner = lock.owner.filter(|_| place.env.user_id().is_some()).map(|uid| place.user(uid));
    if lock.is_hidden() {
        let what = Some("a lock that this user may not look into".into());
        return Status { protocol: Some(lock.protocol), owner, ..Status::without_lock(State::Held, what) };
    }
    let verdict = judge(place, lock, now);
    let expiry = lock.expiry(place.lifetime);
    let remaining = expiry.since(now);
    // Without a clock to compare with, a contender has to watch it first.
    let available = verdict == Verdict::Dead || (verdict == Verdict::Expired && place.clock_is_known());
    Status {
        state: match verdict {
            Verdict::Dead => State::Abandoned,
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
