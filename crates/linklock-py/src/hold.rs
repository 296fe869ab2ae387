//! A lock that a Python object acquires and holds.
//!
//! Python can raise an exception, such as KeyboardInterrupt, between any two of its instructions, also between the return of a
//! function and the assignment of its result. So what is acquired never travels as a result: it has an owner at every moment.
//! Python makes a [`Hold`], this module fills it, and until a [`Slot`] has it, its drop releases the lock.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use linklock::{ErrorKind, Guard, Lock, Loss, Printable, Slots, Token, Wait, Which};
use pyo3::prelude::*;
use tracing::subscriber::NoSubscriber;

use crate::contender::Contender;
use crate::errors::{LockError, duration, to_python};
use crate::fork::Generation;
use crate::log;
use crate::waiting::{Acquired, Bell, Waiting, of_slot};

/// One acquisition of a lock, from the first try to the release.
#[pyclass(frozen, module = "linklock._core")]
#[derive(Debug)]
pub(crate) struct Hold {
    lock: Arc<Lock>,
    /// If the lock has some.
    slots: Option<Slots>,
    /// The process that made it. In a forked child a thread that does not exist there may have locked the mutex.
    generation: Generation,
    /// The thread that made it.
    #[pyo3(get)]
    thread: u64,
    state: Mutex<State>,
    /// Known once it is acquired.
    won: OnceLock<Won>,
    /// The token from the begin of a downgrade on.
    downgraded: OnceLock<Token>,
    /// Whether a drop without a release leaves the lock on disk until it expires, as with flufl.lock: some programs acquire a lock
    /// and drop the object. Not before a slot has it.
    is_kept: AtomicBool,
}

#[derive(Debug)]
enum State {
    /// Not yet acquired, released, or given up.
    Empty,
    Waits(Waiting),
    Holds(Guard),
}

#[derive(Debug)]
struct Won {
    loss: Loss,
    token: Token,
    fencing_token: Option<u64>,
    /// Which slot, from 1 on.
    slot: Option<usize>,
}

impl Hold {
    /// Runs `ask` without the interpreter's lock. False if this process does not hold the lock.
    fn ask(
        &self,
        py: Python<'_>,
        ask: impl FnOnce(&mut State) -> Result<bool, linklock::Error> + Send,
    ) -> PyResult<bool> {
        if !self.generation.is_current() {
            return Ok(false);
        }
        let answer = py.detach(|| ask(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner)));
        log::hand_over(py)?;
        answer.map_err(|e| to_python(&e))
    }

    /// Takes note of what was acquired. Safe from interrupts: no Python code runs before it is stored.
    fn fill(&self, state: &mut State, acquired: Acquired) -> Result<bool, linklock::Error> {
        let (guard, slot) = acquired?;
        let won = Won { loss: guard.loss(), token: guard.token().clone(), fencing_token: guard.fencing_token(), slot };
        let _ = self.won.set(won);
        *state = State::Holds(guard);
        Ok(true)
    }

    fn current_token(&self) -> Option<&Token> {
        self.downgraded.get().or_else(|| self.won.get().map(|won| &won.token))
    }

    fn claim(&self) -> Option<PathBuf> {
        self.current_token().map(|token| self.lock.path().with_file_name(token.as_os_str()))
    }

    fn downgrade_in(&self, state: &mut State) -> Result<bool, linklock::Error> {
        let State::Holds(guard) = std::mem::replace(state, State::Empty) else { return Ok(false) };
        let (done, guard) = match guard.downgrade() {
            Ok(guard) => (Ok(()), guard),
            Err(e) => {
                let (error, guard) = e.into_parts();
                (Err(error), guard)
            }
        };
        if self.current_token() != Some(guard.token()) {
            let _ = self.downgraded.set(guard.token().clone());
        }
        *state = State::Holds(guard);
        unless_lost(done)
    }

    /// The lock that is held, which may be that of a slot.
    fn held(&self) -> &Lock {
        let slot = self.won.get().and_then(|won| won.slot);
        let of_slot = self.slots.as_ref().zip(slot).and_then(|(slots, slot)| slots.locks().get(slot.checked_sub(1)?));
        of_slot.unwrap_or(&self.lock)
    }

    fn adopt_in(&self, token: &Token) -> Acquired {
        let Some(slots) = &self.slots else { return self.lock.adopt(token).map(|guard| (guard, None)) };
        // The token says which one, and is refused by all others before they ask the file system.
        let mut adopted =
            slots.locks().iter().zip(1..).map(|(lock, n)| lock.adopt(token).map(|guard| (guard, Some(n))));
        let first = adopted.next().unwrap_or_else(|| self.lock.adopt(token).map(|guard| (guard, None)));
        adopted.fold(first, |before, next| match (&before, &next) {
            (Ok(_), _) => before,
            (Err(e), Err(other)) if e.kind() != ErrorKind::Invalid || other.kind() == ErrorKind::Invalid => before,
            _ => next,
        })
    }

    fn release_in(&self, state: &mut State) -> Result<bool, linklock::Error> {
        let State::Holds(guard) = std::mem::replace(state, State::Empty) else { return Ok(false) };
        if guard.is_lost() {
            return self.release_late(guard);
        }
        unless_lost(guard.release().map_err(|e| {
            let (error, guard) = e.into_parts();
            if !error.is_lost() {
                *state = State::Holds(guard);
            }
            error
        }))
    }

    /// Releases an expired lock. If nobody has acquired it since, we held it all the time. But another contender may acquire
    /// it now, so it is removed as a breaker would remove it.
    fn release_late(&self, guard: Guard) -> Result<bool, linklock::Error> {
        let claim = Which::Claim(guard.leave());
        // The library would log that an operator broke the lock.
        let broken = tracing::subscriber::with_default(NoSubscriber::new(), || self.held().break_lock(&claim));
        match broken {
            Ok(Some(_)) => {
                tracing::warn!(lock = %Printable::new(self.held().path()), "released after its expiry; nobody had acquired it");
                Ok(true)
            }
            Err(e) if !matches!(e.kind(), ErrorKind::NotHeld | ErrorKind::NotALock | ErrorKind::Timeout) => Err(e),
            Ok(None) | Err(_) => {
                // Nobody else uses the claim's name, and the claim no longer holds the lock.
                if let Some(claim) = self.claim() {
                    let _ = std::fs::remove_file(claim);
                }
                Ok(false)
            }
        }
    }
}

#[pymethods]
impl Hold {
    #[new]
    fn new(contender: &Contender, thread: u64) -> Self {
        Self {
            lock: Arc::clone(contender.lock()),
            slots: contender.slots().cloned(),
            generation: Generation::current(),
            thread,
            state: Mutex::new(State::Empty),
            won: OnceLock::new(),
            downgraded: OnceLock::new(),
            is_kept: AtomicBool::new(false),
        }
    }

    /// One full attempt, which also breaks an expired lock.
    fn try_acquire(&self, py: Python<'_>) -> PyResult<()> {
        let try_once = || match &self.slots {
            None => self.lock.acquire_with(&Wait::never()).map(|guard| (guard, None)),
            Some(slots) => slots.acquire_with(&Wait::never()).map(of_slot),
        };
        self.ask(py, |state| self.fill(state, try_once())).map(drop)
    }

    /// Takes the lock over that has this token.
    fn adopt(&self, py: Python<'_>, token: OsString) -> PyResult<()> {
        self.ask(py, |state| self.fill(state, self.adopt_in(&Token::new(token)))).map(drop)
    }

    /// Begins to wait for the lock, for `limit` seconds or for ever.
    fn begin_to_wait(&self, bell: &Bell, limit: Option<f64>) -> PyResult<()> {
        let wait = match limit {
            Some(limit) => Wait::up_to(duration(limit)?),
            None => Wait::forever(),
        };
        let waiting = Waiting::begin(&self.lock, self.slots.as_ref(), wait, bell)?;
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Waits(waiting);
        Ok(())
    }

    /// Whether the wait has ended.
    fn has_ended(&self) -> bool {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Waits(waiting) => waiting.has_ended(),
            _ => true,
        }
    }

    /// Ends the wait soon, with a `TimeOutError`.
    fn stop_waiting(&self) {
        // Whoever has locked it asks the file system, which may hang, and does not wait.
        if let Ok(state) = self.state.try_lock()
            && let State::Waits(waiting) = &*state
        {
            waiting.cancel();
        }
    }

    /// Takes the result of the wait.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        let mut is_over = true;
        self.ask(py, |state| {
            let State::Waits(waiting) = state else { return Ok(false) };
            let Some(acquired) = waiting.take() else {
                is_over = false;
                return Ok(false);
            };
            *state = State::Empty;
            self.fill(state, acquired)
        })?;
        if is_over { Ok(()) } else { Err(LockError::new_err("the wait has not ended")) }
    }

    /// Ends an acquisition that nobody will use: ends the wait, and releases the lock if it was acquired.
    fn undo(&self, py: Python<'_>) -> PyResult<()> {
        self.ask(py, |state| {
            match std::mem::replace(state, State::Empty) {
                State::Waits(waiting) => waiting.end(),
                state => drop(state),
            }
            Ok(true)
        })
        .map(drop)
    }

    /// The claim's path, beside the lock path; None before it is acquired.
    #[getter]
    fn claimfile(&self) -> Option<OsString> {
        self.claim().map(Into::into)
    }

    /// The claim's name.
    #[getter]
    fn token(&self) -> Option<OsString> {
        self.current_token().map(|token| token.as_os_str().to_owned())
    }

    #[getter]
    fn fencing_token(&self) -> Option<u64> {
        self.won.get().and_then(|won| won.fencing_token)
    }

    /// The number of the slot, from 1 on; None for a lock without slots, and before it is acquired.
    #[getter]
    fn slot(&self) -> Option<usize> {
        self.won.get().and_then(|won| won.slot)
    }

    /// Moves the expiry on. False if the lock is lost.
    fn refresh(&self, py: Python<'_>, lifetime: f64) -> PyResult<bool> {
        let lifetime = duration(lifetime)?;
        self.ask(py, |state| match state {
            State::Holds(guard) => unless_lost(guard.refresh_for(lifetime)),
            _ => Ok(false),
        })
    }

    /// Shares the lock with others. False if it is lost. After an error it is held as a reader holds it, and this can be tried again.
    fn downgrade(&self, py: Python<'_>) -> PyResult<bool> {
        self.ask(py, |state| if let State::Holds(_) = state { self.downgrade_in(state) } else { Ok(false) })
    }

    /// Whether the file server shows that the lock is still held.
    fn check(&self, py: Python<'_>) -> PyResult<bool> {
        self.ask(py, |state| match state {
            State::Holds(guard) => unless_lost(guard.check()),
            _ => Ok(false),
        })
    }

    /// Notice of its loss; None before it is acquired.
    #[getter]
    fn loss(&self) -> Option<Notice> {
        self.won.get().map(|won| Notice(won.loss.clone()))
    }
}

/// Notice of a lock's loss, which does not keep the lock.
#[pyclass(frozen, module = "linklock._core")]
#[derive(Debug)]
pub(crate) struct Notice(Loss);

#[pymethods]
impl Notice {
    /// Whether the lock is lost. It does not ask the file system.
    #[getter]
    fn is_lost(&self, py: Python<'_>) -> PyResult<bool> {
        log::hand_over(py)?;
        Ok(self.0.is_lost())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let state = std::mem::replace(self.state.get_mut().unwrap_or_else(PoisonError::into_inner), State::Empty);
        match state {
            // It belongs to the process that this one was forked from, and the runtime's threads are not here.
            state if !self.generation.is_current() => std::mem::forget(state),
            State::Holds(guard) if *self.is_kept.get_mut() => drop(guard.leave()),
            state => drop(state),
        }
    }
}

/// Where a Python object keeps the lock that it holds. What several threads do with one object meets here: each call acts on the
/// lock that it has found.
#[pyclass(frozen, module = "linklock._core")]
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Locked only together with the interpreter's lock, so that no other thread has it locked at a fork.
    held: Mutex<Option<Py<Hold>>>,
}

impl Slot {
    fn swap(&self, hold: Option<Py<Hold>>) -> Option<Py<Hold>> {
        std::mem::replace(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner), hold)
    }
}

#[pymethods]
impl Slot {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// The lock that the object holds, lost or not.
    #[getter]
    fn held(&self, py: Python<'_>) -> Option<Py<Hold>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|held| held.clone_ref(py))
    }

    /// Keeps an acquired lock. One that was there before was lost: nobody else could have acquired it. `stays`: on disk, if the
    /// object is dropped while it holds the lock.
    fn keep(&self, hold: Py<Hold>, stays: bool) {
        hold.get().is_kept.store(stays, Ordering::Relaxed);
        drop(self.swap(Some(hold)));
    }

    /// Forgets this lock, if it is the one that is kept: whoever has it undoes it.
    fn forget(&self, py: Python<'_>, hold: &Bound<'_, Hold>) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = held.as_ref().is_some_and(|held| held.bind(py).is(hold));
        if is_same {
            hold.get().is_kept.store(false, Ordering::Relaxed);
            drop(held.take());
        }
        is_same
    }

    /// Releases the lock that is kept, or only this one. False if it was lost; None if there is nothing to release. After an error it
    /// is kept, and the release can be tried again.
    #[pyo3(signature = (only=None))]
    fn release(&self, py: Python<'_>, only: Option<&Bound<'_, Hold>>) -> PyResult<Option<bool>> {
        let taken = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let is_meant = only.is_none_or(|only| held.as_ref().is_some_and(|held| held.bind(py).is(only)));
            if is_meant { held.take() } else { None }
        };
        let Some(taken) = taken else { return Ok(None) };
        let hold = taken.get();
        let released = hold.ask(py, |state| hold.release_in(state));
        // Not if another thread has acquired it meanwhile: then this one is lost.
        if released.is_err() && matches!(&*hold.state.lock().unwrap_or_else(PoisonError::into_inner), State::Holds(_)) {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if held.is_none() {
                *held = Some(taken);
            }
        }
        released.map(Some)
    }

    /// Gives the lock up without releasing it: it stays held on disk, until it expires or is adopted by this token.
    fn leave(&self, py: Python<'_>) -> PyResult<Option<OsString>> {
        let Some(taken) = self.swap(None) else { return Ok(None) };
        let hold = taken.get();
        let mut token = None;
        hold.ask(py, |state| {
            if let State::Holds(guard) = std::mem::replace(state, State::Empty) {
                token = Some(guard.leave().as_os_str().to_owned());
            }
            Ok(true)
        })?;
        Ok(token)
    }
}

fn unless_lost(done: Result<(), linklock::Error>) -> Result<bool, linklock::Error> {
    match done {
        Ok(()) => Ok(true),
        Err(e) if e.is_lost() || e.kind() == ErrorKind::NotHeld => Ok(false),
        Err(e) => Err(e),
    }
}
