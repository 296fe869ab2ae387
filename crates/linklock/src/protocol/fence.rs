//! Fencing tokens: numbers that grow with every acquisition of a lock path, for the protected resource to check.
//!
//! They are the names of empty directories in `LOCKPATH|fence`. A holder creates a number that is greater than all that
//! it finds. Then it checks that it still holds the lock, and then that no greater number has come. It removes the
//! smaller ones. Why they grow:
//!
//! - The greatest number stays: a contender removes a number only if it has seen a greater one. So a removal may come
//!   late, or twice.
//! - Say that B acquired the lock after A. A saw that it still held the lock after its number existed. B lists the
//!   numbers later, so it finds that number or a greater one, and takes one that is greater still. This needs no clock:
//!   it is true even if A's lock was broken because a clock was set.
//! - A mkdir that comes late, or twice, creates a number that no holder gets. Others find it and go beyond it.
//!
//! Other users may create a number too. It counts like any other, since nobody can tell which is which. But no holder
//! gets a number that is more than [`AHEAD_MOST`] ahead of the server's clock. It gets an error instead, which names
//! the number in the way. Ignoring such a number would not be safe if the clock was set back: a holder may have got it.
//! So other users can move the numbers on by that much, or cause an error, but as long as the lock can be acquired, the
//! numbers grow.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;

use super::io_error::is_gone;
use super::place::Place;
use super::stake::Stake;
use super::{shared, steps};
use crate::env::{Location, Step};
use crate::error::Error;
use crate::names::bytes_of;

/// The greatest number that all common languages can represent, since the check may be written in any of them.
const GREATEST: u64 = i64::MAX as u64;

/// How far a number may be ahead of the server's clock, in microseconds: ten years. Numbers get ahead if the clock is
/// set back, but without other users' doing never by more than this.
const AHEAD_MOST: u64 = 10 * 365 * 24 * 3600 * 1_000_000;

/// November 2026. A clock that is behind it was not set yet, as on a machine without a battery. That is not an error.
const CLOCK_LEAST: u64 = 1_793_500_000_000_000;

/// Only holders that lost the lock and have not noticed yet can cause another try.
const TRIES: u32 = 64;

/// The most numbers that one acquisition removes, so that it does not take long.
const SMALLER_MOST: usize = 1000;

/// Draws a number for the lock that `stake` has just won. `None` if the lock was lost meanwhile.
pub(crate) fn draw(place: &Place, stake: &Stake) -> Result<Option<u64>, Error> {
    let dir = place.path.fence();
    let path = dir.as_path().to_owned();
    let failed = |e| Error::io(&path, "number the acquisition", e);
    let dir = shared::only_if_open(place, dir).map_err(failed)?;
    let mut greatest = numbers(place, &dir).map_err(failed)?.greatest;
    for _ in 0..TRIES {
        // Never below the server's time. So a counter that was deleted, or restored from a backup, gives no number
        // twice.
        let floor = stake.anchor.earliest(place.env.now()).as_micros();
        let number = greatest.map_or(1, |greatest| greatest.saturating_add(1)).max(floor);
        if number > greatest_at(floor) {
            return Err(failed(io::Error::other(format!(
                "the number {} in it is ten years ahead of the file server's clock or more; check that clock; if it is right, remove the number, and make what checks the numbers forget it",
                greatest.unwrap_or(floor)
            ))));
        }
        // mkdir is the one call that creates a name exclusively and leaves nothing half done.
        let made = match place.env.mkdir(&dir.inside(number.to_string().as_ref()), 0o755) {
            Ok(()) => true,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => false,
            Err(e) if is_gone(&e) => {
                shared::make(place, &dir).map_err(failed)?;
                false
            }
            Err(e) => return Err(failed(e)),
        };
        if made && place.keeps(Step::FenceSeesLock) {
            // Our file may have been moved away from the lock path.
            let holds = place.forget_names().and_then(|()| steps::holds(place, stake));
            if !holds.map_err(|e| Error::io(place.lock_path(), "look at the lock", e))? {
                return Ok(None);
            }
        }
        // An NFS client's memory of a directory may be old, but not older than its own change there.
        let there = numbers(place, &dir).map_err(failed)?;
        greatest = there.greatest;
        if made && (greatest == Some(number) || !place.keeps(Step::FenceLooksAgain)) {
            remove(place, &dir, &there.smaller);
            return Ok((place.env.now() < stake.lease.deadline).then_some(number));
        }
    }
    Err(failed(io::Error::other(format!("its greatest number changed {TRIES} times in a row"))))
}

/// The greatest number that a holder may get when the server's clock says `now`.
fn greatest_at(now: u64) -> u64 {
    now.max(CLOCK_LEAST).saturating_add(AHEAD_MOST).min(GREATEST)
}

/// The numbers in the counter. Other names are ignored.
#[derive(Debug, Default)]
struct Numbers {
    greatest: Option<u64>,
    /// Some of the others, at most [`SMALLER_MOST`].
    smaller: Vec<u64>,
}

fn numbers(place: &Place, dir: &Location) -> io::Result<Numbers> {
    let mut numbers = Numbers::default();
    let listed = place.env.list(dir, &mut |name, _| {
        let Some(number) = number(name) else { return ControlFlow::Continue(()) };
        let smaller = match numbers.greatest {
            Some(greatest) if greatest > number => Some(number),
            _ => numbers.greatest.replace(number),
        };
        if numbers.smaller.len() < SMALLER_MOST {
            numbers.smaller.extend(smaller);
        }
        ControlFlow::Continue(())
    });
    listed.or_else(|e| if is_gone(&e) { Ok(()) } else { Err(e) })?;
    Ok(numbers)
}

fn number(name: &OsStr) -> Option<u64> {
    let digits = std::str::from_utf8(bytes_of(name)).ok()?;
    // Exactly as we write it: "+1" and "01" are other names.
    digits.parse().ok().filter(|number: &u64| *number <= GREATEST && number.to_string() == digits)
}

fn remove(place: &Place, dir: &Location, smaller: &[u64]) {
    for smaller in smaller {
        // It may be another user's. Leaving it does no harm.
        let _ = place.env.rmdir(&dir.inside(smaller.to_string().as_ref()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_ten_years_ahead_of_the_clock_and_of_one_that_was_not_set_yet() {
        let ten_years = 315_360_000_000_000;
        for unset in [0, 946_684_800_000_000, CLOCK_LEAST] {
            assert_eq!(greatest_at(unset), CLOCK_LEAST + ten_years, "{unset}");
        }
        assert_eq!(greatest_at(CLOCK_LEAST + 1), CLOCK_LEAST + 1 + ten_years);
        for late in [GREATEST, u64::MAX] {
            assert_eq!(greatest_at(late), GREATEST, "{late}");
        }
    }
}
