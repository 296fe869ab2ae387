//! What an error of the file system says about a name.

use std::io;

/// The name does not exist any more. NFS reports ESTALE for a file that this client knew.
pub(crate) fn is_gone(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

/// This user may not, or nobody may.
pub(super) fn is_refused(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// The content cannot be read by this user, or not now, or not without leaving a delegation.
pub(super) fn is_unreadable(e: &io::Error) -> bool {
    is_refused(e) || matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported)
}

/// The directory has names in it. xfs says EEXIST for that: rmdir(2) allows both.
pub(super) fn is_not_empty(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

pub(super) fn gone_is_ok(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|e| if is_gone(&e) { Ok(()) } else { Err(e) })
}
