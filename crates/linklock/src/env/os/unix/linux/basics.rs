//! Calls and numbers that Linux has its own of.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, RenameFlags, renameat_with};
use rustix::io::retry_on_intr;
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::ClockId;

/// It counts in suspend.
pub(crate) const CLOCK: ClockId = ClockId::Boottime;

/// To reach what is in a directory that may not be read. An NFS client asks for no more than on the way along a path.
pub(crate) const TO_REACH: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// From the system's random source. Not held up by a machine that has only started and gathered little for it yet.
pub(crate) fn random() -> Option<u64> {
    let mut bytes = [0; size_of::<u64>()];
    // Older kernels refuse the first flag, and have the second.
    let drawn = [GetRandomFlags::INSECURE, GetRandomFlags::NONBLOCK]
        .into_iter()
        .any(|flag| retry_on_intr(|| getrandom(&mut bytes, flag)).is_ok_and(|len| len == bytes.len()));
    drawn.then(|| u64::from_ne_bytes(bytes))
}

pub(crate) fn rename_noreplace(
    dir: BorrowedFd<'_>,
    name: &Path,
    to_dir: BorrowedFd<'_>,
    new: &Path,
) -> rustix::io::Result<()> {
    renameat_with(dir, name, to_dir, new, RenameFlags::NOREPLACE)
}

/// A name of what is open, see proc_pid_fd(5).
pub(crate) fn as_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}
