//! Converts our numbers to the system's, and back.

use rustix::fs::{FileType, Mode, Timespec};
use rustix::process::Pid;

use crate::env::attr::FileKind;
use crate::time::ServerTime;

/// The width of a mode differs between systems.
pub(crate) fn to_mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits as _)
}

pub(crate) fn kind(mode: u32) -> FileKind {
    match FileType::from_raw_mode(mode as _) {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        _ => FileKind::Other,
    }
}

pub(crate) fn to_timespec(time: ServerTime) -> Timespec {
    let (secs, nanos) = time.to_parts();
    Timespec { tv_sec: secs, tv_nsec: nanos.into() }
}

pub(crate) fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}
