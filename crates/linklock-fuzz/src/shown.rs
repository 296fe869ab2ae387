//! What people and programs see.

use crate::printable::Printable;

/// A text that people may see has nothing in it on which a terminal acts, but for the ends of lines where these are meant.
#[track_caller]
pub(crate) fn assert_harmless(text: &str, has_lines: bool) {
    let bad = text.chars().find(|c| Printable::escapes(*c) && !(has_lines && *c == '\n'));
    assert!(bad.is_none(), "{bad:?} is shown as it is: {text:?}");
}
