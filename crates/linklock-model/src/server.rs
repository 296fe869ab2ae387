//! The file server: what is in the lock's directory, and the requests that change it. It carries out each at one moment.

use crate::claim::{CLAIMS_MOST, CONTENDERS_MOST, Claim, Claims, FULL, Left, Who};

/// What has a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    /// Nothing.
    #[default]
    Nothing,
    /// A directory with entries: a `dir` lock, or a free lock if there are none.
    Dir(Claims),
    /// A link of a claim file: a `link` lock.
    File(Claim),
}

impl Thing {
    /// The claims that are there.
    pub fn claims(self) -> Claims {
        match self {
            Self::Nothing => Claims::default(),
            Self::Dir(entries) => entries,
            Self::File(claim) => Claims::one(claim),
        }
    }
}

/// The server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server {
    /// What is at the lock path.
    pub path: Thing,
    /// The claims that stand beside it: the own names of claim files, and entries that were not moved yet.
    pub beside: Claims,
    /// How much time is left of each claim, as all can see.
    pub left: [Left; CLAIMS_MOST],
    /// What each breaker has moved aside.
    pub aside: [Thing; CONTENDERS_MOST],
    /// Whose turn it is: who holds the break lock, and how much time is left of it. The break lock is a `dir` lock with one kind
    /// of holder; the model of `dir` shows what it promises, so here it is taken in one step.
    pub turn: Option<(Who, Left)>,
    /// The fencing numbers in the counter, one bit each.
    pub numbers: u16,
    /// In which order the claims came to the lock path, if that is to be known.
    pub arrivals: Option<[u8; CLAIMS_MOST]>,
}

/// A request that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// utimensat of a claim. `from_change`: others count the lifetime from when it is carried out, not from when it was sent.
    SetExpiry {
        /// Whose expiry.
        claim: Claim,
        /// What is left by the time in the request.
        left: Left,
        /// Whether the expiry is the lifetime after the change.
        from_change: bool,
    },
    /// rename of a claim's directory to the lock path.
    Rename(Claim),
    /// rename of an entry into the directory at the lock path.
    MoveEntry(Claim),
    /// link of a claim file to the lock path.
    Link(Claim),
    /// unlink of LOCKPATH/ENTRY.
    UnlinkEntry(Claim),
    /// rmdir of the lock path. `any`: the server has one request to remove files and directories.
    Rmdir {
        /// Whether it removes a file too.
        any: bool,
    },
    /// unlink of the lock path.
    UnlinkPath,
    /// rename of the lock path to a breaker's name.
    MoveAside(Who),
    /// link of a breaker's name to the lock path, or rename if it is a directory.
    PutBack(Who),
    /// unlink of a breaker's name.
    UnlinkAside(Who),
    /// unlink of a claim's own name, or of an entry beside the lock path.
    UnlinkBeside(Claim),
    /// mkdir of a fencing number.
    MakeNumber(u8),
    /// rmdir of all smaller fencing numbers.
    RemoveNumbersBelow(u8),
}

impl Server {
    /// Carries out a request. Returns whether it found what it needs.
    pub fn carry_out(&mut self, request: Request) -> bool {
        let is_clear = matches!(self.path, Thing::Nothing);
        match request {
            Request::SetExpiry { claim, left, from_change } => {
                let is_entry = matches!(self.path, Thing::Dir(entries) if entries.contains(claim));
                let is_there = is_entry || self.beside.contains(claim);
                if is_there {
                    self.left[claim.index()] = if from_change { FULL } else { left };
                }
                is_there
            }
            Request::Rename(claim) => {
                (is_clear || self.is_empty_dir())
                    && self.beside.remove(claim)
                    && self.arrive(claim, Thing::Dir(Claims::one(claim)))
            }
            Request::MoveEntry(claim) => {
                let Thing::Dir(mut entries) = self.path else { return false };
                entries.insert(claim);
                self.beside.remove(claim) && self.arrive(claim, Thing::Dir(entries))
            }
            Request::Link(claim) => is_clear && self.beside.contains(claim) && self.arrive(claim, Thing::File(claim)),
            Request::UnlinkEntry(claim) => match &mut self.path {
                Thing::Dir(entries) => entries.remove(claim),
                _ => false,
            },
            Request::Rmdir { any } => {
                let removes = self.is_empty_dir() || (any && matches!(self.path, Thing::File(_)));
                if removes {
                    self.path = Thing::Nothing;
                }
                removes
            }
            Request::UnlinkPath => {
                let removes = matches!(self.path, Thing::File(_));
                if removes {
                    self.path = Thing::Nothing;
                }
                removes
            }
            Request::MoveAside(who) => {
                if !is_clear {
                    self.aside[who] = std::mem::take(&mut self.path);
                }
                !is_clear
            }
            Request::PutBack(who) => match self.aside[who] {
                Thing::File(claim) if is_clear => self.arrive(claim, Thing::File(claim)),
                Thing::Dir(entries) if is_clear => {
                    self.aside[who] = Thing::Nothing;
                    self.path = Thing::Dir(entries);
                    true
                }
                _ => false,
            },
            Request::UnlinkAside(who) => {
                let removes = matches!(self.aside[who], Thing::File(_));
                if removes {
                    self.aside[who] = Thing::Nothing;
                }
                removes
            }
            Request::UnlinkBeside(claim) => self.beside.remove(claim),
            Request::MakeNumber(number) => {
                let is_new = self.numbers & 1 << number == 0;
                self.numbers |= 1 << number;
                is_new
            }
            Request::RemoveNumbersBelow(number) => {
                self.numbers &= u16::MAX << number;
                true
            }
        }
    }

    fn arrive(&mut self, claim: Claim, path: Thing) -> bool {
        self.path = path;
        if let Some(arrivals) = &mut self.arrivals {
            arrivals[claim.index()] = arrivals.iter().max().map_or(0, |last| last + 1);
        }
        true
    }

    fn is_empty_dir(&self) -> bool {
        matches!(self.path, Thing::Dir(entries) if entries.is_empty())
    }

    /// Whether the claim is at the lock path.
    pub fn holds(&self, claim: Claim) -> bool {
        self.path.claims().contains(claim)
    }

    /// How many names a claim file has.
    pub fn links(&self, claim: Claim) -> usize {
        let file = Thing::File(claim);
        let aside = self.aside.iter().filter(|aside| **aside == file).count();
        usize::from(self.beside.contains(claim)) + usize::from(self.path == file) + aside
    }

    /// The greatest fencing number.
    pub fn greatest(&self) -> u8 {
        self.numbers.checked_ilog2().unwrap_or(0) as u8
    }

    /// Forgets what nobody can see any more, so that states that differ only there are one state.
    pub fn forget(&mut self) {
        let mut seen = self.path.claims();
        for claims in self.aside.iter().map(|aside| aside.claims()).chain([self.beside]) {
            claims.iter().for_each(|claim| seen.insert(claim));
        }
        for index in 0..CLAIMS_MOST {
            if !seen.iter().any(|claim| claim.index() == index) {
                self.left[index] = 0;
            }
        }
    }
}
