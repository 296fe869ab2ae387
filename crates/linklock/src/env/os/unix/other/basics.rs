//! Calls and numbers that these systems have their own of.

use std::fs;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::OFlags;
#[cfg(not(target_vendor = "apple"))]
use rustix::io::Errno;
use rustix::time::ClockId;

/// Of macOS and FreeBSD, the one that is never set and nearest to one that counts in suspend.
pub(crate) const CLOCK: ClockId = ClockId::Monotonic;

/// To reach what is in a directory.
pub(crate) const TO_REACH: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// From the system's random source.
#[expect(clippy::disallowed_methods, reason = "this is the place for it")]
pub(crate) fn random() -> Option<u64> {
    let mut bytes = [0; size_of::<u64>()];
    fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

pub(crate) fn rename_noreplace(
    dir: BorrowedFd<'_>,
    name: &Path,
    to_dir: BorrowedFd<'_>,
    new: &Path,
) -> rustix::io::Result<()> {
    #[cfg(target_vendor = "apple")]
    return rustix::fs::renameat_with(dir, name, to_dir, new, rustix::fs::RenameFlags::NOREPLACE);
    #[cfg(not(target_vendor = "apple"))]
    {
        let _ = (dir, name, to_dir, new);
        Err(Errno::INVAL)
    }
}
