//! The operating system as an [`Env`](super::Env). Each platform's file has the same types and functions.

#[cfg(target_os = "linux")]
#[path = "linux/mod.rs"]
mod platform;

#[cfg(not(target_os = "linux"))]
compile_error!("linklock runs on Linux so far: this system needs a file of its own in src/env/os");

pub(crate) use platform::{Event, OsEnv, bytes_of, name_from_bytes};
