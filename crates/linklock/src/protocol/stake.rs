//! A claim on disk, and what its contender knows about it.

use std::time::Duration;

use super::place::Place;
use crate::claim::Claim;
use crate::env::{FileId, Meant};
use crate::hint::Ear;
use crate::lease::{Anchor, Lease};
use crate::options::Protocol;
use crate::time::{LocalTime, ServerTime};

/// A claim on disk, and what its contender knows about it.
#[derive(Clone, Debug)]
pub(crate) struct Stake {
    pub(crate) claim: Claim,
    /// While a downgrade is in doubt: the claim by whose name the entry may still be there.
    pub(crate) was: Option<Claim>,
    /// The file that carries the expiry.
    pub(crate) id: FileId,
    /// The owner of that file, as the file system reports it: which user we are there.
    pub(crate) owner: u32,
    /// The ctime of that file, as far as we know.
    pub(crate) ctime: ServerTime,
    pub(crate) anchor: Anchor,
    pub(crate) lease: Lease,
    /// Whether the expiry was set for an attempt that was not made yet.
    pub(crate) fresh: bool,
    /// Whether an attempt was made with this claim: a copy of its request may still be under way.
    pub(crate) was_tried: bool,
    /// The start of the last call whose reply confirmed the claim: that it exists and, after the attempt was won, that
    /// it is at the lock path.
    pub(crate) confirmed: LocalTime,
    /// Whether RENAME_NOREPLACE worked on this file system. It does not on NFS. Where it works, rmdir removes no file.
    pub(crate) noreplace: bool,
    /// The fencing token, once the lock is won.
    pub(crate) fence: Option<u64>,
    /// Where the next in the queue listened when the lock was won.
    pub(crate) next: Option<Ear>,
}

/// How long the server's confirmation counts as fresh. Asking again could take as long.
pub(super) const RECENT: Duration = Duration::from_millis(100);

impl Stake {
    /// Whether the server confirmed the claim just now.
    pub(super) fn is_just_confirmed(&self, place: &Place) -> bool {
        place.env.now().since(self.confirmed) < RECENT
    }

    /// The file of our claim. The entry of a dir claim is identified by its name, which no other entry has, and by its
    /// owner. On some file systems a file's number changes, and `dir` does not need it.
    pub(super) fn meant(&self, place: &Place) -> Meant {
        Meant { is_alone: false, ..meant_waiting(place, self.id, self.owner) }
    }
}

/// The file of a claim that does not hold the lock. Others may be able to write to the directory of a break lock's
/// claim, so that the next breaker can remove what a dead one left. So they could link another file of ours to the
/// entry's name: it must have no other name. For a held entry this is not required: anybody may be able to link it, and
/// that must not prevent the holder's refresh.
pub(super) fn meant_waiting(place: &Place, id: FileId, owner: u32) -> Meant {
    let is_link = place.protocol == Protocol::Link;
    Meant { id: is_link.then_some(id), owner, is_alone: !is_link }
}

/// The result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Won,
    /// Something else is at the lock path.
    Failed,
    /// The claim is gone or unusable: somebody removed it, or its time ran out before we knew that we had won.
    Void,
}

/// The result of a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    Done,
    /// The lock that was seen is not at the lock path any more, or was refreshed.
    Changed,
    /// Another breaker has its turn.
    Busy,
}
