//! Durations, counted by size, so that any number of them takes little memory.

use std::collections::BTreeMap;

/// Each power of two is divided into so many buckets, as a power of two. What is read off is too high by a sixteenth at most.
const FINE: u32 = 4;

/// How often which duration was seen, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// By bucket: there are less than a thousand.
    counts: BTreeMap<u32, u64>,
    count: u64,
    total: u64,
    max: u64,
}

impl Histogram {
    pub(super) fn add(&mut self, ms: u64) {
        *self.counts.entry(bucket(ms)).or_default() += 1;
        self.count += 1;
        self.total = self.total.saturating_add(ms);
        self.max = self.max.max(ms);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// `None` if there is none.
    pub(super) fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// The least duration that so many percent do not exceed, rounded up to its bucket's end. `None` if there is none.
    pub(super) fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (u128::from(self.count) * u128::from(percent)).div_ceil(100).max(1);
        let mut seen = 0;
        let reached = self.counts.iter().find(|(_, count)| {
            seen += u128::from(**count);
            seen >= rank
        });
        reached.map(|(bucket, _)| end_of(*bucket).min(self.max))
    }
}

/// The short ones have a bucket each.
fn bucket(ms: u64) -> u32 {
    let magnitude = ms.checked_ilog2().unwrap_or(0);
    if magnitude <= FINE {
        return ms as u32;
    }
    let shift = magnitude - FINE;
    (shift << FINE) + (ms >> shift) as u32
}

/// The greatest duration of a bucket.
fn end_of(bucket: u32) -> u64 {
    let shift = (bucket >> FINE).saturating_sub(1);
    let lead = u128::from(bucket) - (u128::from(shift) << FINE);
    u64::try_from(((lead + 1) << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_at_or_a_little_above_each_of_its_durations() {
        let mut ms = 0;
        let mut last = 0;
        while ms < u64::MAX / 2 {
            let (this, end) = (bucket(ms), end_of(bucket(ms)));
            assert!(end >= ms && end - ms <= ms / 16, "{ms} is in a bucket that ends at {end}");
            assert!(this == last || this > last && end_of(this - 1) < ms, "{ms}");
            assert_eq!(bucket(end), this);
            last = this;
            ms += 1 + ms / 100;
        }
        assert_eq!(end_of(bucket(u64::MAX)), u64::MAX);
        assert!(bucket(u64::MAX) < 1000);
    }

    #[test]
    fn percentiles_are_those_of_the_durations() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.percentile(50), histogram.max()), (None, None));
        for ms in 1..=1000 {
            histogram.add(ms);
        }
        for (percent, exact) in [(50, 500), (90, 900), (99, 990), (100, 1000)] {
            let found = histogram.percentile(percent).unwrap();
            assert!(found >= exact && found <= exact + exact / 16, "p{percent}: {found}");
        }
        assert_eq!((histogram.count(), histogram.total(), histogram.max()), (1000, 500_500, Some(1000)));
        let mut one = Histogram::default();
        one.add(12_345);
        assert_eq!(one.percentile(1), Some(12_345), "never more than the greatest");
    }
}
