//! What linklock can know about the file system of a path.

use std::path::Path;

use crate::file_system::{FileSystem, Mount, Stamps};

/// Not known: the careful answer.
pub(crate) fn removes_by_name_alone(_: &Path) -> bool {
    true
}

/// If only this machine changes the file system, only its clock stamps files. For shared ones it is not known.
pub(crate) fn stamps(dir: &Path) -> Stamps {
    if is_shared(dir) == Some(false) { Stamps::Server } else { Stamps::NotKnown }
}

/// None is known by a number here.
pub(crate) fn file_system(_: &Path) -> Option<&'static FileSystem> {
    None
}

/// What linklock shows of a mount is Linux's.
pub(crate) fn mount(_: &Path) -> Option<Mount> {
    None
}

/// Whether other machines change it too. `None` if that is not known.
pub(crate) fn is_shared(dir: &Path) -> Option<bool> {
    #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
    {
        const MNT_LOCAL: u64 = 0x1000;
        let stat = rustix::fs::statfs(dir).ok()?;
        #[allow(clippy::unnecessary_cast, reason = "the field's width differs between systems")]
        Some(stat.f_flags as u64 & MNT_LOCAL == 0)
    }
    #[cfg(not(any(target_vendor = "apple", target_os = "freebsd")))]
    {
        let _ = dir;
        None
    }
}
