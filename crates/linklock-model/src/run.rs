//! One step of one contender, as the programs see it.

use crate::claim::{Claim, FULL, Left, Who};
use crate::contender::{At, Contender, Reply, Seen};
use crate::server::{Request, Thing};
use crate::state::{Harm, State};
use crate::step::Step;
use crate::world::World;

/// What the network does to the request of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// Nothing.
    Fine,
    /// It is carried out, and the reply is lost. It is sent again, so it arrives once more at any later time, or never.
    ReplyLost,
    /// It is carried out and answered, and arrives once more.
    Twice,
    /// It is not carried out for now, and arrives at any later time, or never.
    Late,
    /// It is not carried out, and the answer says that it was (Lustre has done that to link(2)).
    Lie,
}

impl Net {
    /// All faults.
    pub const FAULTS: [Self; 4] = [Self::ReplyLost, Self::Twice, Self::Late, Self::Lie];
}

/// One step of one contender.
#[derive(Debug)]
pub struct Run<'a> {
    /// The world.
    pub world: &'a World,
    /// The state, which the step changes.
    pub state: &'a mut State,
    /// Whose step it is.
    pub who: Who,
    /// What the network does.
    pub net: Net,
    /// Whether this step can be taken like this.
    pub is_possible: bool,
}

impl<'a> Run<'a> {
    /// Before the step.
    pub fn new(world: &'a World, state: &'a mut State, who: Who, net: Net) -> Self {
        // A fault needs a request.
        let is_possible = net == Net::Fine;
        Self { world, state, who, net, is_possible }
    }

    /// The contender.
    pub fn me(&self) -> &Contender {
        &self.state.contenders[self.who]
    }

    /// The same, to be changed.
    pub fn me_mut(&mut self) -> &mut Contender {
        &mut self.state.contenders[self.who]
    }

    /// Its claim.
    pub fn claim(&self) -> Claim {
        self.me().claim(self.who)
    }

    /// Whether a safety step is taken.
    pub fn keeps(&self, step: Step) -> bool {
        self.world.keeps(step)
    }

    /// Sets the next step.
    pub fn go(&mut self, at: At) {
        self.me_mut().at = at;
    }

    /// Sends a request. A step sends one at most.
    pub fn send(&mut self, request: Request) -> Reply {
        let is_of_dir = match request {
            Request::SetExpiry { claim, .. } => self.state.contenders[claim.owner()].role.is_dir(),
            _ => false,
        };
        let may_be_late = self.world.may_be_late(request, is_of_dir);
        self.is_possible = match self.net {
            Net::Fine | Net::ReplyLost => true,
            Net::Twice | Net::Late => may_be_late,
            Net::Lie => matches!(request, Request::Rename(_) | Request::Link(_)),
        };
        let is_carried_out = matches!(self.net, Net::Fine | Net::ReplyLost | Net::Twice);
        let is_done = is_carried_out && self.state.carry_out(request);
        if matches!(self.net, Net::ReplyLost | Net::Twice | Net::Late) && may_be_late {
            self.state.leave(request);
        }
        match self.net {
            Net::Fine | Net::Twice if is_done => Reply::Done,
            Net::Fine | Net::Twice => Reply::Refused,
            Net::ReplyLost | Net::Late => Reply::Unknown,
            Net::Lie => Reply::Done,
        }
    }

    /// Sets the expiry of our own claim, which is believed to be beside the lock path, or at it.
    pub fn set_expiry(&mut self, left: Left, is_beside: bool) -> Reply {
        // By the name of a link claim, which is beside the lock path in any case.
        let is_beside = is_beside || !self.me().role.is_dir();
        let is_known = if is_beside { self.state.server.beside.contains(self.claim()) } else { self.holds() };
        if !is_known && !self.world.remembers_names {
            return Reply::Refused;
        }
        let from_change = self.me().role.is_dir() && self.keeps(Step::ExpiryFromChange);
        let claim = self.claim();
        self.send(Request::SetExpiry { claim, left, from_change })
    }

    /// Whether our claim is at the lock path, asked of the server.
    pub fn holds(&self) -> bool {
        self.state.server.holds(self.claim())
    }

    /// Whether the deadline has not passed, or the step that asks is left out.
    pub fn is_in_time(&self, step: Step) -> bool {
        self.me().deadline > 0 || !self.keeps(step)
    }

    /// The acquisition returns.
    pub fn acquired(&mut self) {
        if self.me().deadline == 0 {
            self.state.harm = Some(Harm::ExpiredAtOnce);
        }
        self.go(At::Hold);
    }

    /// Whether a lock that was seen may be broken.
    pub fn may_break(&self, seen: Seen) -> bool {
        let grace_over = if self.keeps(Step::Grace) { 0 } else { 1 };
        let is_dead = self.state.contenders[seen.claim.owner()].is_dead();
        seen.left <= grace_over || is_dead || self.world.clocks_fail
    }

    /// Takes the break lock, or breaks an expired one and takes that. False if another breaker has its turn.
    pub fn take_turn(&mut self) -> bool {
        let is_free = match self.state.server.turn {
            None => true,
            Some((who, left)) => left == 0 || self.state.contenders[who].at == At::Crashed,
        };
        if is_free {
            self.state.server.turn = Some((self.who, FULL));
        }
        is_free
    }

    /// Whether it is still our turn.
    pub fn is_our_turn(&self) -> bool {
        matches!(self.state.server.turn, Some((who, left)) if who == self.who && left > 0)
    }

    /// Releases the break lock, if it is ours.
    pub fn end_turn(&mut self) {
        if matches!(self.state.server.turn, Some((who, _)) if who == self.who) {
            self.state.server.turn = None;
        }
        self.me_mut().seen = None;
    }

    /// The claim is not used any more: on to the next.
    pub fn end_claim(&mut self) {
        let claims_each = self.world.claims_each;
        let me = self.me_mut();
        let (role, nth) = (me.role, me.nth + 1);
        let at = if nth < claims_each { At::Stage } else { At::Done };
        *me = Contender { role, at, nth: if at == At::Done { me.nth } else { nth }, ..Contender::default() };
    }

    /// What is at the lock path.
    pub fn path(&self) -> Thing {
        self.state.server.path
    }
}
