//! The plain system, by paths: for the file operations of rivals and of the tests themselves.

use std::ffi::OsString;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use crate::env::os::OsEnv;
use crate::env::{Attr, Env, Location, Meant};
use crate::time::ServerTime;

pub(super) struct Plain;

/// The location of a path, as of a name in a lock's directory.
pub(super) fn at(path: &(impl AsRef<Path> + ?Sized)) -> Location {
    let path = path.as_ref();
    Location::beside(path.parent().unwrap_or(path), path.file_name().unwrap_or_default())
}

impl Plain {
    pub(super) fn create(&self, path: &(impl AsRef<Path> + ?Sized), content: &[u8]) -> io::Result<Attr> {
        OsEnv.create(&at(path), content, 0o644, &mut |_| None)
    }

    /// Whatever file is there.
    pub(super) fn set_expiry(&self, path: &(impl AsRef<Path> + ?Sized), expiry: ServerTime) -> io::Result<Attr> {
        let at = at(path);
        OsEnv.set_expiry(&at, whatever(&OsEnv.stat(&at)?), expiry)
    }

    pub(super) fn stat(&self, path: &(impl AsRef<Path> + ?Sized)) -> io::Result<Attr> {
        OsEnv.stat(&at(path))
    }

    pub(super) fn list(&self, dir: &(impl AsRef<Path> + ?Sized)) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        OsEnv.list(&at(dir), &mut |name, _| {
            names.push(name.to_owned());
            ControlFlow::Continue(())
        })?;
        Ok(names)
    }

    pub(super) fn link(&self, from: &(impl AsRef<Path> + ?Sized), to: &(impl AsRef<Path> + ?Sized)) -> io::Result<()> {
        OsEnv.link(&at(from), &at(to))
    }

    pub(super) fn rename(
        &self,
        from: &(impl AsRef<Path> + ?Sized),
        to: &(impl AsRef<Path> + ?Sized),
    ) -> io::Result<()> {
        OsEnv.rename(&at(from), &at(to))
    }

    pub(super) fn unlink(&self, path: &(impl AsRef<Path> + ?Sized)) -> io::Result<()> {
        OsEnv.unlink(&at(path))
    }

    pub(super) fn mkdir(&self, path: &(impl AsRef<Path> + ?Sized)) -> io::Result<()> {
        OsEnv.mkdir(&at(path), 0o755)
    }

    /// Windows has no such permissions.
    pub(super) fn chmod(&self, path: &(impl AsRef<Path> + ?Sized), mode: u32) -> io::Result<()> {
        #[cfg(unix)]
        rustix::fs::chmod(path.as_ref(), rustix::fs::Mode::from_raw_mode(mode as _))?;
        #[cfg(not(unix))]
        let _ = (path, mode);
        Ok(())
    }

    pub(super) fn rmdir(&self, path: &(impl AsRef<Path> + ?Sized)) -> io::Result<()> {
        OsEnv.rmdir(&at(path))
    }
}

fn whatever(attr: &Attr) -> Meant {
    Meant { id: Some(attr.id), owner: attr.owner, is_alone: false }
}
