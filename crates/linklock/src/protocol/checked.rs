//! What contenders found out about the file system of a lock.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::file_system::{FileSystem, Stamps};

/// What contenders found out about the file system of a lock.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The device that was found fit.
    fit: AtomicU64,
    /// For how long answers may be old on that device, in nanoseconds.
    cached_for: AtomicU64,
    /// Whether its file system has a server, or that is not known.
    has_server: AtomicBool,
    has_lost_mark: AtomicBool,
    /// What was known of the directory when many locks there began to be looked at.
    looked_up: Option<(Option<&'static FileSystem>, Stamps)>,
    /// How often the directory may still be listed for a single one of these locks.
    lists_left: AtomicUsize,
}

/// For all locks of a directory that are looked at one after the other.
const LISTS_MOST: usize = 64;

/// No device has this number, and no answer is so old.
const NONE: u64 = u64::MAX;

impl Default for Checked {
    fn default() -> Self {
        Self {
            fit: AtomicU64::new(NONE),
            cached_for: AtomicU64::new(NONE),
            has_server: AtomicBool::new(true),
            has_lost_mark: AtomicBool::new(false),
            looked_up: None,
            lists_left: AtomicUsize::new(LISTS_MOST),
        }
    }
}

impl Checked {
    /// For looks that follow at once and change nothing: somebody may mount another file system there at any later time.
    #[allow(dead_code, reason = "a survey looks at many locks, which no simulation does")]
    pub(crate) fn looked_up(file_system: Option<&'static FileSystem>, stamps: Stamps) -> Self {
        Self { looked_up: Some((file_system, stamps)), ..Self::default() }
    }

    pub(super) fn file_system(&self) -> Option<Option<&'static FileSystem>> {
        self.looked_up.map(|(file_system, _)| file_system)
    }

    pub(super) fn stamps(&self) -> Option<Stamps> {
        self.looked_up.map(|(_, stamps)| stamps)
    }

    /// Counts one more listing, unless there were too many.
    pub(super) fn may_list_again(&self) -> bool {
        self.lists_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    pub(super) fn is_fit(&self, device: u64) -> bool {
        self.fit.load(Ordering::Relaxed) == device
    }

    pub(super) fn set_fit(&self, device: u64, cached_for: Duration, has_server: bool) {
        self.has_server.store(has_server, Ordering::Relaxed);
        self.cached_for.store(cached_for.as_nanos() as u64, Ordering::Relaxed);
        self.fit.store(device, Ordering::Relaxed);
    }

    /// `None` before a device was found fit.
    pub(super) fn cached_for(&self) -> Option<Duration> {
        Some(self.cached_for.load(Ordering::Relaxed)).filter(|nanos| *nanos != NONE).map(Duration::from_nanos)
    }

    pub(crate) fn has_server(&self) -> bool {
        self.has_server.load(Ordering::Relaxed)
    }

    /// Whether the last claim directory that was made came without our mark.
    pub(super) fn has_lost_mark(&self) -> bool {
        self.has_lost_mark.load(Ordering::Relaxed)
    }

    pub(super) fn set_has_lost_mark(&self, lost: bool) {
        self.has_lost_mark.store(lost, Ordering::Relaxed);
    }
}
