//! How long a lock lasts: the bounds, and how the name of a claim says it.

use std::time::Duration;

/// The shortest lifetime.
pub(crate) const LIFETIME_LEAST: Duration = Duration::from_millis(10);

/// The longest lifetime and the longest grace: ten years.
pub(crate) const LIFETIME_MOST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A lifetime as the name of a claim has room for it: rounded up by a sixteenth at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoundLifetime(u16);

impl RoundLifetime {
    /// How many bits it takes.
    pub(crate) const BITS: u32 = 10;
    const FRACTION_BITS: u32 = 4;
    /// Of [`LIFETIME_MOST`].
    const EXPONENT_MOST: u16 = 34;

    /// Never shorter than `lifetime`, for who counts it must not end before its holder does.
    pub(crate) fn up(lifetime: Duration) -> Self {
        let one = 1 << Self::FRACTION_BITS;
        let ms = lifetime.min(LIFETIME_MOST).as_nanos().div_ceil(1_000_000).max(one) as u64;
        let exponent = ms.ilog2() - Self::FRACTION_BITS;
        // From 16 to 32; 32 carries over into the exponent.
        let significand = ms.div_ceil(1 << exponent);
        Self(((u64::from(exponent) << Self::FRACTION_BITS) + significand - one as u64) as u16)
    }

    pub(crate) fn to_bits(self) -> u16 {
        self.0
    }

    /// From what anybody may have written.
    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits & ((1 << Self::BITS) - 1))
    }

    pub(crate) fn get(self) -> Duration {
        let exponent = (self.0 >> Self::FRACTION_BITS).min(Self::EXPONENT_MOST);
        let significand = u64::from(self.0 & ((1 << Self::FRACTION_BITS) - 1)) + (1 << Self::FRACTION_BITS);
        Duration::from_millis(significand << exponent)
    }
}

/// A duration as it may be typed for the program, to the millisecond: `1m30s`.
pub(crate) fn typed(time: Duration) -> String {
    let ms = time.as_millis();
    let parts = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let mut left = ms;
    let mut text = String::new();
    for (unit, name) in parts {
        if left >= unit {
            text += &format!("{}{name}", left / unit);
            left %= unit;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_as_it_may_be_typed() {
        for (ms, text) in [(0, "0s"), (7, "7ms"), (1500, "1s500ms"), (90_000, "1m30s"), (90_061_000, "1d1h1m1s")] {
            assert_eq!(typed(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn a_rounded_lifetime_is_never_shorter_and_a_sixteenth_longer_at_most() {
        let mut lifetime = Duration::from_millis(10);
        while lifetime <= LIFETIME_MOST {
            for lifetime in [lifetime, lifetime + Duration::from_nanos(1), lifetime - Duration::from_nanos(1)] {
                let round = RoundLifetime::up(lifetime);
                assert!(u32::from(round.to_bits()) < 1 << RoundLifetime::BITS);
                assert_eq!(RoundLifetime::from_bits(round.to_bits()), round);
                assert!(round.get() >= lifetime, "{lifetime:?}: {:?}", round.get());
                let most = (lifetime * 17 / 16).max(Duration::from_millis(16)) + Duration::from_millis(1);
                assert!(round.get() <= most, "{lifetime:?}: {:?}", round.get());
            }
            lifetime = lifetime * 21 / 20 + Duration::from_millis(1);
        }
        assert!(RoundLifetime::up(LIFETIME_MOST).get() >= LIFETIME_MOST);
        for bits in 0..=u16::MAX {
            assert!(RoundLifetime::from_bits(bits).get() < 2 * LIFETIME_MOST, "whatever somebody wrote");
        }
    }
}
