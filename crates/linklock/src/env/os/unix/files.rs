//! Creates, reads and lists files by descriptor.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, OFlags, Timestamps, openat, unlinkat};
use rustix::io::retry_on_intr;

use super::convert::{to_mode, to_timespec};
use super::reach::open_at;
use super::system::stat::{stat_open, stat_open_as_known};
use crate::env::attr::{Attr, FileKind, Meant};
use crate::env::location::Location;
use crate::env::world::{Each, Expiry};

/// Up to `limit` bytes of a regular file, and its attributes.
pub(crate) fn read(at: &Location, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
    // NONBLOCK: opening a FIFO of that name must not block.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open_at(at, flags)?;
    let attr = stat_open(&file)?;
    let mut content = Vec::new();
    if attr.kind == FileKind::Regular {
        fs::File::from(file).take(limit as u64).read_to_end(&mut content)?;
    }
    Ok((attr, content))
}

pub(crate) const TO_LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

pub(crate) fn show_names(dir: OwnedFd, each: &mut Each<'_>) -> io::Result<()> {
    for entry in rustix::fs::Dir::new(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." && each(OsStr::from_bytes(name), entry.ino()).is_break() {
            break;
        }
    }
    Ok(())
}

/// `owner`: the owner of the directory. If the new file has another owner, it is removed again: another directory has
/// taken the place of the one that was meant.
pub(crate) fn create(
    dir: BorrowedFd<'_>,
    name: &Path,
    content: &[u8],
    mode: u32,
    expiry: &mut Expiry<'_>,
    owner: Option<u32>,
) -> io::Result<Attr> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = retry_on_intr(|| openat(dir, name, flags, to_mode(mode)))?;
    fill(file, content, expiry, owner).inspect_err(|_| {
        // Returns the first error. An error here would only follow from it.
        let _ = unlinkat(dir, name, AtFlags::empty());
    })
}

fn fill(file: OwnedFd, content: &[u8], expiry: &mut Expiry<'_>, owner: Option<u32>) -> io::Result<Attr> {
    let mut attr = stat_open(&file)?;
    if owner.is_some_and(|owner| owner != attr.owner) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let expiry = expiry(&attr);
    write_all(&file, content)?;
    if let Some(expiry) = expiry {
        // After the write, which sets the mtime to now.
        let times = Timestamps { last_access: to_timespec(expiry), last_modification: to_timespec(expiry) };
        retry_on_intr(|| rustix::fs::futimens(&file, &times))?;
        attr = stat_open_as_known(&file)?;
    }
    close(file)?;
    Ok(attr)
}

pub(crate) fn append(at: &Location, meant: Meant, content: &[u8]) -> io::Result<()> {
    // NONBLOCK: opening a FIFO of that name must not block.
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open_at(at, flags)?;
    if !meant.is(&stat_open_as_known(&file)?) {
        return Err(io::ErrorKind::NotFound.into());
    }
    write_all(&file, content)?;
    // A client may keep what is written for a while.
    retry_on_intr(|| rustix::fs::fsync(&file))?;
    close(file)
}

fn write_all(file: &OwnedFd, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        let written = retry_on_intr(|| rustix::io::write(file, rest))?;
        rest = &rest[written..];
    }
    Ok(())
}

/// NFS writes when a file is closed, and only then reports that there was no room.
fn close(file: OwnedFd) -> io::Result<()> {
    #[expect(unsafe_code, reason = "to close a file and learn how that went has no safe function")]
    // SAFETY: only we owned the descriptor, and nobody uses it any more.
    unsafe {
        Ok(rustix::io::try_close(file.into_raw_fd())?)
    }
}
