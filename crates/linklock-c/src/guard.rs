//! A held lock, as C has it.

use std::ffi::CString;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rust_linklock::Loss;

use crate::error::Failure;
#[cfg(not(windows))]
use crate::loss_fd::LossFd;
use crate::text::c_text;

/// A held lock: linklock_acquire, linklock_adopt. Threads may share it.
///
/// Calls that ask the file system wait for each other: linklock_refresh, linklock_keep_alive, linklock_release, linklock_leave
/// and linklock_guard_free. All others return immediately, also while a file system hangs.
#[derive(Debug)]
pub struct Guard {
    /// `None` once the lock was released or left. A forked child may find it locked for ever, so it never locks it.
    held: Mutex<Option<rust_linklock::Guard>>,
    loss: Loss,
    token: CString,
    fencing_token: Option<u64>,
    #[cfg(not(windows))]
    loss_fd: Mutex<Option<LossFd>>,
}

impl Guard {
    pub(crate) fn new(guard: rust_linklock::Guard) -> Self {
        Self {
            loss: guard.loss(),
            token: c_text(guard.token().as_os_str()),
            fencing_token: guard.fencing_token(),
            held: Mutex::new(Some(guard)),
            #[cfg(not(windows))]
            loss_fd: Mutex::default(),
        }
    }

    pub(crate) fn token(&self) -> &CString {
        &self.token
    }

    pub(crate) fn fencing_token(&self) -> Option<u64> {
        self.fencing_token
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.loss.is_lost()
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.loss.remaining()
    }

    pub(crate) fn refresh(&self) -> Result<(), Failure> {
        self.ask(|held| Ok(held.as_ref().ok_or_else(ended)?.refresh()?))
    }

    pub(crate) fn keep_alive(&self) -> Result<(), Failure> {
        self.ask(|held| Ok(held.as_ref().ok_or_else(ended)?.keep_alive()?))
    }

    pub(crate) fn release(&self) -> Result<(), Failure> {
        self.ask(|held| {
            held.take().ok_or_else(ended)?.release().map_err(|failed| {
                let (error, guard) = failed.into_parts();
                if !error.is_lost() {
                    // It may be tried again.
                    *held = Some(guard);
                }
                error.into()
            })
        })
    }

    pub(crate) fn leave(&self) -> Result<(), Failure> {
        self.ask(|held| {
            held.take().ok_or_else(ended)?.leave();
            Ok(())
        })
    }

    #[cfg(not(windows))]
    pub(crate) fn loss_fd(&self) -> Result<i32, Failure> {
        self.check_owner()?;
        let mut known = self.loss_fd.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = Some(LossFd::new(&self.loss)?);
        }
        Ok(known.as_ref().map_or(-1, LossFd::number))
    }

    fn ask<T>(&self, act: impl FnOnce(&mut Option<rust_linklock::Guard>) -> Result<T, Failure>) -> Result<T, Failure> {
        self.check_owner()?;
        act(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn check_owner(&self) -> Result<(), Failure> {
        if self.loss.is_inherited() {
            let why = "the lock is not held by this process: the process that it was forked from holds it";
            return Err(Failure::not_held(why));
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // First the lock, whose end the thread behind the descriptor waits for.
        drop(self.held.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        #[cfg(not(windows))]
        if let Some(loss_fd) = self.loss_fd.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            loss_fd.end(&self.loss);
        }
    }
}

fn ended() -> Failure {
    Failure::not_held("the lock is not held by this guard: it was released, left, or found lost at its release")
}
