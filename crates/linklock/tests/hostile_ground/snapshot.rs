//! What is on disk, to see that it stays so.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// All that a user can tell of what is in a directory, by path. The times of directories are left out, since claims come
/// and go there.
pub(crate) fn of(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    add(dir, &mut all);
    all
}

fn add(dir: &Path, all: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::symlink_metadata(&path).unwrap();
        let kind = data.file_type();
        let mut is = format!("inode {} mode {:o} owner {} size {}", data.ino(), data.mode(), data.uid(), data.size());
        if kind.is_dir() {
            add(&path, all);
        } else {
            is += &format!(" links {} mtime {}.{}", data.nlink(), data.mtime(), data.mtime_nsec());
        }
        if kind.is_symlink() {
            is += &format!(" to {}", fs::read_link(&path).unwrap().display());
        } else if kind.is_file() && data.size() < 4096 {
            is += &format!(" {:?}", fs::read(&path).unwrap());
        }
        assert!(!kind.is_block_device() && !kind.is_char_device(), "{}: no test makes devices", path.display());
        all.insert(path, is);
    }
}
