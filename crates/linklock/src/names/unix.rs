//! Names on Unix: any bytes but a slash and NUL.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// A file's name from the bytes that a directory or a claim's content has for it.
#[expect(clippy::unnecessary_wraps, reason = "on other platforms not all bytes are a name")]
pub(crate) fn name_from_bytes(bytes: &[u8]) -> Option<OsString> {
    Some(OsString::from_vec(bytes.to_vec()))
}

/// Whether these are one name to the file system.
pub(crate) fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    one == other
}

/// What is wrong with a path, as it was given, that no file can have.
pub(crate) fn flaw_of(path: &Path) -> Option<String> {
    path.as_os_str().as_bytes().contains(&0).then(|| "holds a NUL byte".into())
}

/// What a name of a file cannot hold.
pub(crate) const NOT_IN_NAMES: &[char] = &['/', '\0'];
