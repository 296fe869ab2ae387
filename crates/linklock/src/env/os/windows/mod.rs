//! Windows 10 and later, in layers: a module uses only those above it.

mod handles;
mod paths;
mod records;
#[cfg(feature = "tokio")]
mod wakes;

mod identity;
mod processes;
mod relative;

mod files;
mod watcher;

mod os_env;

pub(crate) use os_env::OsEnv;
#[cfg(feature = "tokio")]
pub(super) use wakes::{Bell, wait_for_any};
#[cfg(feature = "tokio")]
pub(crate) use wakes::{Wakes, Woken};
pub(crate) use watcher::Event;
