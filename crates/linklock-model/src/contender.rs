//! A contender: what it wants, its next step, and what it knows.

use crate::claim::{Claim, FULL, Left, Who};

/// What a contender is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Wants a `dir` lock for itself.
    #[default]
    Dir,
    /// Wants a `dir` lock, and shares it.
    Reader,
    /// Wants a `link` lock.
    Link,
    /// flufl.lock.
    Flufl,
}

impl Role {
    /// Whether its lock is a directory with entries.
    pub fn is_dir(self) -> bool {
        matches!(self, Self::Dir | Self::Reader)
    }
}

/// What a contender was told of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reply {
    /// It was carried out.
    Done,
    /// It was not possible.
    Refused,
    /// The reply is lost: it was carried out, or will be, or neither.
    Unknown,
}

/// A contender's next step. docs/model.md says which function of the library it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "docs/model.md has a table of them")]
pub enum At {
    #[default]
    Stage,
    Freshen,
    SeeIfEarly,
    Attempt,
    Confirm(Reply),
    JoinLook,
    JoinMove,
    JoinLookAgain(Reply),
    JoinUndo(Reply),
    GiveBack,
    Look,
    Judge,
    BreakEntry,
    ClearThenTry,
    ClearThenEnd,
    TakeTurn,
    LookAgain,
    MoveAside,
    LookAside,
    PutBack,
    UnlinkBroken,
    UnlinkAside,
    ClearTurn,
    ClearLook,
    ClearRmdir,
    FenceList,
    FenceMake,
    FenceSee,
    FenceLookAgain,
    FenceRemove,
    Hold,
    RefreshSet,
    RefreshLook,
    ReleaseTurn,
    ReleaseLook,
    ReleaseUnlink,
    Withdraw,
    FluflTouch,
    FluflBreakTouch,
    FluflBreakRead,
    FluflBreakUnlink,
    FluflBreakUnlinkClaim,
    Done,
    Crashed,
    /// Comes only when all others have ended.
    NotYet,
}

/// A lock as a contender has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// Whose lock.
    pub claim: Claim,
    /// How much time is left until the expiry that was seen, and the grace.
    pub left: Left,
}

/// A contender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contender {
    /// What it is.
    pub role: Role,
    /// Its next step.
    pub at: At,
    /// Which of its claims it uses.
    pub nth: u8,
    /// How much time is left until its own deadline, at most.
    pub deadline: Left,
    /// The same for the deadline that its refresh will give it.
    pub next_deadline: Left,
    /// The lock that it is about to break.
    pub seen: Option<Seen>,
    /// The fencing number that it makes.
    pub number: u8,
    /// Whether the process that it holds the lock for has ended.
    pub shell_ended: bool,
}

impl Contender {
    /// Its claim.
    pub fn claim(&self, who: Who) -> Claim {
        Claim::new(who, usize::from(self.nth))
    }

    /// Whether it works under the lock, and believes that it may.
    pub fn trusts(&self) -> bool {
        let holds = matches!(self.at, At::Hold | At::RefreshSet | At::RefreshLook | At::FluflTouch);
        holds && self.deadline > 0 && !self.shell_ended
    }

    /// Whether it takes no further step.
    pub fn has_ended(&self) -> bool {
        matches!(self.at, At::Done | At::Crashed | At::NotYet)
    }

    /// Whether others can know that its process, or the one that it holds the lock for, has ended.
    pub fn is_dead(&self) -> bool {
        self.at == At::Crashed || self.shell_ended
    }

    /// One unit of time passes.
    pub fn tick(&mut self) {
        for left in [&mut self.deadline, &mut self.next_deadline] {
            *left = left.saturating_sub(1);
        }
        if let Some(seen) = &mut self.seen {
            seen.left = seen.left.saturating_sub(1);
        }
    }

    /// A lease that begins now.
    pub fn begin_lease(&mut self) {
        self.deadline = FULL;
    }
}
