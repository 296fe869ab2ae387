//! Whether everything but the lock has stayed the same, including inode, mode and times.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::field::{Field, OWN, WAITING_DIR, WAITING_FILE};

/// The things beside the lock's directory, and the victim's own directory inside it, even if it was moved. Where the attacker can
/// do nothing to them, other users' claims too.
pub(crate) struct Vault {
    own: u64,
    before: Vec<BTreeMap<PathBuf, String>>,
}

impl Vault {
    pub(crate) fn look(field: &Field) -> Self {
        let own = field.dir().join(OWN);
        Self { own: fs::metadata(&own).unwrap().ino(), before: all(field, Some(own)) }
    }

    /// The changes since then.
    pub(crate) fn changes(&self, field: &Field) -> Vec<String> {
        let now = all(field, find(&field.dir(), self.own));
        self.before.iter().zip(&now).flat_map(|(before, now)| differences(before, now)).collect()
    }
}

fn all(field: &Field, own: Option<PathBuf>) -> Vec<BTreeMap<PathBuf, String>> {
    let mut all = vec![of("vault", &field.vault())];
    all.push(own.map_or_else(BTreeMap::new, |own| of(OWN, &own)));
    if field.is_safe() {
        all.extend([WAITING_DIR, WAITING_FILE].map(|claim| of(claim, &field.dir().join(claim))));
    }
    all
}

fn differences(before: &BTreeMap<PathBuf, String>, now: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let mut all = Vec::new();
    for (path, was) in before {
        match now.get(path) {
            None => all.push(format!("{} was removed", path.display())),
            Some(is) if is != was => all.push(format!("{}: {was}; now {is}", path.display())),
            Some(_) => {}
        }
    }
    all.extend(now.keys().filter(|path| !before.contains_key(*path)).map(|path| format!("{} is new", path.display())));
    all
}

/// All attributes by the path below `top`, which gets this name. Without the ctime and link count of files, which the attacker's
/// own links change. Reading is not a change, see `Field`.
fn of(name: &str, top: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    add(Path::new(name), top, true, &mut all);
    all
}

fn add(name: &Path, path: &Path, is_top: bool, all: &mut BTreeMap<PathBuf, String>) {
    let Ok(a) = fs::symlink_metadata(path) else { return };
    let mut is = format!("inode {} mode {:o} owner {}:{} size {}", a.ino(), a.mode(), a.uid(), a.gid(), a.size());
    is += &format!(" mtime {}.{:09} atime {}.{:09}", a.mtime(), a.mtime_nsec(), a.atime(), a.atime_nsec());
    if a.is_dir() {
        // A rename of a directory changes its own ctime.
        if !is_top {
            is += &format!(" ctime {}.{:09} links {}", a.ctime(), a.ctime_nsec(), a.nlink());
        }
        for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
            add(&name.join(entry.file_name()), &entry.path(), false, all);
        }
    }
    all.insert(name.to_owned(), is);
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
