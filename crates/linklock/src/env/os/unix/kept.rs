//! A descriptor that stays open for longer than a call. An application that becomes a daemon closes all descriptors,
//! even those that it did not open. Then the number may become another file's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};

use super::own;
use crate::env::attr::FileId;

/// A descriptor that is checked before each use, and before it is closed. One that is not ours any more is forgotten,
/// and not closed.
///
/// Another thread can still close it between the check and the use. No system call does both at once.
#[derive(Debug)]
pub(super) struct Kept {
    /// `None` only during drop.
    fd: Option<OwnedFd>,
    /// The generation of the process that opened it.
    process: u64,
    flags: OFlags,
    file: FileId,
    /// Stays true, since the number may later become that of another file of ours.
    is_lost: AtomicBool,
}

impl Kept {
    /// `mark` are status flags that nobody else sets on a file of this kind. On Linux, eventfds, inotify instances and
    /// most other files without a name share one inode number.
    pub(super) fn new(fd: OwnedFd, mark: OFlags) -> io::Result<Self> {
        // If the system refuses the mark, the inode number must be enough.
        let _ = fcntl_setfl(&fd, mark);
        let (flags, file) = (fcntl_getfl(&fd)?, file_of(fd.as_fd())?);
        Ok(Self { fd: Some(fd), process: own::generation(), flags, file, is_lost: AtomicBool::new(false) })
    }

    /// `None` in a forked child, which shares it with its parent, and once the number is another file's. Only makes
    /// system calls and uses atomics, so a signal handler may call it.
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

    /// Only to poll it, which does no harm to another file, or right after `get`.
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
