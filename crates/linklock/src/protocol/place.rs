//! A lock's place: where it is, how it is acquired, and the questions that all steps ask there.

use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::ControlFlow;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::checked::Checked;
use super::io_error::{is_gone, is_refused};
use super::seen::SeenLock;
use super::unchanged::Unchanged;
use crate::claim::Claim;
use crate::env::{Attr, Each, Env, Liveness, Location, Step};
use crate::error::Error;
use crate::file_system::{FileSystem, Fitness, Stamps};
use crate::holder::{About, Owner, cut};
use crate::lock_path::LockPath;
use crate::options::{OnBehalfOf, Protocol, Wake};

/// A file system may round an mtime by so much. If it is further off, the file system did not keep the time.
pub(crate) const ROUNDING: Duration = Duration::from_secs(2);

/// A slower reply says too little about the server's clock.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// The same for a file system that is not known: as libfuse has it unless told otherwise.
const CACHED_FOR: Duration = Duration::from_secs(1);

/// A lock's content is a path. A longer content is not a path.
pub(crate) const CONTENT_LIMIT: usize = 8192;

/// The lifetime of every break lock: longer than the few calls of a turn take, but short enough that a breaker that is
/// cut off does not delay the others for long.
pub(crate) const BREAK_LIFETIME: Duration = Duration::from_secs(15);

/// Our mark on a directory: it distinguishes an empty one from a directory that somebody else made.
pub(crate) const STICKY: u32 = 0o1000;

/// The mode bits for those who may write to a directory, besides its owner.
pub(crate) const WRITE_OTHERS: u32 = 0o022;

/// The user who may do everything.
pub(crate) const ROOT: u32 = 0;

/// In which order contenders acquire a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// In the order in which they arrived. A newcomer looks for others before it tries.
    Arrival,
    /// In any order. Those who wait may use the queue, so that a release does not wake them all.
    Any,
}

/// Where a lock is, and how it is acquired.
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
    /// What the holder says that it runs. `None`: the name of its process.
    pub(crate) command: Option<String>,
    /// Whether every acquisition draws a fencing token.
    pub(crate) fence: bool,
    pub(crate) order: Order,
    /// Whether others may hold the lock at the same time who want it shared too.
    pub(crate) shared: bool,
    /// How a waiter on another machine learns of a release.
    pub(crate) wake: Wake,
    /// Where those wait who want this lock or another of the same limit.
    pub(crate) limit: Option<Arc<Place>>,
    /// Whether the lock may be on a file system where the protocol is known to fail.
    pub(crate) allow_unsafe: bool,
    /// The names of this lock in its directory, with their numbers, if they were listed for a look that follows at once. A directory
    /// may have any number of locks, each with a reason to list it.
    pub(crate) listed: Option<Arc<[(OsString, u64)]>>,
    /// What was found out about the file system, for all locks of this place.
    pub(crate) checked: Arc<Checked>,
    /// How long the lock was seen unchanged, for where clocks cannot be compared.
    pub(crate) unchanged: Arc<Unchanged>,
    /// The same, for the break lock.
    pub(crate) break_lock_unchanged: Arc<Unchanged>,
}

/// The operating system holds no state of ours that a panic could leave half changed. An [`Env`] updates its own state
/// at the end of a call.
impl UnwindSafe for Place {}
impl RefUnwindSafe for Place {}

impl Place {
    /// The break lock of this lock path: a dir lock, by which breakers take turns.
    pub(crate) fn of_break_lock(&self) -> Self {
        Self {
            path: self.path.of_break_lock(),
            protocol: Protocol::Dir,
            lifetime: BREAK_LIFETIME,
            // On whosever behalf the lock is acquired, the break lock belongs to this process, and is abandoned when
            // this process ends.
            on_behalf_of: OnBehalfOf::ThisProcess,
            fence: false,
            order: Order::Any,
            shared: false,
            wake: Wake::Poll,
            limit: None,
            unchanged: Arc::clone(&self.break_lock_unchanged),
            ..self.clone()
        }
    }

    /// What a holder says about itself, in a `dir` lock.
    pub(crate) fn about(&self) -> About {
        let pid = if let OnBehalfOf::Process(pid) = self.on_behalf_of { pid } else { self.env.process_id() };
        self.about_process(pid)
    }

    /// The same of a claim with this process.
    pub(crate) fn about_process(&self, pid: u32) -> About {
        let command = self.command.clone().or_else(|| self.env.command(pid));
        let since = Some(self.env.wall_clock().to_system_time());
        // Cuts long texts, so that the lifetime is never cut off.
        let [command, user] = [command, self.env.user()].map(|text| text.as_deref().map(cut));
        About { lifetime: self.lifetime, command, user, since }
    }

    /// The nth slot of this place.
    pub(crate) fn slot(this: &Arc<Self>, n: usize) -> Self {
        // Whoever waits for it does so at the lock path that the slots share.
        Self { order: Order::Any, ..this.at(this.path.of_slot(n), Some(Arc::clone(this))) }
    }

    /// The lock of which this is a slot, if its name is one's.
    pub(crate) fn named_limit(&self) -> Option<Arc<Self>> {
        Some(Arc::new(self.at(self.path.without_slot()?, None)))
    }

    /// Another lock in the same directory. It is watched by itself.
    fn at(&self, path: LockPath, limit: Option<Arc<Self>>) -> Self {
        Self { path, limit, unchanged: Arc::default(), break_lock_unchanged: Arc::default(), ..self.clone() }
    }

    /// Why nobody can share this lock, if so.
    pub(crate) fn why_never_shared(&self) -> Option<&'static str> {
        if self.protocol == Protocol::Link {
            return Some("the link protocol has one holder; use the dir protocol");
        }
        // A reader's entry is moved into a directory that others have open, which was not seen to work there.
        cfg!(windows).then_some("there are no shared locks on Windows; hold the lock alone")
    }

    /// The same lock, to be shared.
    pub(crate) fn to_be_shared(&self) -> Self {
        Self { shared: true, ..self.clone() }
    }

    /// For how long another breaker's turn can delay us, whatever became of that breaker.
    pub(crate) fn turn_most(&self) -> Duration {
        BREAK_LIFETIME + self.grace + self.cached_for() + 2 * SLOW + ROUNDING
    }

    /// For people.
    pub(crate) fn lock_path(&self) -> &Path {
        self.path.as_path()
    }

    pub(crate) fn location(&self) -> &Location {
        self.path.location()
    }

    /// The file that carries the expiry, before the claim holds the lock.
    pub(crate) fn staged_file(&self, claim: &Claim) -> Location {
        let staged = self.path.beside(&claim.token);
        match self.protocol {
            Protocol::Link => staged,
            Protocol::Dir => staged.inside(claim.token.as_os_str()),
        }
    }

    /// The file that carries the expiry, while the claim holds the lock.
    pub(crate) fn held_file(&self, claim: &Claim) -> Location {
        match self.protocol {
            // The claim's own name: whatever happened at the lock path, it can only reach our file.
            Protocol::Link => self.path.beside(&claim.token),
            Protocol::Dir => self.location().inside(claim.token.as_os_str()),
        }
    }

    /// The attributes of the lock path, or of a name below it, from the server. If an NFS client says that a name is
    /// absent, it may remember that from long ago. Asking for the directory's attributes makes it forget that, if the
    /// directory has changed since.
    pub(super) fn stat_afresh(&self, at: &Location) -> io::Result<Attr> {
        match self.env.stat(at) {
            Err(e) if is_gone(&e) => self.stat_dir().and_then(|_| self.env.stat(at)),
            stat => stat,
        }
    }

    /// Removes, and once more if that says that nothing is there: this machine may remember so from before, or know another file by
    /// that name, which is gone.
    pub(super) fn remove_afresh(&self, remove: impl Fn() -> io::Result<()>) -> io::Result<()> {
        match remove() {
            Err(e) if is_gone(&e) => self.stat_dir().and_then(|_| remove()),
            removed => removed,
        }
    }

    /// The content of a file on this device that may be another contender's. This machine must not keep a delegation:
    /// if it were cut off, the delegation would delay that contender.
    pub(super) fn read(&self, at: &Location, device: u64) -> io::Result<(Attr, Vec<u8>)> {
        if self.keeps(Step::NoDelegation) {
            self.env.read_without_delegation(at, device, CONTENT_LIMIT)
        } else {
            self.env.read(at, CONTENT_LIMIT)
        }
    }

    /// At most `limit` of the names in a directory that are `wanted`.
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

    /// The attributes of the lock's directory, from the server.
    pub(crate) fn stat_dir(&self) -> io::Result<Attr> {
        match self.path.found_dir() {
            Some(dir) => self.env.stat(&dir),
            None => self.env.stat_dir(self.path.dir()),
        }
    }

    /// Shows `each` the names in the lock's directory.
    pub(crate) fn list_dir(&self, each: &mut Each<'_>) -> io::Result<()> {
        match self.path.found_dir() {
            Some(dir) => self.env.list(&dir, each),
            None => self.env.list_dir(self.path.dir(), each),
        }
    }

    /// The attributes of the lock's directory from this machine's cache, without a request to the server.
    pub(super) fn dir_as_known(&self) -> io::Result<Attr> {
        self.env.stat_as_known(&self.path.dir_itself())
    }

    /// Whether a directory has our mark, if this file system keeps it. Where it does not, an empty one counts as ours: nobody
    /// could tell it from what a release has left.
    pub(super) fn is_marked(&self, attr: &Attr) -> bool {
        self.path.is_break_lock || attr.mode & STICKY != 0 || !self.keeps_marks()
    }

    /// Waits until this machine asks again for every name that it knew, where it may answer from a cache. To be called in a turn,
    /// before the look that decides: a look from a cache could show the lock that was broken before this turn, and then the next
    /// holder's would be moved in its place.
    pub(super) fn outwait_cache(&self) {
        let cached = self.cached_for();
        if !cached.is_zero() {
            self.env.rest(cached, None);
        }
    }

    fn keeps_marks(&self) -> bool {
        !self.checked.has_lost_mark() && self.file_system().is_none_or(|known| known.keeps_sticky)
    }

    /// What is known of the kind of file system.
    pub(crate) fn file_system(&self) -> Option<&'static FileSystem> {
        self.checked.file_system().unwrap_or_else(|| self.env.file_system(self.path.dir()))
    }

    fn stamps(&self) -> Stamps {
        self.checked.stamps().unwrap_or_else(|| self.env.stamps(self.path.dir()))
    }

    /// What a user may do where this protocol cannot be used.
    pub(super) fn instead_of(&self, protocol: Protocol) -> &'static str {
        let (other, text) = match protocol {
            Protocol::Link => (Protocol::Dir, "use the dir protocol"),
            Protocol::Dir => (Protocol::Link, "use the link protocol"),
        };
        let other = self.file_system().map(|known| known.fitness(other));
        match other {
            Some(Fitness::Unsafe(_) | Fitness::NoHardLinks) => "keep the lock on another file system",
            _ => text,
        }
    }

    /// For how long this machine may answer with what it knew, whatever others do. Zero where every answer that counts comes
    /// from the server.
    pub(crate) fn cached_for(&self) -> Duration {
        // Each look asks for it, and to find it out may take as long as the look.
        self.checked.cached_for().unwrap_or_else(|| self.cached_for_on(self.file_system()))
    }

    /// The same, on this kind of file system.
    pub(super) fn cached_for_on(&self, known: Option<&FileSystem>) -> Duration {
        match known {
            Some(known) => known.cached_for,
            None if self.stamps() == Stamps::Server => Duration::ZERO,
            None => CACHED_FOR,
        }
    }

    /// Makes an NFS client forget the names in the lock's directory, which may be old. Fresh attributes of the
    /// directory do that.
    pub(crate) fn forget_names(&self) -> io::Result<()> {
        if self.keeps(Step::FreshNames) { self.stat_dir().map(drop) } else { Ok(()) }
    }

    /// Whether the times of files here can be compared with the clock that our own changes show.
    pub(crate) fn clock_is_known(&self) -> bool {
        !self.keeps(Step::WhoseClock) || self.stamps() == Stamps::Server
    }

    /// Whether a safety step is taken: always, except in a simulation.
    pub(super) fn keeps(&self, step: Step) -> bool {
        !self.env.leaves_out(step)
    }

    /// The pid of a claim's process, if it is on this machine and linklock can see it end.
    pub(super) fn living_process(&self, claim: &Claim) -> Option<u32> {
        (self.liveness(claim) == Liveness::Alive).then_some(claim.pid)
    }

    /// Whether a claim's process lives, if it is on this machine and linklock can know that.
    pub(super) fn liveness(&self, claim: &Claim) -> Liveness {
        match claim.fingerprint {
            Some(print) if self.recover_dead && claim.host == self.host => self.env.liveness(claim.pid, print),
            _ => Liveness::Unknown,
        }
    }

    /// A user, with the name on this machine.
    pub(crate) fn user(&self, uid: u32) -> Owner {
        Owner { uid, name: self.env.name_of_user(uid) }
    }

    /// The error of a failed break.
    pub(super) fn break_failed(&self, seen: &SeenLock, e: io::Error) -> Error {
        if is_refused(&e) {
            Error::cannot_break(self.lock_path(), seen.holder(), e)
        } else {
            Error::io(self.lock_path(), "break the lock", e)
        }
    }
}
