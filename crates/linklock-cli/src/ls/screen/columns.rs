//! Which columns have room.

use super::entry::LOCK;
use crate::ls::table::COLUMNS;

/// Between two columns.
pub(super) const GAP: usize = 2;

/// The first has room first.
const BY_IMPORTANCE: [usize; COLUMNS - 1] = [1, 2, 5, 8, 6, 9, 3, 4, 7];

/// How wide a column may be. Others choose their hosts' names, and are not to hide all other columns by them.
const WIDTH_MOST: usize = 40;

/// The columns that fit into this room, from left to right, and how wide each is. The lock is always there.
pub(super) fn chosen(wanted: &[usize; COLUMNS], room: usize) -> Vec<(usize, usize)> {
    let lock = wanted[LOCK];
    let mut left = room.saturating_sub(lock.min(WIDTH_MOST));
    let mut columns = Vec::new();
    for column in BY_IMPORTANCE {
        let width = wanted[column].min(WIDTH_MOST);
        if width + GAP <= left {
            columns.push((column, width));
            left -= width + GAP;
        }
    }
    // A path has all of the room that is left.
    columns.push((LOCK, lock.min(WIDTH_MOST + left).min(room)));
    columns.sort_unstable();
    columns
}

#[cfg(test)]
mod tests {
    use super::super::entry::HOLDER;
    use super::*;

    #[test]
    fn the_more_important_columns_have_room_first_and_a_wide_terminal_has_all() {
        let mut wanted = [10; COLUMNS];
        wanted[LOCK] = 60;
        let all = chosen(&wanted, 300);
        assert_eq!((all.len(), all[0]), (COLUMNS, (LOCK, 60)), "a path has all of the room that is left");
        for room in 0..300 {
            let columns = chosen(&wanted, room);
            assert_eq!(columns[0].0, LOCK, "{room}");
            let used: usize = columns.iter().map(|(_, width)| width + GAP).sum();
            assert!(used <= room + GAP, "{room}: {columns:?}");
        }
        let numbers: Vec<_> = chosen(&wanted, 80).into_iter().map(|(column, _)| column).collect();
        assert_eq!(numbers, [LOCK, 1, 2, 5], "STATE, HOLDER and HELD");

        wanted[HOLDER] = 250;
        let columns = chosen(&wanted, 150);
        assert_eq!(columns[HOLDER], (HOLDER, WIDTH_MOST));
        assert!(columns.len() > 6, "a long name leaves room for others: {columns:?}");
    }
}
