//! A descriptor that is kept for longer than a call. An application that becomes a daemon closes all descriptors, also those
//! that it has not opened, and the number may then be another file's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};

use super::own;
use crate::env::FileId;

/// A descriptor that is checked before each use, and before it is closed. One that is not ours any more is forgotten.
///
/// Another thread can still close it between the check and the use. No system call checks and uses at once.
#[derive(Debug)]
pub(super) struct Kept {
    /// `None` only while it is dropped.
    fd: Option<OwnedFd>,
    /// The generation of the process that made it.
    process: u64,
    flags: OFlags,
    file: FileId,
    /// Once it was not ours, the number may become that of another of ours.
    is_lost: AtomicBool,
}

impl Kept {
    /// `mark` are status flags that nobody else gives to a file of this kind: on Linux, eventfds, inotify instances and most
    /// other files without a name have one inode number.
    pub(super) fn new(fd: OwnedFd, mark: OFlags) -> io::Result<Self> {
        // Where the system refuses the mark, the file's number has to do.
        let _ = fcntl_setfl(&fd, mark);
        let (flags, file) = (fcntl_getfl(&fd)?, file_of(fd.as_fd())?);
        Ok(Self { fd: Some(fd), process: own::generation(), flags, file, is_lost: AtomicBool::new(false) })
    }

    /// `None` in a forked child, which shares it with its parent, and once the number is another file's. Makes system calls and
    /// uses atomics, nothing else: a signal handler may call it.
    pub(super) fn get(&self) -> Option<BorrowedFd<'_>> {
        let fd = self.unchecked().filter(|_| !self.is_lost.load(Ordering::Relaxed))?;
        let is_ours = self.process == own::generation()
            && fcntl_getfl(fd).is_ok_and(|flags| flags == self.flags)
            && file_of(fd).is_ok_and(|file| file == self.file);
        if !is_ours {
            self.is_lost.store(true, Ordering::Relaxed);
        }
        is_ours.then_some(fd)
    }

    /// To poll it, which does no harm to another file; or right after `get`.
    pub(super) fn unchecked(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let is_ours = self.get().is_some();
        if let Some(fd) = self.fd.take().filter(|_| !is_ours) {
            let _ = fd.into_raw_fd();
        }
    }
}

#[allow(clippy::unnecessary_cast, reason = "these fields' types differ between systems")]
fn file_of(fd: BorrowedFd<'_>) -> rustix::io::Result<FileId> {
    fstat(fd).map(|stat| FileId { device: stat.st_dev as u64, inode: stat.st_ino as u64 })
}
