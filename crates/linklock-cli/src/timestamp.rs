//! Moments, as RFC 3339 writes them.

use std::time::{Duration, SystemTime};

use crate::duration;

/// `None` outside the years that RFC 3339 can write: a file's time can be any number.
pub(crate) fn rfc3339(time: SystemTime) -> Option<String> {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since_epoch < YEAR_10000).then(|| humantime::format_rfc3339_millis(time).to_string())
}

/// What a user types: a moment as `2026-01-31T12:00:00Z`, or how long ago it was.
pub(crate) fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = humantime::parse_rfc3339(text) {
        return Ok(time);
    }
    let ago = duration::parse(text)
        .map_err(|_| "expected a time in UTC (2026-01-31T12:00:00Z), or how long ago it was (24h, 90m, 7d)")?;
    // No journal is older, and a time before it cannot be written.
    let time = SystemTime::now().checked_sub(ago).filter(|time| *time >= SystemTime::UNIX_EPOCH);
    Ok(time.unwrap_or(SystemTime::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago_it_was() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_860_800);
        assert_eq!(moment("2026-01-31T12:00:00Z"), Ok(noon));
        assert_eq!(moment("2026-01-31T12:00:00.250Z"), Ok(noon + Duration::from_millis(250)));
        let day = moment("1d").unwrap();
        let ago = SystemTime::now().duration_since(day).unwrap().as_secs();
        assert!((86_400..86_460).contains(&ago), "{ago}");
        assert_eq!(moment("99999999d"), Ok(SystemTime::UNIX_EPOCH));
        for text in [
            "",
            "yesterday",
            "-1h",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-13-31T12:00:00Z",
            "2026-01-31T12:00:00+01:00",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_written_is_left_out() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(rfc3339(epoch + Duration::from_millis(1_500)).as_deref(), Some("1970-01-01T00:00:01.500Z"));
        assert_eq!(rfc3339(epoch + Duration::from_secs(253_402_300_800)), None);
        assert_eq!(rfc3339(epoch - Duration::from_secs(1)), None);
    }
}
