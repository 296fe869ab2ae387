//! Names on Unix: any bytes but a slash and NUL.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// A file name from the bytes in a directory or in a claim's content.
#[expect(clippy::unnecessary_wraps, reason = "on other platforms not all bytes are a name")]
pub(crate) fn name_from_bytes(bytes: &[u8]) -> Option<OsString> {
    Some(OsString::from_vec(bytes.to_vec()))
}

/// Whether these two names are the same to the file system.
pub(crate) fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    one == other
}

/// Why this path, as it was given, is invalid.
pub(crate) fn flaw_of(path: &Path) -> Option<String> {
    path.as_os_str().as_bytes().contains(&0).then(|| "contains a NUL byte".into())
}

/// Characters that a file name cannot contain.
pub(crate) const NOT_IN_NAMES: &[char] = &['/', '\0'];
