//! The clock that deadlines are kept on.

use rustix::time::clock_gettime;

use super::system::basics::CLOCK;
use crate::time::LocalTime;

pub(crate) fn now() -> LocalTime {
    let now = clock_gettime(CLOCK);
    LocalTime::from_nanos(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}
