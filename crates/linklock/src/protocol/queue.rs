//! The queue: contenders that wait take the lock in the order in which they came.
//!
//! Each has a ticket, a file in `LOCKPATH|queue` whose name is the server's time at its arrival and its claim. Whoever has
//! the first one waits for the lock; each other waits for the ticket before its own. So a release wakes one contender, and so
//! does an acquisition. The queue gives order and nothing else: who has the lock is for the lock path alone to say, and
//! whatever is wrong with a ticket costs somebody a place at most.
//!
//! So the order is given up where others could make it a reason to fail, or to wait for long: where this user cannot queue up,
//! where the tickets of contenders that are gone cannot be removed, and where there are too many names to look at. A contender
//! that changes its ticket again and again holds up those behind it for as long as it does so, as a holder does.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::time::Duration;

use super::io_error::{gone_is_ok, is_gone, is_refused};
use super::place::Place;
use super::shared;
use super::stake::Stake;
use crate::claim::Claim;
use crate::env::{Attr, FileKind, Liveness, Location, Meant};
use crate::error::Error;
use crate::lease::Anchor;
use crate::lock_path::TICKET_DIGITS;
use crate::names::bytes_of;
use crate::printable::Printable;
use crate::time::{LocalTime, ServerTime};

/// How long a ticket is good for after its last change. So long one contender that is stopped, or that died on another
/// machine, holds up those behind it.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
const REFRESH_EVERY: Duration = Duration::from_secs(20);

/// So many tickets before our own are remembered of a listing, which may have any number of them.
const NEAREST_MOST: usize = 64;

/// So often the tickets of contenders that are gone are removed in a row, [`NEAREST_MOST`] at a time.
const REMOVALS_MOST: u32 = 16;

/// No more names are looked at. To list so many takes some 30 ms on a local file system.
const NAMES_MOST: usize = 1 << 16;

/// A contender's place in the queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    at: Location,
    name: OsString,
    /// Who we are there, as the file system has it.
    owner: u32,
    refreshed: LocalTime,
    /// Of tickets before ours, the ctime, and since when that is known.
    unchanged: BTreeMap<OsString, (ServerTime, LocalTime)>,
}

/// What is to be thought of a ticket before ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Waits,
    /// Its contender is gone.
    Ended,
    /// It is gone, or only has the name of a ticket.
    None,
}

/// The contender before another one in the queue.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// Its ticket.
    pub(crate) ticket: Location,
    /// Its process, if it is of this machine and its end can be seen.
    pub(crate) pid: Option<u32>,
}

/// Whether anybody waits in the queue, as far as this user may know.
pub(crate) fn is_empty(place: &Place) -> Result<bool, Error> {
    let is_ticket = |name: &OsStr| claim(place, name).is_some();
    match place.names(&place.path.queue(), 1, &is_ticket) {
        Err(e) if is_gone(&e) || is_useless(&e) => Ok(true),
        names => names.map(|names| names.is_empty()).map_err(|e| failed(place, e)),
    }
}

impl Ticket {
    /// Joins the queue at its end. `None` if there can be no queue, or not for this user.
    pub(crate) fn draw(place: &Place, stake: &Stake) -> Result<Option<Self>, Error> {
        let now = place.env.now();
        let arrived = stake.anchor.earliest(now).as_micros();
        let mut name = OsString::from(format!("{arrived:0TICKET_DIGITS$}"));
        name.push(stake.claim.token.as_os_str());
        let drawn = shared::only_if_open(place, place.path.queue()).and_then(|queue| {
            let (owner, unchanged) = (stake.owner, BTreeMap::new());
            let ticket = Self { at: queue.inside(&name), name, owner, refreshed: now, unchanged };
            ticket.put(place).map(|()| ticket)
        });
        match drawn {
            Err(e) if is_useless(&e) => {
                tracing::warn!(queue = %Printable::new(place.path.queue().as_path()), error = %e,
                    "cannot queue up, and waits for the lock out of order; remove what is there, or make it writable");
                Ok(None)
            }
            drawn => drawn.map(Some).map_err(|e| failed(place, e)),
        }
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
        match place.env.touch(&self.at, Meant { id: None, owner: self.owner, is_alone: true }) {
            // Taken for one of a contender that is no more.
            Err(e) if is_gone(&e) => self.put(place),
            touched => touched.map(drop),
        }
        // Without a ticket, those behind us pass.
        .or_else(|e| if is_useless(&e) { Ok(()) } else { Err(e) })
        .map_err(|e| failed(place, e))
    }

    /// Who is the next before us; `None` if it is our turn. Removes the tickets of those who do not wait any more.
    pub(crate) fn ahead(&mut self, place: &Place, anchor: &Anchor) -> Result<Option<Ahead>, Error> {
        for _ in 0..REMOVALS_MOST {
            let before = match nearest(place, &self.name) {
                Err(e) if is_useless(&e) => return Ok(None),
                before => before.map_err(|e| failed(place, e))?,
            };
            self.unchanged.retain(|known, _| before.contains_key(known));
            let mut removed = 0;
            for (name, claim) in before.iter().rev() {
                let ticket = place.path.queue().inside(name);
                match self.standing(place, name, claim, anchor, &before) {
                    Standing::Waits => return Ok(Some(Ahead { ticket, pid: place.living_process(claim) })),
                    Standing::None => {}
                    // In a sticky directory it is for its owner alone to remove.
                    Standing::Ended => removed += u32::from(gone_is_ok(place.env.unlink(&ticket)).is_ok()),
                }
            }
            tracing::debug!(queue = %Printable::new(place.path.queue().as_path()), removed,
                "removed the tickets of contenders that are gone");
            if before.len() < NEAREST_MOST || removed == 0 {
                break;
            }
        }
        Ok(None)
    }

    /// Whether a contender is known not to wait any more: it has ended, or its ticket has not changed for a ticket's lifetime, by
    /// the clock that stamps it or by ours. So one whose time lies in the future holds up nobody for longer.
    fn standing(
        &mut self,
        place: &Place,
        name: &OsStr,
        claim: &Claim,
        anchor: &Anchor,
        before: &BTreeMap<OsString, Claim>,
    ) -> Standing {
        if place.liveness(claim) == Liveness::Dead {
            return Standing::Ended;
        }
        let looked = place.env.now();
        // Gone already: whoever looks at the next one before it does no harm.
        let Some(attr) = Self::look(place, name) else { return Standing::None };
        let expires = attr.ctime + attr.ctime.rounding() + LIFETIME;
        if place.clock_is_known() && anchor.earliest(looked) > expires {
            return Standing::Ended;
        }
        if let Some((_, since)) = self.unchanged.get(name).filter(|(ctime, _)| *ctime == attr.ctime) {
            let is_over = looked.since(*since) > LIFETIME + attr.ctime.rounding();
            return if is_over { Standing::Ended } else { Standing::Waits };
        }
        self.unchanged.insert(name.to_owned(), (attr.ctime, place.env.now()));
        if !place.clock_is_known() || attr.ctime > anchor.latest(place.env.now()) {
            // Nothing but to watch it tells, so the others are watched from now on as well, and not one after the other.
            for other in before.keys().filter(|other| ***other < *name) {
                if !self.unchanged.contains_key(other)
                    && let Some(attr) = Self::look(place, other)
                {
                    self.unchanged.insert(other.clone(), (attr.ctime, place.env.now()));
                }
            }
        }
        Standing::Waits
    }

    /// The attributes of a ticket, if it is one.
    fn look(place: &Place, name: &OsStr) -> Option<Attr> {
        place.env.stat(&place.path.queue().inside(name)).ok().filter(|attr| attr.kind == FileKind::Regular)
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

/// The tickets that come last before this one, and whose they are. Other names are not ours.
fn nearest(place: &Place, own: &OsStr) -> io::Result<BTreeMap<OsString, Claim>> {
    let (mut nearest, mut names): (BTreeMap<OsString, Claim>, _) = (BTreeMap::new(), 0);
    let listed = place.env.list(&place.path.queue(), &mut |name, _| {
        let is_near = || nearest.len() < NEAREST_MOST || nearest.keys().next().is_none_or(|first| **first < *name);
        if name < own
            && is_near()
            && let Some(claim) = claim(place, name)
        {
            nearest.insert(name.to_owned(), claim);
            if nearest.len() > NEAREST_MOST {
                nearest.pop_first();
            }
        }
        names += 1;
        if names < NAMES_MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if names >= NAMES_MOST {
        tracing::warn!(queue = %Printable::new(place.path.queue().as_path()), names,
            "there are too many names in the queue, and it gives no order; remove it");
        return Ok(BTreeMap::new());
    }
    match listed {
        Err(e) if is_gone(&e) => Ok(BTreeMap::new()),
        listed => listed.map(|()| nearest),
    }
}

/// The claim of a contender that has a ticket of this name.
pub(super) fn claim(place: &Place, name: &OsStr) -> Option<Claim> {
    let (time, token) = bytes_of(name).split_at_checked(TICKET_DIGITS)?;
    time.iter().all(u8::is_ascii_digit).then(|| place.path.parse(token))?
}

/// Nobody can queue up there, or not this user: it is no directory, or another's.
fn is_useless(e: &io::Error) -> bool {
    is_refused(e) || e.kind() == ErrorKind::NotADirectory
}

fn failed(place: &Place, e: io::Error) -> Error {
    Error::io(place.path.queue().as_path(), "queue up for the lock", e)
}
