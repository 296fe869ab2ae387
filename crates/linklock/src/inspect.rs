//! Inspects a lock path, and changes nothing.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::error::Error;
use crate::holder::{Holder, Owner};
use crate::options::Protocol;
use crate::protocol::judge::{Verdict, holder_pid, judge};
use crate::protocol::look::{look, readers};
use crate::protocol::place::Place;
use crate::protocol::seen::{Seen, SeenLock, stuck};
use crate::time::ServerTime;

/// The state of a lock path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// There is no lock. The first contender acquires it.
    Free,
    /// There is a lock, within its lifetime.
    Held,
    /// There is a lock, and its lifetime has ended. A contender breaks it after the grace.
    Expired,
    /// There is a lock, and its holder's process, on this machine, has ended. The next contender breaks it.
    Abandoned,
    /// Something else is there, which linklock never deletes.
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

/// What [`Lock::inspect`](crate::Lock::inspect) found at a lock path.
///
/// ```
/// use linklock::{Lock, State};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("job.lock");
/// let lock = Lock::new(path)?;
/// let guard = lock.acquire()?;
/// let status = lock.inspect()?;
/// assert_eq!(status.state, State::Held);
/// assert_eq!(status.holder.unwrap().token, *guard.token());
/// # guard.release()?;
/// # Ok::<_, linklock::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The state of the lock path.
    pub state: State,
    /// The protocol by which the lock is held. `None` if there is no lock.
    pub protocol: Option<Protocol>,
    /// Who holds the lock. `None` if it is free, or if this user may not read it.
    pub holder: Option<Holder>,
    /// The holder's process, if it runs on this machine and certainly is the one that the claim names: it has that pid and start
    /// time. So until it ends, this pid is no other process's.
    pub process: Option<u32>,
    /// The owner of the lock's file, as the file system reports it, whatever the holder says about itself. `None` if
    /// the lock is free, if the lock's directory and the entry in it belong to different users, and on Windows.
    pub owner: Option<Owner>,
    /// When the lifetime ends, on the file server's clock. `None` if there is no lock, or if this user may not read it.
    pub expires_at: Option<SystemTime>,
    /// How much of the lifetime is left. `None` if the lock has expired, or if no expiry is known.
    pub remaining: Option<Duration>,
    /// When the lock was acquired or last refreshed, on the file server's clock.
    pub refreshed_at: Option<SystemTime>,
    /// Whether the next contender can acquire the lock immediately: it is free or abandoned, or it expired longer ago
    /// than the grace, on a file system where clocks can be compared.
    pub available: bool,
    /// All who share the lock, for a shared one; else empty. [`holder`](Self::holder) is the one that has it for longest.
    pub readers: Vec<Holder>,
    /// For [`State::NotALock`]: what is there. For a lock that this user may not read: a text that says so.
    pub what: Option<String>,
}

impl Status {
    fn without_lock(state: State, what: Option<String>) -> Self {
        Self {
            state,
            protocol: None,
            holder: None,
            process: None,
            owner: None,
            expires_at: None,
            remaining: None,
            refreshed_at: None,
            available: state == State::Free,
            readers: Vec::new(),
            what,
        }
    }
}

/// Judges by this machine's wall clock: to ask for the server's time would need a change on disk.
pub(crate) fn inspect(place: &Place) -> Result<Status, Error> {
    let now = place.env.wall_clock();
    Ok(match look(place)? {
        Seen::EmptyDirectory { ours: false } => {
            Status::without_lock(State::NotALock, Some("an empty directory".into()))
        }
        Seen::Stuck { since, .. } => match stuck(place.env.as_ref(), since) {
            Some(what) => Status::without_lock(State::NotALock, Some(what.into())),
            // Its holder is about to remove it.
            None => Status::without_lock(State::Free, None),
        },
        Seen::Free | Seen::EmptyDirectory { ours: true } => Status::without_lock(State::Free, None),
        Seen::NotALock(what) => Status::without_lock(State::NotALock, Some(what)),
        Seen::Lock(lock) if lock.readers > 0 => of_readers(place, &lock, now)?,
        Seen::Lock(lock) => of_lock(place, &lock, now),
    })
}

/// The status of the reader that has the lock for longest, with all that share it.
fn of_readers(place: &Place, seen: &SeenLock, now: ServerTime) -> Result<Status, Error> {
    let readers = readers(place)?;
    let is_alive = |lock: &&SeenLock| judge(place, lock, now) != Verdict::Dead;
    let last = |lock: &&SeenLock| lock.expiry(place.lifetime);
    let lock = readers.iter().filter(is_alive).max_by_key(last).or(readers.iter().max_by_key(last)).unwrap_or(seen);
    let holders = readers.iter().filter_map(SeenLock::holder).collect();
    Ok(Status { readers: holders, ..of_lock(place, lock, now) })
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
    // Where clocks cannot be compared, a contender must watch the lock first.
    let available = verdict == Verdict::Dead || (verdict == Verdict::Expired && place.clock_is_known());
    Status {
        state: match verdict {
            Verdict::Dead => State::Abandoned,
            _ if remaining.is_zero() => State::Expired,
            _ => State::Held,
        },
        protocol: Some(lock.protocol),
        holder: lock.holder(),
        process: holder_pid(place, lock),
        owner,
        expires_at: Some(expiry.to_system_time()),
        remaining: (!remaining.is_zero()).then_some(remaining),
        refreshed_at: Some(lock.attr.ctime.to_system_time()),
        available: available && lock.is_certain,
        readers: Vec::new(),
        what: None,
    }
}
