//! The queue: contenders that wait take the lock in the order in which they came.
//!
//! Each has a ticket, a file in `LOCKPATH|queue` whose name is the server's time at its arrival and its claim. Whoever has
//! the first one waits for the lock; each other waits for the ticket before its own. So a release wakes one contender, and so
//! does an acquisition. The queue gives order and nothing else: who has the lock is for the lock path alone to say, and
//! whatever is wrong with a ticket costs somebody a place at most.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::time::Duration;

use super::{Place, Stake, gone_is_ok, is_gone, shared};
use crate::claim::{Claim, TICKET_DIGITS, bytes_of};
use crate::env::{FileKind, Liveness, Location, Meant};
use crate::error::Error;
use crate::lease::{Anchor, LocalTime, ServerTime};
use crate::printable::Printable;

/// How long a ticket is good for after its last change. So long one contender that is stopped, or that died on another
/// machine, holds up those behind it.
pub(super) const LIFETIME: Duration = Duration::from_secs(60);
const REFRESH_EVERY: Duration = Duration::from_secs(20);

/// A contender's place in the queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    at: Location,
    name: OsString,
    /// Who we are there, as the file system has it.
    owner: u32,
    refreshed: LocalTime,
    /// The ticket before ours, its ctime, and since when both are known.
    unchanged: Option<(OsString, ServerTime, LocalTime)>,
}

/// The contender before another one in the queue.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// Its ticket.
    pub(crate) ticket: Location,
    /// Its process, if it is of this machine and its end can be seen.
    pub(crate) pid: Option<u32>,
}

/// Whether anybody waits in the queue.
pub(crate) fn is_empty(place: &Place) -> Result<bool, Error> {
    names(place).map(|names| names.is_empty()).map_err(|e| failed(place, e))
}

impl Ticket {
    /// Joins the queue at its end.
    pub(crate) fn draw(place: &Place, stake: &Stake) -> Result<Self, Error> {
        let now = place.env.now();
        let arrived = stake.anchor.earliest(now).as_micros();
        let mut name = OsString::from(format!("{arrived:0TICKET_DIGITS$}"));
        name.push(stake.claim.token.as_os_str());
        let queue = shared::only_if_open(place, place.path.queue()).map_err(|e| failed(place, e))?;
        let ticket = Self { at: queue.inside(&name), name, owner: stake.owner, refreshed: now, unchanged: None };
        ticket.put(place).map_err(|e| failed(place, e))?;
        Ok(ticket)
    }

    fn put(&self, place: &Place) -> io::Result<()> {
        let queue = place.path.queue();
        // Whoever leaves as the last takes the directory with him.
        for _ in 0..64 {
            match place.env.create(&self.at, b"", 0o644, &mut |_| None) {
                // So made, and gone again by now.
                Err(e) if is_gone(&e) => shared::make(place, &queue).or_else(|e| gone_is_ok(Err(e)))?,
                // It was made, and the reply was lost, if it is a file of ours.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    let attr = place.env.stat(&self.at)?;
                    return if attr.kind == FileKind::Regular && attr.owner == self.owner { Ok(()) } else { Err(e) };
                }
                made => return made.map(drop),
            }
        }
        Err(ErrorKind::NotFound.into())
    }

    /// Tells the others that we still wait, now and then.
    pub(crate) fn refresh(&mut self, place: &Place) -> Result<(), Error> {
        let now = place.env.now();
        if now.since(self.refreshed) < REFRESH_EVERY {
            return Ok(());
        }
        self.refreshed = now;
        match place.env.touch(&self.at, Meant { id: None, owner: self.owner }) {
            // Taken for one of a contender that is no more.
            Err(e) if is_gone(&e) => self.put(place),
            touched => touched.map(drop),
        }
        .map_err(|e| failed(place, e))
    }

    /// Who is the next before us; `None` if it is our turn. Removes the tickets of those who do not wait any more.
    pub(crate) fn ahead(&mut self, place: &Place, anchor: &Anchor) -> Result<Option<Ahead>, Error> {
        let mut before = names(place).map_err(|e| failed(place, e))?;
        before.retain(|(name, _)| *name < self.name);
        for (name, claim) in before.iter().rev() {
            let ticket = place.path.queue().inside(name);
            if !self.has_expired(place, name, claim, anchor) {
                return Ok(Some(Ahead { ticket, pid: place.living_process(claim) }));
            }
            tracing::debug!(ticket = %Printable::new(ticket.as_path()), "removed the ticket of a contender that is gone");
            gone_is_ok(place.env.unlink(&ticket)).map_err(|e| failed(place, e))?;
        }
        Ok(None)
    }

    /// Whether a contender is known not to wait any more: it has ended, or its ticket has not changed for a ticket's lifetime, by
    /// the clock that stamps it or by ours. So one whose time lies in the future holds up nobody for longer.
    fn has_expired(&mut self, place: &Place, name: &OsStr, claim: &Claim, anchor: &Anchor) -> bool {
        if place.liveness(claim) == Liveness::Dead {
            return true;
        }
        let looked = place.env.now();
        // Gone already: whoever looks at the next one before it does no harm.
        let Ok(attr) = place.env.stat(&place.path.queue().inside(name)) else { return true };
        let expires = attr.ctime + attr.ctime.rounding() + LIFETIME;
        if place.clock_is_known() && anchor.earliest(looked) > expires {
            return true;
        }
        let same = self.unchanged.as_ref().filter(|(seen, ctime, _)| seen == name && *ctime == attr.ctime);
        if let Some((_, _, since)) = same {
            return looked.since(*since) > LIFETIME + attr.ctime.rounding();
        }
        self.unchanged = Some((name.to_owned(), attr.ctime, place.env.now()));
        false
    }

    /// Leaves the queue.
    pub(crate) fn leave(self, place: &Place) {
        let left = gone_is_ok(place.env.unlink(&self.at));
        if let Err(e) = left {
            tracing::warn!(ticket = %Printable::new(self.at.as_path()), error = %e, "a ticket is left over");
        }
        // Not empty: others wait.
        let _ = place.env.rmdir(&place.path.queue());
    }
}

/// The tickets and whose they are, in order. Other names are not ours.
fn names(place: &Place) -> io::Result<Vec<(OsString, Claim)>> {
    let names = match place.env.list(&place.path.queue()) {
        Err(e) if is_gone(&e) => return Ok(Vec::new()),
        names => names?,
    };
    let mut tickets: Vec<_> = names.into_iter().filter_map(|name| Some((claim(place, &name)?, name))).collect();
    tickets.sort_unstable_by(|(_, one), (_, other)| one.cmp(other));
    Ok(tickets.into_iter().map(|(claim, name)| (name, claim)).collect())
}

/// The claim of a contender that has a ticket of this name.
pub(super) fn claim(place: &Place, name: &OsStr) -> Option<Claim> {
    let (time, token) = bytes_of(name.as_ref()).split_at_checked(TICKET_DIGITS)?;
    time.iter().all(u8::is_ascii_digit).then(|| place.path.parse(token))?
}

fn failed(place: &Place, e: io::Error) -> Error {
    Error::io(place.path.queue().as_path(), "queue up for the lock", e)
}
