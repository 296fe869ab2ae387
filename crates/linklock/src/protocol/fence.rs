//! Fencing tokens: numbers that grow with every acquisition of a lock path, for what the lock protects to check.
//!
//! They are the names of empty directories in `LOCKPATH|fence`. A holder makes one that is greater than all it finds, then
//! sees that the lock is still its own, then that no greater one has come; the smaller ones it removes. Why they grow:
//!
//! - The greatest name stays: a name is removed only by one who has seen a greater. So a removal may come late, or twice.
//! - Say that B won the lock after A. A saw that it still had the lock after its number was there, so B, who lists them
//!   later, finds that number or a greater one, and takes one that is greater still. No clock is asked for that: it holds
//!   even if A's lock was broken because a clock had been set.
//! - A mkdir that comes late, or twice, makes a number that nobody is given: others find it and go beyond it.

use std::ffi::OsString;
use std::io::{self, ErrorKind};

use super::{Place, Stake, is_gone, shared};
use crate::claim::bytes_of;
use crate::env::{Location, Step};
use crate::error::Error;

/// What every language that people write checks in can hold.
const GREATEST: u64 = i64::MAX as u64;

/// Only holders that lost the lock and have not noticed yet can make one try again.
const TRIES: u32 = 64;

/// Draws a number for the lock that `stake` has just won; `None` if the lock was lost meanwhile.
pub(crate) fn draw(place: &Place, stake: &Stake) -> Result<Option<u64>, Error> {
    let dir = place.path.fence();
    let path = dir.as_path().to_owned();
    let failed = |e| Error::io(&path, "number the acquisition", e);
    let dir = shared::only_if_open(place, dir).map_err(failed)?;
    let mut greatest = numbers(place, &dir).map_err(failed)?.last().copied();
    for _ in 0..TRIES {
        // Never below the server's time, so that a counter that was cleaned away, or restored from a backup, does not
        // give a number twice.
        let floor = stake.anchor.earliest(place.env.now()).as_micros();
        let number = greatest.map_or(1, |greatest| greatest.saturating_add(1)).max(floor);
        if number > GREATEST {
            return Err(failed(io::Error::other("there is no greater number than those in it; remove them")));
        }
        // mkdir is the one call that makes a name exclusively and leaves nothing half done.
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
            // Our file may have been moved away from the name.
            let holds = place.forget_names().and_then(|()| place.protocol.steps().holds(place, stake));
            if !holds.map_err(|e| Error::io(place.lock_path(), "look at the lock", e))? {
                return Ok(None);
            }
        }
        // What an NFS client remembers of a directory may be old; but not past its own change there.
        let there = numbers(place, &dir).map_err(failed)?;
        greatest = there.last().copied();
        if made && (greatest == Some(number) || !place.keeps(Step::FenceLooksAgain)) {
            remove_smaller(place, &dir, number, &there);
            return Ok((place.env.now() < stake.lease.deadline).then_some(number));
        }
    }
    Err(failed(io::Error::other(format!("its greatest number was another one {TRIES} times in a row"))))
}

/// The numbers in the counter, in order. Other names are not ours.
fn numbers(place: &Place, dir: &Location) -> io::Result<Vec<u64>> {
    let names = match place.env.list(dir) {
        Err(e) if is_gone(&e) => return Ok(Vec::new()),
        names => names?,
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn number(name: &OsString) -> Option<u64> {
    let digits = std::str::from_utf8(bytes_of(name.as_ref())).ok()?;
    // As we write it: "+1" and "01" are other names.
    digits.parse().ok().filter(|number: &u64| *number <= GREATEST && number.to_string() == digits)
}

fn remove_smaller(place: &Place, dir: &Location, number: u64, there: &[u64]) {
    for smaller in there.iter().filter(|other| **other < number) {
        // Another user's, perhaps. It does no harm.
        let _ = place.env.rmdir(&dir.inside(smaller.to_string().as_ref()));
    }
}
