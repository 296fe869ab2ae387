//! Creates a claim: its name, and the file that carries its expiry.

use std::io;

use super::expiry::{ask_clock, shown_deadline};
use super::place::{Place, ROUNDING, SLOW};
use super::stake::{Stake, meant_waiting};
use crate::claim::Claim;
use crate::env::{Attr, Expiry, Location};
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::lease::{Anchor, Lease};
use crate::options::{OnBehalfOf, Protocol};
use crate::time::{LocalTime, ServerTime};

/// The most names that are tried for a new claim.
const NAMES_MOST: u32 = 17;

/// A new claim, by the lock's `on_behalf_of`.
fn new(place: &Place) -> Result<Claim, Error> {
    match place.on_behalf_of {
        OnBehalfOf::ThisProcess => Ok(of_this_process(place)),
        OnBehalfOf::Nobody => Ok(named(place, place.env.process_id(), None)),
        OnBehalfOf::Process(pid) if !place.env.may_exist(pid) => {
            Err(Error::invalid(format!("process {pid}: no such process, so it cannot hold a lock")))
        }
        // Where the process has no fingerprint, linklock cannot see it end, and the lock lasts until its expiry.
        OnBehalfOf::Process(pid) => Ok(named(place, pid, place.env.fingerprint(pid))),
    }
}

/// A new name for what this process uses itself, on whosever behalf it acquires the lock: others may sweep what a dead
/// process has named.
pub(super) fn of_this_process(place: &Place) -> Claim {
    let own = place.env.process_id();
    named(place, own, place.env.fingerprint(own))
}

fn named(place: &Place, pid: u32, fingerprint: Option<Fingerprint>) -> Claim {
    place.path.new_claim(place.env.unique(), &place.host, pid, fingerprint, place.lifetime, place.shared)
}

/// Puts a claim beside the lock path by `make`. Leaves a name that is taken alone, whoever took it.
pub(super) fn stage(place: &Place, make: impl Fn(Claim) -> io::Result<Stake>) -> Result<Stake, Error> {
    let mut staged = make(new(place)?);
    for _ in 1..NAMES_MOST {
        if !staged.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AlreadyExists) {
            break;
        }
        staged = make(new(place)?);
    }
    staged.map_err(|e| Error::cannot_create(place.lock_path(), e))
}

/// Creates, by `make`, the file that carries a claim's expiry. The expiry is fresh: it is computed as soon as the file
/// exists.
pub(super) fn create(
    place: &Place,
    claim: Claim,
    at: &Location,
    make: impl FnOnce(&mut Expiry<'_>) -> io::Result<Attr>,
) -> io::Result<Stake> {
    let mut file = NewFile::Asked { before: place.env.now() };
    let attr = make(&mut |attr| file.begin_lease(place, &claim, at, attr))?;
    let NewFile::There { attr: new, before, anchor, mut lease } = file else {
        return Err(io::Error::other("the new file has no attributes"));
    };
    if place.protocol == Protocol::Link {
        lease.deadline = shown_deadline(place, &claim, &lease, before, &attr).inspect_err(|_| {
            let _ = place.env.unlink(at);
        })?;
    }
    Ok(Stake {
        claim,
        was: None,
        id: new.id,
        owner: new.owner,
        ctime: attr.ctime,
        anchor,
        lease,
        fresh: true,
        was_tried: false,
        confirmed: before,
        noreplace: false,
        fence: None,
        next: None,
    })
}

/// The file that is to carry a claim's expiry, while it is created.
enum NewFile {
    /// The request was sent.
    Asked { before: LocalTime },
    /// The file exists. Its ctime showed the server's time, so its lease has begun.
    There { attr: Attr, before: LocalTime, anchor: Anchor, lease: Lease },
}

impl NewFile {
    /// Begins the lease, as soon as the file exists. Returns the mtime to set, if any.
    fn begin_lease(&mut self, place: &Place, claim: &Claim, at: &Location, attr: &Attr) -> Option<ServerTime> {
        let (Self::Asked { before } | Self::There { before, .. }) = *self;
        let mut now = place.env.now();
        let mut anchor = Anchor::new(attr.ctime, before, now);
        // With a slow reply, the expiry would be too far in the future, by as much.
        if anchor.width() > SLOW {
            let meant = meant_waiting(place, attr.id, attr.owner);
            anchor = ask_clock(place, at, meant, attr.ctime).ok().flatten().unwrap_or(anchor);
            now = place.env.now();
        }
        let lease = Lease::starting(now, &anchor, place.lifetime, claim.mark());
        *self = Self::There { attr: *attr, before, anchor, lease };
        // A dir lock lasts from its last change, so setting the mtime too would be a wasted request.
        (place.protocol == Protocol::Link || !has_ctime(attr)).then_some(lease.expiry)
    }
}

/// Whether the ctime of a new file is real: some file systems, or their servers, have none.
fn has_ctime(attr: &Attr) -> bool {
    attr.ctime.since(attr.mtime) <= ROUNDING && attr.mtime.since(attr.ctime) <= ROUNDING
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{FileId, FileKind};

    #[test]
    fn a_ctime_that_a_new_file_cannot_have_says_nothing_of_a_change() {
        let entry = |mtime, ctime| {
            let id = FileId { device: 1, inode: 1 };
            Attr { id, kind: FileKind::Regular, nlink: 1, len: 1, mtime, ctime, mode: 0o644, owner: 0 }
        };
        let now = ServerTime::from_parts(1_000_000, 5);
        assert!(has_ctime(&entry(now, now)));
        assert!(!has_ctime(&entry(now, ServerTime::from_parts(0, 0))));
        assert!(!has_ctime(&entry(ServerTime::from_parts(0, 0), now)));
    }
}
