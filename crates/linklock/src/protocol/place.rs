//! Where a lock is and how it is taken, and what every step asks of the world there.

use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::ControlFlow;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::io_error::{is_gone, is_refused};
use super::seen::SeenLock;
use super::unchanged::Unchanged;
use crate::claim::Claim;
use crate::env::{Attr, Env, Liveness, Location, Stamps, Step};
use crate::error::Error;
use crate::holder::Owner;
use crate::lock_path::LockPath;
use crate::options::{OnBehalfOf, Protocol};

/// A file system may round an mtime that far; beyond it, it did not take the time that it was given.
pub(super) const ROUNDING: Duration = Duration::from_secs(2);

/// A reply that takes longer tells too little of the server's clock.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// A lock's content is a path: what is longer than any path is none.
pub(super) const CONTENT_LIMIT: usize = 8192;

/// The lifetime of every break lock: longer than the few calls of a turn take; not so long that one who is cut off holds up the
/// others.
pub(super) const BREAK_LIFETIME: Duration = Duration::from_secs(15);

/// The mark of a directory of ours: it tells an empty one from a directory that somebody else made.
pub(super) const STICKY: u32 = 0o1000;

/// Those who may write a directory, beside its owner.
pub(super) const WRITE_OTHERS: u32 = 0o022;

/// The number of the user who may do everything.
pub(super) const ROOT: u32 = 0;

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
    /// The same for the break lock.
    pub(crate) break_lock_unchanged: Arc<Unchanged>,
}

/// The system has no state of ours that a panic could leave half changed; what an [`Env`] remembers, it sets at the end of a call.
impl UnwindSafe for Place {}
impl RefUnwindSafe for Place {}

impl Place {
    /// The break lock of this lock path: a dir lock of its own, by which breakers take turns.
    pub(crate) fn of_break_lock(&self) -> Self {
        Self {
            path: self.path.of_break_lock(),
            protocol: Protocol::Dir,
            lifetime: BREAK_LIFETIME,
            // Whomever the lock is for: the turn ends with who takes it, and not before.
            on_behalf_of: OnBehalfOf::ThisProcess,
            fence: false,
            queue: false,
            unchanged: Arc::clone(&self.break_lock_unchanged),
            ..self.clone()
        }
    }

    /// How long another's turn may be in the way, whatever became of that breaker.
    pub(crate) fn turn_most(&self) -> Duration {
        BREAK_LIFETIME + self.grace + 2 * SLOW + ROUNDING
    }

    /// For people.
    pub(crate) fn lock_path(&self) -> &Path {
        self.path.as_path()
    }

    pub(crate) fn location(&self) -> &Location {
        self.path.location()
    }

    /// The file that carries the expiry while the claim waits.
    pub(crate) fn staged_file(&self, claim: &Claim) -> Location {
        let staged = self.path.beside(&claim.token);
        match self.protocol {
            Protocol::Link => staged,
            Protocol::Dir => staged.inside(claim.token.as_os_str()),
        }
    }

    /// The file that carries the expiry while the claim holds the lock.
    pub(crate) fn held_file(&self, claim: &Claim) -> Location {
        match self.protocol {
            // The claim's own name: whatever became of the lock path, this can only reach our file.
            Protocol::Link => self.path.beside(&claim.token),
            Protocol::Dir => self.location().inside(claim.token.as_os_str()),
        }
    }

    /// The attributes of the lock path, or of what is below it. That a name is absent may be an NFS client's memory of long
    /// ago; asking for the directory's attributes makes it forget that, if the directory has changed since.
    pub(super) fn stat_afresh(&self, at: &Location) -> io::Result<Attr> {
        match self.env.stat(at) {
            Err(e) if is_gone(&e) => self.env.stat_dir(self.path.dir()).and_then(|_| self.env.stat(at)),
            stat => stat,
        }
    }

    /// The content of a file on this device, for who looks at it and is not its owner: a delegation that stays with a machine that
    /// is cut off then would hold up the owner.
    pub(super) fn read(&self, at: &Location, device: u64) -> io::Result<(Attr, Vec<u8>)> {
        if self.keeps(Step::NoDelegation) {
            self.env.read_without_delegation(at, device, CONTENT_LIMIT)
        } else {
            self.env.read(at, CONTENT_LIMIT)
        }
    }

    /// The names in a directory that are `wanted`, and `limit` of them at most.
    pub(super) fn names(
        &self,
        dir: &Location,
        limit: usize,
        wanted: &dyn Fn(&OsStr) -> bool,
    ) -> io::Result<Vec<OsString>> {
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
    pub(super) fn dir_as_known(&self) -> io::Result<Attr> {
        self.env.stat_as_known(&Location::beside(self.path.dir(), ".".as_ref()))
    }

    /// Makes an NFS client forget the names in the lock's directory, as fresh attributes of that do: it may believe in what was
    /// there before.
    pub(super) fn forget_names(&self) -> io::Result<()> {
        if self.keeps(Step::FreshNames) { self.env.stat_dir(self.path.dir()).map(drop) } else { Ok(()) }
    }

    /// Whether the times of files here can be compared with what our own changes tell of the clock.
    pub(crate) fn clock_is_known(&self) -> bool {
        !self.keeps(Step::WhoseClock) || self.env.stamps(self.path.dir()) == Stamps::Server
    }

    /// Whether a safety step is taken: always, but in a simulation.
    pub(super) fn keeps(&self, step: Step) -> bool {
        !self.env.leaves_out(step)
    }

    /// The pid of a claim's process, if it is of this machine and its end can be seen.
    pub(super) fn living_process(&self, claim: &Claim) -> Option<u32> {
        (self.liveness(claim) == Liveness::Alive).then_some(claim.pid)
    }

    /// Whether a claim's process is still there, as far as that is to be known and can be.
    pub(super) fn liveness(&self, claim: &Claim) -> Liveness {
        match claim.fingerprint {
            Some(print) if self.recover_dead && claim.host == self.host => self.env.liveness(claim.pid, print),
            _ => Liveness::Unknown,
        }
    }

    /// A user, with the name that the number has on this machine.
    pub(crate) fn user(&self, uid: u32) -> Owner {
        Owner { uid, name: self.env.name_of_user(uid) }
    }

    /// Why the lock that was seen could not be broken.
    pub(super) fn break_failed(&self, seen: &SeenLock, e: io::Error) -> Error {
        if is_refused(&e) {
            Error::cannot_break(self.lock_path(), seen.holder(), e)
        } else {
            Error::io(self.lock_path(), "break the lock", e)
        }
    }
}
