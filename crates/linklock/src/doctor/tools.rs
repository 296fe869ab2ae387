//! The names that the doctor makes, and a pause.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::conformance::client::all_names;
use crate::env::{Attr, Each, Env, Location};
use crate::error::Error;
use crate::time::ServerTime;
use crate::wait::{Cancel, Wait};

/// So all names of the doctor begin.
pub(super) const BEGIN: &str = "linklock-doctor.";

/// The name of the lock that is tried out.
pub(super) const TRIAL: &str = "trial.lock";

/// Names in the directory that is examined, all with one beginning that nobody else has. Others may write there: so nothing on the
/// way is followed, and none is removed but those that were made, by their names.
pub(super) struct Workshop {
    pub(super) env: Arc<dyn Env>,
    dir: PathBuf,
    begin: String,
    /// As whom we make files there.
    owner: u32,
    made: RefCell<Vec<String>>,
    cancel: Cancel,
}

impl Workshop {
    pub(super) fn open(env: Arc<dyn Env>, dir: &Path, cancel: &Cancel) -> Result<Self, Error> {
        let begin = format!("{BEGIN}{}.{:016x}.", env.process_id(), env.unique());
        let (dir, made, cancel) = (dir.to_owned(), RefCell::default(), cancel.clone());
        let mut shop = Self { env, dir, begin, owner: 0, made, cancel };
        let first = shop.create("first").map_err(|e| Error::io(&shop.dir, "make a file there", e))?;
        shop.owner = first.owner;
        Ok(shop)
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        self.dir.join(format!("{}{TRIAL}", self.begin))
    }

    /// How long a contender waits at most.
    pub(super) fn patience(&self, most: Duration) -> Wait {
        Wait::up_to(most).cancelled_by(&self.cancel)
    }

    pub(super) fn check_cancelled(&self) -> Result<(), Error> {
        check_cancelled(&self.dir, &self.cancel)
    }

    /// Of one of our names, or of a name in a directory that has one.
    pub(super) fn at(&self, name: &str) -> Location {
        let (first, rest) = name.split_once('/').map_or((name, None), |(first, rest)| (first, Some(rest)));
        let at = Location::beside(&self.dir, format!("{}{first}", self.begin).as_ref());
        rest.map_or(at.clone(), |rest| at.inside(rest.as_ref()).of(self.owner))
    }

    /// A new file whose content is its name.
    pub(super) fn create(&self, name: &str) -> io::Result<Attr> {
        self.may_leave(&[name]);
        self.env.create(&self.at(name), name.as_bytes(), 0o644, &mut |_| None)
    }

    /// A new directory, with a file in it or without.
    pub(super) fn mkdir(&self, name: &str, file: Option<&str>) -> io::Result<()> {
        self.may_leave(&[name]);
        self.env.mkdir(&self.at(name), 0o755)?;
        file.map_or(Ok(()), |file| self.create(&format!("{name}/{file}")).map(drop))
    }

    /// Names to be removed in the end, if they are there.
    pub(super) fn may_leave(&self, names: &[&str]) {
        self.made.borrow_mut().extend(names.iter().map(|name| (*name).to_owned()));
    }

    /// The names in one of our directories.
    pub(super) fn names_in(&self, name: &str) -> io::Result<Vec<String>> {
        names(|each| self.env.list(&self.at(name), each))
    }

    /// The names that are left of the trial's lock.
    pub(super) fn left_of_lock(&self) -> io::Result<Vec<String>> {
        let begin = format!("{}{TRIAL}", self.begin);
        let names = names(|each| self.env.list_dir(&self.dir, each))?;
        Ok(names.into_iter().filter(|name| name.starts_with(&begin)).collect())
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let made = self.made.take();
        let (inside, beside): (Vec<_>, Vec<_>) = made.iter().partition(|name| name.contains('/'));
        for name in inside.into_iter().chain(beside) {
            let at = self.at(name);
            // Most are gone by now. Unlink removes no directory, and rmdir none that is not empty.
            let _ = self.env.unlink(&at).or_else(|_| self.env.rmdir(&at));
        }
    }
}

/// All names that a listing shows.
pub(super) fn names(list: impl FnOnce(&mut Each<'_>) -> io::Result<()>) -> io::Result<Vec<String>> {
    Ok(all_names(list)?.iter().map(|name| name.to_string_lossy().into_owned()).collect())
}

pub(super) fn check_cancelled(dir: &Path, cancel: &Cancel) -> Result<(), Error> {
    if cancel.is_cancelled() { Err(Error::cancelled(dir, None)) } else { Ok(()) }
}

pub(super) fn apart(one: ServerTime, other: ServerTime) -> Duration {
    one.since(other).max(other.since(one))
}
