//! What others wrote, as people are shown it. Whatever prints a name, a path or an error of the library goes through here.

use std::ffi::OsStr;
use std::fmt::{self, Write};

/// A text that somebody else may have written, for people to read: the name of a host, of a file, of a command.
///
/// Nothing in it commands a terminal, begins a line of its own or hides what stands beside it. Control characters, the end of a
/// line among them, and what Unicode calls format characters, such as those that turn the direction of writing around, are shown
/// as in Rust's source (`\n`, `\u{202e}`), and bytes that are not UTF-8 as `\xff`. Everything else is left as it is, a backslash too:
/// so what was shown can be shown again, but not read back.
///
/// The errors of this crate, its events, and what [`Token`] and [`Holder`] print are shown so. The fields of [`Holder`], [`About`] and
/// [`Leftover`] hold what is on disk.
///
/// [`Token`]: crate::token::Token
/// [`Holder`]: crate::holder::Holder
/// [`About`]: crate::holder::About
/// [`Leftover`]: crate::protocol::leftovers::Leftover
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(&'a [u8]);

impl<'a> Printable<'a> {
    /// Of a text, a name or a path.
    pub fn new(text: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        Self(text.as_ref().as_encoded_bytes())
    }

    fn write_to(self, out: &mut impl Write) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            Escaping(out).write_str(chunk.valid())?;
            chunk.invalid().iter().try_for_each(|byte| write!(out, "\\x{byte:02x}"))?;
        }
        Ok(())
    }

    /// Of a name that stands in a sentence: in quotation marks, as in Rust's source, if it could be taken for more than a name. A host
    /// may call itself `a (file owner: root)`.
    pub fn word(name: &str) -> impl fmt::Display {
        let is_plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.:@+/\\".contains(c));
        if is_plain { name.to_owned() } else { format!("{name:?}") }
    }

    /// Whether this character is shown as an escape.
    pub fn escapes(c: char) -> bool {
        c.is_control() || (!c.is_ascii() && FORMAT.iter().any(|(first, last)| (*first..=*last).contains(&c)))
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.width().is_none() && f.precision().is_none() {
            return self.write_to(f);
        }
        // As wide as what is shown, not as what is there.
        let mut shown = String::new();
        self.write_to(&mut shown)?;
        f.pad(&shown)
    }
}

/// Shows whatever is written to it: for a text that is put together of several.
pub(crate) struct Escaping<'a, W>(pub(crate) &'a mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| Printable::escapes(*c)) {
            self.0.write_str(&rest[..at])?;
            write!(self.0, "{}", c.escape_default())?;
            rest = &rest[at + c.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// The categories Cf, Zl and Zp of Unicode 16.0 (extracted/DerivedGeneralCategory.txt), and what lies between them.
const FORMAT: [(char, char); 19] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e007f}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_or_misleads_a_reader_is_escaped_and_nothing_else() {
        let shown = |text: &str| Printable::new(text).to_string();
        assert_eq!(shown("a\nb\r\tc\x1b[2Jd\x7fe\0"), "a\\nb\\r\\tc\\u{1b}[2Jd\\u{7f}e\\u{0}");
        assert_eq!(shown("\u{9b}2J\u{85}\u{202e}\u{2066}\u{feff}"), "\\u{9b}2J\\u{85}\\u{202e}\\u{2066}\\u{feff}");
        let plain = "C:\\n é e\u{301} 日本 \u{1f512} 'a' \"b\" \u{fffd}";
        assert_eq!(shown(plain), plain);
        let bidi = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}').chain('\u{200b}'..='\u{200f}');
        let others = ['\u{61c}', '\u{2028}', '\u{2029}', '\u{feff}', '\u{ad}', '\u{e0000}', '\u{e0041}'];
        let c1 = '\u{80}'..='\u{9f}';
        assert!(bidi.chain(others).chain(c1).chain('\0'..='\x1f').all(Printable::escapes));
        assert!((' '..='~').chain('\u{a0}'..='\u{ac}').chain(['\u{2010}', '\u{3000}']).all(|c| !Printable::escapes(c)));
    }

    /// The standard library has a table of its own, for what it prints of a text for programmers.
    #[test]
    fn rust_prints_none_of_it_as_it_is_either() {
        let escaped: Vec<_> = ('\0'..=char::MAX).filter(|c| Printable::escapes(*c)).collect();
        assert!(escaped.len() > 65 + 150, "{}", escaped.len());
        let printed: Vec<_> = escaped.iter().filter(|c| c.escape_debug().eq([**c])).collect();
        assert_eq!(printed, Vec::<&char>::new());
    }

    #[test]
    fn it_fills_a_column_as_any_text_does() {
        let name = Printable::new("a\x1bb");
        assert_eq!(format!("{name:<10}|{name:>10}|{name:.3}|{name}"), "a\\u{1b}b  |  a\\u{1b}b|a\\u|a\\u{1b}b");
    }

    #[test]
    fn a_name_in_a_sentence_is_not_taken_for_the_sentence() {
        let word = |name: &str| Printable::word(name).to_string();
        for plain in ["h.example", "büro-7", r"DOMAIN\anna", "/bin/make", "fe80::1"] {
            assert_eq!(word(plain), plain);
        }
        assert_eq!(word("x (file owner: root)"), "\"x (file owner: root)\"");
        assert_eq!(word("x\" (file owner: root) \"\n\u{202e}"), r#""x\" (file owner: root) \"\n\u{202e}""#);
        assert_eq!(word(""), "\"\"");
    }

    #[test]
    fn what_was_shown_is_shown_as_it_is() {
        let once = Printable::new("\x1b\u{202e}\n\\u{1b}").to_string();
        assert_eq!(Printable::new(&once).to_string(), once);
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(FORMAT.iter().all(|(first, last)| first <= last) && FORMAT.is_sorted_by(|one, other| one.1 < other.0));
    }

    #[cfg(unix)] // Elsewhere names are no bytes.
    #[test]
    fn bytes_that_are_no_text_are_escaped() {
        let name = crate::names::name_from_bytes(b"a\xffb\xe2\x80\x9b\xc2").unwrap();
        assert_eq!(Printable::new(&name).to_string(), "a\\xffb\u{201b}\\xc2");
    }
}
