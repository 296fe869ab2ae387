//! Linux, from the ground up.

pub(super) mod basics;
pub(super) mod mounts;
pub(super) mod page;
pub(super) mod stat;

pub(super) mod event;
pub(super) mod proc;
pub(super) mod reading;
pub(super) mod waiters;
pub(super) mod watcher;
