//! Clearing the lock path of an empty directory: after a release, after a break, or what a crash left.

use super::dir::{remove_empty, remove_leftovers};
use super::look::look;
use super::place::{Place, STICKY};
use super::seen::Seen;
use super::turn::Turn;
use crate::env::{FileKind, Step};
use crate::options::Protocol;

/// So often the lock path is cleared in turn, should it be taken and released meanwhile.
const TURNS_MOST: u32 = 3;

/// Makes room for an attempt where the lock path is an empty directory of ours.
pub(crate) fn make_room(place: &Place) {
    // Where rename cannot be told not to replace it, it need only be empty.
    if place.protocol == Protocol::Dir && place.env.removes_by_name_alone(place.path.dir()) {
        remove_leftovers(place);
    } else {
        clear(place);
    }
}

/// Clears the lock path. Whatever becomes of it, the lock is free.
pub(super) fn clear(place: &Place) {
    // At a break lock's path there is never a link lock.
    let alone = place.path.is_break_lock || !place.env.removes_by_name_alone(place.path.dir());
    if alone || !place.keeps(Step::ClearInTurn) {
        // A held dir lock is not empty, and a link lock is no directory: neither can be hit.
        remove_empty(place);
    } else {
        clear_in_turn(place);
    }
}

/// For NFS 4, where rmdir may remove a link lock that came after the look. In turn nobody else makes room for one: while it
/// is our turn, the lock path stays a directory until we remove it.
fn clear_in_turn(place: &Place) {
    for _ in 0..TURNS_MOST {
        // Another's turn: it looks once more when that is over.
        let Ok(Some(turn)) = Turn::take(place) else { return };
        // Whether ours is empty the removal tells.
        let seen = place.forget_names().and_then(|()| place.env.stat(place.location()));
        let is_ours = seen.is_ok_and(|attr| attr.kind == FileKind::Directory && attr.mode & STICKY != 0);
        if is_ours && turn.is_ours() {
            remove_empty(place);
        }
        turn.end();
        // Who released the lock meanwhile has left this to us.
        if !matches!(look(place), Ok(Seen::EmptyDirectory { ours: true })) {
            return;
        }
    }
}
