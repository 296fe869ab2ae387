//! A lock that is held.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use linklock::{ErrorKind, Guard, Lock, Loss, Printable, Token, Which};
use pyo3::prelude::*;
use tracing::subscriber::NoSubscriber;

use crate::errors::{duration, to_python};
use crate::log;

/// How often this process's line of ancestors forked: cheaper to ask than the pid.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// To be called in every forked child.
#[pyfunction]
pub(crate) fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// A lock that was acquired, until it is released or lost.
///
/// Dropped without a release it stays on disk until its lifetime ends, as with flufl.lock: there is code that
/// acquires a lock and forgets the object.
#[pyclass(frozen, module = "linklock._core")]
#[derive(Debug)]
pub(crate) struct Held {
    lock: Arc<Lock>,
    /// In which process it was acquired. In a forked child the mutex may be locked by a thread that is not there.
    generation: u32,
    loss: Loss,
    token: Token,
    #[pyo3(get)]
    fencing_token: Option<u64>,
    /// None once the lock is released or given up.
    guard: Mutex<Option<Guard>>,
}

impl Held {
    pub(crate) fn new(lock: &Arc<Lock>, guard: Guard) -> Self {
        Self {
            lock: Arc::clone(lock),
            generation: GENERATION.load(Ordering::Relaxed),
            loss: guard.loss(),
            token: guard.token().clone(),
            fencing_token: guard.fencing_token(),
            guard: Mutex::new(Some(guard)),
        }
    }

    /// Runs `ask` without the interpreter; false if the lock is not ours, or not any more.
    fn ask(
        &self,
        py: Python<'_>,
        ask: impl FnOnce(&mut Option<Guard>) -> Result<bool, linklock::Error> + Send,
    ) -> PyResult<bool> {
        if GENERATION.load(Ordering::Relaxed) != self.generation {
            return Ok(false);
        }
        let answer = py.detach(|| ask(&mut self.guard.lock().unwrap_or_else(PoisonError::into_inner)));
        log::hand_over(py);
        answer.map_err(|e| to_python(&e))
    }
}

#[pymethods]
impl Held {
    /// The claim's path, beside the lock path.
    #[getter]
    fn claimfile(&self) -> OsString {
        self.claim().into()
    }

    /// Moves the expiry on. False if the lock is lost.
    fn refresh(&self, py: Python<'_>, lifetime: f64) -> PyResult<bool> {
        let lifetime = duration(lifetime)?;
        self.ask(py, |guard| guard.as_ref().map_or(Ok(false), |guard| unless_lost(guard.refresh_for(lifetime))))
    }

    /// Whether the lock is still held, asked of the file server.
    fn check(&self, py: Python<'_>) -> PyResult<bool> {
        self.ask(py, |guard| guard.as_ref().map_or(Ok(false), |guard| unless_lost(guard.check())))
    }

    /// Whether the lock is lost. Asks no file system.
    #[getter]
    fn is_lost(&self, py: Python<'_>) -> bool {
        log::hand_over(py);
        self.loss.is_lost()
    }

    /// Releases the lock. False if it was not ours any more; after an error it can be tried again.
    fn release(&self, py: Python<'_>) -> PyResult<bool> {
        self.ask(py, |held| {
            let Some(guard) = held.take() else { return Ok(false) };
            if guard.is_lost() {
                return self.release_late(guard);
            }
            unless_lost(guard.release().map_err(|e| {
                let (error, guard) = e.into_parts();
                if !error.is_lost() {
                    *held = Some(guard);
                }
                error
            }))
        })
    }
}

impl Held {
    fn claim(&self) -> PathBuf {
        self.lock.path().with_file_name(self.token.as_os_str())
    }

    /// Gives back a lock whose lifetime is over. If nobody has taken it meanwhile, it was ours all the time; but anybody
    /// may be taking it now, so it is removed as a breaker would.
    fn release_late(&self, guard: Guard) -> Result<bool, linklock::Error> {
        let claim = Which::Claim(guard.leave());
        // It would tell of an operator who broke the lock.
        let broken = tracing::subscriber::with_default(NoSubscriber::new(), || self.lock.break_lock(&claim));
        match broken {
            Ok(Some(_)) => {
                tracing::warn!(lock = %Printable::new(self.lock.path()), "released after its lifetime; nobody had taken it");
                Ok(true)
            }
            Err(e) if !matches!(e.kind(), ErrorKind::NotHeld | ErrorKind::NotALock | ErrorKind::Timeout) => Err(e),
            Ok(None) | Err(_) => {
                // The claim's name is ours alone, and holds nothing now.
                let _ = std::fs::remove_file(self.claim());
                Ok(false)
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            guard.leave();
        }
    }
}

fn unless_lost(done: Result<(), linklock::Error>) -> Result<bool, linklock::Error> {
    match done {
        Ok(()) => Ok(true),
        Err(e) if e.is_lost() || e.kind() == ErrorKind::NotHeld => Ok(false),
        Err(e) => Err(e),
    }
}
