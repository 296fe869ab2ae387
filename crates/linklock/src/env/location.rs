//! Where a file is, so that nothing on the way to it is followed.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::attr::Attr;

/// A name in the lock's directory, or a name in a directory there.
///
/// At any time, others may be able to replace a name, for example by a symbolic link to elsewhere. Whoever named the
/// lock's directory is trusted, and linklock follows that path. From there on it follows nothing: neither the last name
/// nor the directory in between. Where the directory was not named but found, in one that was, nothing is followed from
/// the named one on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    path: PathBuf,
    is_inside: bool,
    /// How many directories, down to the lock's, were found.
    found: usize,
    between: Between,
}

/// What must be true of the directory in between when it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Between {
    /// Its owner.
    pub(super) owner: Option<u32>,
    /// The mode bits of those who must be allowed to write to it.
    pub(super) writers: u32,
}

impl Location {
    /// In the lock's directory.
    pub(crate) fn beside(dir: &Path, name: &OsStr) -> Self {
        Self { path: join(dir, name), is_inside: false, found: 0, between: Between::default() }
    }

    /// So many of the last names in the path of the lock's directory were found, and are not followed.
    pub(crate) fn found(self, found: usize) -> Self {
        Self { found, ..self }
    }

    /// In the directory at this location.
    pub(crate) fn inside(&self, name: &OsStr) -> Self {
        Self { path: join(&self.path, name), is_inside: true, found: self.found, between: self.between }
    }

    /// Requires that the directory in between belongs to this user. In another user's directory nothing is found:
    /// `NotFound`.
    pub(crate) fn of(self, owner: u32) -> Self {
        Self { between: Between { owner: Some(owner), ..self.between }, ..self }
    }

    /// Requires that the users whom these mode bits name may write to the directory at this location, or in between.
    /// Otherwise nothing is done there: `PermissionDenied`.
    pub(crate) fn written_by(self, writers: u32) -> Self {
        Self { between: Between { writers, ..self.between }, ..self }
    }

    /// For people, and where nobody else can write.
    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }

    /// The directory in between, if there is one, and what must be true of it.
    pub(super) fn between(&self) -> Option<(&Path, Between)> {
        let between = self.path.parent().filter(|_| self.is_inside);
        between.map(|dir| (dir, self.between))
    }

    pub(super) fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// The directory that somebody named, and the names by which the lock's directory was found from there; `None` if that was
    /// named itself.
    #[cfg_attr(windows, allow(dead_code, reason = "Windows walks whole paths"))]
    pub(super) fn way(&self) -> Option<(&Path, impl Iterator<Item = &OsStr>)> {
        if self.found == 0 {
            return None;
        }
        let named = self.dir().ancestors().nth(self.found)?;
        Some((named, self.dir().strip_prefix(named).ok()?.iter()))
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

impl Between {
    /// Calls `attr` only if it matters.
    pub(super) fn check(&self, attr: impl FnOnce() -> io::Result<Attr>) -> io::Result<()> {
        if *self == Self::default() {
            return Ok(());
        }
        let dir = attr()?;
        if self.owner.is_some_and(|owner| owner != dir.owner) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if self.writers & !dir.mode != 0 {
            let why = "fewer users may write it than the directory that it is in, so it may belong to somebody who does not know about the lock; remove it";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Ok(())
    }
}

/// One allocation: every cycle of acquire and release does this several times.
fn join(dir: &Path, name: &OsStr) -> PathBuf {
    let mut path = PathBuf::with_capacity(dir.as_os_str().len() + 1 + name.len());
    path.push(dir);
    path.push(name);
    path
}
