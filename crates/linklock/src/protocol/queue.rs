//! The queue: contenders that wait acquire the lock in the order in which they arrived.
//!
//! Each has a ticket: a file in `LOCKPATH|queue`, named by the server's time at its arrival and by its claim. The
//! contender with the first ticket waits for the lock. Each other contender waits for the ticket before its own. So a
//! release wakes one contender, and so does an acquisition. The queue gives order and nothing else. Only the lock path
//! decides who holds the lock, and whatever is wrong with a ticket costs a contender at most its place.
//!
//! The order is given up where others could use it to make an attempt fail or wait for long: where this user cannot
//! queue up, where the tickets of contenders that are gone cannot be removed, and where there are too many names to
//! read. A contender that changes its ticket again and again delays those behind it for as long as it does so, as a
//! holder does.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::time::Duration;

use super::bell;
use super::io_error::{gone_is_ok, is_gone, is_refused};
use super::place::Place;
use super::shared;
use super::stake::Stake;
use crate::claim::Claim;
use crate::env::{Attr, FileKind, Liveness, Location, Meant};
use crate::error::Error;
use crate::hint::Ear;
use crate::lease::Anchor;
use crate::lock_path::{NEXT, TICKET_DIGITS};
use crate::names::{bytes_of, name_from_bytes};
use crate::options::Wake;
use crate::printable::Printable;
use crate::time::{LocalTime, ServerTime};

/// How long a ticket is valid after its last change. A contender that is stopped, or that died on another machine,
/// delays those behind it for that long.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
const REFRESH_EVERY: Duration = Duration::from_secs(20);

/// The most tickets before our own that are kept from a listing, which may have any number of them.
const NEAREST_MOST: usize = 64;

/// The most removals in a row of tickets of contenders that are gone, [`NEAREST_MOST`] at a time.
const REMOVALS_MOST: u32 = 16;

/// The most names that are read. Listing so many takes about 30 ms on a local file system.
const NAMES_MOST: usize = 1 << 16;

/// The most names that are read in the lock's directory, which may have many that are not of this lock.
const GLANCE: usize = 64;

/// A contender's place in the queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// Only as long as it is as open as it was.
    queue: Location,
    at: Location,
    name: OsString,
    /// Which user we are there, as the file system reports it.
    owner: u32,
    refreshed: LocalTime,
    /// Where we have left word for the contender before us, and what it says.
    called: Option<(Location, OsString)>,
    /// The ctimes of tickets before ours, and since when each is known.
    unchanged: BTreeMap<OsString, (ServerTime, LocalTime)>,
}

/// What we know about a ticket before ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Waits,
    /// Its contender is gone, or does not wait any more.
    Ended,
    /// It is gone, or is something else with a ticket's name.
    None,
}

/// The contender before another one in the queue.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// Its ticket.
    pub(crate) ticket: Location,
    /// Its process, if it is on this machine and linklock can see it end.
    pub(crate) pid: Option<u32>,
    /// How many are before us, this one included: at most [`NEAREST_MOST`] are counted.
    pub(crate) position: u64,
    name: OsString,
    claim: Claim,
}

/// Whether nobody waits in the queue, as far as this user can see. To be asked after a claim was made: then this machine knows
/// whether there is a queue at all, and an acquisition that nobody else wants costs no request.
pub(crate) fn is_empty(place: &Place) -> Result<bool, Error> {
    match place.env.stat_as_known(&place.path.queue()) {
        Err(e) if is_gone(&e) => return Ok(true),
        _ => {}
    }
    let is_ticket = |name: &OsStr| claim(place, name).is_some();
    match place.names(&place.path.queue(), 1, &is_ticket) {
        Err(e) if is_gone(&e) || is_useless(&e) => Ok(true),
        names => names.map(|names| names.is_empty()).map_err(|e| failed(place, e)),
    }
}

/// Whether there is a queue, or was a moment ago. A newcomer's look at its tickets, [`is_empty`], costs more.
pub(crate) fn exists(place: &Place) -> bool {
    place.env.stat(&place.path.queue()).is_ok()
}

/// Whether another contender of this machine waits, as far as a short look at the lock's directory shows: its claim is there.
/// `holder` is the claim that holds the lock.
pub(crate) fn is_not_alone(place: &Place, own: &Claim, holder: Option<&Claim>) -> bool {
    let (mut names, mut is_found) = (0, false);
    let listed = place.list_dir(&mut |name, _| {
        names += 1;
        let claim = place.path.parse(bytes_of(name)).filter(|claim| claim != own && Some(claim) != holder);
        is_found = claim.is_some_and(|claim| place.liveness(&claim) == Liveness::Alive);
        if is_found || names >= GLANCE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    listed.is_ok() && is_found
}

/// Takes its place from a contender of this machine that has not come although it could have the lock. If it comes after all,
/// it renews its ticket.
pub(crate) fn dismiss(place: &Place, contender: &Ahead) {
    if contender.pid.is_some() {
        let dismissed = place.env.unlink(&contender.ticket).is_ok();
        tracing::debug!(ticket = %Printable::new(contender.ticket.as_path()), dismissed,
            "the first in the queue did not take the lock although it was free");
    }
}

impl Ticket {
    /// Joins the queue, behind those who came before `came`. `None` if no queue is possible, or not for this user.
    pub(crate) fn draw(place: &Place, stake: &Stake, came: LocalTime) -> Result<Option<Self>, Error> {
        let now = place.env.now();
        let arrived = stake.anchor.earliest(came).as_micros();
        let mut name = OsString::from(format!("{arrived:0TICKET_DIGITS$}"));
        name.push(stake.claim.token.as_os_str());
        let drawn = shared::only_if_open(place, place.path.queue()).and_then(|queue| {
            let (owner, unchanged) = (stake.owner, BTreeMap::new());
            let at = queue.inside(&name);
            let ticket = Self { queue, at, name, owner, refreshed: now, called: None, unchanged };
            ticket.put(place).map(|()| ticket)
        });
        match drawn {
            Err(e) if is_useless(&e) => {
                tracing::warn!(queue = %Printable::new(place.path.queue().as_path()), error = %e,
                    "cannot queue up, so this contender waits out of order; remove what is there, or make it writable");
                Ok(None)
            }
            drawn => drawn.map(Some).map_err(|e| failed(place, e)),
        }
    }

    fn put(&self, place: &Place) -> io::Result<()> {
        let queue = place.path.queue();
        // Whoever leaves last removes the directory, so it may go at any time.
        for _ in 0..64 {
            match place.env.create(&self.at, b"", 0o644, &mut |_| None) {
                // It was created, and is gone again by now.
                Err(e) if is_gone(&e) => shared::make(place, &queue).or_else(|e| gone_is_ok(Err(e)))?,
                // If the file is ours, it was created and the reply was lost.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    let attr = place.env.stat(&self.at)?;
                    return if attr.kind == FileKind::Regular && attr.owner == self.owner { Ok(()) } else { Err(e) };
                }
                made => return made.map(drop),
            }
        }
        Err(ErrorKind::NotFound.into())
    }

    /// Shows the others now and then that we still wait.
    pub(crate) fn refresh(&mut self, place: &Place) -> Result<(), Error> {
        let now = place.env.now();
        if now.since(self.refreshed) < REFRESH_EVERY {
            return Ok(());
        }
        self.refreshed = now;
        match place.env.touch(&self.at, Meant { id: None, owner: self.owner, is_alone: true }) {
            // Others removed it, because they took us for gone.
            Err(e) if is_gone(&e) => self.put(place),
            touched => touched.map(drop),
        }
        // Without a ticket, those behind us may pass.
        .or_else(|e| if is_useless(&e) { Ok(()) } else { Err(e) })
        .map_err(|e| failed(place, e))
    }

    /// The next contender before us; `None` if it is our turn. Removes the tickets of those who do not wait any more.
    pub(crate) fn ahead(&mut self, place: &Place, anchor: &Anchor) -> Result<Option<Ahead>, Error> {
        for _ in 0..REMOVALS_MOST {
            let before = match nearest(place, &self.name) {
                Err(e) if is_useless(&e) => return Ok(None),
                before => before.map_err(|e| failed(place, e))?,
            };
            self.unchanged.retain(|known, _| before.contains_key(known));
            let mut removed = 0;
            for (earlier, (name, claim)) in before.iter().enumerate().rev() {
                let ticket = place.path.queue().inside(name);
                let liveness = place.liveness(claim);
                match self.standing(place, name, liveness, anchor, &before) {
                    Standing::Waits => {
                        let position = earlier as u64 + 1;
                        let pid = (liveness == Liveness::Alive).then_some(claim.pid);
                        let (name, claim) = (name.clone(), claim.clone());
                        return Ok(Some(Ahead { ticket, pid, position, name, claim }));
                    }
                    Standing::None => {}
                    // In a sticky directory, only its owner can remove it.
                    Standing::Ended => {
                        removed += u32::from(gone_is_ok(place.env.unlink(&ticket)).is_ok());
                        let next = self.next_of(name);
                        if place.env.read_symlink(&next).is_ok() {
                            let _ = place.env.unlink(&next);
                        }
                    }
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

    /// Whether the contender that was before us is so still, without a look at all the others.
    pub(crate) fn still_waits(&mut self, place: &Place, ahead: &Ahead, anchor: &Anchor) -> bool {
        let liveness = place.liveness(&ahead.claim);
        self.standing(place, &ahead.name, liveness, anchor, &BTreeMap::new()) == Standing::Waits
    }

    /// Tells the contender before us where we listen, by a link beside its ticket: when it leaves the queue, it sends us a hint. To be
    /// called before the last look at its ticket. Whoever finds no link there sends none, and we see it at our next poll.
    pub(crate) fn call(&mut self, place: &Place, stake: &Stake, ahead: &Ahead, ear: Option<&Ear>) {
        let at = self.next_of(&ahead.name);
        let (Some(ear), false) = (ear, self.called.as_ref().is_some_and(|(called, _)| *called == at)) else { return };
        self.call_off(place);
        let text = bell::text(&stake.claim, Some(ear));
        let called = place.env.symlink(&text, &at).or_else(|e| match e.kind() {
            // Another was behind it before us. It may be gone; else it looks, and finds that it is behind us.
            ErrorKind::AlreadyExists => {
                let there = place.env.read_symlink(&at);
                // Something else has this name.
                let there = there.map(Some).or_else(|e| if is_gone(&e) { Ok(None) } else { Err(e) })?;
                let other = there.and_then(|text| bell::parse(place, &text)?.1);
                gone_is_ok(place.env.unlink(&at)).and_then(|()| place.env.symlink(&text, &at))?;
                other.iter().filter(|other| *other != ear).for_each(|other| place.env.hint(other));
                Ok(())
            }
            _ => Err(e),
        });
        // Where there can be none, this is not tried at every look.
        self.called = Some((at, text));
        if let Err(e) = called {
            tracing::debug!(ticket = %Printable::new(ahead.ticket.as_path()), error = %e, "cannot leave word beside a ticket");
        }
    }

    /// Where the contender behind this ticket says where it listens.
    fn next_of(&self, ticket: &OsStr) -> Location {
        let mut name = ticket.to_owned();
        name.push(NEXT);
        self.queue.inside(&name)
    }

    fn call_off(&mut self, place: &Place) {
        // One that came between us and that contender has left its own there.
        if let Some((at, text)) = self.called.take()
            && place.env.read_symlink(&at).is_ok_and(|there| there == text)
        {
            let _ = place.env.unlink(&at);
        }
    }

    /// Whether a contender certainly does not wait any more: its process has ended, or its ticket has not changed for a
    /// ticket's lifetime, by the clock that stamps it or by ours. Because of ours, a ticket with a time in the future
    /// delays nobody for longer.
    fn standing(
        &mut self,
        place: &Place,
        name: &OsStr,
        liveness: Liveness,
        anchor: &Anchor,
        before: &BTreeMap<OsString, Claim>,
    ) -> Standing {
        let looked = place.env.now();
        // It is gone already. Looking at the ticket before it does no harm.
        let Some(attr) = Self::look(place, name) else { return Standing::None };
        if liveness == Liveness::Dead {
            return Standing::Ended;
        }
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
            // This ticket can only be watched. Watch those before it from now on as well, instead of one after the
            // other.
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

    /// A ticket's attributes. `None` if it is not a ticket.
    fn look(place: &Place, name: &OsStr) -> Option<Attr> {
        let attr = place.env.stat(&place.path.queue().inside(name)).ok()?;
        (attr.kind == FileKind::Regular && attr.len == 0).then_some(attr)
    }

    /// Leaves the queue, and tells the contender that comes next. Returns where that one listens.
    pub(crate) fn leave(mut self, place: &Place) -> Option<Ear> {
        let left = gone_is_ok(place.env.unlink(&self.at));
        if let Err(e) = left {
            tracing::warn!(ticket = %Printable::new(self.at.as_path()), error = %e, "could not remove a ticket");
        }
        self.call_off(place);
        let mut ear = None;
        if place.wake == Wake::Udp {
            let next = self.next_of(&self.name);
            ear = place.env.read_symlink(&next).ok().and_then(|text| {
                // It would keep the directory from being removed.
                let _ = place.env.unlink(&next);
                bell::parse(place, &text)?.1
            });
            ear.iter().for_each(|ear| place.env.hint(ear));
        }
        // Fails if the directory is not empty: others wait.
        let _ = place.env.rmdir(&place.path.queue());
        ear
    }
}

/// The name of the ticket beside which somebody left this link.
pub(super) fn ticket_of_next(name: &OsStr) -> Option<OsString> {
    name_from_bytes(bytes_of(name).strip_suffix(NEXT.as_bytes())?)
}

/// The last tickets before this one, and their claims. Ignores other names.
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
            "the queue has too many names, so it gives no order; remove it");
        return Ok(BTreeMap::new());
    }
    match listed {
        Err(e) if is_gone(&e) => Ok(BTreeMap::new()),
        listed => listed.map(|()| nearest),
    }
}

/// The claim of the contender whose ticket has this name.
pub(super) fn claim(place: &Place, name: &OsStr) -> Option<Claim> {
    let (time, token) = bytes_of(name).split_at_checked(TICKET_DIGITS)?;
    time.iter().all(u8::is_ascii_digit).then(|| place.path.parse(token))?
}

/// Whether nobody can queue up there, or not this user: it is not a directory, or another user's.
fn is_useless(e: &io::Error) -> bool {
    is_refused(e) || e.kind() == ErrorKind::NotADirectory
}

fn failed(place: &Place, e: io::Error) -> Error {
    Error::io(place.path.queue().as_path(), "queue up for the lock", e)
}
