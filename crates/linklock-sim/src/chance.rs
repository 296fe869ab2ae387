//! Random numbers, which shuttle draws: one seed gives one sequence.

use shuttle::rand::Rng;

/// A number below `bound`.
pub(crate) fn random(bound: u32) -> u32 {
    shuttle::rand::thread_rng().gen_range(0..bound.max(1))
}
