//! What becomes of the empty directory at the lock path: after a release, after a break, or after a crash.

use super::dir::{remove_empty, remove_leftovers};
use super::look::look;
use super::place::{Place, STICKY, WRITE_OTHERS};
use super::seen::Seen;
use super::turn::Turn;
use crate::env::{FileKind, Step};
use crate::file_system::Fitness;
use crate::options::Protocol;

/// The mode bits for all but a directory's owner; and those that let them look into it.
const OTHERS: u32 = 0o077;
const READ_OTHERS: u32 = 0o055;

/// How often the lock path is cleared in turn, if it is acquired and released meanwhile.
const TURNS_MOST: u32 = 3;

/// Makes room for an attempt where an empty directory of ours is at the lock path.
pub(crate) fn make_room(place: &Place) {
    // Where rename cannot be told to replace nothing, it replaces the directory, which only has to be empty.
    if place.protocol == Protocol::Dir && place.env.removes_by_name_alone(place.path.dir()) {
        remove_leftovers(place);
    } else {
        clear(place);
    }
}

/// After a release or a break: leaves the empty directory at the lock path where it may stay, and clears the lock path
/// elsewhere. The lock is free in either case. A contender that breaks the lock for a `link` lock needs the room.
pub(super) fn clear_unless_may_stay(place: &Place) {
    if place.protocol == Protocol::Link || !may_stay(place) {
        clear(place);
    }
}

/// Whether the empty directory of a free lock may stay at the lock path. On NFS 4 its removal costs more requests than
/// the lock. It is safe there: a rename replaces a directory only while that is empty, and whoever wants to bring
/// something else to the lock path removes it first, in turn. Sends no request.
///
/// It is removed where it would be in somebody's way: in a sticky directory, where other users can neither replace nor
/// remove it; and where some of them could not look into it, and would take it for a lock. It is also removed where it
/// is not known that a rename replaces it.
pub(super) fn may_stay(place: &Place) -> bool {
    let (env, dir) = (place.env.as_ref(), place.path.dir());
    if place.path.is_break_lock || !env.removes_by_name_alone(dir) {
        return false;
    }
    if !place.file_system().is_some_and(|known| known.dir == Fitness::Shown) {
        return false;
    }
    let modes = (env.mode_as_known(place.location()), env.mode_as_known(&place.path.dir_itself()));
    let (Ok(mode), Ok(parent)) = modes else { return false };
    let all_can_look = mode & READ_OTHERS == READ_OTHERS || parent & OTHERS == 0;
    is_surely_ours(mode) && parent & STICKY == 0 && all_can_look
}

/// Whether only linklock makes such directories: with our mark, and not shared as people share `/tmp`.
pub(super) fn is_surely_ours(mode: u32) -> bool {
    mode & (STICKY | WRITE_OTHERS) == STICKY
}

/// Clears the lock path. The lock is free, even if this fails.
pub(super) fn clear(place: &Place) {
    // A break lock's path never has a link lock.
    let alone = place.path.is_break_lock || !place.env.removes_by_name_alone(place.path.dir());
    if alone || !place.keeps(Step::ClearInTurn) {
        // A held dir lock is not empty, and a link lock is not a directory: neither can be removed by this.
        remove_empty(place);
    } else {
        clear_in_turn(place);
    }
}

/// For NFS 4, where rmdir may remove a link lock that came after the look. Only in turn does anybody make room for a
/// link lock. So in our turn the lock path stays a directory until we remove it.
fn clear_in_turn(place: &Place) {
    for _ in 0..TURNS_MOST {
        // Another has its turn, and looks once more after it.
        let Ok(Some(turn)) = Turn::take(place) else { return };
        // The removal itself shows whether the directory is empty.
        let seen = place.forget_names().and_then(|()| place.env.stat(place.location()));
        let is_ours = seen.is_ok_and(|attr| attr.kind == FileKind::Directory && place.is_marked(&attr));
        if is_ours && turn.is_ours() {
            remove_empty(place);
        }
        turn.end();
        // A holder that released the lock meanwhile has left the directory to us.
        if !matches!(look(place), Ok(Seen::EmptyDirectory { ours: true })) {
            return;
        }
    }
}
