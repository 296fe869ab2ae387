//! Windows 10 and later, in layers: a module uses only those above it.

pub(in crate::env) mod event;
mod handles;
mod paths;
mod records;
#[cfg(feature = "tokio")]
pub(in crate::env) mod wakes;

mod identity;
mod processes;
mod relative;

mod files;
mod watcher;

mod os_env;

pub(crate) use event::Event;
pub(crate) use os_env::OsEnv;
#[cfg(feature = "tokio")]
pub(super) use wakes::{Bell, wait_for_any};
