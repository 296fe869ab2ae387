//! Whether all that is not the lock's is as it was, to the inode, the mode and the times.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::field::{Field, OWN};

/// What is beside the lock's directory, and the victim's own directory inside it, wherever that was moved to.
pub(crate) struct Vault {
    own: u64,
    before: [BTreeMap<PathBuf, String>; 2],
}

impl Vault {
    pub(crate) fn look(field: &Field) -> Self {
        let own = field.dir().join(OWN);
        Self { own: fs::metadata(&own).unwrap().ino(), before: [of(&field.vault()), of(&own)] }
    }

    /// What has changed since.
    pub(crate) fn changes(&self, field: &Field) -> Vec<String> {
        let own = find(&field.dir(), self.own);
        let now = [of(&field.vault()), own.map_or_else(BTreeMap::new, |own| of(&own))];
        self.before.iter().zip(&now).flat_map(|(before, now)| differences(before, now)).collect()
    }
}

fn differences(before: &BTreeMap<PathBuf, String>, now: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let mut all = Vec::new();
    for (path, was) in before {
        match now.get(path) {
            None => all.push(format!("{} is gone", path.display())),
            Some(is) if is != was => all.push(format!("{}: {was}; now {is}", path.display())),
            Some(_) => {}
        }
    }
    all.extend(now.keys().filter(|path| !before.contains_key(*path)).map(|path| format!("{} is new", path.display())));
    all
}

/// All that its attributes tell, by the path below `top`. Of a file no ctime and no count of links: the attacker's own links
/// change these. To read is no change, see `Field`.
fn of(top: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    add(top, top, &mut all);
    all
}

fn add(top: &Path, path: &Path, all: &mut BTreeMap<PathBuf, String>) {
    let a = fs::symlink_metadata(path).unwrap();
    let mut is = format!("inode {} mode {:o} owner {}:{} size {}", a.ino(), a.mode(), a.uid(), a.gid(), a.size());
    is += &format!(" mtime {}.{:09} atime {}.{:09}", a.mtime(), a.mtime_nsec(), a.atime(), a.atime_nsec());
    if a.is_dir() && path != top {
        is += &format!(" ctime {}.{:09} links {}", a.ctime(), a.ctime_nsec(), a.nlink());
    }
    if a.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| add(top, &entry.unwrap().path(), all));
    }
    // The name of the top goes, since it may be another by now.
    let name = Path::new(top.file_name().filter(|name| *name == "vault").unwrap_or(OWN.as_ref()));
    all.insert(name.join(path.strip_prefix(top).unwrap()), is);
}

fn find(dir: &Path, inode: u64) -> Option<PathBuf> {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let a = fs::symlink_metadata(&path).unwrap();
        if a.ino() == inode {
            return Some(path);
        }
        let below = if a.is_dir() { find(&path, inode) } else { None };
        if below.is_some() {
            return below;
        }
    }
    None
}
