//! Windows 10 and later, in layers: a module uses only those above it.

mod handles;
mod paths;
mod records;

mod identity;
mod processes;
mod relative;

mod files;
mod watcher;

mod os_env;

pub(crate) use os_env::OsEnv;
pub(crate) use watcher::Event;
