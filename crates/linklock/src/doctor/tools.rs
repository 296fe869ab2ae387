//! The doctor's own directory, and a pause.

use std::ffi::OsStr;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::env::{Attr, Env, Location};
use crate::error::Error;
use crate::time::ServerTime;
use crate::wait::{Cancel, Wait};

/// A directory for what is tried. It is removed with all that is in it.
pub(super) struct Workshop {
    pub(super) env: Arc<dyn Env>,
    path: PathBuf,
    cancel: Cancel,
}

impl Workshop {
    pub(super) fn open(env: Arc<dyn Env>, dir: &Path, cancel: &Cancel) -> Result<Self, Error> {
        let path = dir.join(format!("linklock-doctor.{}.{:016x}", env.process_id(), env.unique()));
        let made = env.mkdir(&location(&path), 0o755);
        made.map_err(|e| Error::io(dir, "make a directory there", e))?;
        Ok(Self { env, path, cancel: cancel.clone() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How long a contender waits at most.
    pub(super) fn patience(&self, most: Duration) -> Wait {
        Wait::up_to(most).cancelled_by(&self.cancel)
    }

    pub(super) fn check_cancelled(&self) -> Result<(), Error> {
        check_cancelled(&self.path, &self.cancel)
    }

    /// Of a name in it, or of one in a directory in it.
    pub(super) fn at(&self, name: &str) -> Location {
        match name.split_once('/') {
            None => Location::beside(&self.path, name.as_ref()),
            Some((dir, name)) => Location::beside(&self.path, dir.as_ref()).inside(name.as_ref()),
        }
    }

    /// A new file whose content is its name.
    pub(super) fn create(&self, name: &str) -> io::Result<Attr> {
        self.env.create(&self.at(name), name.as_bytes(), 0o644, &mut |_| None)
    }

    /// A new directory, with a file in it or without.
    pub(super) fn mkdir(&self, name: &str, file: Option<&str>) -> io::Result<()> {
        self.env.mkdir(&self.at(name), 0o755)?;
        file.map_or(Ok(()), |file| self.create(&format!("{name}/{file}")).map(drop))
    }

    pub(super) fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        names(self.env.as_ref(), dir)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(e) = remove_all(self.env.as_ref(), &self.path) {
            tracing::warn!(path = %crate::Printable::new(&self.path), error = %e, "could not remove the doctor's directory");
        }
    }
}

pub(super) fn location(path: &Path) -> Location {
    Location::beside(path.parent().unwrap_or(path), path.file_name().unwrap_or_default())
}

pub(super) fn names(env: &dyn Env, dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    env.list_dir(dir, &mut |name: &OsStr, _| {
        names.push(name.to_string_lossy().into_owned());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

/// What a file system still shows of what is removed already is left: a client removes it when it is closed.
pub(super) fn remove_all(env: &dyn Env, dir: &Path) -> io::Result<()> {
    env.stat_dir(dir)?;
    for name in names(env, dir)? {
        let at = Location::beside(dir, name.as_ref());
        let removed = env.unlink(&at).or_else(|_| remove_all(env, at.as_path()));
        removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })?;
    }
    env.rmdir(&location(dir))
}

pub(super) fn check_cancelled(dir: &Path, cancel: &Cancel) -> Result<(), Error> {
    if cancel.is_cancelled() { Err(Error::cancelled(dir, None)) } else { Ok(()) }
}

/// For so long, or until it is cancelled.
pub(super) fn rest(env: &dyn Env, time: Duration, cancel: &Cancel) {
    let until = env.now() + time;
    let mut watcher = env.watcher();
    while env.now() < until && !cancel.is_cancelled() {
        watcher.wait(until, Some(cancel.event()));
    }
}

pub(super) fn apart(one: ServerTime, other: ServerTime) -> Duration {
    one.since(other).max(other.since(one))
}
