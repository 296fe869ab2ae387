//! The clock that durations are measured on.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since the boot, by a clock that is never set. On Linux it also counts while the machine sleeps.
pub(crate) fn uptime() -> Duration {
    let now = clock_gettime(BOOT);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

#[cfg(target_os = "linux")]
const BOOT: ClockId = ClockId::Boottime;
/// Other systems have no such clock.
#[cfg(not(target_os = "linux"))]
const BOOT: ClockId = ClockId::Monotonic;
