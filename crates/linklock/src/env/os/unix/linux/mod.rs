//! Linux, in layers: a module uses only those above it.

pub(super) mod basics;
pub(super) mod mounts;
pub(super) mod page;
pub(super) mod stat;

pub(in crate::env) mod event;
pub(super) mod proc;
pub(super) mod reading;
pub(super) mod waiters;
pub(super) mod watcher;
