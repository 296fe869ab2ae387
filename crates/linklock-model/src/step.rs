//! The safety steps of the library that the model can leave out, by the library's names (`env::Step`).

/// A safety step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A fresh expiry before every attempt.
    FreshExpiry,
    /// A claim that was tried before is seen not to be at the lock path before it is tried again.
    EarlyArrival,
    /// What is on disk decides an attempt, not what the call returned.
    DecideByDisk,
    /// A lock that was won too late is not trusted.
    DeadlineOnceWon,
    /// Breakers take turns.
    BreakersGuard,
    /// A breaker looks again when it is its turn.
    LookAgain,
    /// Before it is released, a lock is seen to be ours.
    CheckBeforeRelease,
    /// After its deadline, a holder leaves the lock path alone.
    DeadlineBeforeRelease,
    /// A lock that is held for another process is released in turn with its breakers.
    ReleaseInTurn,
    /// A refresh counts only if it began and returned before the deadline.
    DeadlineOfRefresh,
    /// A refresh sees that the lock is still ours.
    CheckAfterRefresh,
    /// A lock is broken only after the grace.
    Grace,
    /// A lock is judged by what the clock said when it was looked at.
    JudgeByLook,
    /// A dir lock lasts from its last change, whatever its mtime says.
    ExpiryFromChange,
    /// Where a removal takes whatever has the name, those who clear the lock path take turns.
    ClearInTurn,
    /// A reader looks again after its entry is there.
    ReaderLooksAgain,
    /// A fencing token is given only if the lock is still ours after the number was there.
    FenceSeesLock,
    /// A fencing token is given only if no greater one is seen after it was there.
    FenceLooksAgain,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::FreshExpiry,
        Self::EarlyArrival,
        Self::DecideByDisk,
        Self::DeadlineOnceWon,
        Self::BreakersGuard,
        Self::LookAgain,
        Self::CheckBeforeRelease,
        Self::DeadlineBeforeRelease,
        Self::ReleaseInTurn,
        Self::DeadlineOfRefresh,
        Self::CheckAfterRefresh,
        Self::Grace,
        Self::JudgeByLook,
        Self::ExpiryFromChange,
        Self::ClearInTurn,
        Self::ReaderLooksAgain,
        Self::FenceSeesLock,
        Self::FenceLooksAgain,
    ];
}

/// The library's other steps, and why the model does not have them.
pub const NOT_IN_THE_MODEL: [(&str, &str); 9] = [
    ("AskClock", "what a contender knows of the server's clock is never old: there is one clock"),
    ("WhoseClock", "one clock stamps all files"),
    ("OwnLifetime", "nobody watches a lock without a clock"),
    ("GrowingEntry", "nobody watches a lock without a clock"),
    ("ShownRefresh", "the server keeps the times that it is given"),
    ("NoDelegation", "there are no delegations"),
    ("DowngradeByDisk", "there are no downgrades; the simulation has them"),
    ("DeadlineOfDowngrade", "there are no downgrades; the simulation has them"),
    ("FreshNames", "there are no caches: every look asks the server"),
];
