//! What the system says of a file.

use crate::time::ServerTime;

/// Which file it is, whatever its name. A number may be used again once the file is gone.
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

/// What a file's attributes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attr {
    pub(crate) id: FileId,
    pub(crate) kind: FileKind,
    pub(crate) nlink: u64,
    pub(crate) len: u64,
    pub(crate) mtime: ServerTime,
    pub(crate) ctime: ServerTime,
    /// The permissions, with the sticky bit.
    pub(crate) mode: u32,
    /// The number of the user that it belongs to, as the file system has it: a server may have put another in place of ours,
    /// such as root's. On Windows always 0.
    pub(crate) owner: u32,
}

/// Which file is meant by a name that others may have given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meant {
    /// `None` where the number may change while the file is there.
    pub(crate) id: Option<FileId>,
    pub(crate) owner: u32,
    /// Whether it has no other name. Where others may change the names in its directory, one that has may be another file of its
    /// owner's, linked to this name.
    pub(crate) is_alone: bool,
}

impl Meant {
    pub(crate) fn is(&self, attr: &Attr) -> bool {
        self.id.is_none_or(|id| id == attr.id) && self.owner == attr.owner && !(self.is_alone && attr.nlink > 1)
    }
}
