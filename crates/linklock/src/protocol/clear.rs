//! Clears the lock path of an empty directory: after a release, after a break, or after a crash.

use super::dir::{remove_empty, remove_leftovers};
use super::look::look;
use super::place::Place;
use super::seen::Seen;
use super::turn::Turn;
use crate::env::{FileKind, Step};
use crate::options::Protocol;

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
