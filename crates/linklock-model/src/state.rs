//! Everything at one moment: the server, the contenders, and the requests under way.

use crate::claim::{CLAIMS_MOST, CONTENDERS_MOST, Claim, Claims, Who};
use crate::contender::{At, Contender, Role};
use crate::server::{Request, Server, Thing};

/// The requests under way at most.
const LATE_MOST: usize = 2;

/// What must never happen, as far as a single state does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Harm {
    /// A claim was removed from the lock path while its owner trusted it.
    LiveClaimRemoved,
    /// An acquisition returned a lock whose deadline has passed.
    ExpiredAtOnce,
    /// A refresh counted although the lock was another's, or nobody's.
    BlindRefresh,
    /// A fencing token is not greater than that of an earlier acquisition.
    TokensDoNotGrow,
}

/// A fencing token that was given: when its claim came to the lock path, and the number.
type Token = Option<(u8, u8)>;

/// A state of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// The server.
    pub server: Server,
    /// The contenders.
    pub contenders: [Contender; CONTENDERS_MOST],
    /// Requests under way that nobody waits for any more, in order.
    pub late: [Option<Request>; LATE_MOST],
    /// How many faults of the network are still to come.
    pub faults: u8,
    /// The tokens that were given.
    pub tokens: [Token; CLAIMS_MOST],
    /// The harm that was done.
    pub harm: Option<Harm>,
}

impl State {
    /// Contenders with these roles, before their first step.
    pub fn new(roles: &[Role], faults: u8, fence: bool) -> Self {
        let mut contenders = [Contender { at: At::NotYet, ..Contender::default() }; CONTENDERS_MOST];
        for (contender, role) in contenders.iter_mut().zip(roles) {
            *contender = Contender { role: *role, ..Contender::default() };
        }
        let server = Server { arrivals: fence.then(Default::default), ..Server::default() };
        Self { server, contenders, late: [None; LATE_MOST], faults, tokens: [None; CLAIMS_MOST], harm: None }
    }

    /// The server carries out a request.
    pub fn carry_out(&mut self, request: Request) -> bool {
        let before = self.server.path.claims();
        let is_done = self.server.carry_out(request);
        let gone = before.without(self.server.path.claims());
        if gone.iter().any(|claim| self.is_trusted(claim)) {
            self.harm = Some(Harm::LiveClaimRemoved);
        }
        is_done
    }

    fn is_trusted(&self, claim: Claim) -> bool {
        let owner = &self.contenders[claim.owner()];
        owner.trusts() && owner.claim(claim.owner()) == claim
    }

    /// Leaves a request under way, if there is room.
    pub fn leave(&mut self, request: Request) {
        if let Some(free) = self.late.iter_mut().find(|late| late.is_none()) {
            *free = Some(request);
        }
    }

    /// Gives a fencing token, and checks that it is in order.
    pub fn give_token(&mut self, claim: Claim, number: u8) {
        let Some(arrivals) = self.server.arrivals else { return };
        let arrival = arrivals[claim.index()];
        let is_in_order = |(other, token): &(u8, u8)| (*other < arrival) == (*token < number);
        if !self.tokens.iter().flatten().all(is_in_order) {
            self.harm = Some(Harm::TokensDoNotGrow);
        }
        self.tokens[claim.index()] = Some((arrival, number));
    }

    /// One unit of time passes everywhere.
    pub fn tick(&mut self) {
        self.contenders.iter_mut().for_each(Contender::tick);
        let under_way = self.late.iter_mut().flatten().filter_map(|late| match late {
            Request::SetExpiry { left, .. } => Some(left),
            _ => None,
        });
        let turn = self.server.turn.as_mut().map(|(_, left)| left);
        for left in self.server.left.iter_mut().chain(under_way).chain(turn) {
            *left = left.saturating_sub(1);
        }
    }

    /// The same state by another name: contenders of one role are interchangeable, so of all that differ only in who is who,
    /// one is enough.
    pub fn canonical(mut self) -> Self {
        self.server.forget();
        self.late.sort_unstable();
        let mut order: [Who; CONTENDERS_MOST] = std::array::from_fn(|who| who);
        order.sort_by_key(|who| {
            let contender = self.contenders[*who];
            let claims: [_; 2] = std::array::from_fn(|nth| {
                let claim = Claim::new(*who, nth);
                let server = &self.server;
                (server.holds(claim), server.beside.contains(claim), server.left[claim.index()])
            });
            (contender.at == At::NotYet, contender.role, Contender { seen: None, ..contender }, claims, *who)
        });
        let mut names = [0; CONTENDERS_MOST];
        for (new, old) in order.into_iter().enumerate() {
            names[old] = new;
        }
        self.renamed(&names)
    }

    fn renamed(&self, names: &[Who; CONTENDERS_MOST]) -> Self {
        let thing = |thing: Thing| match thing {
            Thing::Nothing => Thing::Nothing,
            Thing::Dir(entries) => Thing::Dir(entries.renamed(names)),
            Thing::File(claim) => Thing::File(claim.renamed(names)),
        };
        let mut new = *self;
        new.server.path = thing(self.server.path);
        new.server.beside = self.server.beside.renamed(names);
        new.server.turn = self.server.turn.map(|(who, left)| (names[who], left));
        for who in 0..CONTENDERS_MOST {
            new.server.aside[names[who]] = thing(self.server.aside[who]);
            let mut contender = self.contenders[who];
            if let Some(seen) = &mut contender.seen {
                seen.claim = seen.claim.renamed(names);
            }
            new.contenders[names[who]] = contender;
        }
        for claim in Claims::all() {
            let (old, renamed) = (claim.index(), claim.renamed(names).index());
            new.server.left[renamed] = self.server.left[old];
            new.tokens[renamed] = self.tokens[old];
            if let (Some(new), Some(arrivals)) = (&mut new.server.arrivals, self.server.arrivals) {
                new[renamed] = arrivals[old];
            }
        }
        new.late = self.late.map(|late| late.map(|request| renamed(request, names)));
        new.late.sort_unstable();
        new
    }
}

fn renamed(request: Request, names: &[Who; CONTENDERS_MOST]) -> Request {
    match request {
        Request::SetExpiry { claim, left, from_change } => {
            Request::SetExpiry { claim: claim.renamed(names), left, from_change }
        }
        Request::Rename(claim) => Request::Rename(claim.renamed(names)),
        Request::MoveEntry(claim) => Request::MoveEntry(claim.renamed(names)),
        Request::Link(claim) => Request::Link(claim.renamed(names)),
        Request::UnlinkEntry(claim) => Request::UnlinkEntry(claim.renamed(names)),
        Request::UnlinkBeside(claim) => Request::UnlinkBeside(claim.renamed(names)),
        Request::MoveAside(who) => Request::MoveAside(names[who]),
        Request::PutBack(who) => Request::PutBack(names[who]),
        Request::UnlinkAside(who) => Request::UnlinkAside(names[who]),
        Request::Rmdir { .. } | Request::UnlinkPath | Request::MakeNumber(_) | Request::RemoveNumbersBelow(_) => {
            request
        }
    }
}
