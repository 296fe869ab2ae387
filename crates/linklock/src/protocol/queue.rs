//! The queue: contenders that wait take the lock in the order in which they came.
//!
//! Each has a ticket, a file in `LOCKPATH|queue` whose name is the server's time at its arrival and its claim. Whoever has
//! the first one waits for the lock; each other waits for the ticket before its own. So a release wakes one contender, and so
//! does an acquisition. The queue gives order and nothing else: who has the lock is for the lock path alone to say, and
//! whatever is wrong with a ticket costs somebody a place at most.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use super::{Place, Stake, fence, gone_is_ok, is_gone};
use crate::claim::{Claim, TICKET_DIGITS, bytes_of};
use crate::env::Liveness;
use crate::error::Error;
use crate::lease::{Anchor, LocalTime, ServerTime};

/// How long a ticket is good for after its last change. So long one contender that is stopped, or that died on another
/// machine, holds up those behind it.
pub(super) const LIFETIME: Duration = Duration::from_secs(60);
const REFRESH_EVERY: Duration = Duration::from_secs(20);

/// So many tickets before our own are remembered of a listing, which may have any number of them.
const NEAREST_MOST: usize = 64;

/// A contender's place in the queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    name: OsString,
    refreshed: LocalTime,
    /// The ticket before ours, its ctime, and since when both are known.
    unchanged: Option<(OsString, ServerTime, LocalTime)>,
}

/// The contender before another one in the queue.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// Its ticket.
    pub(crate) ticket: PathBuf,
    /// Its process, if it is of this machine and its end can be seen.
    pub(crate) pid: Option<u32>,
}

/// Whether anybody waits in the queue.
pub(crate) fn is_empty(place: &Place) -> Result<bool, Error> {
    let is_ticket = |name: &OsStr| claim(place, name).is_some();
    match place.names(&place.path.queue(), 1, &is_ticket) {
        Err(e) if is_gone(&e) => Ok(true),
        names => names.map(|names| names.is_empty()).map_err(|e| failed(place, e)),
    }
}

impl Ticket {
    /// Joins the queue at its end.
    pub(crate) fn draw(place: &Place, stake: &Stake) -> Result<Self, Error> {
        let now = place.env.now();
        let arrived = stake.anchor.earliest(now).as_micros();
        let mut name = OsString::from(format!("{arrived:0TICKET_DIGITS$}"));
        name.push(stake.claim.token.as_os_str());
        let ticket = Self { name, refreshed: now, unchanged: None };
        ticket.put(place).map_err(|e| failed(place, e))?;
        Ok(ticket)
    }

    fn path(&self, place: &Place) -> PathBuf {
        place.path.queue().join(&self.name)
    }

    fn put(&self, place: &Place) -> io::Result<()> {
        let queue = place.path.queue();
        // Whoever leaves as the last takes the directory with him.
        for _ in 0..64 {
            match place.env.create(&self.path(place), b"", 0o644, &mut |_| None) {
                // So made, and gone again by now.
                Err(e) if is_gone(&e) => fence::make_directory(place, &queue).or_else(|e| gone_is_ok(Err(e)))?,
                // The name is ours alone: it was made, and the reply was lost.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(()),
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
        match place.env.touch(&self.path(place)) {
            // Taken for one of a contender that is no more.
            Err(e) if is_gone(&e) => self.put(place),
            touched => touched.map(drop),
        }
        .map_err(|e| failed(place, e))
    }

    /// Who is the next before us; `None` if it is our turn. Removes the tickets of those who do not wait any more.
    pub(crate) fn ahead(&mut self, place: &Place, anchor: &Anchor) -> Result<Option<Ahead>, Error> {
        loop {
            let before = nearest(place, &self.name).map_err(|e| failed(place, e))?;
            for (name, claim) in before.iter().rev() {
                let ticket = place.path.queue().join(name);
                if !self.has_expired(place, name, claim, anchor) {
                    return Ok(Some(Ahead { ticket, pid: place.living_process(claim) }));
                }
                tracing::debug!(ticket = %ticket.display(), "removed the ticket of a contender that is gone");
                gone_is_ok(place.env.unlink(&ticket)).map_err(|e| failed(place, e))?;
            }
            if before.len() < NEAREST_MOST {
                return Ok(None);
            }
        }
    }

    /// Whether a contender is known not to wait any more: it has ended, or its ticket has not changed for a ticket's lifetime, by
    /// the clock that stamps it or by ours. So one whose time lies in the future holds up nobody for longer.
    fn has_expired(&mut self, place: &Place, name: &OsStr, claim: &Claim, anchor: &Anchor) -> bool {
        if place.liveness(claim) == Liveness::Dead {
            return true;
        }
        let looked = place.env.now();
        // Gone already: whoever looks at the next one before it does no harm.
        let Ok(attr) = place.env.stat(&place.path.queue().join(name)) else { return true };
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
        let left = gone_is_ok(place.env.unlink(&self.path(place)));
        if let Err(e) = left {
            tracing::warn!(ticket = %self.path(place).display(), error = %e, "a ticket is left over");
        }
        // Not empty: others wait.
        let _ = place.env.rmdir(&place.path.queue());
    }
}

/// The tickets that come last before this one, and whose they are, in order. Other names are not ours.
fn nearest(place: &Place, own: &OsStr) -> io::Result<Vec<(OsString, Claim)>> {
    let mut nearest: BTreeMap<OsString, Claim> = BTreeMap::new();
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
        ControlFlow::Continue(())
    });
    match listed {
        Err(e) if is_gone(&e) => Ok(Vec::new()),
        listed => listed.map(|()| nearest.into_iter().collect()),
    }
}

/// The claim of a contender that has a ticket of this name.
pub(super) fn claim(place: &Place, name: &OsStr) -> Option<Claim> {
    let (time, token) = bytes_of(name.as_ref()).split_at_checked(TICKET_DIGITS)?;
    time.iter().all(u8::is_ascii_digit).then(|| place.path.parse(token))?
}

fn failed(place: &Place, e: io::Error) -> Error {
    Error::io(&place.path.queue(), "queue up for the lock", e)
}
