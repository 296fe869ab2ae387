//! The exceptions of the package, and which error of the library becomes which exception.

use std::io;

use linklock::{Error, ErrorKind};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::prelude::*;

create_exception!(linklock, LockError, PyException, "Base class of all exceptions of this package.");
create_exception!(linklock, AlreadyLockedError, LockError, "This lock object already holds the lock.");
create_exception!(linklock, NotLockedError, LockError, "The lock is not held, or was lost.");
create_exception!(linklock, TimeOutError, LockError, "The lock was not acquired in time.");
create_exception!(linklock._core, NotALockError, TimeOutError, "The file at the lock path is not a lock.");

/// An error of the file system becomes an OSError, whose class Python chooses by the errno.
pub(crate) fn to_python(e: &Error) -> PyErr {
    let message = e.to_string();
    match e.kind() {
        ErrorKind::Timeout | ErrorKind::Cancelled => TimeOutError::new_err(message),
        ErrorKind::NotALock => NotALockError::new_err(message),
        ErrorKind::Lost | ErrorKind::NotHeld => NotLockedError::new_err(message),
        ErrorKind::Invalid => PyValueError::new_err(message),
        _ => PyOSError::new_err((errno(e), message)),
    }
}

fn errno(e: &Error) -> i32 {
    let Some(source) = e.io_error() else {
        return if e.kind() == ErrorKind::Permission { libc::EACCES } else { libc::EIO };
    };
    source.raw_os_error().unwrap_or(match source.kind() {
        io::ErrorKind::InvalidFilename => libc::ENAMETOOLONG,
        io::ErrorKind::PermissionDenied => libc::EACCES,
        io::ErrorKind::StorageFull => libc::ENOSPC,
        // link(2) on a file system that has no hard links.
        io::ErrorKind::Unsupported => libc::EPERM,
        _ => libc::EIO,
    })
}

/// Python's seconds as a duration. A negative number counts as zero.
pub(crate) fn duration(seconds: f64) -> PyResult<std::time::Duration> {
    std::time::Duration::try_from_secs_f64(seconds.max(0.0))
        .map_err(|e| PyValueError::new_err(format!("{seconds} s: {e}")))
}
