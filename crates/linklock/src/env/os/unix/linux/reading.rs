//! Reads a file so that no read delegation stays with this machine.

use std::io;

use rustix::fs::OFlags;
use rustix::io::{Errno, retry_on_intr};

use super::super::files;
use super::super::reach::open_at;
use super::mounts::{Reading, reading};
use super::stat::stat_open;
use crate::env::attr::{Attr, FileKind};
use crate::env::location::Location;

pub(crate) fn read_without_delegation(at: &Location, device: u64, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
    match reading(at.dir(), device) {
        Reading::AsUsual => files::read(at, limit),
        Reading::Direct => read_direct(at, limit),
        Reading::NotAtAll => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// With O_DIRECT, an NFS client tells the server that it wants no delegation.
fn read_direct(at: &Location, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::DIRECT;
    let file = open_at(at, flags).map_err(|e| match Errno::from_io_error(&e) {
        // This is how a file system without O_DIRECT fails.
        Some(Errno::INVAL) => io::ErrorKind::Unsupported.into(),
        _ => e,
    })?;
    let attr = stat_open(&file)?;
    let len = if attr.kind == FileKind::Regular { attr.len.min(limit as u64) } else { 0 };
    // Up to its length, and not to its end: that would take one more request.
    let mut content = vec![0; len as usize];
    let mut filled = 0;
    while filled < content.len() {
        match retry_on_intr(|| rustix::io::read(&file, &mut content[filled..]))? {
            0 => break,
            read => filled += read,
        }
    }
    content.truncate(filled);
    Ok((attr, content))
}
