//! Code for all Unix systems, in layers: a module uses only those above it. `system` is what differs.

mod content;
mod convert;
mod numbers;

#[cfg_attr(target_os = "linux", path = "linux/mod.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other/mod.rs")]
pub(in crate::env) mod system;

mod clock;
mod files;
mod kept;
mod new_dir;
mod own;
mod reach;
mod users;
pub(in crate::env) mod wakes;

#[cfg(feature = "tokio")]
mod bell;

mod os_env;

#[cfg(feature = "tokio")]
pub(super) use bell::{Bell, wait_for_any};
pub(crate) use os_env::OsEnv;
pub(crate) use system::event::Event;
