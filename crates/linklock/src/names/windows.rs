//! Names on Windows: Unicode, case-insensitive, and some are devices.

use std::ffi::OsString;
use std::path::{Component, Path, Prefix};

/// A file name from the bytes in a claim's content, which are UTF-8.
pub(crate) fn name_from_bytes(bytes: &[u8]) -> Option<OsString> {
    std::str::from_utf8(bytes).ok().map(OsString::from)
}

/// Whether these two names are the same to the file system, which is case-insensitive.
pub(crate) fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    let upper = |name| std::str::from_utf8(name).ok().map(|name| name.chars().flat_map(char::to_uppercase));
    match (upper(one), upper(other)) {
        (Some(one), Some(other)) => one.eq(other),
        _ => false,
    }
}

/// Characters that a file name cannot contain.
pub(crate) const NOT_IN_NAMES: &[char] = &['/', '\\', ':', '*', '?', '"', '<', '>', '|', '\0'];

/// Why this path, as it was given, is invalid. Windows itself would accept some of these: it takes `C:\locks\NUL.lock`
/// as a device and `job:lock` as a stream of the file `job`, and drops the dot in `job.`.
pub(crate) fn flaw_of(path: &Path) -> Option<String> {
    if path.to_str().is_none() {
        return Some("is not valid Unicode".into());
    }
    if path.file_name().is_none() {
        return Some("does not end in a file name".into());
    }
    path.components().find_map(|component| match component {
        Component::Prefix(prefix) if matches!(prefix.kind(), Prefix::DeviceNS(_)) => Some("names a device".into()),
        Component::Normal(name) => flaw_of_name(name.to_str()?),
        _ => None,
    })
}

fn flaw_of_name(name: &str) -> Option<String> {
    if let Some(c) = name.chars().find(|c| NOT_IN_NAMES.contains(c) || c.is_control()) {
        let why = if c == ':' { ", so it would name a stream" } else { "" };
        return Some(format!("{name:?} contains {c:?}{why}"));
    }
    if name.ends_with(['.', ' ']) {
        return Some(format!("{name:?} ends in a dot or a space, which Windows would drop"));
    }
    is_device(name).then(|| format!("{name:?} is the name of a device on Windows"))
}

/// Windows ignores what follows a dot, and spaces before the dot.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ').to_ascii_uppercase();
    if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str()) {
        return true;
    }
    let number = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    let mut number = number.unwrap_or_default().chars();
    matches!((number.next(), number.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_file_can_have_are_known_with_what_is_wrong() {
        for (path, flaw) in [
            (r"C:\locks\NUL", "device"),
            (r"C:\locks\..", "file name"),
            (r"C:\locks\com1.lock", "device"),
            (r"C:\con\job", "device"),
            (r"lpt² .x", "device"),
            (r"\\.\pipe\job", "device"),
            (r"C:\locks\job:lock", "stream"),
            (r"C:\locks\job.", "dot"),
            (r"C:\locks \job", "dot or a space"),
            (r"C:\locks\a?b", "'?'"),
            ("C:\\locks\\a\tb", "'\\t'"),
        ] {
            let found = flaw_of(Path::new(path)).unwrap_or_else(|| panic!("{path:?} has a flaw"));
            assert!(found.contains(flaw), "{path:?}: {found}");
        }
        for path in
            [r"C:\locks\job", "job", r"..\job.lock", r"\\server\share\job", r"\\?\C:\job", "console", "COM10", "null"]
        {
            assert_eq!(flaw_of(Path::new(path)), None, "{path:?}");
        }
    }

    #[test]
    fn names_in_other_case_are_one() {
        assert!(is_same_name("Jöb".as_bytes(), "JÖB".as_bytes()));
        assert!(!is_same_name(b"job", b"jobs") && !is_same_name(b"\xff", b"\xff"));
    }
}
