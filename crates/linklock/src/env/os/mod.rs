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

pub(crate) use platform::{
    Event, NOT_IN_NAMES, OsEnv, bytes_of, flaw_of, is_for_want_of_descriptors, is_same_name, name_from_bytes,
};
