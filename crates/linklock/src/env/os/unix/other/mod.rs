//! Unix systems other than Linux. This code is compiled but not run here, so it uses only what all of them have.
//! Nothing is known about processes, so a lock is broken only after it has expired. Waiters poll.

pub(super) mod basics;
pub(super) mod mounts;
pub(super) mod page;
pub(super) mod stat;

pub(in crate::env) mod event;
pub(super) mod proc;
pub(super) mod reading;
pub(super) mod watcher;
