//! The operating system as an [`Env`](super::Env). Each platform has the same types and functions.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

#[cfg(not(any(unix, windows)))]
compile_error!("linklock runs on Unix and Windows: this system needs a module of its own in src/env/os");

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use platform::{
    Event, NOT_IN_NAMES, OsEnv, bytes_of, flaw_of, is_for_want_of_descriptors, is_same_name, name_from_bytes,
};

/// The next of a row of numbers with a random start.
fn serial() -> u32 {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    NEXT.get_or_init(|| AtomicU32::new(fastrand::u32(..))).fetch_add(1, Ordering::Relaxed)
}
