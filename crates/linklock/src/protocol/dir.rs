//! The `dir` protocol: a claim directory with one entry, renamed to the lock path. Every name is used once.
//!
//! At most one entry is under the lock path, since it arrives by one atomic rename onto nothing or onto an empty
//! directory, and nobody ever adds a second. An unlink of an entry, however late, however often repeated, removes that
//! claim or nothing.

use std::ffi::OsStr;
use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use super::identify::is_unreadable;
use super::shared::WRITE_OTHERS;
use super::turn::{self, Turn};
use super::{
    Attempt, Break, Place, Protocol, RECENT, ROUNDING, Seen, SeenLock, Stake, Steps, gone_is_ok, is_gone, is_refused,
};
use crate::claim::{Claim, bytes_of};
use crate::env::{Attr, DirMode, FileKind, Location, Step};
use crate::error::{Error, Lost};
use crate::inspect::About;
use crate::lease::ServerTime;
use crate::printable::Printable;

pub(super) const STICKY: u32 = 0o1000;
pub(super) const ROOT: u32 = 0;

/// At a lock path there are no more of an NFS client's own names than its contenders have read entries at once.
const LEFTOVERS_MOST: usize = 1000;

/// So often an entry may be seen and not be there to be removed.
const RELEASES_MOST: u32 = 3;

#[derive(Debug)]
pub(super) struct Dir;

/// What the directory at the lock path is; `None` if it changed under the look.
pub(super) fn look(place: &Place, attr: Attr) -> io::Result<Option<Seen>> {
    let ours = place.path.is_guard || attr.mode & STICKY != 0;
    // No more of the names than tell: others may have put any number there.
    let (mut names, mut left) = (Vec::new(), Vec::new());
    let listed = place.env.list(place.location(), &mut |name, _| {
        if ours && is_leftover(name) { &mut left } else { &mut names }.push(name.to_owned());
        if names.len() > 1 || left.len() > LEFTOVERS_MOST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    // As an umask of 077 makes it.
    let hidden = || Ok(Some(Seen::Lock(SeenLock::hidden(attr))));
    match listed {
        Err(e) if ours && is_refused(&e) => return hidden(),
        listed => listed?,
    }
    let name = match names.as_slice() {
        [name] if left.len() <= LEFTOVERS_MOST => name,
        [] if left.len() <= LEFTOVERS_MOST && left.iter().all(|name| is_removable(place, name)) => {
            let is_stuck = ours && is_anothers(place, &attr)?;
            let stuck = Seen::Stuck { owner: attr.owner, since: attr.ctime };
            return Ok(Some(if is_stuck { stuck } else { Seen::EmptyDirectory { ours } }));
        }
        _ => return Ok(Some(Seen::NotALock("a directory".into()))),
    };
    let Some(claim) = place.path.parse(bytes_of(name.as_ref())) else {
        return Ok(Some(Seen::NotALock("a directory".into())));
    };
    // Gone by now: an error that makes the caller look again. What cannot be read is not needed to judge the lock.
    let entry = place.location().inside(name);
    let of_dir = attr.owner;
    let (attr, content) = match place.read(&entry, attr.id.device) {
        Err(e) if is_unreadable(&e) => match place.env.stat(&entry) {
            Err(e) if is_refused(&e) => return hidden(),
            stat => (stat?, Vec::new()),
        },
        read => read?,
    };
    let mut lock = SeenLock {
        protocol: Protocol::Dir,
        claim: Some(claim),
        is_certain: true,
        attr,
        owner: Some(of_dir).filter(|owner| *owner == attr.owner),
        about: About::from_json(&content).map(Box::new),
    };
    if place.path.is_guard {
        lock.believe_at_most(turn::LIFETIME);
    }
    Ok(Some(Seen::Lock(lock)))
}

/// Whether this user may not remove an empty directory at the lock path. A server that has another user in place of ours may say
/// so of our own: the owner of our claim shows that.
fn is_anothers(place: &Place, attr: &Attr) -> io::Result<bool> {
    let Some(user) = place.env.user_id().filter(|user| *user != ROOT && *user != attr.owner) else { return Ok(false) };
    let parent = place.env.stat_dir(place.path.dir())?;
    Ok(parent.mode & STICKY != 0 && parent.owner != user)
}

/// When the lifetime ends of a lock whose entry has these attributes: the lifetime after its last change, or what the mtime
/// says, whichever is later.
pub(super) fn expiry(attr: &Attr, lifetime: Duration) -> ServerTime {
    attr.mtime.max(attr.ctime + attr.ctime.rounding() + lifetime)
}

/// Whether the ctime of a file that was just made is one at all: some file systems, or those who serve them, have none.
pub(super) fn tells_change(attr: &Attr) -> bool {
    attr.ctime.since(attr.mtime) <= ROUNDING && attr.mtime.since(attr.ctime) <= ROUNDING
}

/// Whether a name is an NFS client's own: a file that was removed while a process of that client had it open, as a contender
/// has an entry that it reads. The client renames it instead, and removes it once it is closed.
fn is_leftover(name: &OsStr) -> bool {
    bytes_of(name.as_ref()).starts_with(b".nfs")
}

/// Whether it is such a file, or gone. What has such a name by chance, or by design, is somebody's.
fn is_removable(place: &Place, name: &OsStr) -> bool {
    match place.env.stat(&place.location().inside(name)) {
        Ok(attr) => is_silly_name(name, &attr),
        Err(e) => is_gone(&e),
    }
}

/// Whether it is a name that a client gives to such a file: Linux' begins with the number of its inode, which tells it from
/// others; FreeBSD's is `.nfs.`, two numbers of the client's own and `4.4`.
fn is_silly_name(name: &OsStr, attr: &Attr) -> bool {
    const DIGITS: usize = 16;
    let name = std::str::from_utf8(bytes_of(name.as_ref())).unwrap_or_default();
    let Some(rest) = name.strip_prefix(".nfs") else { return false };
    let inode = rest.get(..DIGITS).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let is_silly = inode == Some(attr.id.inode) || (rest.starts_with('.') && rest.ends_with("4.4"));
    attr.kind == FileKind::Regular && is_silly
}

/// How a claim came to the lock path, by what rename(2) says.
enum Moved {
    NoReplace,
    /// Without that flag; and our directory was then seen there.
    Seen,
    /// Without that flag, and it was not.
    Unseen,
}

impl Dir {
    fn entry(place: &Place, claim: &Claim) -> Location {
        place.location().inside(claim.token.as_os_str())
    }

    /// In a directory of ours: in another's, that name tells nothing.
    fn own_entry(place: &Place, stake: &Stake) -> Location {
        Self::entry(place, &stake.claim).of(stake.owner)
    }

    fn staged_entry(place: &Place, claim: &Claim) -> Location {
        place.path.beside(&claim.token).inside(claim.token.as_os_str())
    }

    /// Whether our entry, which was asked for, is there.
    fn is_there(stake: &Stake, entry: io::Result<Attr>) -> io::Result<bool> {
        match entry {
            Ok(attr) => Ok(attr.owner == stake.owner),
            Err(e) if is_gone(&e) || e.kind() == io::ErrorKind::NotADirectory => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Removes the entry of a lock. Says whether it was there, as far as the answer tells.
    fn remove_entry(place: &Place, stake: &Stake) -> Result<bool, Error> {
        let before = place.env.now();
        match place.env.unlink(&Self::own_entry(place, stake)) {
            Ok(()) => Ok(true),
            // A request whose reply was lost is sent again after seconds, and then finds what the first has done.
            Err(e) if is_gone(&e) => Ok(place.env.now().since(before) >= RECENT),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => Ok(false),
            Err(e) => Err(Error::io(place.lock_path(), "release the lock", e)),
        }
    }

    fn clear(place: &Place, stake: &Stake) {
        if stake.noreplace { remove_empty(place) } else { clear(place) }
    }

    /// The guard of a breaker that died is in the way of all others: where the directory lets any user remove its files,
    /// so must the guard.
    fn guard_mode(place: &Place) -> Option<u32> {
        // To ask for the directory's attributes makes an NFS client forget the names in it, too.
        if !place.keeps(Step::FreshNames) {
            return None;
        }
        let parent = place.env.stat_dir(place.path.dir()).ok()?.mode;
        (parent & STICKY == 0 && parent & WRITE_OTHERS != 0).then_some(0o755 | parent & WRITE_OTHERS)
    }

    /// rename(2), but never onto a directory that somebody else made and left empty.
    fn rename(place: &Place, claim: &Claim) -> io::Result<Moved> {
        let (from, to) = (place.path.beside(&claim.token), place.location());
        match place.env.rename_noreplace(&from, to) {
            Ok(()) => return Ok(Moved::NoReplace),
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
            // Said of an empty directory of ours too, which may stay there where it can only be removed in turn.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && place.env.removes_by_name_alone(place.path.dir()) => {
            }
            Err(e) => return Err(e),
        }
        // A file system without renameat2's flags, such as NFS.
        match place.env.stat(to) {
            Ok(attr) if attr.kind == FileKind::Directory && attr.mode & STICKY == 0 && !place.path.is_guard => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            _ => {}
        }
        let ours = place.env.id_as_known(&from)?;
        place.env.rename(&from, to)?;
        Ok(if place.env.id_as_known(to).is_ok_and(|id| id == ours) { Moved::Seen } else { Moved::Unseen })
    }
}

/// Clears the lock path once it is an empty directory: after a release, after a break, or what a crash left. Whatever
/// becomes of it, the lock is free.
pub(super) fn clear(place: &Place) {
    let alone = place.path.is_guard || !place.env.removes_by_name_alone(place.path.dir());
    if !alone && place.keeps(Step::ClearInTurn) {
        return clear_in_turn(place);
    }
    // A held dir lock is not empty, and a link lock is no directory: neither can be hit. At a guard's path there is never a
    // link lock.
    remove_empty(place);
}

fn remove_empty(place: &Place) {
    let Err(e) = place.env.rmdir(place.location()) else { return };
    if e.kind() == io::ErrorKind::DirectoryNotEmpty && remove_leftovers(place) {
        // Not there, or taken again: both are as well.
        let _ = place.env.rmdir(place.location());
    }
}

/// Removes what a client that died leaves there for ever. To remove a file that is still open does no harm: its reader learns
/// that the lock has changed. The client that has it open refuses, and then it is gone soon. Says whether there was any.
pub(super) fn remove_leftovers(place: &Place) -> bool {
    let leftovers = place.names(place.location(), LEFTOVERS_MOST, &is_leftover).unwrap_or_default();
    let leftovers = leftovers.iter().filter(|name| is_removable(place, name));
    leftovers.map(|name| place.env.unlink(&place.location().inside(name))).filter(Result::is_ok).count() > 0
}

/// For NFS 4, where rmdir may remove a link lock that came after the look. In turn nobody else makes room for one: while it
/// is our turn, the lock path stays a directory until we remove it.
fn clear_in_turn(place: &Place) {
    for _ in 0..3 {
        // Another's turn: it looks once more when that is over.
        let Ok(Some(turn)) = Turn::take(place) else { return };
        // Whether ours is empty the removal tells.
        let is_ours = |attr: Attr| attr.kind == FileKind::Directory && attr.mode & STICKY != 0;
        let seen = place.forget_names().and_then(|()| place.env.stat(place.location()));
        if seen.is_ok_and(is_ours) && turn.is_ours() {
            remove_empty(place);
        }
        turn.end();
        // Who released the lock meanwhile has left this to us.
        if !matches!(place.look(), Ok(Seen::EmptyDirectory { ours: true })) {
            return;
        }
    }
}

impl Steps for Dir {
    fn stage(&self, place: &Place) -> Result<Stake, Error> {
        // Whoever may read the claim may search the directory. The sticky bit tells it from a directory that somebody
        // else made, should it be left empty at the lock path: that one is never removed.
        let mode = place.mode | (place.mode & 0o444) >> 2 | STICKY;
        let guard_mode = if place.path.is_guard { Self::guard_mode(place) } else { None };
        let mode = guard_mode.map_or(DirMode::Usual(mode), DirMode::Exactly);
        place.stage(|claim| {
            let dir = place.path.beside(&claim.token);
            let token = claim.token.clone();
            let about = About::new(place, &claim).to_json();
            let made = place.env.make_dir(&dir, mode).and_then(|new| {
                // What was made is what is filled: others may give its name to another directory.
                let entry = Self::staged_entry(place, &claim);
                place
                    .create(claim, &entry, |expiry| new.create(token.as_os_str(), about.as_bytes(), place.mode, expiry))
            });
            made.inspect_err(|_| {
                // Perhaps it was made although an error was told, since the reply was lost. If it is empty, it is nobody's claim.
                let _ = place.env.rmdir(&dir);
            })
        })
    }

    fn attempt(&self, place: &Place, stake: &mut Stake) -> Result<Attempt, Error> {
        if !place.freshen(stake)? {
            return Ok(Attempt::Void);
        }
        let before = place.env.now();
        let renamed = Self::rename(place, &stake.claim);
        stake.noreplace = matches!(renamed, Ok(Moved::NoReplace));
        if renamed.is_err() {
            // Makes an NFS client forget that the lock path was absent: that would hide a lock which we have.
            let _ = place.env.stat_dir(place.path.dir());
        }
        if !place.keeps(Step::DecideByDisk) {
            return Ok(if renamed.is_ok() { Attempt::Won } else { Attempt::Lost });
        }
        // Never by rename's word alone: its reply may have been lost. Our entry's name is ours alone, so if it is under
        // the lock path, the lock is ours. A rename that went well makes a client look the name up anew; otherwise the
        // server is asked. If the server has told of the entry only now, and our directory is at the lock path, so is the entry:
        // NFS clients forget what is in a directory that is moved, and to look would be two requests.
        let entry = Self::own_entry(place, stake);
        let is_there = match &renamed {
            Ok(Moved::Seen) if place.was_told_just_now(stake) => Ok(true),
            Ok(_) => Self::is_there(stake, place.env.stat_as_known(&entry)),
            // What we may not look into is not ours.
            Err(_) => Self::is_there(stake, place.env.stat(&entry))
                .or_else(|e| if is_refused(&e) { Ok(false) } else { Err(e) }),
        };
        match is_there {
            Ok(true) if place.env.now() < stake.lease.deadline || !place.keeps(Step::DeadlineOnceWon) => {
                stake.told = before;
                return Ok(Attempt::Won);
            }
            // Too late to trust it: remove it, which is safe at any time.
            Ok(true) => {
                let _ = self.release(place, stake);
                return Ok(Attempt::Void);
            }
            Ok(false) => {}
            Err(e) => return Err(Error::io(place.lock_path(), "see whether the lock was taken", e)),
        }
        let Err(e) = renamed else { return Ok(Attempt::Void) };
        match e.kind() {
            io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::StaleNetworkFileHandle
            | io::ErrorKind::Interrupted => Ok(Attempt::Lost),
            io::ErrorKind::NotFound => Ok(Attempt::Void),
            // In a sticky directory another user's lock refuses even the attempt.
            io::ErrorKind::PermissionDenied
                if matches!(place.look()?, Seen::Lock(_) | Seen::NotALock(_) | Seen::Stuck { .. }) =>
            {
                Ok(Attempt::Lost)
            }
            _ => Err(Error::io(place.lock_path(), "rename the claim to the lock path", e)),
        }
    }

    fn holds(&self, place: &Place, stake: &Stake) -> io::Result<bool> {
        Self::is_there(stake, place.stat_afresh(&Self::own_entry(place, stake)))
    }

    fn held_file(&self, place: &Place, claim: &Claim) -> Location {
        Self::entry(place, claim)
    }

    fn staged_file(&self, place: &Place, claim: &Claim) -> Location {
        Self::staged_entry(place, claim)
    }

    fn release(&self, place: &Place, stake: &Stake) -> Result<(), Error> {
        // Safe at any time: the entry's name is ours alone, and used once. So where the server has told of it only now, the
        // removal itself tells.
        let told = place.was_told_just_now(stake);
        for attempt in 0..RELEASES_MOST {
            if attempt > 0 || !told {
                match self.holds(place, stake) {
                    Ok(true) => {}
                    Ok(false) => {
                        // Perhaps we have removed it after all.
                        if attempt > 0 {
                            Self::clear(place, stake);
                        }
                        return Err(Error::lost(place.lock_path(), Lost::Broken));
                    }
                    Err(e) => return Err(Error::io(place.lock_path(), "look at the lock", e)),
                }
            }
            if Self::remove_entry(place, stake)? {
                Self::clear(place, stake);
                let in_time = place.env.now() < stake.lease.deadline;
                return if in_time { Ok(()) } else { Err(Error::lost(place.lock_path(), Lost::Overdue)) };
            }
        }
        Err(Error::io(place.lock_path(), "release the lock", io::ErrorKind::NotFound.into()))
    }

    fn withdraw(&self, place: &Place, claim: &Claim) {
        let dir = place.path.beside(&claim.token);
        let gone = gone_is_ok(place.env.unlink(&Self::staged_entry(place, claim)))
            .and_then(|()| gone_is_ok(place.env.rmdir(&dir)));
        if let Err(e) = gone {
            tracing::warn!(lock = %Printable::new(place.lock_path()), claim = %claim.token, error = %e, "a claim is left over");
        }
    }

    fn break_lock(&self, place: &Place, seen: &SeenLock) -> Result<Break, Error> {
        let Some(claim) = &seen.claim else { return Ok(Break::Changed) };
        // It names the claim that was seen: it removes that one or nothing, whoever else is at work.
        match place.env.unlink(&Self::entry(place, claim)) {
            Ok(()) => {}
            Err(e) if is_gone(&e) || e.kind() == io::ErrorKind::NotADirectory => return Ok(Break::Changed),
            Err(e) => return Err(place.break_failed(seen, e)),
        }
        clear(place);
        Ok(Break::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::FileId;

    const LIFETIME: Duration = Duration::from_secs(60);

    fn entry(mtime: ServerTime, ctime: ServerTime) -> Attr {
        let id = FileId { device: 1, inode: 1 };
        Attr { id, kind: FileKind::Regular, nlink: 1, len: 1, mtime, ctime, mode: 0o644, owner: 0 }
    }

    #[test]
    fn an_entry_lasts_from_its_last_change_by_the_latest_that_the_clock_may_have_said() {
        let fine = ServerTime::from_parts(1000, 500_000_000);
        assert_eq!(expiry(&entry(fine, fine), LIFETIME), ServerTime::from_parts(1060, 516_000_000));
        let coarse = ServerTime::from_parts(1000, 0);
        assert_eq!(expiry(&entry(coarse, coarse), LIFETIME), ServerTime::from_parts(1062, 0));
        let later = ServerTime::from_parts(2000, 0);
        assert_eq!(expiry(&entry(later, fine), LIFETIME), later);
    }

    #[test]
    fn what_a_new_file_does_not_have_for_a_ctime_tells_of_no_change() {
        let now = ServerTime::from_parts(1_000_000, 5);
        assert!(tells_change(&entry(now, now)));
        assert!(!tells_change(&entry(now, ServerTime::from_parts(0, 0))));
        assert!(!tells_change(&entry(ServerTime::from_parts(0, 0), now)));
    }
}
