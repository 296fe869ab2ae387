//! Which columns have room, and texts cut and wrapped to a width.

use ratatui::text::Span;

use super::entry::{Entry, LOCK};
use crate::ls::table::{COLUMNS, HEAD};

/// Between two columns.
pub(super) const GAP: usize = 2;

/// The first has room first.
const BY_IMPORTANCE: [usize; COLUMNS - 1] = [1, 2, 5, 8, 6, 9, 3, 4, 7];

/// How wide a column may be. Others choose their hosts' names, and are not to hide all other columns by them.
const WIDTH_MOST: usize = 40;

/// The columns that fit into this width, from left to right, and how wide each is. The lock is always there.
pub(super) fn chosen<'a>(entries: impl Iterator<Item = &'a Entry> + Clone, room: usize) -> Vec<(usize, usize)> {
    let wanted = |column: usize| {
        let cells = entries.clone().map(|entry| width(&entry.cells[column]));
        cells.max().unwrap_or(0).max(width(HEAD[column]))
    };
    let lock = wanted(LOCK);
    let mut left = room.saturating_sub(lock.min(WIDTH_MOST));
    let mut columns = Vec::new();
    for column in BY_IMPORTANCE {
        let needed = wanted(column).min(WIDTH_MOST) + GAP;
        if needed <= left {
            columns.push((column, needed - GAP));
            left -= needed;
        }
    }
    // A path has all of the room that is left.
    columns.push((LOCK, lock.min(WIDTH_MOST + left).min(room)));
    columns.sort_unstable();
    columns
}

/// How many columns of a terminal it takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text, or its beginning.
pub(super) fn fit(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    first(text.chars(), most.saturating_sub(1)).into_iter().chain(['…']).take(most).collect()
}

/// The text, or its end: of a path that says more.
pub(super) fn fit_end(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let end = first(text.chars().rev(), most.saturating_sub(1));
    ['…'].into_iter().take(most).chain(end.into_iter().rev()).collect()
}

/// Lines of at most this width.
pub(super) fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while width(rest) > most {
        let line: String = first(rest.chars(), most).into_iter().collect();
        // A character that is wider than the line has a line of its own, which is cut.
        let all = if line.is_empty() { rest.chars().next().map_or(0, char::len_utf8) } else { line.len() };
        // At a space, if there is one not too far to the left.
        let at = line.rfind(' ').filter(|at| *at > all / 2).map_or(all, |at| at + 1);
        lines.push(rest[..at].trim_end().to_owned());
        rest = &rest[at..];
    }
    if lines.is_empty() || !rest.is_empty() {
        lines.push(rest.to_owned());
    }
    lines
}

/// As many as have this width.
fn first(chars: impl Iterator<Item = char>, most: usize) -> Vec<char> {
    let mut used = 0;
    let fits = |c: &char| {
        used += width(c.encode_utf8(&mut [0; 4]));
        used <= most
    };
    chars.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::super::entry::HOLDER;
    use super::*;

    #[test]
    fn a_text_is_cut_and_wrapped_by_what_it_takes_of_a_terminal() {
        assert_eq!([fit("abcdef", 6), fit("abcdef", 5), fit("abcdef", 1), fit("abc", 0)], ["abcdef", "abcd…", "…", ""]);
        assert_eq!([fit_end("abcdef", 4), fit_end("abc", 1), fit_end("abc", 0)], ["…def", "…", ""]);
        // Each takes two.
        assert_eq!([fit("漢字漢字", 6), fit_end("漢字漢字", 6)], ["漢字…", "…漢字"]);
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("漢字", 1), ["漢", "字"]);
        assert_eq!(wrap("", 3), [""]);
    }

    #[test]
    fn the_more_important_columns_have_room_first_and_a_wide_terminal_has_all() {
        let cells = std::array::from_fn(|column| if column == LOCK { "x".repeat(60) } else { "y".repeat(10) });
        let entry = Entry { cells, ..Entry::default() };
        let columns = |room| chosen([&entry].into_iter(), room);
        let all = columns(300);
        assert_eq!((all.len(), all[0]), (COLUMNS, (LOCK, 60)), "a path has all of the room that is left");
        for room in 0..300 {
            let columns = columns(room);
            assert_eq!(columns[0].0, LOCK, "{room}");
            let used: usize = columns.iter().map(|(_, width)| width + GAP).sum();
            assert!(used <= room + GAP, "{room}: {columns:?}");
        }
        let numbers: Vec<_> = columns(80).into_iter().map(|(column, _)| column).collect();
        assert_eq!(numbers, [LOCK, 1, 2, 5], "STATE, HOLDER and HELD");

        let mut forged = Entry::default();
        forged.cells[HOLDER] = "z".repeat(250);
        let columns = chosen([&entry, &forged].into_iter(), 150);
        assert_eq!(columns[HOLDER], (HOLDER, WIDTH_MOST));
        assert!(columns.len() > 6, "a long name leaves room for others: {columns:?}");
    }
}
