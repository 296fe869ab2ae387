//! File names: their bytes, which names are the same to a file system, and which are invalid. Makes no system call.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::ffi::{OsStr, OsString};

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

pub(crate) use platform::{NOT_IN_NAMES, flaw_of, is_same_name, name_from_bytes};

/// The bytes of a name or a path, as they are on disk and in a claim's content.
pub(crate) fn bytes_of(name: &(impl AsRef<OsStr> + ?Sized)) -> &[u8] {
    name.as_ref().as_encoded_bytes()
}

/// The part of a name before the first separator.
pub(crate) fn before(name: &OsStr, separator: char) -> Option<OsString> {
    let at = position(bytes_of(name), separator)?;
    name_from_bytes(&bytes_of(name)[..at])
}

/// The first position of this character in a name.
pub(crate) fn position(name: &[u8], c: char) -> Option<usize> {
    let mut buffer = [0; 4];
    let c = c.encode_utf8(&mut buffer).as_bytes();
    name.windows(c.len()).position(|at| at == c)
}
