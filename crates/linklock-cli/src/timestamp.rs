//! Moments in JSON, as RFC 3339 writes them.

use std::time::{Duration, SystemTime};

/// `None` outside the years that RFC 3339 can write: a file's time can be any number.
pub(crate) fn rfc3339(time: SystemTime) -> Option<String> {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since_epoch < YEAR_10000).then(|| humantime::format_rfc3339_millis(time).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_cannot_be_written_is_left_out() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(rfc3339(epoch + Duration::from_millis(1_500)).as_deref(), Some("1970-01-01T00:00:01.500Z"));
        assert_eq!(rfc3339(epoch + Duration::from_secs(253_402_300_800)), None);
        assert_eq!(rfc3339(epoch - Duration::from_secs(1)), None);
    }
}
