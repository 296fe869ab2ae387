//! The two protocols, what they share, and what is at a lock path whichever of them put it there.

mod claims;
mod dir;
pub(crate) mod fence;
mod identify;
pub(crate) mod leftovers;
mod link;
pub(crate) mod private;
pub(crate) mod queue;
mod seen;
mod shared;
pub(crate) mod turn;
mod unchanged;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::claim::{Claim, LockPath};
use crate::env::{Attr, Env, FileId, FileKind, Liveness, Location, Stamps, Step};
use crate::error::Error;
use crate::lease::{Anchor, Lease, LocalTime, ServerTime};

pub(crate) use claims::TimesNotKept;
pub(crate) use seen::{Seen, SeenLock, Verdict, stuck};
pub(crate) use unchanged::Unchanged;

/// How a lock is kept on disk. Locks of different protocols on one path exclude each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// A claim file, linked to the lock path: compatible with flufl.lock.
    #[default]
    Link,
    /// A claim directory, renamed to the lock path: names are used once, so nothing late can remove another's lock. Needs
    /// no hard links.
    Dir,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Link => "link",
            Self::Dir => "dir",
        })
    }
}

impl Protocol {
    pub(crate) fn steps(self) -> &'static dyn Steps {
        match self {
            Self::Link => &link::Link,
            Self::Dir => &dir::Dir,
        }
    }
}

/// For whom a lock is taken: whose death makes it dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnBehalfOf {
    /// The process that acquires it.
    #[default]
    ThisProcess,
    /// Another process of this machine, by its pid.
    Process(u32),
    /// None: the lock outlives every process, up to its expiry.
    Nobody,
}

/// Where a lock is and how it is taken.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) path: LockPath,
    pub(crate) protocol: Protocol,
    pub(crate) host: String,
    pub(crate) lifetime: Duration,
    pub(crate) grace: Duration,
    pub(crate) mode: u32,
    pub(crate) recover_dead: bool,
    pub(crate) on_behalf_of: OnBehalfOf,
    /// What the holder says that it runs, if it is not the name of its process.
    pub(crate) command: Option<String>,
    /// Whether every acquisition gets a number.
    pub(crate) fence: bool,
    /// Whether contenders take the lock in the order in which they came.
    pub(crate) queue: bool,
    /// How long the lock was seen unchanged, for where its expiry cannot be compared with a clock.
    pub(crate) unchanged: Arc<Unchanged>,
    /// The same for the breakers' guard.
    pub(crate) guard_unchanged: Arc<Unchanged>,
}

/// A claim that is on disk, and what its maker knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Stake {
    pub(crate) claim: Claim,
    /// The file that carries the expiry.
    pub(crate) id: FileId,
    /// Whose that file is, as the file system has it: who we are there.
    pub(crate) owner: u32,
    /// When that file was changed last, as far as we know.
    pub(crate) ctime: ServerTime,
    pub(crate) anchor: Anchor,
    pub(crate) lease: Lease,
    /// Whether the expiry was set for an attempt that has not been made yet.
    pub(crate) fresh: bool,
    /// The start of the last call by whose reply the server has told that the claim is as we believe: there, and at the lock
    /// path once it was won.
    pub(crate) told: LocalTime,
    /// Whether the file system took RENAME_NOREPLACE, which NFS does not: so there rmdir removes no file.
    pub(crate) noreplace: bool,
    /// The fencing token, once the lock is won.
    pub(crate) fence: Option<u64>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Won,
    /// Something is at the lock path.
    Lost,
    /// The claim is gone or useless: removed by somebody, or its time ran out before we knew that we had won.
    Void,
}

/// What one protocol does. The claim's names are made from [`Place`]; no step is taken on the strength of memory alone.
pub(crate) trait Steps: Sync {
    /// Puts a claim beside the lock path, with a fresh expiry.
    fn stage(&self, place: &Place) -> Result<Stake, Error>;
    /// Tries once to bring the claim under the lock path, with a fresh expiry, and decides by what is on disk.
    fn attempt(&self, place: &Place, stake: &mut Stake) -> Result<Attempt, Error>;
    /// Whether the lock is this claim's, asked of the server.
    fn holds(&self, place: &Place, stake: &Stake) -> io::Result<bool>;
    /// The file that carries the expiry while the lock is held.
    fn held_file(&self, place: &Place, claim: &Claim) -> Location;
    /// The file that carries the expiry while the claim waits.
    fn staged_file(&self, place: &Place, claim: &Claim) -> Location;
    /// Gives the lock back.
    fn release(&self, place: &Place, stake: &Stake) -> Result<(), Error>;
    /// Removes a claim that does not hold the lock.
    fn withdraw(&self, place: &Place, claim: &Claim);
    /// Takes the lock from the holder that was seen, and from no other.
    fn break_lock(&self, place: &Place, seen: &SeenLock) -> Result<Break, Error>;
}

/// What came of breaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    Done,
    /// What is at the lock path is not what was seen.
    Changed,
    /// Another breaker is at it.
    Busy,
}

/// A file system may round an mtime that far; beyond it, it did not take the time that it was given.
const ROUNDING: Duration = Duration::from_secs(2);

/// A reply that takes longer tells too little of the server's clock.
const SLOW: Duration = Duration::from_secs(1);

/// What the server has told is not asked again for so long: to ask may take as long.
const RECENT: Duration = Duration::from_millis(100);

/// A lock's content is a path: what is longer than any path is none.
const CONTENT_LIMIT: usize = 8192;

impl Place {
    /// For people.
    pub(crate) fn lock_path(&self) -> &Path {
        self.path.as_path()
    }

    pub(crate) fn location(&self) -> &Location {
        self.path.location()
    }

    /// Looks, and touches nothing.
    pub(crate) fn look(&self) -> Result<Seen, Error> {
        // What is there may be another thing from one call to the next; then look again.
        for _ in 0..64 {
            let attr = match self.stat_afresh(self.location()) {
                Ok(attr) => attr,
                Err(e) if is_gone(&e) => return Ok(Seen::Free),
                Err(e) => return Err(Error::io(self.lock_path(), "look at the lock", e)),
            };
            let seen = match attr.kind {
                // There is no break lock of `link`.
                FileKind::Regular if self.path.is_guard => Ok(Some(Seen::NotALock("an ordinary file".into()))),
                FileKind::Regular => link::look(self, attr),
                FileKind::Directory => dir::look(self, attr),
                FileKind::Symlink => Ok(Some(Seen::NotALock("a symbolic link".into()))),
                FileKind::Other => Ok(Some(Seen::NotALock("a device, socket or pipe".into()))),
            };
            match seen {
                Ok(Some(seen)) => return Ok(seen),
                Ok(None) => {}
                Err(e) if is_gone(&e) || e.kind() == io::ErrorKind::NotADirectory => {}
                Err(e) => return Err(Error::io(self.lock_path(), "read the lock", e)),
            }
        }
        // Never the same twice: an attempt asks the server.
        Ok(Seen::Free)
    }

    /// Whether the lock that was seen is there and has not changed, for one question instead of a look. Whatever is done to a
    /// file makes its ctime new; only a file of the same number that came within one tick of the server's clock may be taken
    /// for it. So it is for going on waiting: nobody acts on it.
    pub(crate) fn is_still_there(&self, seen: &SeenLock) -> bool {
        let file = match (seen.protocol, &seen.claim) {
            (Protocol::Link, _) => self.location().clone(),
            (Protocol::Dir, Some(claim)) => Protocol::Dir.steps().held_file(self, claim),
            (Protocol::Dir, None) => return false,
        };
        self.env.stat(&file).is_ok_and(|attr| attr == seen.attr)
    }

    /// Makes room for an attempt where the lock path is an empty directory of ours.
    pub(crate) fn clear(&self) {
        // Where rename cannot be told not to replace it, it need only be empty.
        if self.protocol == Protocol::Dir && self.env.removes_by_name_alone(self.path.dir()) {
            dir::remove_leftovers(self);
        } else {
            dir::clear(self);
        }
    }

    /// The attributes of the lock path, or of what is below it. That a name is absent may be an NFS client's memory of long
    /// ago; asking for the directory's attributes makes it forget that, if the directory has changed since.
    fn stat_afresh(&self, at: &Location) -> io::Result<Attr> {
        match self.env.stat(at) {
            Err(e) if is_gone(&e) => self.env.stat_dir(self.path.dir()).and_then(|_| self.env.stat(at)),
            stat => stat,
        }
    }

    /// The content of a file on this device, for who looks at it and is not its owner: a delegation that stays with a machine that
    /// is cut off then would hold up the owner.
    fn read(&self, at: &Location, device: u64) -> io::Result<(Attr, Vec<u8>)> {
        if self.keeps(Step::NoDelegation) {
            self.env.read_without_delegation(at, device, CONTENT_LIMIT)
        } else {
            self.env.read(at, CONTENT_LIMIT)
        }
    }

    /// The names in a directory that are `wanted`, and `limit` of them at most.
    fn names(&self, dir: &Location, limit: usize, wanted: &dyn Fn(&OsStr) -> bool) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        self.env.list(dir, &mut |name, _| {
            if wanted(name) {
                names.push(name.to_owned());
            }
            if names.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(names)
    }

    /// The attributes of the lock's directory as this machine knows them: whatever is asked so costs no request.
    fn dir_as_known(&self) -> io::Result<Attr> {
        self.env.stat_as_known(&Location::beside(self.path.dir(), ".".as_ref()))
    }

    /// Makes an NFS client forget the names in the lock's directory, as fresh attributes of that do: it may believe in what was
    /// there before.
    fn forget_names(&self) -> io::Result<()> {
        if self.keeps(Step::FreshNames) { self.env.stat_dir(self.path.dir()).map(drop) } else { Ok(()) }
    }

    /// Whether the times of files here can be compared with what our own changes tell of the clock.
    pub(crate) fn clock_is_known(&self) -> bool {
        !self.keeps(Step::WhoseClock) || self.env.stamps(self.path.dir()) == Stamps::Server
    }

    /// Judges a lock by the earliest that the server's clock may have said when it was looked at.
    pub(crate) fn judge(&self, seen: &SeenLock, server_now: ServerTime) -> Verdict {
        if self.holder_is_dead(seen) { Verdict::Dead } else { self.judge_living(seen, server_now) }
    }

    /// As `judge`, of a lock whose holder is not dead.
    pub(crate) fn judge_living(&self, seen: &SeenLock, server_now: ServerTime) -> Verdict {
        let is_over = !seen.is_hidden() && server_now > self.expiry(seen) + self.grace();
        if is_over { Verdict::Over } else { Verdict::Live }
    }

    /// Whether the server has told only now that the claim is as we believe.
    fn was_told_just_now(&self, stake: &Stake) -> bool {
        self.env.now().since(stake.told) < RECENT
    }

    /// Whether a safety step is taken: always, but in a simulation.
    fn keeps(&self, step: Step) -> bool {
        !self.env.leaves_out(step)
    }

    fn expiry(&self, seen: &SeenLock) -> ServerTime {
        if self.keeps(Step::ExpiryFromChange) { seen.expiry(self.lifetime) } else { seen.attr.mtime }
    }

    fn grace(&self) -> Duration {
        if self.keeps(Step::Grace) { self.grace } else { Duration::ZERO }
    }

    pub(crate) fn holder_is_dead(&self, seen: &SeenLock) -> bool {
        seen.claim.as_ref().is_some_and(|claim| self.liveness(claim) == Liveness::Dead)
    }

    /// The holder's pid, if it is of this machine and its end can be seen.
    pub(crate) fn holder_pid(&self, seen: &SeenLock) -> Option<u32> {
        seen.claim.as_ref().and_then(|claim| self.living_process(claim))
    }

    /// The pid of a claim's process, if it is of this machine and its end can be seen.
    fn living_process(&self, claim: &Claim) -> Option<u32> {
        (self.liveness(claim) == Liveness::Alive).then_some(claim.pid)
    }

    /// Whether a claim's process is still there, as far as that is to be known and can be.
    fn liveness(&self, claim: &Claim) -> Liveness {
        match claim.fingerprint {
            Some(print) if self.recover_dead && claim.host == self.host => self.env.liveness(claim.pid, print),
            _ => Liveness::Unknown,
        }
    }

    pub(crate) fn break_lock(&self, seen: &SeenLock) -> Result<Break, Error> {
        seen.protocol.steps().break_lock(self, seen)
    }

    fn break_failed(&self, seen: &SeenLock, e: io::Error) -> Error {
        if is_refused(&e) {
            Error::cannot_break(self.lock_path(), seen.holder(), e)
        } else {
            Error::io(self.lock_path(), "break the lock", e)
        }
    }
}

/// The name is not there any more; ESTALE is how NFS says it of a file that this client knew.
pub(crate) fn is_gone(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

/// This user may not, or nobody may.
fn is_refused(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn gone_is_ok(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|e| if is_gone(&e) { Ok(()) } else { Err(e) })
}
