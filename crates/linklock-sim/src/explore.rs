//! Many runs: at random, by PCT, or exhaustively.

use std::sync::{Arc, Mutex, PoisonError};

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::{FailurePersistence, Runner};

use crate::config::Config;
use crate::run::{Outcome, run};

/// The results of many runs.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) runs: u64,
    pub(crate) holds: u64,
    pub(crate) lost_by_delay: u64,
    /// The first violation, with the seed of its run.
    pub(crate) violation: Option<(u64, String)>,
}

/// Runs each seed from `first` on, `runs` of them, until one shows a violation.
pub(crate) fn random(config: &Config, first: u64, runs: u64) -> Summary {
    each_seed(first, runs, |seed| one(config, seed))
}

/// As [`random()`], scheduled by PCT: few changes of priority, which finds bugs that need few steps in a rare order.
pub(crate) fn pct(config: &Config, first: u64, runs: u64) -> Summary {
    let mut summary = Summary::default();
    for seed in (first..).take(runs.div_ceil(RUNS_A_SEED) as usize) {
        let outcomes = pct_runs(config, seed);
        if add(&mut summary, seed, outcomes) {
            break;
        }
    }
    summary
}

/// The first run of a PCT seed that shows a violation, or its last.
pub(crate) fn one_pct(config: &Config, seed: u64) -> Option<Outcome> {
    let mut outcomes = pct_runs(config, seed);
    let found = outcomes.iter().position(|outcome| outcome.violation.is_some());
    outcomes.drain(..).nth(found.unwrap_or(RUNS_A_SEED as usize - 1))
}

/// PCT learns from one run how long the next may be, so a seed stands for this many runs.
pub(crate) const RUNS_A_SEED: u64 = 50;

fn pct_runs(config: &Config, seed: u64) -> Vec<Outcome> {
    runs_of(config, PctScheduler::new_from_seed(seed, 4, RUNS_A_SEED as usize))
}

/// Runs every schedule of a world without random numbers, but at most `most`. Returns whether these were all.
pub(crate) fn exhaustive(config: &Config, most: usize) -> (Summary, bool) {
    let config = Config { random: false, ..config.clone() };
    let mut summary = Summary::default();
    add(&mut summary, 0, runs_of(&config, DfsScheduler::new(Some(most), false)));
    let all = summary.runs < most as u64;
    (summary, all)
}

/// One random run.
pub(crate) fn one(config: &Config, seed: u64) -> Outcome {
    let outcomes = runs_of(config, RandomScheduler::new_from_seed(seed, 1));
    outcomes.into_iter().next().unwrap_or_default()
}

fn each_seed(first: u64, runs: u64, run: impl Fn(u64) -> Outcome) -> Summary {
    let mut summary = Summary::default();
    for seed in (first..).take(runs as usize) {
        if add(&mut summary, seed, vec![run(seed)]) {
            break;
        }
    }
    summary
}

/// Adds outcomes up to the first violation. Returns whether there was one.
fn add(summary: &mut Summary, seed: u64, outcomes: Vec<Outcome>) -> bool {
    for outcome in outcomes {
        summary.runs += 1;
        summary.holds += u64::from(outcome.holds);
        summary.lost_by_delay += u64::from(outcome.lost_by_delay);
        if let Some(violation) = outcome.violation {
            summary.violation = Some((seed, violation));
            return true;
        }
    }
    false
}

fn runs_of(config: &Config, scheduler: impl Scheduler + 'static) -> Vec<Outcome> {
    let config = config.clone();
    schedule(scheduler, move || run(&config))
}

/// Calls `play` for each schedule of a scheduler.
pub(crate) fn schedule<T: Send + 'static>(
    scheduler: impl Scheduler + 'static,
    play: impl Fn() -> T + Send + Sync + 'static,
) -> Vec<T> {
    let mut settings = shuttle::Config::new();
    settings.failure_persistence = FailurePersistence::None;
    settings.stack_size = 0x20000;
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let collected = Arc::clone(&outcomes);
    Runner::new(scheduler, settings).run(move || {
        let outcome = play();
        collected.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
    });
    std::mem::take(&mut *outcomes.lock().unwrap_or_else(PoisonError::into_inner))
}
