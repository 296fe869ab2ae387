//! Unix systems other than Linux: what is compiled and not run here, so it keeps to what all of them have. Processes are
//! not known, so a lock is broken once it has expired; and a waiter polls.

pub(super) mod basics;
pub(super) mod mounts;
pub(super) mod page;
pub(super) mod stat;

pub(super) mod event;
pub(super) mod proc;
pub(super) mod reading;
pub(super) mod watcher;
