//! The numbers that a process keeps of its own identity.

use std::sync::atomic::{AtomicU32, AtomicU64};

/// Zero in each field: not known yet. No lock, which a fork could leave locked.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) pid: AtomicU32,
    pub(crate) generation: AtomicU64,
    pub(crate) fingerprint: AtomicU64,
    pub(crate) claims: AtomicU64,
}

impl Own {
    pub(crate) const fn nothing() -> Self {
        Self {
            pid: AtomicU32::new(0),
            generation: AtomicU64::new(0),
            fingerprint: AtomicU64::new(0),
            claims: AtomicU64::new(0),
        }
    }
}
