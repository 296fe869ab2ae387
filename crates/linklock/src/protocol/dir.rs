//! The `dir` protocol: a claim directory with one entry is renamed to the lock path. Every name is used once.
//!
//! At most one entry is under the lock path: it arrives by one atomic rename, onto nothing or onto an empty directory,
//! and nobody ever adds a second, but for readers. An unlink of an entry removes that claim or nothing, however late and
//! however often it is carried out.
//!
//! A release or a break leaves an empty directory at the lock path. Whether and how to clear that depends on what else
//! can come there, so the caller passes a [`Clear`].
//!
//! A shared lock has one entry for each reader. The first comes as any claim does. A later one moves its entry into the
//! directory that is there, and then lists it by path: it holds the lock if its entry is there and all others are readers'.
//! Why no reader and no exclusive claim hold the lock at once:
//!
//! - As long as a reader's entry is there, the directory is not empty. So no rename replaces it, and no rmdir removes it:
//!   no exclusive claim arrives. One that had arrived before is in the directory, and the reader sees it.
//! - If the directory is another by now, the entry is not at the lock path, and the reader sees that.
//! - A move that is late or repeated finds no entry to move: names are used once.

use std::io;

use super::bell;
use super::claims;
use super::entry;
use super::expiry::freshen;
use super::io_error::{gone_is_ok, is_gone, is_not_empty, is_refused};
use super::look::dir::{Entries, READERS_MOST};
use super::look::look;
use super::place::{Place, STICKY, WRITE_OTHERS};
use super::seen::{Seen, SeenLock};
use super::silly_names;
use super::stake::{Attempt, Break, Stake};
use crate::claim::Claim;
use crate::env::{DirMode, FileKind, Step};
use crate::error::{Error, Lost};
use crate::printable::Printable;

/// Clears the lock path of an empty directory, or leaves that to the next contender.
pub(super) type Clear = fn(&Place);

/// How many times an entry may be seen, but be gone when it is removed.
const RELEASES_MOST: u32 = 3;

/// Puts a claim beside the lock path, with a fresh expiry.
pub(super) fn stage(place: &Place) -> Result<Stake, Error> {
    // Whoever may read the claim may search the directory. If the directory is left empty at the lock path, the sticky
    // bit distinguishes it from a directory that somebody else made: that one is never removed.
    let mode = place.mode | (place.mode & 0o444) >> 2 | STICKY;
    let break_lock_mode = if place.path.is_break_lock { break_lock_mode(place) } else { None };
    let mode = break_lock_mode.map_or(DirMode::Usual(mode), DirMode::Exactly);
    claims::stage(place, |claim| {
        let dir = place.path.beside(&claim.token);
        let token = claim.token.clone();
        let about = place.about_process(claim.pid).to_json();
        let made = place.env.make_dir(&dir, mode).and_then(|new| {
            if matches!(mode, DirMode::Usual(_)) {
                place.checked.set_has_lost_mark(!new.is_sticky());
            }
            // Fills the very directory that was created: others may give its name to another one.
            let entry = place.staged_file(&claim);
            claims::create(place, claim, &entry, |expiry| {
                new.create(token.as_os_str(), about.as_bytes(), place.mode, expiry)
            })
        });
        made.inspect_err(|_| {
            // The call failed, but it may have been created, since a reply can be lost. If it is empty, it is nobody's
            // claim.
            let _ = place.env.rmdir(&dir);
        })
    })
}

/// The break lock of a dead breaker is in everybody's way. So where any user may remove files in the directory, any
/// user must be able to remove the break lock.
fn break_lock_mode(place: &Place) -> Option<u32> {
    // This also makes an NFS client forget the names in the directory.
    if !place.keeps(Step::FreshNames) {
        return None;
    }
    let parent = place.stat_dir().ok()?.mode;
    (parent & STICKY == 0 && parent & WRITE_OTHERS != 0).then_some(0o755 | parent & WRITE_OTHERS)
}

/// Tries once to move the claim to the lock path, with a fresh expiry, and decides by what is on disk.
pub(super) fn attempt(place: &Place, stake: &mut Stake, clear: Clear) -> Result<Attempt, Error> {
    if !freshen(place, stake)? {
        return Ok(Attempt::Void);
    }
    if std::mem::replace(&mut stake.was_tried, true) && place.keeps(Step::EarlyArrival) && is_early(place, stake)? {
        // Removing it is safe at any time.
        let _ = release(place, stake, clear);
        return Ok(Attempt::Void);
    }
    let before = place.env.now();
    let moved = Moved::to_lock_path(place, &stake.claim);
    stake.noreplace = matches!(moved, Moved::OntoNothing);
    if !place.keeps(Step::DecideByDisk) {
        return Ok(if matches!(moved, Moved::Refused(_)) { Attempt::Failed } else { Attempt::Won });
    }
    match moved.has_arrived(place, stake) {
        Ok(true) if place.env.now() < stake.lease.deadline || !place.keeps(Step::DeadlineOnceWon) => {
            stake.confirmed = before;
            Ok(Attempt::Won)
        }
        // Too late to trust the lock. Removing it is safe at any time.
        Ok(true) => {
            let _ = release(place, stake, clear);
            Ok(Attempt::Void)
        }
        Ok(false) => match moved.failed(place)? {
            Attempt::Failed if stake.claim.is_shared => {
                join(place, stake, clear).map_err(|e| Error::io(place.lock_path(), "share the lock", e))
            }
            attempt => Ok(attempt),
        },
        Err(e) => Err(Error::io(place.lock_path(), "see whether the lock was taken", e)),
    }
}

/// Whether a copy of an earlier rename has brought the claim to the lock path. Then its expiry may have been over when it came, and a
/// contender that saw it so may be about to remove it, although it was made fresh since. If it is not there now, it has a fresh expiry
/// whenever it comes.
fn is_early(place: &Place, stake: &Stake) -> Result<bool, Error> {
    match entry::holds(place, stake) {
        // A directory that we may not read is not ours.
        Err(e) if is_refused(&e) => Ok(false),
        there => there.map_err(|e| Error::io(place.lock_path(), "look at the lock", e)),
    }
}

/// Joins the readers that hold the lock, if only readers do: moves the entry into their directory.
fn join(place: &Place, stake: &mut Stake, clear: Clear) -> io::Result<Attempt> {
    // Another user's directory is not joined: that user could take it away. The attempt right before has asked for it.
    match place.env.stat_as_known(place.location()) {
        Ok(attr) if attr.kind == FileKind::Directory && attr.owner == stake.owner => {}
        Err(e) if !is_gone(&e) => return Err(e),
        _ => return Ok(Attempt::Failed),
    }
    // While somebody has the lock for himself, nothing is changed at the lock path. A look by outdated names does no harm, since
    // the one after the move decides.
    match are_readers_alone(place, None) {
        Ok(true) if !bell::writer_waits(place, stake) => {}
        Err(e) if !is_refused(&e) => return Err(e),
        _ => return Ok(Attempt::Failed),
    }
    // Whatever it returns: its reply may have been lost.
    let _ = place.env.rename(&place.staged_file(&stake.claim), &entry::own(place, stake));
    let before = place.env.now();
    // An NFS client may know another directory by the lock path's name, which is gone.
    let alone = place.forget_names().and_then(|()| are_readers_alone(place, Some(&stake.claim)));
    let holds = match alone {
        Ok(alone) => alone || !place.keeps(Step::ReaderLooksAgain),
        Err(e) => {
            let _ = place.env.unlink(&entry::own(place, stake));
            return Err(e);
        }
    };
    if holds {
        // The directory in which the claim was staged: it is empty now. Before the look at the clock, since it may take long.
        let _ = place.env.rmdir(&place.path.beside(&stake.claim.token));
        if place.env.now() < stake.lease.deadline || !place.keeps(Step::DeadlineOnceWon) {
            stake.confirmed = before;
            return Ok(Attempt::Won);
        }
    }
    // Safe at any time: nobody else uses this name.
    let is_there = place.env.unlink(&entry::own(place, stake)).is_ok();
    if is_there {
        // All others may have gone meanwhile.
        clear(place);
    }
    // A copy of that request may be under way, so the name is not used again.
    Ok(Attempt::Void)
}

/// Whether all that is in the directory at the lock path are readers' entries, at least one, and the named one among them.
fn are_readers_alone(place: &Place, ours: Option<&Claim>) -> io::Result<bool> {
    match Entries::list(place, true) {
        Ok(entries) => {
            let has_ours = ours.is_none_or(|ours| entries.readers.iter().any(|claim| claim.token == ours.token));
            Ok(entries.others.is_empty() && has_ours && (1..=READERS_MOST).contains(&entries.readers.len()))
        }
        Err(e) if is_gone(&e) || e.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(e) => Err(e),
    }
}

/// How a claim came to the lock path, by the answer of rename(2).
enum Moved {
    /// With RENAME_NOREPLACE: nothing was there.
    OntoNothing,
    /// Without that flag. Afterwards this machine knew our directory at the lock path.
    KnownThere,
    /// Without that flag. Afterwards this machine did not know our directory there.
    Unknown,
    /// An error. The claim may have been moved all the same, since a reply can be lost.
    Refused(io::Error),
}

impl Moved {
    fn to_lock_path(place: &Place, claim: &Claim) -> Self {
        Self::rename(place, claim).unwrap_or_else(Self::Refused)
    }

    /// rename(2), but never onto an empty directory that somebody else made.
    fn rename(place: &Place, claim: &Claim) -> io::Result<Self> {
        let (from, to) = (place.path.beside(&claim.token), place.location());
        match place.env.rename_noreplace(&from, to) {
            Ok(()) => return Ok(Self::OntoNothing),
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
            // An empty directory of ours causes this error too. On such a file system it may stay there.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && place.env.removes_by_name_alone(place.path.dir()) => {
            }
            Err(e) => return Err(e),
        }
        // A file system without the flags of renameat2, such as NFS.
        match place.env.stat(to) {
            Ok(attr) if attr.kind == FileKind::Directory && !place.is_marked(&attr) => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            _ => {}
        }
        let ours = place.env.id_as_known(&from)?;
        place.env.rename(&from, to)?;
        let is_known = place.env.id_as_known(to).is_ok_and(|id| id == ours);
        Ok(if is_known { Self::KnownThere } else { Self::Unknown })
    }

    /// Whether our entry is under the lock path. Never trusts the answer of rename alone, since a reply can be lost.
    /// Only we use the entry's name, so if it is there, the lock is ours.
    fn has_arrived(&self, place: &Place, stake: &Stake) -> io::Result<bool> {
        let entry = entry::own(place, stake);
        match self {
            // The server confirmed the entry just now, and our directory is at the lock path. So the entry is there
            // too. NFS clients forget what is in a directory that is moved, so another look would take two requests.
            Self::KnownThere if stake.is_just_confirmed(place) => Ok(true),
            // After a successful rename, a client looks the name up again.
            Self::OntoNothing | Self::KnownThere | Self::Unknown => {
                entry::is_there(stake, place.env.stat_as_known(&entry))
            }
            Self::Refused(_) => {
                // Makes an NFS client forget that the lock path was absent: that memory would hide a lock that we hold.
                let _ = place.stat_dir();
                // A directory that we may not read is not ours.
                entry::is_there(stake, place.env.stat(&entry))
                    .or_else(|e| if is_refused(&e) { Ok(false) } else { Err(e) })
            }
        }
    }

    /// The result of the attempt if our entry is not under the lock path.
    fn failed(self, place: &Place) -> Result<Attempt, Error> {
        let Self::Refused(e) = self else { return Ok(Attempt::Void) };
        match e.kind() {
            io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::StaleNetworkFileHandle
            | io::ErrorKind::Interrupted => Ok(Attempt::Failed),
            io::ErrorKind::NotFound => Ok(Attempt::Void),
            // In a sticky directory, the attempt fails with this error while another user's lock is there.
            io::ErrorKind::PermissionDenied
                if matches!(look(place)?, Seen::Lock(_) | Seen::NotALock(_) | Seen::Stuck { .. }) =>
            {
                Ok(Attempt::Failed)
            }
            _ => Err(Error::io(place.lock_path(), "rename the claim to the lock path", e)),
        }
    }
}

/// Releases the lock.
pub(super) fn release(place: &Place, stake: &Stake, clear: Clear) -> Result<(), Error> {
    // After a downgrade others may be in the directory.
    let shared;
    let place = if stake.claim.is_shared && !place.shared {
        shared = place.to_be_shared();
        &shared
    } else {
        place
    };
    // Where RENAME_NOREPLACE works, rmdir cannot remove a link lock that came meanwhile.
    let clear = if stake.noreplace { remove_empty } else { clear };
    // Safe at any time: only we use the entry's name, and only once. So if the server confirmed the lock just now,
    // there is no need to look before the removal.
    let confirmed = stake.is_just_confirmed(place);
    let in_time = || {
        let in_time = place.env.now() < stake.lease.deadline;
        if in_time { Ok(()) } else { Err(Error::lost(place.lock_path(), Lost::Overdue)) }
    };
    for attempt in 0..RELEASES_MOST {
        if attempt > 0 || !confirmed {
            match entry::holds(place, stake) {
                Ok(true) => {}
                Ok(false) if attempt == 0 => return Err(Error::lost(place.lock_path(), Lost::Broken)),
                // We may have removed it after all, with the last try: it was there right before. A FUSE client (GlusterFS) has said
                // "not there" of an entry that it did remove, since another had cleared the lock path by then.
                Ok(false) => {
                    clear(place);
                    let is_certain = place.cached_for().is_zero();
                    return if is_certain { Err(Error::lost(place.lock_path(), Lost::Broken)) } else { in_time() };
                }
                Err(e) => return Err(Error::io(place.lock_path(), "look at the lock", e)),
            }
        }
        if entry::remove(place, stake)? {
            bell::ring(place, stake);
            clear(place);
            return in_time();
        }
    }
    Err(Error::io(place.lock_path(), "release the lock", io::ErrorKind::NotFound.into()))
}

/// Removes a claim that does not hold the lock.
pub(super) fn withdraw(place: &Place, claim: &Claim) {
    let (dir, entry) = (place.path.beside(&claim.token), place.staged_file(claim));
    let remove = || gone_is_ok(place.env.unlink(&entry)).and_then(|()| gone_is_ok(place.env.rmdir(&dir)));
    let gone = match remove() {
        // An NFS client that could not move the entry, since the readers' directory was gone, believes that the entry is gone. A
        // list of its names shows that it is not.
        Err(e) if is_not_empty(&e) => place.names(&dir, 1, &|_| true).and_then(|_| remove()),
        gone => gone,
    };
    if let Err(e) = gone {
        tracing::warn!(lock = %Printable::new(place.lock_path()), claim = %claim.token, error = %e, "could not remove a claim");
    }
}

/// Breaks the lock of the holder that was seen, and no other.
pub(super) fn break_lock(place: &Place, seen: &SeenLock, clear: Clear) -> Result<Break, Error> {
    let Some(claim) = &seen.claim else { return Ok(Break::Changed) };
    // The name is that of the claim that was seen. So the call removes that claim or nothing, whoever else is at work.
    match place.env.unlink(&place.location().inside(claim.token.as_os_str())) {
        Ok(()) => {}
        Err(e) if is_gone(&e) || e.kind() == io::ErrorKind::NotADirectory => return Ok(Break::Changed),
        Err(e) => return Err(place.break_failed(seen, e)),
    }
    clear(place);
    Ok(Break::Done)
}

/// Clears the lock path where no other lock can be removed by that: a held dir lock is not empty, and where a link lock
/// can come, rmdir removes no file. The lock is free, even if this fails.
pub(super) fn remove_empty(place: &Place) {
    let remove = || place.env.rmdir(place.location());
    if place.shared {
        // Fails if others are in the directory, as a rule.
        let _ = place.remove_afresh(remove);
    } else if remove().is_err_and(|e| is_not_empty(&e)) {
        remove_leftovers(place);
        // Fails if it is gone, or held again. Both are fine. Some file systems say "not empty" until the last reader of an entry
        // that was removed has closed it.
        let _ = remove();
    }
}

/// Removes the `.nfs*` files that a dead client left there for ever. To remove one that is still open does no harm: its
/// reader learns that the lock has changed. The client that has it open refuses, and its file is gone soon.
pub(super) fn remove_leftovers(place: &Place) {
    let leftovers = place.names(place.location(), silly_names::MOST, &silly_names::has_prefix).unwrap_or_default();
    for name in leftovers.iter().filter(|name| silly_names::is_removable(place, name)) {
        // Fails if it is gone.
        let _ = place.env.unlink(&place.location().inside(name));
    }
}
