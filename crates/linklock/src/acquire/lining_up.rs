//! Lining up where nobody asked for an order, so that a release wakes one waiter of this machine instead of all.
//!
//! A waiter that others were faster than takes a ticket of the queue, and from then on waits for the ticket before its own.
//! Nobody has to line up, and nobody is kept from the lock by a ticket: a newcomer does not look for the line, and each in it
//! looks at the lock path too, the sooner the nearer it is to the front. So whatever goes wrong with a ticket, or with the line
//! as a whole, is no error, and the contender waits as it would without.

use std::time::Duration;

use super::waiter::Waiter;
use crate::env::Reach;
use crate::error::Error;
use crate::lease::Anchor;
use crate::protocol::place::Order;
use crate::protocol::queue::{self, Ticket};
use crate::protocol::seen::SeenLock;
use crate::protocol::stake::Stake;

/// If the lock stays free for so long, whoever is before us does not come.
const FREE_FOR: Duration = Duration::from_millis(250);

impl Waiter<'_> {
    /// Takes a place in the line, if we wait for this lock and there are others who do.
    pub(super) fn joins_line(&mut self, lock: &SeenLock, stake: &Stake) -> bool {
        let place = self.place;
        if place.order != Order::Any || self.line.is_barred || self.ticket.is_some() || self.is_single_try() {
            return false;
        }
        // Elsewhere than on a file system of this machine, a line would leave the lock free between two polls.
        let is_crowded = match self.lookout.watcher().reach() {
            Reach::All => false,
            Reach::Crowded => true,
            _ => return false,
        };
        let is_first_look = self.line.is_new();
        let are_others_seen = || queue::exists(place) || queue::is_not_alone(place, &stake.claim, lock.claim.as_ref());
        if !(self.line.note(lock) || is_crowded || is_first_look && are_others_seen()) {
            return false;
        }
        // Those who came first watch the lock path. The kernel may have no means left for those who came later to watch anything.
        self.ticket = Ticket::draw(place, stake, self.started).ok().flatten();
        self.line.is_barred = self.ticket.is_none();
        self.ticket.is_some()
    }

    /// Whether somebody is before us in the line. Then what happens to that one's ticket is to wake us, and it is armed before
    /// the look at the lock path.
    pub(super) fn is_behind(&mut self, anchor: &Anchor) -> bool {
        let place = self.place;
        let Some(ticket) = self.ticket.as_mut().filter(|_| place.order == Order::Any) else { return false };
        if let Some(ahead) = &self.line.ahead
            && place.env.stat(&ahead.ticket).is_ok()
        {
            // A pause may have ended the wake-ups.
            self.lookout.arm(&ahead.ticket, ahead.pid);
            if ticket.still_waits(place, ahead, anchor) {
                return true;
            }
        }
        self.line.left();
        while let Ok(Some(ahead)) = ticket.ahead(place, anchor) {
            // Before the last look at it, so that no change falls in between.
            self.lookout.arm(&ahead.ticket, ahead.pid);
            if place.env.stat(&ahead.ticket).is_ok() {
                self.line.ahead = Some(ahead);
                return true;
            }
        }
        false
    }

    /// After a look that found the lock: whoever is before us has not missed it.
    pub(super) fn saw_lock(&mut self) {
        self.line.was_free = false;
    }

    /// After a look that found no lock: leaves it to whoever is before us, once, and for a moment. True: look again. The first in
    /// the line that does not come then loses its place, if its process is of this machine, so that not each one behind it has
    /// to wait for the moment.
    pub(super) async fn leaves_it_to_next(&mut self, anchor: &Anchor) -> Result<bool, Error> {
        if self.line.ahead.is_none() {
            return Ok(false);
        }
        if !std::mem::replace(&mut self.line.was_free, true) {
            let soon = self.place.env.now() + FREE_FOR;
            return if self.pause(None, Some(soon)).await?.is_break() { Err(self.timed_out(None)) } else { Ok(true) };
        }
        self.line.was_free = false;
        if let Some(ticket) = &mut self.ticket
            && let Ok(Some(first)) = ticket.ahead(self.place, anchor)
            && first.position == 1
            && self.line.ahead.as_ref().is_some_and(|ahead| ahead.ticket == first.ticket)
        {
            queue::dismiss(self.place, &first);
        }
        Ok(false)
    }
}
