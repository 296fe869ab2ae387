//! All locks of a directory, with who waits for each; changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::env::os::OsEnv;
use crate::env::{Env, FileKind};
use crate::error::Error;
use crate::holder::Holder;
use crate::inspect::{self, State, Status};
use crate::lock::{Builder, Lock};
use crate::names;
use crate::options::Protocol;
use crate::protocol::checked::Checked;
use crate::protocol::is_gone;
use crate::protocol::judge::grace;
use crate::protocol::leftovers::{self, Beside, beside};
use crate::protocol::place::{CONTENT_LIMIT, Place, STICKY, WRITE_OTHERS};

/// The most names that are kept of a directory. Each takes about a hundred bytes.
const NAMES_MOST: usize = 1 << 20;

/// What [`Builder::survey`] found in a directory.
///
/// ```
/// use linklock::{Lock, SafeToBreak, State};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let guard = Lock::new(dir.path().join("job.lock"))?.acquire()?;
/// let survey = Lock::builder(dir.path()).survey()?;
/// let [found] = &survey.locks[..] else { panic!("one lock") };
/// assert_eq!(found.lock.path(), dir.path().join("job.lock"));
/// assert_eq!(found.status.as_ref().unwrap().state, State::Held);
/// assert!(found.waiters.is_empty());
/// assert!(!found.safe_to_break.is_yes());
/// # guard.release()?;
/// # Ok::<_, linklock::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Survey {
    /// The locks, in the order of their names; numbers in names count as numbers.
    pub locks: Vec<Surveyed>,
    /// The directories there which are not locks. A symbolic link is not one of them.
    pub directories: Vec<Directory>,
    /// Whether the directory has more names than are kept, so that locks may be missing here.
    pub is_incomplete: bool,
}

/// A directory that a survey found.
///
/// By the time that it is surveyed itself, others may have put a symbolic link in its place. On Unix none is followed between the
/// directory that the first survey named and the locks that a later one finds, then or whenever such a lock is looked at.
#[derive(Clone, Debug)]
pub struct Directory {
    builder: Builder,
}

impl Directory {
    /// Its path.
    pub fn path(&self) -> &Path {
        self.builder.path()
    }

    /// All locks in it, as [`Builder::survey`] has them, with the settings of the survey that found it.
    ///
    /// # Errors
    /// As [`Builder::survey`]; and if it is no directory by now.
    pub fn survey(&self) -> Result<Survey, Error> {
        self.builder.survey()
    }
}

/// One lock, and what stands beside it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Surveyed {
    /// The lock.
    pub lock: Lock,
    /// What [`Lock::inspect`] says; the error if it cannot be looked at.
    pub status: Result<Status, Error>,
    /// Since when the lock has been held, on the file server's clock: when the directory of a `dir` lock came to the lock path. `None`
    /// where the disk does not tell, as for `link`, whose refreshes renew the only time that could, and for a shared lock.
    pub held_since: Option<SystemTime>,
    /// Whether an operator may break the lock without harm.
    pub safe_to_break: SafeToBreak,
    /// Who waits, in the order of the queue. Those without a ticket come last. A contender that was suspended may be among them, and one
    /// on another machine that ended a short time ago.
    pub waiters: Vec<Waiter>,
    /// How many files of ended contenders [`Lock::clean`] would remove, judged by this machine's wall clock.
    pub leftovers: usize,
    /// The lock path of which this is a slot, and its number. Known only where somebody waits at that path for a slot.
    pub slot_of: Option<(PathBuf, usize)>,
    place: Arc<Place>,
}

impl Surveyed {
    /// Looks at the lock once more, as [`Lock::inspect`] does. Does not list the directory again: in one with many locks, that would
    /// take more time than everything else.
    ///
    /// # Errors
    /// If the file system does not let us look.
    pub fn inspect_again(&self) -> Result<Status, Error> {
        inspect::inspect(&self.place)
    }
}

/// Somebody who wants a lock and does not hold it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Waiter {
    /// Who it is. `expires_at` is when its claim's lifetime ends, which does not bind a waiter.
    pub contender: Holder,
    /// Whether it wants to share the lock.
    pub wants_to_share: bool,
    /// When it drew its ticket, on the file server's clock. `None`: it has no ticket, and nothing tells.
    pub since: Option<SystemTime>,
    /// Its place among the tickets, from 1 on.
    pub position: Option<usize>,
    /// Whether its process lives, or it has given a sign within the lifetime of its claim, ticket or bell. If not, it is on another
    /// machine, and may have ended.
    pub is_certain: bool,
}

/// Whether a lock may be broken without harm, as far as a look tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SafeToBreak {
    /// There is no lock to break.
    NoLock,
    /// Yes: the holder's process has ended.
    Ended,
    /// Yes, by the rules: the lifetime and the grace have passed, so the holder knows that it has lost the lock. But its process is alive
    /// if `alive`: see what it does.
    Expired {
        /// Whether the holder's process is known to be alive.
        alive: bool,
    },
    /// No: the holder's process is alive, on this machine.
    Alive,
    /// Not before this time, on the file server's clock, and only if the holder has not refreshed the lock by then.
    NotBefore(SystemTime),
    /// Clocks cannot be compared on this file system. It may be broken once it was seen unchanged for so long, which `linklock wait` and
    /// any contender do.
    AfterWatching(Duration),
    /// Not known: this user cannot look into the lock, or it may not be a lock.
    Unknown,
}

impl SafeToBreak {
    /// Whether it may be broken now.
    pub fn is_yes(self) -> bool {
        matches!(self, Self::Ended | Self::Expired { .. })
    }

    fn of(place: &Place, status: &Status) -> Self {
        let alive = status.process.is_some();
        match (status.state, status.expires_at) {
            (State::Free | State::NotALock, _) => Self::NoLock,
            (State::Abandoned, _) if status.available => Self::Ended,
            (State::Expired, _) if status.available => Self::Expired { alive },
            (State::Held, Some(_)) if alive => Self::Alive,
            (State::Held | State::Expired, Some(expiry)) if place.clock_is_known() => {
                let until = expiry.checked_add(grace(place)).unwrap_or(expiry);
                if until > place.env.wall_clock().to_system_time() { Self::NotBefore(until) } else { Self::Unknown }
            }
            (State::Held | State::Expired, Some(expiry)) => {
                let about = status.holder.as_ref().and_then(|holder| holder.about.as_ref());
                let stated = about.map(|about| about.lifetime);
                let left = || expiry.duration_since(status.refreshed_at?).ok();
                Self::AfterWatching(stated.or_else(left).unwrap_or(place.lifetime) + grace(place))
            }
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for SafeToBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoLock => "nothing to break",
            Self::Ended => "yes: its process has ended",
            Self::Expired { alive: false } => "yes: expired",
            Self::Expired { alive: true } => "yes: expired, but its process is alive",
            Self::Alive => "no: its process is alive",
            Self::NotBefore(_) => "not before its expiry and the grace",
            Self::AfterWatching(_) => "only after it was watched",
            Self::Unknown => "not known",
        })
    }
}

impl Builder {
    /// All locks in the directory that this builder's path names, each with this builder's settings. Lists the directory once, and
    /// changes nothing.
    ///
    /// A lock is known by the names beside it, as for [`Lock::paths_in`]; and where there are none, by what has its name: a directory
    /// with linklock's mark, or a small file whose mtime is later than its ctime, as only an expiry is. It is then looked at as by
    /// [`Lock::inspect`]. Other files are not opened. So a free lock that nobody waits for is not found, except for the empty
    /// directory that a `dir` lock may leave.
    ///
    /// # Errors
    /// If the directory cannot be listed or looked into, or if its path cannot be that of locks. What is wrong with one lock is in its
    /// [`Surveyed::status`]; so is what is wrong with a name that cannot be looked at, which may be one.
    pub fn survey(&self) -> Result<Survey, Error> {
        self.survey_in(&(Arc::new(OsEnv) as Arc<dyn Env>))
    }

    pub(crate) fn survey_in(&self, env: &Arc<dyn Env>) -> Result<Survey, Error> {
        let mut listed = Listed::of(self, env)?;
        let checked = &listed.checked;
        let mut directories = Vec::new();
        let mut locks = Vec::new();
        for (name, beside) in &listed.beside {
            // What has such a name can be anything.
            let Ok(lock) = self.within(name, env) else { continue };
            if beside.iter().any(|(name, _)| leftovers::names_lock(lock.place(), name)) {
                let own = listed.alone.remove_entry(name);
                let found = lock.survey_with(beside.iter().cloned().chain(own), checked);
                // Whoever may write here can give any directory such a name beside it, and must not hide the locks in it.
                if found.status.as_ref().is_ok_and(|status| status.state == State::NotALock)
                    && matches!(kind(lock.place()), Kind::Directory | Kind::MayBeLock { is_directory: true })
                {
                    directories.push(lock.path().to_owned());
                }
                locks.push(found);
            }
        }
        for (name, number) in &listed.alone {
            let own = || [(name.clone(), *number)];
            let Ok(lock) = self.within(name, env) else { continue };
            match kind(lock.place()) {
                Kind::MayBeLock { is_directory } => {
                    let found = lock.survey_with(own(), checked);
                    if is_listed(&lock, &found) {
                        locks.push(found);
                    } else if is_directory {
                        directories.push(lock.path().to_owned());
                    }
                }
                Kind::Directory => directories.push(lock.path().to_owned()),
                Kind::NotKnown => locks.push(lock.survey_with(own(), checked)),
                Kind::Other => {}
            }
        }
        locks.sort_by_cached_key(|found| natural(found.lock.path()));
        directories.sort();
        let directories = directories.into_iter().map(|dir| Directory { builder: self.below(dir) }).collect();
        find_slots(&mut locks);
        Ok(Survey { locks, directories, is_incomplete: listed.is_cut })
    }
}

impl Lock {
    /// What is at this lock path and beside it. Lists the directory, and changes nothing.
    ///
    /// # Errors
    /// If the directory cannot be listed.
    pub fn survey(&self) -> Result<Surveyed, Error> {
        let dir = self.place().path.dir();
        let own = self.path().file_name().unwrap_or_default();
        let separator = self.place().path.separator();
        let mut listed = Vec::new();
        let result = self.place().list_dir(&mut |name, number| {
            if name == own || names::before(name, separator).is_some_and(|lock| lock == own) {
                listed.push((name.to_owned(), number));
            }
            if listed.len() < NAMES_MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        result.map_err(|e| leftovers::cannot_list(dir, e))?;
        Ok(self.survey_with(listed, &self.place().checked))
    }

    /// Its own name and those beside it are known, and what was found out about the directory.
    fn survey_with(&self, names: impl IntoIterator<Item = (OsString, u64)>, checked: &Arc<Checked>) -> Surveyed {
        let names: Arc<[_]> = names.into_iter().collect();
        let place = Place { listed: Some(Arc::clone(&names)), checked: Arc::clone(checked), ..self.place().clone() };
        let place = Arc::new(place);
        let status = inspect::inspect(&place);
        let holder = status.as_ref().ok().and_then(|status| status.holder.as_ref()).map(|holder| &holder.token);
        let readers = status.as_ref().map_or(&[][..], |status| &status.readers);
        let Beside { waiters, removable } = beside(&place, &names, &|claim| {
            Some(&claim.token) == holder || readers.iter().any(|reader| reader.token == claim.token)
        });
        let waiters = waiters.into_iter().map(|waits| Waiter {
            contender: waits.claim.holder(waits.expiry, None),
            wants_to_share: waits.claim.is_shared,
            since: waits.since,
            position: waits.position,
            is_certain: waits.is_certain,
        });
        Surveyed {
            held_since: status.as_ref().ok().and_then(|status| held_since(&place, status)),
            safe_to_break: status.as_ref().map_or(SafeToBreak::Unknown, |status| SafeToBreak::of(&place, status)),
            waiters: waiters.collect(),
            leftovers: removable,
            slot_of: None,
            status,
            lock: self.clone(),
            place,
        }
    }
}

/// The names in a directory.
struct Listed {
    /// Names without the separator, and the number that the directory has for each.
    alone: BTreeMap<OsString, u64>,
    /// Names with it, by what stands before it.
    beside: BTreeMap<OsString, Vec<(OsString, u64)>>,
    is_cut: bool,
    /// The list of mounts is read once for all locks: it may take longer than to look at one.
    checked: Arc<Checked>,
}

impl Listed {
    fn of(builder: &Builder, env: &Arc<dyn Env>) -> Result<Self, Error> {
        let dir = builder.path();
        let (mut alone, mut beside, mut names) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new(), 0);
        // Any name will do.
        let any = builder.within("lock".as_ref(), env)?;
        let listed = any.place().list_dir(&mut |name, number| {
            match names::before(name, builder.separates_by()) {
                Some(lock) => beside.entry(lock).or_default().push((name.to_owned(), number)),
                None => drop(alone.insert(name.to_owned(), number)),
            }
            names += 1;
            if names < NAMES_MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        listed.map_err(|e| leftovers::cannot_list(dir, e))?;
        // Where names may be listed and not looked at, no lock would be known by what has its name.
        match env.stat(any.place().location()) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Error::io(dir, "look into the directory", e));
            }
            // It is there or not, or only this name cannot be looked at.
            _ => {}
        }
        let checked = Arc::new(Checked::looked_up(env.file_system(dir), env.stamps(dir)));
        Ok(Self { alone, beside, is_cut: names >= NAMES_MOST, checked })
    }
}

/// What has a name beside which there is no other of a lock.
enum Kind {
    MayBeLock {
        is_directory: bool,
    },
    Directory,
    /// It cannot be looked at, so it may be a lock.
    NotKnown,
    Other,
}

fn kind(place: &Place) -> Kind {
    let attr = match place.env.stat(place.location()) {
        Ok(attr) => attr,
        Err(e) if is_gone(&e) => return Kind::Other,
        Err(_) => return Kind::NotKnown,
    };
    match attr.kind {
        FileKind::Directory if attr.mode & STICKY != 0 || cfg!(windows) => Kind::MayBeLock { is_directory: true },
        FileKind::Directory => Kind::Directory,
        // Only an expiry is later than the last change.
        FileKind::Regular if attr.mtime > attr.ctime && attr.len < CONTENT_LIMIT as u64 => {
            Kind::MayBeLock { is_directory: false }
        }
        _ => Kind::Other,
    }
}

/// Whether what has no other name beside it is a lock, or the empty directory of one.
fn is_listed(lock: &Lock, found: &Surveyed) -> bool {
    match &found.status {
        Ok(status) if status.state == State::Free => {
            let attr = lock.place().env.stat(lock.place().location());
            attr.is_ok_and(|attr| attr.kind == FileKind::Directory && attr.mode & (STICKY | WRITE_OTHERS) == STICKY)
        }
        Ok(status) => status.state != State::NotALock,
        Err(_) => true,
    }
}

/// When the directory of a dir lock came to the lock path: a rename changes it, and a refresh only its entry.
fn held_since(place: &Place, status: &Status) -> Option<SystemTime> {
    let is_told = status.protocol == Some(Protocol::Dir) && status.readers.is_empty() && status.holder.is_some();
    let dir: io::Result<_> = is_told.then(|| place.env.stat(place.location()))?;
    dir.ok().filter(|attr| attr.kind == FileKind::Directory).map(|attr| attr.ctime.to_system_time())
}

/// `LOCKPATH.n` is a slot of `LOCKPATH` if somebody waits there although nobody holds it.
fn find_slots(locks: &mut [Surveyed]) {
    let is_base = |found: &Surveyed| {
        let is_free = found.status.as_ref().is_ok_and(|status| status.state == State::Free);
        is_free && found.waiters.iter().any(|waiter| waiter.is_certain)
    };
    let bases: BTreeSet<_> =
        locks.iter().filter(|found| is_base(found)).map(|found| found.lock.path().to_owned()).collect();
    for found in locks {
        let path = found.lock.path();
        let number = path.extension().and_then(OsStr::to_str).and_then(|number| number.parse().ok());
        found.slot_of = number.map(|number| (path.with_extension(""), number)).filter(|(base, _)| bases.contains(base));
    }
}

/// A key by which `job.2` comes before `job.10`.
fn natural(path: &Path) -> Vec<(Vec<u8>, u64)> {
    let mut key = vec![(Vec::new(), 0_u64)];
    let mut in_number = false;
    for byte in names::bytes_of(path) {
        let is_digit = byte.is_ascii_digit();
        if in_number && !is_digit {
            key.push((Vec::new(), 0));
        }
        in_number = is_digit;
        let Some((text, number)) = key.last_mut() else { continue };
        if is_digit {
            *number = number.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
        } else {
            text.push(*byte);
        }
    }
    // Names that differ only in leading zeros have an order too.
    key.push((names::bytes_of(path).to_vec(), 0));
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["job.10", "job.2", "job", "job.02", "a10", "a9b", "job.2x"].map(Path::new);
        names.sort_by_cached_key(|name| natural(name));
        assert_eq!(names, ["a9b", "a10", "job", "job.02", "job.2", "job.2x", "job.10"].map(Path::new));
    }
}
