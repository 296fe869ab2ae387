//! What the system says about a file.

use crate::time::ServerTime;

/// Which file it is, whatever its name. The number can be reused after the file is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Regular,
    Directory,
    Symlink,
    #[cfg_attr(windows, allow(dead_code, reason = "there, devices and pipes are not in directories"))]
    Other,
}

/// A file's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attr {
    pub(crate) id: FileId,
    pub(crate) kind: FileKind,
    pub(crate) nlink: u64,
    pub(crate) len: u64,
    pub(crate) mtime: ServerTime,
    pub(crate) ctime: ServerTime,
    /// The permissions and the sticky bit.
    pub(crate) mode: u32,
    /// The number of the file's owner, as the file system reports it: a server may map a user, such as root, to
    /// another. Always 0 on Windows.
    pub(crate) owner: u32,
}

/// Which file is meant, by a name that others may have given to another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meant {
    /// `None` where a file's number can change.
    pub(crate) id: Option<FileId>,
    pub(crate) owner: u32,
    /// Whether it must have no other name. Where others may change names in its directory, a file with another name may
    /// be a different file of the same owner, linked to this name.
    pub(crate) is_alone: bool,
}

impl Meant {
    pub(crate) fn is(&self, attr: &Attr) -> bool {
        self.id.is_none_or(|id| id == attr.id) && self.owner == attr.owner && !(self.is_alone && attr.nlink > 1)
    }
}
