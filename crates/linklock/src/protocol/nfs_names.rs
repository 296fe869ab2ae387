//! The names that an NFS client makes itself (`.nfs*`). If a process has a file open (as a contender that reads an
//! entry has) and a process of the same client removes it, the client renames the file instead, and removes it when it
//! is closed.

use std::ffi::OsStr;

use super::io_error::is_gone;
use super::place::Place;
use crate::env::{Attr, FileKind};
use crate::names::bytes_of;

/// The most that are expected at a lock path: at most one for each contender that reads an entry at the same time.
pub(super) const MOST: usize = 1000;

/// Whether a name looks like one.
pub(super) fn has_prefix(name: &OsStr) -> bool {
    bytes_of(name).starts_with(b".nfs")
}

/// Whether the file with such a name, below the lock path, was made by an NFS client, or is gone. A file that has such
/// a name by chance or by design belongs to somebody.
pub(super) fn is_removable(place: &Place, name: &OsStr) -> bool {
    match place.env.stat(&place.location().inside(name)) {
        Ok(attr) => is_of_client(name, &attr),
        Err(e) => is_gone(&e),
    }
}

/// Whether an NFS client made this name. Linux's names begin with the number of the file's inode, which no other file
/// has. FreeBSD's are `.nfs.`, two numbers of the client, and `4.4`.
fn is_of_client(name: &OsStr, attr: &Attr) -> bool {
    const DIGITS: usize = 16;
    let name = std::str::from_utf8(bytes_of(name)).unwrap_or_default();
    let Some(rest) = name.strip_prefix(".nfs") else { return false };
    let inode = rest.get(..DIGITS).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let is_one = inode == Some(attr.id.inode) || (rest.starts_with('.') && rest.ends_with("4.4"));
    attr.kind == FileKind::Regular && is_one
}
