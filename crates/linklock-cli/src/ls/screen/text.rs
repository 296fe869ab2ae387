//! Texts as wide as a terminal shows them: cut and wrapped.

use ratatui::text::Span;

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
}
