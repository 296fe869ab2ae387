//! Which process this is: a forked child is another.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::prelude::*;

/// How often this process and its ancestors forked. It is cheaper to read than the pid.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Must be called in each forked child.
#[pyfunction]
pub(crate) fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// A process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generation(u32);

impl Generation {
    pub(crate) fn current() -> Self {
        Self(FORKS.load(Ordering::Relaxed))
    }

    pub(crate) fn is_current(self) -> bool {
        self.0 == FORKS.load(Ordering::Relaxed)
    }
}
