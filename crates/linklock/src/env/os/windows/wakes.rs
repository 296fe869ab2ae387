//! What wakes tasks: the clock alone. What wakes a thread here belongs to the thread, whose end would end it, and a call waits for
//! 64 handles at most.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::time::LocalTime;

/// When it wakes.
#[derive(Debug)]
pub(crate) struct Wakes(pub(super) LocalTime);

impl Wakes {
    pub(crate) fn until(&self) -> LocalTime {
        self.0
    }
}

/// What has woken it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Woken {
    /// The time, and nothing else.
    Nothing,
}

impl Woken {
    /// Whether anything but the time has.
    pub(crate) fn is_any(self) -> bool {
        match self {
            Self::Nothing => false,
        }
    }
}

/// What rouses the thread that waits for tasks.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    is_rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    pub(crate) fn is_whole(&self) -> bool {
        true
    }

    pub(crate) fn ring(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for so long at most until the bell is rung. May return for nothing.
pub(crate) fn wait_for_any<E>(bell: Option<&Bell>, asleep: &[(&Wakes, Option<&E>)], most: Duration) -> Vec<Woken> {
    if let Some(bell) = bell {
        let waited = bell.changed.wait_timeout_while(bell.lock(), most, |is_rung| !*is_rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
    vec![Woken::Nothing; asleep.len()]
}
