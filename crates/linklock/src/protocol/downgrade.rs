//! A downgrade: the holder of a `dir` lock lets others share it. Its entry gets the name of the same claim to a shared lock, by one
//! rename in the directory at the lock path.
//!
//! Why no exclusive claim holds the lock beside anybody:
//!
//! - From the call on, its holder counts as a reader, whatever the call returns: the request may be carried out at any moment, also
//!   late, and then others join. Nothing gives an entry its exclusive name back.
//! - The entry stays in the directory, which so is not empty at any moment: no exclusive claim arrives, as beside any reader. A
//!   reader that lists the directory sees the old name, and does not join; or the new one; or, if a listing can miss what is renamed
//!   meanwhile, none: then the downgrade has begun.
//! - A name is used once, and the new one has the claim's own number, which no other claim has. So a request that comes late, or
//!   again, finds this entry under its old name or nothing, and replaces nothing. If the process has ended by then, it makes
//!   an expired exclusive entry an expired shared one, which lasts at most for a lifetime from that change, as after a late refresh.
//! - A breaker removes the entry by the name by which it judged it. If it judged the exclusive one, the deadline had passed, or the
//!   process had ended. If the rename comes first, the removal finds nothing, and the breaker looks again. If the removal comes first,
//!   there is nothing to rename.
//! - The deadline stays as it was. A rename makes no expiry earlier: it leaves the mtime, and makes the ctime new or leaves it.

use std::io;

use super::bell;
use super::entry;
use super::io_error::is_gone;
use super::place::Place;
use super::stake::Stake;
use crate::env::Step;
use crate::error::{DOWNGRADE, Error, Lost};
use crate::time::LocalTime;

/// How many times the entry may be seen under its old name, but be gone when it is renamed.
const TRIES: u32 = 3;

/// Shares a held `dir` lock with others. That counts only if it returns before `limit`. If the error says that the lock is lost, it
/// is; if not, it is held as a reader holds it, under either name, and this can be tried again. A lock that is shared stays as it is.
pub(super) fn downgrade(place: &Place, stake: &mut Stake, limit: LocalTime) -> Result<(), Error> {
    let in_time = || {
        let in_time = place.env.now() < limit || !place.keeps(Step::DeadlineOfDowngrade);
        if in_time { Ok(()) } else { Err(Error::lost(place.lock_path(), Lost::Overdue)) }
    };
    // An expired lock may be broken at any moment.
    in_time()?;
    if !stake.claim.is_shared {
        let shared = stake.claim.to_be_shared();
        stake.was = Some(std::mem::replace(&mut stake.claim, shared));
    }
    for attempt in 1.. {
        let Some(was) = &stake.was else { break };
        let renamed = place.env.rename(&entry::named(place, stake, was), &entry::own(place, stake));
        let (confirmed, broken) = (place.env.now(), || Error::lost(place.lock_path(), Lost::Broken));
        if !place.keeps(Step::DowngradeByDisk) {
            return renamed.map_err(|_| broken());
        }
        let failed = |e| Error::io(place.lock_path(), DOWNGRADE, e);
        if has_come(place, stake).map_err(failed)? {
            (stake.was, stake.confirmed) = (None, confirmed);
            bell::ring(place, stake);
        } else if !entry::holds(place, stake).map_err(failed)? {
            return Err(broken());
        } else {
            let why = renamed.err().unwrap_or_else(|| io::Error::other("its entry still has the old name"));
            // An NFS client may have remembered that the lock path was absent, or another lock there. It has asked since.
            let did_not_know = is_gone(&why) || why.kind() == io::ErrorKind::NotADirectory;
            if !did_not_know || attempt == TRIES {
                return Err(failed(why));
            }
        }
    }
    // What was seen of the entry says nothing of the time since: a breaker may have judged it meanwhile.
    in_time()
}

/// Whether the entry has its new name. The disk decides: the reply to a request may be lost, and if it is sent again, an NFS server says
/// that there is no such file.
fn has_come(place: &Place, stake: &mut Stake) -> io::Result<bool> {
    let mut look = || {
        let attr = place.env.stat(&entry::own(place, stake));
        if let Ok(attr) = &attr {
            // By the ctime, a later change is known to have been made.
            stake.ctime = attr.ctime;
        }
        entry::is_there(stake, attr)
    };
    if look()? {
        return Ok(true);
    }
    entry::forget(place)?;
    look()
}
