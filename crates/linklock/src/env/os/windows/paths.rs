//! Paths as the system's calls take them, and the drives that they are on.

use std::ffi::OsString;
use std::os::windows::ffi::OsStrExt;
use std::path::{Component, Path, Prefix};

use windows_sys::Win32::Storage::FileSystem::GetDriveTypeW;

/// For calls that take a wide string: an absolute path, in the form that may be longer than 260 characters.
pub(super) fn to_wide(path: &Path) -> Vec<u16> {
    let (prefix, rest) = match path.components().next() {
        Some(Component::Prefix(prefix)) => match prefix.kind() {
            Prefix::Disk(_) => (r"\\?\", path.as_os_str().to_owned()),
            // Replaces the first of its two backslashes.
            Prefix::UNC(..) => (r"\\?\UNC", OsString::from(&path.to_string_lossy()[1..])),
            _ => ("", path.as_os_str().to_owned()),
        },
        _ => ("", path.as_os_str().to_owned()),
    };
    prefix.encode_utf16().chain(rest.encode_wide()).chain([0]).collect()
}

/// Whether a path without links is on a drive of this machine.
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
    fn a_long_path_is_given_in_the_form_for_long_paths() {
        let wide = |path: &str| String::from_utf16(&to_wide(Path::new(path))).unwrap();
        assert_eq!(wide(r"C:\locks\job"), "\\\\?\\C:\\locks\\job\0");
        assert_eq!(wide(r"\\server\share\job"), "\\\\?\\UNC\\server\\share\\job\0");
        assert_eq!(wide(r"\\?\C:\job"), "\\\\?\\C:\\job\0");
    }
}
