//! Where a file stands, so that nothing on the way to it is followed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A name in the lock's directory, or a name in a directory that has a name there.
///
/// Others may be able to put something else in the place of a name at any moment, such as a symbolic link to elsewhere. Who
/// named the lock's directory is trusted, and it is reached as its path says. From there on nothing is followed: neither
/// what has the last name nor the directory in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    path: PathBuf,
    is_inside: bool,
    owner: Option<u32>,
}

impl Location {
    /// In the lock's directory.
    pub(crate) fn beside(dir: &Path, name: &OsStr) -> Self {
        Self { path: join(dir, name), is_inside: false, owner: None }
    }

    /// In the directory that stands here.
    pub(crate) fn inside(&self, name: &OsStr) -> Self {
        Self { path: join(&self.path, name), is_inside: true, owner: None }
    }

    /// The same, as long as the directory in between belongs to this user. In another's nothing is found.
    pub(crate) fn of(self, owner: u32) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// For people, and for those who know that nobody else can write there.
    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }

    /// The directory in between, if there is one, and who must own it.
    pub(super) fn between(&self) -> Option<(&Path, Option<u32>)> {
        let between = self.path.parent().filter(|_| self.is_inside);
        between.map(|dir| (dir, self.owner))
    }

    pub(super) fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// The lock's directory.
    pub(super) fn dir(&self) -> &Path {
        let dir = self.between().map_or(&*self.path, |(between, _)| between).parent();
        dir.unwrap_or(&self.path)
    }
}

impl AsRef<Path> for Location {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

/// In one allocation: every cycle asks several times.
fn join(dir: &Path, name: &OsStr) -> PathBuf {
    let mut path = PathBuf::with_capacity(dir.as_os_str().len() + 1 + name.len());
    path.push(dir);
    path.push(name);
    path
}
