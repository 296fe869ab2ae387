//! Turns at the lock path. A breaker has its turn while it holds the break lock, a short dir lock at `LOCKPATH|break`.
//!
//! Whoever removes or moves the shared name without being its holder does it in its turn. In that time no other
//! contender can put another lock under that name. Without turns, a second breaker that acted on an older look would
//! hit the next holder's lock.

use super::dir;
use super::entry;
use super::identify::may_break;
use super::judge::{Judge, Verdict, log_broken};
use super::look::look;
use super::place::Place;
use super::seen::{Seen, stuck};
use super::stake::{Attempt, Break, Stake};
use crate::error::Error;
use crate::printable::Printable;

/// The most attempts in a row, however often the break lock is seen free or changes hands.
const ROUNDS: u32 = 4;

/// A held break lock, as long as [`is_ours`](Self::is_ours) says so. Finish with [`end`](Self::end).
pub(super) struct Turn {
    break_lock: Place,
    stake: Stake,
}

impl Turn {
    /// `None` if another breaker has its turn.
    pub(super) fn take(place: &Place) -> Result<Option<Self>, Error> {
        let break_lock = place.of_break_lock();
        let stake = dir::stage(&break_lock)?;
        let mut turn = Self { break_lock, stake };
        let taken = turn.contend();
        if !matches!(taken, Ok(true)) {
            dir::withdraw(&turn.break_lock, &turn.stake.claim);
        }
        Ok(taken?.then_some(turn))
    }

    /// One full try, which also breaks an expired break lock. Does not wait.
    fn contend(&mut self) -> Result<bool, Error> {
        for _ in 0..ROUNDS {
            match dir::attempt(&self.break_lock, &mut self.stake, dir::remove_empty)? {
                Attempt::Won => return Ok(true),
                // Somebody cleaned up, or we were paused for longer than the lifetime: start again, with a new name.
                Attempt::Void => {
                    dir::withdraw(&self.break_lock, &self.stake.claim);
                    self.stake = dir::stage(&self.break_lock)?;
                }
                Attempt::Failed if self.makes_room()? => {}
                Attempt::Failed => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Whether another attempt may succeed: the break lock is free, or was broken.
    fn makes_room(&mut self) -> Result<bool, Error> {
        let place = &self.break_lock;
        let looked = place.env.now();
        let lock = match look(place)? {
            Seen::Free => return Ok(true),
            Seen::Stuck { owner, since } if owner != self.stake.owner => {
                return match stuck(place.env.as_ref(), since) {
                    Some(what) => Err(Error::not_a_lock(place.lock_path(), what)),
                    None => Ok(false),
                };
            }
            Seen::EmptyDirectory { .. } | Seen::Stuck { .. } => {
                dir::remove_empty(place);
                return Ok(true);
            }
            Seen::NotALock(what) => return Err(Error::not_a_lock(place.lock_path(), what)),
            Seen::Lock(lock) => lock,
        };
        let judged = Judge::new(place).judge(&mut self.stake, &lock, looked, false)?;
        let Some(judged) = judged else { return Ok(true) };
        if judged.verdict == Verdict::Live || !may_break(place, &lock)? {
            return Ok(false);
        }
        if dir::break_lock(place, &lock, dir::remove_empty)? == Break::Done {
            log_broken(place, &lock, judged.verdict.why());
        }
        // If it changed meanwhile, another breaker has its turn, or has just ended it.
        Ok(true)
    }

    pub(super) fn is_ours(&self) -> bool {
        let holds = entry::holds(&self.break_lock, &self.stake).unwrap_or(false);
        // The clock last: its answer must hold for the very next call.
        holds && self.break_lock.env.now() < self.stake.lease.deadline
    }

    pub(super) fn end(self) {
        if let Err(e) = dir::release(&self.break_lock, &self.stake, dir::remove_empty) {
            tracing::warn!(break_lock = %Printable::new(self.break_lock.lock_path()), error = %e, "could not release the break lock");
        }
    }
}
