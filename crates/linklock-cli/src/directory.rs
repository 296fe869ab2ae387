//! The lock's directory, for the subcommands that create nothing in it.

use std::fs;
use std::io::ErrorKind;

use linklock::{Lock, Printable};

use crate::exit::{Exit, Failure};

/// An error if the lock's directory does not exist: a lock there can be neither free nor held, and the path is mistyped or its
/// file system not mounted. An error of another kind is for the library to report.
pub(crate) fn check(lock: &Lock) -> Result<(), Failure> {
    let Some(directory) = lock.path().parent() else { return Ok(()) };
    let what = match fs::metadata(directory) {
        Ok(data) if !data.is_dir() => "is not a directory",
        Err(e) if e.kind() == ErrorKind::NotFound => "does not exist",
        Err(e) if e.kind() == ErrorKind::NotADirectory => "is not a directory",
        _ => return Ok(()),
    };
    let message = format!(
        "{}: the lock's directory {what}; check the path, and whether its file system is mounted",
        Printable::new(lock.path())
    );
    Err(Failure::Message(Exit::CannotCreate, message))
}
