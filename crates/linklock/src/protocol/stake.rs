//! A claim that is on disk, and what its maker knows of it.

use std::time::Duration;

use super::place::Place;
use crate::claim::Claim;
use crate::env::{FileId, Meant};
use crate::lease::{Anchor, Lease};
use crate::options::Protocol;
use crate::time::{LocalTime, ServerTime};

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
    /// The start of the last call by whose reply the server has confirmed that the claim is as we believe: there, and at the lock
    /// path once it was won.
    pub(crate) confirmed: LocalTime,
    /// Whether the file system took RENAME_NOREPLACE, which NFS does not: so there rmdir removes no file.
    pub(crate) noreplace: bool,
    /// The fencing token, once the lock is won.
    pub(crate) fence: Option<u64>,
}

/// What the server has confirmed is not asked again for so long: to ask may take as long.
pub(super) const RECENT: Duration = Duration::from_millis(100);

impl Stake {
    /// Whether the server has confirmed only now that the claim is as we believe.
    pub(super) fn is_just_confirmed(&self, place: &Place) -> bool {
        place.env.now().since(self.confirmed) < RECENT
    }

    /// The file of a claim of ours. The entry of a dir claim is known by its name, which no other has, and by its owner: there
    /// are file systems where a file's number changes, and dir needs none.
    pub(super) fn meant(&self, place: &Place) -> Meant {
        Meant { is_alone: false, ..meant_waiting(place, self.id, self.owner) }
    }
}

/// The file of a claim that waits. Others may write the directory of a break lock's claim, where whoever breaks next removes
/// what one who died has left; so they could link another file of ours to the entry's name. But a link of a held entry, which
/// anybody may be able to make, must not keep its holder from refreshing it.
pub(super) fn meant_waiting(place: &Place, id: FileId, owner: u32) -> Meant {
    let is_link = place.protocol == Protocol::Link;
    Meant { id: is_link.then_some(id), owner, is_alone: !is_link }
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Won,
    /// Something is at the lock path.
    Failed,
    /// The claim is gone or useless: removed by somebody, or its time ran out before we knew that we had won.
    Void,
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
