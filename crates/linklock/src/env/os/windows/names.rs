//! Names: their bytes, which of them are one, and which no file can have.

use std::ffi::{OsStr, OsString};
use std::os::windows::ffi::OsStrExt;
use std::path::{Component, Path, Prefix};

use windows_sys::Win32::Storage::FileSystem::GetDriveTypeW;

/// A file's name from the bytes that a claim's content has for it: UTF-8.
pub(crate) fn name_from_bytes(bytes: &[u8]) -> Option<OsString> {
    std::str::from_utf8(bytes).ok().map(OsString::from)
}

pub(crate) fn bytes_of(name: &OsStr) -> &[u8] {
    name.as_encoded_bytes()
}

/// Whether these are one name to the file system, which does not tell upper from lower case.
pub(crate) fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    let upper = |name| std::str::from_utf8(name).ok().map(|name| name.chars().flat_map(char::to_uppercase));
    match (upper(one), upper(other)) {
        (Some(one), Some(other)) => one.eq(other),
        _ => false,
    }
}

/// What a name of a file cannot hold.
pub(crate) const NOT_IN_NAMES: &[char] = &['/', '\\', ':', '*', '?', '"', '<', '>', '|', '\0'];

/// What is wrong with a path, as it was given, that no file can have. Windows itself would take `C:\locks\NUL.lock` for a
/// device, `job:lock` for a stream of the file `job`, and forget the dot in `job.`.
pub(crate) fn flaw_of(path: &Path) -> Option<String> {
    if path.to_str().is_none() {
        return Some("is no Unicode text".into());
    }
    if path.file_name().is_none() {
        return Some("does not end in a file's name".into());
    }
    path.components().find_map(|component| match component {
        Component::Prefix(prefix) if matches!(prefix.kind(), Prefix::DeviceNS(_)) => Some("names a device".into()),
        Component::Normal(name) => flaw_of_name(name.to_str()?),
        _ => None,
    })
}

fn flaw_of_name(name: &str) -> Option<String> {
    if let Some(c) = name.chars().find(|c| NOT_IN_NAMES.contains(c) || c.is_control()) {
        let why = if c == ':' { ", which would name a stream" } else { "" };
        return Some(format!("{name:?} holds {c:?}{why}"));
    }
    if name.ends_with(['.', ' ']) {
        return Some(format!("{name:?} ends in a dot or a space, which Windows would cut off"));
    }
    is_device(name).then(|| format!("{name:?} is a device's name on Windows"))
}

/// Whatever follows a dot, and spaces before it, do not count.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ').to_ascii_uppercase();
    if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str()) {
        return true;
    }
    let number = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    let mut number = number.unwrap_or_default().chars();
    matches!((number.next(), number.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
}

/// For calls that take a wide string: an absolute path in the form that may be longer than 260 characters.
pub(super) fn to_wide(path: &Path) -> Vec<u16> {
    let (prefix, rest) = match path.components().next() {
        Some(Component::Prefix(prefix)) => match prefix.kind() {
            Prefix::Disk(_) => (r"\\?\", path.as_os_str().to_owned()),
            // Instead of the first of its two backslashes.
            Prefix::UNC(..) => (r"\\?\UNC", OsString::from(&path.to_string_lossy()[1..])),
            _ => ("", path.as_os_str().to_owned()),
        },
        _ => ("", path.as_os_str().to_owned()),
    };
    prefix.encode_utf16().chain(rest.encode_wide()).chain([0]).collect()
}

/// Whether a path, in which no link is left, is on a drive of this machine alone.
pub(super) fn is_on_own_drive(path: &Path) -> bool {
    const DRIVE_REMOVABLE: u32 = 2;
    const DRIVE_FIXED: u32 = 3;
    const DRIVE_RAMDISK: u32 = 6;
    let Some(Component::Prefix(prefix)) = path.components().next() else { return false };
    let (Prefix::Disk(letter) | Prefix::VerbatimDisk(letter)) = prefix.kind() else { return false };
    let root = [u16::from(letter), u16::from(b':'), u16::from(b'\\'), 0];
    // SAFETY: the text ends in a zero, and is only read.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let kind = unsafe { GetDriveTypeW(root.as_ptr()) };
    [DRIVE_REMOVABLE, DRIVE_FIXED, DRIVE_RAMDISK].contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_file_can_have_are_known_with_what_is_wrong() {
        for (path, flaw) in [
            (r"C:\locks\NUL", "device"),
            (r"C:\locks\..", "file's name"),
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

    #[test]
    fn a_long_path_is_given_in_the_form_for_long_paths() {
        let wide = |path: &str| String::from_utf16(&to_wide(Path::new(path))).unwrap();
        assert_eq!(wide(r"C:\locks\job"), "\\\\?\\C:\\locks\\job\0");
        assert_eq!(wide(r"\\server\share\job"), "\\\\?\\UNC\\server\\share\\job\0");
        assert_eq!(wide(r"\\?\C:\job"), "\\\\?\\C:\\job\0");
    }
}
