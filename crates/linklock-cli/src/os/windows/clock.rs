//! The clock that durations are measured on.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Time since the first call, by a clock that is never set. On Windows it also counts while the machine sleeps.
pub(crate) fn uptime() -> Duration {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}
