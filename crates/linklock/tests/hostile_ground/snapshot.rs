//! The state of a directory, to check that nothing has changed in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// All that a user can see in a directory, by path. The times of directories are left out, since claims come and go in them.
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
        let mut is = identity(&data);
        if kind.is_dir() {
            add(&path, all);
        } else {
            is += &format!(" mtime {:?}", data.modified().unwrap());
        }
        if kind.is_symlink() {
            is += &format!(" to {}", fs::read_link(&path).unwrap().display());
        } else if kind.is_file() && data.len() < 4096 {
            is += &format!(" {:?}", fs::read(&path).unwrap());
        }
        all.insert(path, is);
    }
}

#[cfg(unix)]
fn identity(data: &fs::Metadata) -> String {
    use std::os::unix::fs::MetadataExt;
    // A directory's link count is that of its subdirectories.
    let links = if data.is_dir() { 0 } else { data.nlink() };
    format!("inode {} mode {:o} owner {} size {} links {links}", data.ino(), data.mode(), data.uid(), data.size())
}

#[cfg(windows)]
fn identity(data: &fs::Metadata) -> String {
    use std::os::windows::fs::MetadataExt;
    format!("attributes {:x} size {}", data.file_attributes(), data.file_size())
}
