//! The names that a client of a file system makes itself (`.nfs*`, `.fuse_hidden*`, `.__smb*`). If a process has a file open (as a
//! contender that reads an entry has) and a process of the same client removes it, the client renames the file instead, and
//! removes it when it is closed: a silly rename.

use std::ffi::OsStr;

use super::io_error::is_gone;
use super::place::Place;
use crate::env::{Attr, FileKind};
use crate::names::bytes_of;

/// The most that are expected at a lock path: at most one for each contender that reads an entry at the same time.
pub(super) const MOST: usize = 1000;

const NFS: &str = ".nfs";
const FUSE: &str = ".fuse_hidden";
const SMB: &str = ".__smb";

/// Whether a name looks like one.
pub(crate) fn has_prefix(name: &OsStr) -> bool {
    [NFS, FUSE, SMB].iter().any(|prefix| bytes_of(name).starts_with(prefix.as_bytes()))
}

/// Whether the file with such a name, below the lock path, was made by a client, or is gone. A file that has such
/// a name by chance or by design belongs to somebody.
pub(super) fn is_removable(place: &Place, name: &OsStr) -> bool {
    match place.env.stat(&place.location().inside(name)) {
        Ok(attr) => is_of_client(name, &attr),
        Err(e) => is_gone(&e),
    }
}

/// Whether a client made this name. Linux's NFS names begin with the number of the file's inode, which no other file
/// has. FreeBSD's are `.nfs.`, two numbers of the client, and `4.4`. libfuse's are two numbers of eight digits: of the node, which is
/// no inode number, and a counter. Linux's SMB names are digits alone.
fn is_of_client(name: &OsStr, attr: &Attr) -> bool {
    const DIGITS: usize = 16;
    let name = std::str::from_utf8(bytes_of(name)).unwrap_or_default();
    let is_hex = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_one = if let Some(rest) = name.strip_prefix(NFS) {
        let inode = rest.get(..DIGITS).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        inode == Some(attr.id.inode) || (rest.starts_with('.') && rest.ends_with("4.4"))
    } else if let Some(rest) = name.strip_prefix(FUSE) {
        rest.len() == DIGITS && is_hex(rest)
    } else {
        name.strip_prefix(SMB).is_some_and(is_hex)
    };
    attr.kind == FileKind::Regular && is_one
}
