//! Errors: their codes, and what a call tells of one.

use std::ffi::c_char;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rust_linklock::ErrorKind;

use crate::text::filled;

/// The call did what it says.
pub const LINKLOCK_OK: i32 = 0;
/// The lock was not acquired in time. The message says who holds it.
pub const LINKLOCK_TIMEOUT: i32 = 1;
/// The lock was held and is lost: it expired or was broken. Stop the work that needs it.
pub const LINKLOCK_LOST: i32 = 2;
/// The guard, or the claim of this token, does not hold the lock.
pub const LINKLOCK_NOT_HELD: i32 = 3;
/// Something that is not a lock is at the lock path. linklock does not touch it.
pub const LINKLOCK_NOT_A_LOCK: i32 = 4;
/// The file system cannot do what the protocol needs.
pub const LINKLOCK_UNSUPPORTED: i32 = 5;
/// The lock has expired, but this user may not break it.
pub const LINKLOCK_CANNOT_BREAK: i32 = 6;
/// An argument, an option or a path is not valid. Nothing was changed.
pub const LINKLOCK_INVALID: i32 = 7;
/// The claim could not be made: there is no such directory, no space, or the name is too long.
pub const LINKLOCK_CANNOT_CREATE: i32 = 8;
/// This user may not do that here, or others may do too much (linklock_options_set_require_private).
pub const LINKLOCK_PERMISSION: i32 = 9;
/// Any other error of the file system or of the system.
pub const LINKLOCK_IO: i32 = 10;
/// An error in linklock itself. Please report it.
pub const LINKLOCK_INTERNAL: i32 = 11;

/// Room for a message of an error, with its NUL.
pub const LINKLOCK_MESSAGE_SIZE: usize = 2040;

/// What a call tells of its failure, in the caller's memory. This type never changes within an ABI.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Error {
    /// What the call returned, or would return: LINKLOCK_OK or another of the codes.
    pub code: i32,
    /// The system's error number (errno; on Windows that of GetLastError), if that is the reason; else 0.
    pub os_error: i32,
    /// One line of UTF-8 that is safe to print: what failed, where, why, who holds the lock, what to do. Cut if it is too long.
    pub message: [c_char; LINKLOCK_MESSAGE_SIZE],
}

impl Error {
    pub(crate) fn none() -> Self {
        Self { code: LINKLOCK_OK, os_error: 0, message: [0; LINKLOCK_MESSAGE_SIZE] }
    }
}

/// Why a call fails.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: i32,
    pub(crate) os_error: i32,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { code: LINKLOCK_INVALID, os_error: 0, message: message.into() }
    }

    pub(crate) fn null(argument: &str) -> Self {
        Self::invalid(format!("{argument} is NULL"))
    }

    pub(crate) fn not_held(message: &str) -> Self {
        Self { code: LINKLOCK_NOT_HELD, os_error: 0, message: message.into() }
    }

    #[cfg(not(windows))]
    pub(crate) fn io(action: &str, e: &std::io::Error) -> Self {
        let os_error = e.raw_os_error().unwrap_or_default();
        Self { code: LINKLOCK_IO, os_error, message: format!("cannot {action}: {e}") }
    }

    fn internal() -> Self {
        let message = "an error in linklock itself; standard error has its text; please report it".into();
        Self { code: LINKLOCK_INTERNAL, os_error: 0, message }
    }

    pub(crate) fn told(&self) -> Error {
        Error { code: self.code, os_error: self.os_error, message: filled(&self.message) }
    }
}

/// What is wrong with an argument.
impl From<String> for Failure {
    fn from(flaw: String) -> Self {
        Self::invalid(flaw)
    }
}

impl From<rust_linklock::Error> for Failure {
    fn from(e: rust_linklock::Error) -> Self {
        let code = match e.kind() {
            ErrorKind::Timeout | ErrorKind::Cancelled => LINKLOCK_TIMEOUT,
            ErrorKind::Lost => LINKLOCK_LOST,
            ErrorKind::NotHeld => LINKLOCK_NOT_HELD,
            ErrorKind::NotALock => LINKLOCK_NOT_A_LOCK,
            ErrorKind::Unsupported => LINKLOCK_UNSUPPORTED,
            ErrorKind::CannotBreak => LINKLOCK_CANNOT_BREAK,
            ErrorKind::Invalid => LINKLOCK_INVALID,
            ErrorKind::CannotCreate => LINKLOCK_CANNOT_CREATE,
            ErrorKind::Permission => LINKLOCK_PERMISSION,
            _ => LINKLOCK_IO,
        };
        let os_error = e.io_error().and_then(std::io::Error::raw_os_error).unwrap_or_default();
        Self { code, os_error, message: e.to_string() }
    }
}

/// Runs `act`. A panic, which must not unwind into C, is an error like others.
pub(crate) fn caught<T>(act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // What a panic leaves behind a mutex is still true, as whoever locks it says.
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|cause| {
        // To drop what somebody has panicked with could panic again.
        mem::forget(cause);
        Err(Failure::internal())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        let failed = caught(|| -> Result<(), Failure> { panic!("on purpose") }).unwrap_err();
        assert_eq!(failed.code, LINKLOCK_INTERNAL);
        assert_eq!(caught(|| Ok(7)).ok(), Some(7));
    }

    #[test]
    fn a_library_error_keeps_its_message() {
        let error = rust_linklock::Lock::builder("/a/b").lifetime(std::time::Duration::ZERO).build().unwrap_err();
        let message = error.to_string();
        let failure = Failure::from(error);
        assert_eq!((failure.code, failure.os_error, failure.message), (LINKLOCK_INVALID, 0, message));
    }
}
