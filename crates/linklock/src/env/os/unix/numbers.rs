//! The numbers that a process stores about its own identity.

use std::sync::atomic::{AtomicU32, AtomicU64};

/// 0 in a field: not known yet. Not a mutex, which a fork could leave locked.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) pid: AtomicU32,
    pub(crate) generation: AtomicU64,
    pub(crate) fingerprint: AtomicU64,
    pub(crate) claims: AtomicU64,
}

impl Own {
    pub(crate) const fn zeroed() -> Self {
        Self {
            pid: AtomicU32::new(0),
            generation: AtomicU64::new(0),
            fingerprint: AtomicU64::new(0),
            claims: AtomicU64::new(0),
        }
    }
}
