//! Names of an NFS client's own (`.nfs*`): a file that was removed while a process of that client had it open, as a contender
//! has an entry that it reads. The client renames it instead, and removes it once it is closed.

use std::ffi::OsStr;

use super::io_error::is_gone;
use super::place::Place;
use crate::env::{Attr, FileKind};
use crate::names::bytes_of;

/// At a lock path there are no more of them than its contenders have read entries at once.
pub(super) const MOST: usize = 1000;

/// Whether a name looks like one.
pub(super) fn has_prefix(name: &OsStr) -> bool {
    bytes_of(name).starts_with(b".nfs")
}

/// Whether what has such a name below the lock path is such a file, or gone. What has it by chance, or by design, is somebody's.
pub(super) fn is_removable(place: &Place, name: &OsStr) -> bool {
    match place.env.stat(&place.location().inside(name)) {
        Ok(attr) => is_of_client(name, &attr),
        Err(e) => is_gone(&e),
    }
}

/// Whether it is a name that a client gives to such a file: Linux' begins with the number of its inode, which tells it from
/// others; FreeBSD's is `.nfs.`, two numbers of the client's own and `4.4`.
fn is_of_client(name: &OsStr, attr: &Attr) -> bool {
    const DIGITS: usize = 16;
    let name = std::str::from_utf8(bytes_of(name)).unwrap_or_default();
    let Some(rest) = name.strip_prefix(".nfs") else { return false };
    let inode = rest.get(..DIGITS).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let is_one = inode == Some(attr.id.inode) || (rest.starts_with('.') && rest.ends_with("4.4"));
    attr.kind == FileKind::Regular && is_one
}
