//! Texts between C and Rust.

use std::ffi::{CStr, CString, OsStr, c_char};

/// An array of C with as much of `text` as it has room for, to the last whole character, and a NUL.
pub(crate) fn filled<const SIZE: usize>(text: &str) -> [c_char; SIZE] {
    let mut array = [0; SIZE];
    // A NUL inside the text would end it there.
    let text = text.split('\0').next().unwrap_or_default();
    let end = boundary(text, SIZE - 1);
    for (to, from) in array.iter_mut().zip(text[..end].bytes()) {
        *to = from as c_char;
    }
    array
}

/// The last boundary of two characters at `at` or before. The standard library has it since Rust 1.91.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// A text that must be UTF-8, or what is wrong with it.
pub(crate) fn utf8<'a>(text: &'a CStr, what: &str) -> Result<&'a str, String> {
    text.to_str().map_err(|e| format!("{what}: not UTF-8 after {} bytes", e.valid_up_to()))
}

/// A path or a name as the system has it.
#[cfg(unix)]
pub(crate) fn os_text<'a>(text: &'a CStr, _: &str) -> Result<&'a OsStr, String> {
    use std::os::unix::ffi::OsStrExt;
    Ok(OsStr::from_bytes(text.to_bytes()))
}

/// A path or a name as the system has it.
#[cfg(not(unix))]
pub(crate) fn os_text<'a>(text: &'a CStr, what: &str) -> Result<&'a OsStr, String> {
    utf8(text, what).map(OsStr::new)
}

/// The name of a file, for C. Elsewhere than on Unix it is UTF-8, and what is not is replaced.
pub(crate) fn c_text(name: &OsStr) -> CString {
    #[cfg(unix)]
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(name).to_vec();
    #[cfg(not(unix))]
    let bytes = name.to_string_lossy().into_owned().into_bytes();
    // No file's name has a NUL.
    CString::new(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<const SIZE: usize>(text: &str) -> String {
        let array: Vec<u8> = filled::<SIZE>(text).iter().map(|c| *c as u8).collect();
        CStr::from_bytes_until_nul(&array).unwrap().to_str().unwrap().into()
    }

    #[test]
    fn a_text_is_cut_between_characters_and_always_ends() {
        assert_eq!(text::<8>("seven 7"), "seven 7");
        assert_eq!(text::<8>("eight 88"), "eight 8");
        assert_eq!(text::<4>("aaé"), "aa");
        assert_eq!(text::<3>("é\u{1f512}"), "é");
        assert_eq!(text::<4>("\u{1f512}"), "");
        assert_eq!(text::<1>("a"), "");
        assert_eq!(text::<8>(""), "");
        assert_eq!(text::<8>("a\0b"), "a");
    }

    #[test]
    fn what_is_not_utf8_is_an_error_where_it_must_be_and_else_it_is_kept() {
        let odd = c"a\xffb";
        assert!(utf8(odd, "command").unwrap_err().contains("command: not UTF-8 after 1 bytes"));
        assert_eq!(utf8(c"\xc3\xa9", "command").ok(), Some("é"));
        #[cfg(unix)]
        assert_eq!(c_text(os_text(odd, "path").ok().unwrap()).as_c_str(), odd);
    }
}
