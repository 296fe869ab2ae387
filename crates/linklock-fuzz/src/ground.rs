//! A lock's directory, and beside it a vault with other people's files; and what was there at a moment.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The directory of the lock, and the one where nothing may change.
pub(crate) const SHARED: &str = "shared";
const VAULT: &str = "vault";

/// So much of a content is shown in a message.
const SHOWN_MOST: usize = 400;

pub(crate) struct Ground {
    root: TempDir,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let ground = Self { root: tempfile::tempdir().expect("a directory") };
        fs::create_dir(ground.shared()).expect("a directory");
        // The directories that contenders share are as open as it is.
        fs::set_permissions(ground.shared(), fs::Permissions::from_mode(0o755)).expect("its mode");
        fs::create_dir_all(ground.treasure().join("1")).expect("a directory");
        fs::write(ground.secret(), "precious").expect("a file");
        ground
    }

    pub(crate) fn shared(&self) -> PathBuf {
        self.root.path().join(SHARED)
    }

    /// A file in the vault.
    pub(crate) fn secret(&self) -> PathBuf {
        self.root.path().join(VAULT).join("secret")
    }

    /// A directory in the vault.
    pub(crate) fn treasure(&self) -> PathBuf {
        self.root.path().join(VAULT).join("treasure")
    }

    pub(crate) fn scan(&self) -> Scene {
        let mut scene = Scene::new();
        add(self.root.path(), Path::new(""), &mut scene);
        scene
    }
}

/// All that is there, by path below the root.
pub(crate) type Scene = BTreeMap<PathBuf, Thing>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    Other,
}

/// Something at a path, as far as a change of it would be one that its owner minds.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Thing {
    pub(crate) kind: Kind,
    inode: u64,
    pub(crate) mode: u32,
    owner: u32,
    /// Of a directory: none, since things come and go in it.
    mtime: Option<(i64, i64)>,
    /// Of a file; or the text of a symbolic link.
    pub(crate) content: Vec<u8>,
}

impl Thing {
    fn of(path: &Path, data: &Metadata) -> Self {
        let kind = data.file_type();
        let (kind, content) = if kind.is_dir() {
            (Kind::Directory, Vec::new())
        } else if kind.is_symlink() {
            (Kind::Symlink, fs::read_link(path).expect("a link").as_os_str().as_bytes().to_vec())
        } else if kind.is_file() {
            (Kind::File, fs::read(path).expect("a file"))
        } else {
            assert!(kind.is_fifo() || kind.is_socket(), "nothing else was made");
            (Kind::Other, Vec::new())
        };
        let mtime = (kind != Kind::Directory).then(|| (data.mtime(), data.mtime_nsec()));
        Self { kind, inode: data.ino(), mode: data.mode() & 0o7777, owner: data.uid(), mtime, content }
    }
}

impl fmt::Debug for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, inode, mode, owner, mtime, content } = self;
        write!(f, "{kind:?}, inode {inode}, mode {mode:o}, owner {owner}, mtime {mtime:?}, \"")?;
        write!(f, "{}\" ({} bytes)", content[..content.len().min(SHOWN_MOST)].escape_ascii(), content.len())
    }
}

fn add(root: &Path, below: &Path, scene: &mut Scene) {
    for entry in fs::read_dir(root.join(below)).expect("a directory") {
        let path = below.join(entry.expect("a name").file_name());
        let data = fs::symlink_metadata(root.join(&path)).expect("it is there");
        let thing = Thing::of(&root.join(&path), &data);
        if thing.kind == Kind::Directory {
            add(root, &path, scene);
        }
        scene.insert(path, thing);
    }
}
