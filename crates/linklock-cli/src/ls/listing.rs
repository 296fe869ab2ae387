//! What `ls` found at one moment.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use linklock::{Builder, Directory, Error, Lock, Printable, State, Survey, Surveyed};

use super::age::Older;
use super::row::Row;
use crate::args::LsArgs;
use crate::directory;
use crate::exit::{Exit, Failure};

/// How deep --recursive goes.
const DEPTH_MOST: usize = 100;

/// What was found at one moment.
pub(super) struct Listing {
    pub(super) now: SystemTime,
    rows: Vec<Row>,
    pub(super) failures: Vec<Failure>,
}

impl Listing {
    pub(super) fn of(args: &LsArgs) -> Self {
        let mut listing = Self { now: SystemTime::now(), rows: Vec::new(), failures: Vec::new() };
        args.paths.iter().for_each(|path| listing.add(args, path));
        listing
    }

    fn add(&mut self, args: &LsArgs, path: &Path) {
        match lock_at(args, path) {
            Ok(Some(lock)) => match survey(&lock) {
                Ok(found) => self.rows.push(Row::of(found)),
                Err(e) => self.failures.push(e),
            },
            Ok(None) => self.add_directory(args, path),
            Err(e) => self.failures.push(e),
        }
    }

    /// The locks in a directory, and with --recursive in those below it.
    fn add_directory(&mut self, args: &LsArgs, path: &Path) {
        let mut left: Vec<(Directory, usize)> = Vec::new();
        let mut add = |found: Result<Survey, Error>, path: &Path, depth, left: &mut Vec<_>| {
            let found = match found {
                Ok(found) => found,
                Err(e) => return self.failures.push(e.into()),
            };
            let mut fail = |why| {
                let message = format!("{}: {why}, so locks may be missing", Printable::new(path));
                self.failures.push(Failure::Message(Exit::Io, message));
            };
            if found.is_incomplete {
                fail("too many names in this directory");
            }
            if args.recursive && depth >= DEPTH_MOST && !found.directories.is_empty() {
                fail("too deep: the directories below this one are not listed");
            } else if args.recursive {
                left.extend(found.directories.into_iter().rev().map(|below| (below, depth + 1)));
            }
            self.rows.extend(found.locks.into_iter().map(Row::of));
        };
        add(builder(args, path).survey(), path, 0, &mut left);
        while let Some((below, depth)) = left.pop() {
            add(below.survey(), below.path(), depth, &mut left);
        }
    }

    /// The rows to be shown, and what --older-than says of them.
    pub(super) fn chosen(&self, args: &LsArgs) -> (Vec<&Row>, Older) {
        let Some(limit) = args.older_than else { return (self.rows.iter().collect(), Older::No) };
        let judged = self.rows.iter().map(|row| (row, row.is_older(limit)));
        let chosen: Vec<_> = judged.filter(|(_, older)| *older != Older::No).collect();
        let most = chosen.iter().map(|(_, older)| *older).max().unwrap_or(Older::No);
        (chosen.into_iter().map(|(row, _)| row).collect(), most)
    }
}

/// An error if there is nothing: a monitor would take a mistyped path for a directory without locks.
fn survey(lock: &Lock) -> Result<Surveyed, Failure> {
    directory::check(lock)?;
    let found = lock.survey()?;
    let is_free = found.status.as_ref().is_ok_and(|status| status.state == State::Free);
    if is_free && found.waiters.is_empty() && found.leftovers == 0 && fs::symlink_metadata(lock.path()).is_err() {
        let message = format!("{}: neither a directory nor a lock", Printable::new(lock.path()));
        return Err(Failure::Message(Exit::CannotCreate, message));
    }
    Ok(found)
}

pub(super) fn builder(args: &LsArgs, path: &Path) -> Builder {
    args.judgement.apply(Lock::builder(path).separator(args.separator))
}

/// The lock at the path; `None` if the path is a directory of locks. A lock may be a directory too.
fn lock_at(args: &LsArgs, path: &Path) -> Result<Option<Lock>, Failure> {
    // The user named the path, so a symbolic link to a directory may be followed.
    let is_directory = fs::metadata(path).is_ok_and(|data| data.is_dir());
    let lock: Result<Lock, Error> = builder(args, path).build();
    match lock {
        Ok(lock) if is_directory && lock.inspect().map_or(true, |status| status.state == State::NotALock) => Ok(None),
        // Such as "." or "/", which end in no name.
        Err(_) if is_directory => Ok(None),
        lock => Ok(Some(lock?)),
    }
}
