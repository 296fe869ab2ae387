//! The two protocols, what they share, and what is at a lock path whichever of them put it there.

mod dir;
pub(crate) mod fence;
mod identify;
pub(crate) mod leftovers;
mod link;
pub(crate) mod private;
pub(crate) mod queue;
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

use crate::claim::{Claim, Fingerprint, LockPath, Token};
use crate::env::{Attr, Env, Expiry, FileId, FileKind, Liveness, Location, Meant, Stamps, Step};
use crate::error::{Error, Lost};
use crate::inspect::{About, Holder};
use crate::lease::{Anchor, Lease, LocalTime, ServerTime};

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

/// What is at a lock path.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    Free,
    Lock(SeenLock),
    /// A lock of the dir protocol between the two steps of its release, or left there by a crash; if it is not `ours`, a
    /// directory that has nothing to do with us.
    EmptyDirectory {
        ours: bool,
    },
    /// Such a directory of ours that this user may not remove, nor replace: it is another's, and stands in a sticky directory.
    Stuck {
        owner: u32,
        /// Its last change, such as the first step of the release.
        since: ServerTime,
    },
    NotALock(String),
}

#[derive(Clone, Debug)]
pub(crate) struct SeenLock {
    pub(crate) protocol: Protocol,
    /// `None`: neither the content nor a name tells.
    pub(crate) claim: Option<Claim>,
    /// Whether it is sure to be a lock of this path. What is not is waited for as one, and left alone.
    pub(crate) is_certain: bool,
    /// Of the file that carries the expiry.
    pub(crate) attr: Attr,
    /// Whose it is; `None` if the directory and the entry in it are different users'.
    pub(crate) owner: Option<u32>,
    /// What the holder says of itself, where the protocol has room for it.
    pub(crate) about: Option<Box<About>>,
}

impl SeenLock {
    /// A dir lock that this user may not look into; `attr` are those of the directory. Whose it is does not show, nor when it
    /// expires: a refresh changes its entry alone. So it lives until it is gone, and is for its owner or root to break.
    fn hidden(attr: Attr) -> Self {
        Self { protocol: Protocol::Dir, claim: None, is_certain: false, attr, owner: Some(attr.owner), about: None }
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.protocol == Protocol::Dir && self.claim.is_none()
    }

    pub(crate) fn holder(&self) -> Option<Holder> {
        // Without a word of the lifetime, the mtime alone tells.
        let expiry = self.expiry(Duration::ZERO);
        self.claim.as_ref().map(|claim| Holder::new(claim, expiry, self.about.as_deref().cloned()))
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        self.claim.as_ref().map(|claim| &claim.token)
    }

    /// When the lifetime ends. `usual` is the lifetime of a holder that says none.
    ///
    /// A request that set the mtime may be carried out once more, much later, over a newer one. But whatever is carried
    /// out makes the ctime new, and `dir` says how long the lock lasts from there: so a late request can only lengthen it.
    pub(crate) fn expiry(&self, usual: Duration) -> ServerTime {
        match self.protocol {
            Protocol::Link => self.attr.mtime,
            Protocol::Dir => dir::expiry(&self.attr, self.told_lifetime().unwrap_or(usual)),
        }
    }

    /// How long the lock lasts from its last change, as far as it tells. `usual` is the lifetime of a holder that says none.
    ///
    /// Its holder may have set a longer lifetime since: the mtime that it set then lies so far after the ctime of that very
    /// change. Of a later change, by whomever, it lies as much less after it as the lifetime has less to go.
    pub(crate) fn own_lifetime(&self, usual: Duration) -> Duration {
        self.told_lifetime().unwrap_or(usual).max(self.attr.mtime.since(self.attr.ctime))
    }

    /// Whatever it tells of its lifetime, it is no longer than this.
    fn believe_at_most(&mut self, lifetime: Duration) {
        if let Some(about) = &mut self.about {
            about.lifetime = about.lifetime.min(lifetime);
        }
        if let Some(told) = self.claim.as_mut().and_then(|claim| claim.lifetime.as_mut()) {
            *told = lifetime.min(*told);
        }
    }

    /// A dir lock's entry says it to the millisecond, the name of a claim a little more.
    fn told_lifetime(&self) -> Option<Duration> {
        let about = self.about.as_ref().map(|about| about.lifetime);
        about.or_else(|| self.claim.as_ref().and_then(|claim| claim.lifetime))
    }

    /// The same claim, and not refreshed since.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.claim == other.claim && self.is_unchanged(&other.attr)
    }

    pub(crate) fn is_unchanged(&self, attr: &Attr) -> bool {
        self.attr.id == attr.id && self.attr.mtime == attr.mtime
    }
}

/// Whoever releases a dir lock is done with its second step much sooner.
const STUCK: Duration = Duration::from_secs(10);

/// What is at the lock path if that never comes, changed last at `since`; for an error's text. By this machine's wall clock, since
/// nothing but a word depends on it.
pub(crate) fn stuck(env: &dyn Env, since: ServerTime) -> Option<&'static str> {
    let what =
        "an empty directory that another user left in a sticky directory, where only that user or root may remove it";
    (env.wall_clock().since(since) > STUCK).then_some(what)
}

/// What is to be thought of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Live,
    /// Its lifetime and the grace are over.
    Over,
    /// Its holder has ended.
    Dead,
}

/// A file system may round an mtime that far; beyond it, it did not take the time that it was given.
const ROUNDING: Duration = Duration::from_secs(2);

/// A reply that takes longer tells too little of the server's clock.
const SLOW: Duration = Duration::from_secs(1);

/// What the server has told is not asked again for so long: to ask may take as long.
const RECENT: Duration = Duration::from_millis(100);

/// The file system answers that all is well, but shows another time than it was given.
#[derive(Debug, thiserror::Error)]
#[error("the file system does not keep the times that it is given, so no lock can be refreshed there")]
pub(crate) struct TimesNotKept;

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

    /// The claim's name for whom the lock is taken.
    fn new_claim(&self) -> Result<Claim, Error> {
        match self.on_behalf_of {
            OnBehalfOf::ThisProcess => Ok(self.own_claim()),
            OnBehalfOf::Nobody => Ok(self.claim_for(self.env.process_id(), None)),
            OnBehalfOf::Process(pid) if !self.env.may_exist(pid) => {
                Err(Error::invalid(format!("process {pid}: there is no such process to hold a lock for")))
            }
            // Where nothing tells it from others, its end is not known, and the lock lasts up to its expiry.
            OnBehalfOf::Process(pid) => Ok(self.claim_for(pid, self.env.fingerprint(pid))),
        }
    }

    /// A new name for what this process makes use of by itself, whomever it takes the lock for: what a dead process has named
    /// may be swept away.
    fn own_claim(&self) -> Claim {
        let own = self.env.process_id();
        self.claim_for(own, self.env.fingerprint(own))
    }

    fn claim_for(&self, pid: u32, fingerprint: Option<Fingerprint>) -> Claim {
        self.path.new_claim(self.env.as_ref(), &self.host, pid, fingerprint, self.lifetime)
    }

    /// Puts a claim beside the lock path by `make`. A name that is taken, by whomever, is left alone.
    fn stage(&self, make: impl Fn(Claim) -> io::Result<Stake>) -> Result<Stake, Error> {
        let mut staged = make(self.new_claim()?);
        for _ in 0..16 {
            if !staged.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AlreadyExists) {
                break;
            }
            staged = make(self.new_claim()?);
        }
        staged.map_err(|e| Error::cannot_create(self.lock_path(), e))
    }

    /// Makes the file that carries a claim's expiry by `make`, with a fresh one.
    fn create(
        &self,
        claim: Claim,
        at: &Location,
        make: impl FnOnce(&mut Expiry<'_>) -> io::Result<Attr>,
    ) -> io::Result<Stake> {
        let env = self.env.as_ref();
        let before = env.now();
        let mut made = None;
        let attr = make(&mut |attr| {
            let mut now = env.now();
            let mut anchor = Anchor::new(attr.ctime, before, now);
            // Made from a slow reply, the expiry would lie as much too far in the future.
            if anchor.width() > SLOW {
                let meant = self.meant_waiting(attr.id, attr.owner);
                anchor = self.ask_clock(at, meant, attr.ctime).ok().flatten().unwrap_or(anchor);
                now = env.now();
            }
            let lease = Lease::starting(now, &anchor, self.lifetime, claim.mark());
            made = Some((*attr, anchor, lease));
            // A dir lock lasts from its last change: to set the mtime too would be a request for nothing.
            (self.protocol == Protocol::Link || !dir::tells_change(attr)).then_some(lease.expiry)
        })?;
        let (new, anchor, mut lease) = made.ok_or_else(|| io::Error::other("the new file has no attributes"))?;
        if self.protocol == Protocol::Link {
            lease.deadline = self.shown_deadline(&claim, &lease, before, &attr).inspect_err(|_| {
                let _ = env.unlink(at);
            })?;
        }
        Ok(Stake {
            claim,
            id: new.id,
            owner: new.owner,
            ctime: attr.ctime,
            anchor,
            lease,
            fresh: true,
            told: before,
            noreplace: false,
            fence: None,
        })
    }

    /// The file of a claim of ours. The entry of a dir claim is told by its name, which no other has, and by its owner: there
    /// are file systems where a file's number changes, and dir needs none.
    fn meant(&self, id: FileId, owner: u32) -> Meant {
        Meant { id: (self.protocol == Protocol::Link).then_some(id), owner, is_alone: false }
    }

    /// The same, of a claim that waits. Others may write the directory of a break lock's claim, where whoever breaks next removes
    /// what one who died has left; so they could link another file of ours to the entry's name. But a link of a held entry, which
    /// anybody may be able to make, must not keep its holder from refreshing it.
    fn meant_waiting(&self, id: FileId, owner: u32) -> Meant {
        Meant { is_alone: self.protocol == Protocol::Dir, ..self.meant(id, owner) }
    }

    /// Asks the server's clock by a claim that waits.
    pub(crate) fn ask_clock_by(&self, stake: &Stake) -> io::Result<Option<Anchor>> {
        let at = self.protocol.steps().staged_file(self, &stake.claim).of(stake.owner);
        self.ask_clock(&at, self.meant_waiting(stake.id, stake.owner), stake.ctime)
    }

    /// Learns what the server's clock says, by a change of a file of ours that changes nothing else; `None` where the file
    /// system cannot tell, or has left the ctime at the one that is known.
    pub(crate) fn ask_clock(&self, at: &Location, meant: Meant, known: ServerTime) -> io::Result<Option<Anchor>> {
        let ask = || {
            let before = self.env.now();
            let attr = self.env.touch(at, meant)?;
            let anchor = Anchor::of_change(&attr, before, self.env.now());
            Ok::<_, io::Error>(anchor.filter(|_| attr.ctime != known))
        };
        let mut anchor = ask()?;
        for _ in 0..3 {
            if anchor.is_none_or(|anchor| anchor.width() <= SLOW) {
                break;
            }
            anchor = ask()?;
        }
        Ok(anchor)
    }

    /// Sets a new expiry on the claim's file, which is there, and says until when it may be trusted, counted from before the call. The
    /// stake's own deadline does not grow: until more is known, and if the call fails, the old expiry or the new one may be
    /// on disk, so it is the earlier of both.
    fn set_expiry(&self, stake: &mut Stake, at: &Location, meant: Meant, lifetime: Duration) -> io::Result<LocalTime> {
        let known = stake.anchor;
        let deadline = self.set_expiry_as_known(stake, at, meant, lifetime)?;
        // What was known of the server's clock may be old. If it has gone ahead since, by drifting or by a step, what was
        // written is over too early for others; now more is known.
        if stake.anchor.ahead_of(&known, self.env.now()) > SLOW {
            return self.set_expiry_as_known(stake, at, meant, lifetime);
        }
        Ok(deadline)
    }

    fn set_expiry_as_known(
        &self,
        stake: &mut Stake,
        at: &Location,
        meant: Meant,
        lifetime: Duration,
    ) -> io::Result<LocalTime> {
        let before = self.env.now();
        let lease = Lease::starting(before, &stake.anchor, lifetime, stake.claim.mark());
        stake.lease.deadline = stake.lease.deadline.min(lease.deadline);
        let attr = self.env.set_expiry(at, meant, lease.expiry)?;
        // A slow reply tells less than what is known from a fast one, for all that clocks drift. A change that left the ctime as it
        // was may be none: FUSE file systems have answered so.
        if let Some(anchor) = Anchor::of_change(&attr, before, self.env.now())
            && anchor.width() <= SLOW.max(stake.anchor.width())
            && attr.ctime != stake.ctime
        {
            stake.anchor = anchor;
        }
        stake.ctime = attr.ctime;
        let deadline = self.shown_deadline(&stake.claim, &lease, before, &attr)?;
        stake.lease = Lease { deadline: stake.lease.deadline.min(deadline), ..lease };
        Ok(deadline)
    }

    /// Until when a lease may be trusted whose expiry was set by a call that began at `before`: as far as the attributes show it
    /// that came back, for by these others judge. A file system may round the time that it is given, or not take it at all.
    fn shown_deadline(&self, claim: &Claim, lease: &Lease, before: LocalTime, attr: &Attr) -> io::Result<LocalTime> {
        if !self.keeps(Step::ShownRefresh) {
            return Ok(lease.deadline);
        }
        let told = claim.lifetime.unwrap_or(self.lifetime);
        let shown = match self.protocol {
            Protocol::Link => attr.mtime,
            Protocol::Dir => dir::expiry(attr, self.lifetime.min(told)),
        };
        let missing = lease.expiry.since(shown);
        // Later than asked for, it keeps others out for nothing. A dir lock that was acquired for longer does so.
        if missing > ROUNDING || (self.protocol == Protocol::Link && shown.since(lease.expiry) > ROUNDING) {
            return Err(io::Error::other(TimesNotKept));
        }
        // Who knows no clock to compare it with counts what the lock tells of its lifetime, from this change on.
        let counted = told.max(attr.mtime.since(attr.ctime));
        Ok((lease.deadline - missing).min(before + counted))
    }

    /// Makes the expiry fresh for the next attempt, unless it still is. Says whether the claim is there at all.
    fn freshen(&self, stake: &mut Stake) -> Result<bool, Error> {
        if !stake.fresh && self.keeps(Step::FreshExpiry) {
            let at = self.protocol.steps().staged_file(self, &stake.claim).of(stake.owner);
            let before = self.env.now();
            let meant = self.meant_waiting(stake.id, stake.owner);
            match self.set_expiry(stake, &at, meant, self.lifetime) {
                // So old that others may be removing it.
                Ok(_) if leftovers::is_given_up(self, stake) => return Ok(false),
                // The expiry that was sent was old by then. If that request were carried out once more, after a fresh one, a
                // live lock would look over. Nothing late reaches another claim's file.
                Ok(_) if self.protocol == Protocol::Link && self.env.now().since(before) > SLOW => return Ok(false),
                Ok(_) if self.protocol == Protocol::Link && !link::is_as_made(self, stake, &at) => return Ok(false),
                Ok(deadline) => (stake.lease.deadline, stake.told) = (deadline, before),
                Err(e) if is_gone(&e) => return Ok(false),
                Err(e) => return Err(Error::io(self.lock_path(), "set the expiry of a claim", e)),
            }
        }
        stake.fresh = false;
        Ok(true)
    }

    /// Moves a held lock's expiry on. To count, it must be back before `limit`; whatever fails for good makes the lock
    /// lost, and what may pass is told as an error that is no loss.
    pub(crate) fn refresh(&self, stake: &mut Stake, lifetime: Duration, limit: LocalTime) -> Result<(), Error> {
        let lost = |why| Err(Error::lost(self.lock_path(), why));
        let steps = self.protocol.steps();
        // A lock that is over may be broken at any moment: a refresh now could come between a breaker's look and its act.
        if self.env.now() >= limit && self.keeps(Step::DeadlineOfRefresh) {
            return lost(Lost::Overdue);
        }
        let held = steps.held_file(self, &stake.claim).of(stake.owner);
        let deadline = match self.set_expiry(stake, &held, self.meant(stake.id, stake.owner), lifetime) {
            Ok(deadline) => deadline,
            Err(e) if is_gone(&e) => return lost(Lost::Broken),
            Err(e) => return Err(Error::io(self.lock_path(), "refresh the lock", e)),
        };
        // The expiry may have been set on a claim that was broken: ask whether the lock is still ours.
        let before = self.env.now();
        match steps.holds(self, stake) {
            Ok(true) => stake.told = before,
            Ok(false) if self.keeps(Step::CheckAfterRefresh) => return lost(Lost::Broken),
            Ok(false) => {}
            Err(e) => return Err(Error::io(self.lock_path(), "look at the lock", e)),
        }
        // Set too late, it may have been set on what a breaker had already judged: then the old deadline stays, and the
        // lock path is not ours to touch.
        if self.env.now() >= limit && self.keeps(Step::DeadlineOfRefresh) {
            return lost(Lost::Overdue);
        }
        stake.lease.deadline = deadline;
        Ok(())
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
