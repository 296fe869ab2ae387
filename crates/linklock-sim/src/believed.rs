//! What the processes believed, as a history for linklock-history: a judge that knows nothing of this world.

use std::collections::BTreeMap;
use std::time::Duration;

use linklock_history::{Hold, holds};

/// The holds of one run, in world time.
#[derive(Debug, Default)]
pub(crate) struct Believed {
    /// By process: the last one ends with its deadline, unless it ceases before.
    holds: BTreeMap<usize, Vec<Hold>>,
}

impl Believed {
    /// The process trusts its lock like this from now on, and no longer as before.
    pub(crate) fn begins(&mut self, process: usize, hold: Hold) {
        self.ceases(process, Duration::from_nanos(hold.since));
        self.holds.entry(process).or_default().push(hold);
    }

    /// The process trusts its lock until then at most.
    pub(crate) fn ceases(&mut self, process: usize, at: Duration) {
        if let Some(last) = self.holds.get_mut(&process).and_then(|holds| holds.last_mut()) {
            last.until = last.until.min(at.as_nanos() as u64);
        }
    }

    /// What the judge finds.
    pub(crate) fn judge(&self) -> Option<String> {
        let all: Vec<_> = self.holds.values().flatten().cloned().collect();
        holds::judge(&all).first().map(ToString::to_string)
    }
}
