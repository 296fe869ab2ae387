//! The world as the threads of a run share it, and their scheduling points.
//!
//! Shuttle decides everything that could differ between two runs of one seed: which thread runs next, and every random number.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use crate::chance::random;
use crate::config::{Config, Faults};
use crate::world::World;

/// A run that takes more steps will not end.
const MOST_STEPS: u32 = 200_000;

/// The world, and the primitives that its threads wait with.
#[derive(Debug)]
pub(crate) struct Sim {
    world: Mutex<World>,
    pub(crate) gate: shuttle::sync::Mutex<()>,
    pub(crate) bell: shuttle::sync::Condvar,
}

/// The panic payload that ends the thread of a killed process.
pub(crate) struct Killed;

impl Sim {
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            world: Mutex::new(World::new(config)),
            gate: shuttle::sync::Mutex::new(()),
            bell: shuttle::sync::Condvar::new(),
        })
    }

    /// `f` must not reach a scheduling point.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut World) -> R) -> R {
        f(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes every waiting thread check its condition again.
    pub(crate) fn ring(&self) {
        if !self.with(|world| world.config.random) {
            return;
        }
        // Under the gate: no thread is between its check and its wait.
        let gate = self.gate.lock();
        self.bell.notify_all();
        drop(gate);
    }

    /// A scheduling point: another thread may run, time may pass, or the process may be killed.
    pub(crate) fn step(&self, process: usize) {
        if self.with(|world| world.config.random) {
            drop(self.gate.lock());
        } else {
            shuttle::thread::yield_now();
        }
        if self.with(|world| world.is_suspended(process)) {
            self.block(process, |_| true);
        }
        self.with(|world| {
            world.processes[process].last_step = world.now;
            world.steps += 1;
            if world.steps == MOST_STEPS {
                world.violate(format!("no end in sight after {MOST_STEPS} steps"));
            }
        });
        self.die_if_killed(process);
    }

    fn die_if_killed(&self, process: usize) {
        if self.with(|world| world.processes[process].killed) {
            resume_unwind(Box::new(Killed));
        }
    }

    pub(crate) fn block(&self, process: usize, until: impl Fn(&World) -> bool) {
        let Ok(mut gate) = self.gate.lock() else { return };
        let goes_on =
            |world: &mut World| world.processes[process].killed || (until(world) && !world.is_suspended(process));
        while !self.with(goes_on) {
            match self.bell.wait(gate) {
                Ok(again) => gate = again,
                Err(_) => return,
            }
        }
        drop(gate);
        self.with(|world| world.processes[process].last_step = world.now);
        self.die_if_killed(process);
    }

    /// Whether a fault with this budget happens now, one time in `odds`.
    pub(crate) fn happens(&self, budget: impl Fn(&mut Faults) -> &mut u32, odds: u32) -> bool {
        let calm = self.with(|world| world.calm || *budget(&mut world.left) == 0);
        if calm || !random(odds).is_multiple_of(odds) {
            return false;
        }
        self.with(|world| *budget(&mut world.left) -= 1);
        true
    }
}
