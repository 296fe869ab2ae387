//! What contenders found out about the file system of a lock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What contenders found out about the file system of a lock.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The device that was found fit.
    fit: AtomicU64,
    has_lost_mark: AtomicBool,
}

/// No file system has this number.
const NONE: u64 = u64::MAX;

impl Default for Checked {
    fn default() -> Self {
        Self { fit: AtomicU64::new(NONE), has_lost_mark: AtomicBool::new(false) }
    }
}

impl Checked {
    pub(super) fn is_fit(&self, device: u64) -> bool {
        self.fit.load(Ordering::Relaxed) == device
    }

    pub(super) fn set_fit(&self, device: u64) {
        self.fit.store(device, Ordering::Relaxed);
    }

    /// Whether the last claim directory that was made came without our mark.
    pub(super) fn has_lost_mark(&self) -> bool {
        self.has_lost_mark.load(Ordering::Relaxed)
    }

    pub(super) fn set_has_lost_mark(&self, lost: bool) {
        self.has_lost_mark.store(lost, Ordering::Relaxed);
    }
}
