//! What is at a lock path, as a look has shown it.

use std::time::Duration;

use crate::claim::Claim;
use crate::env::{Attr, Env};
use crate::holder::{About, Holder};
use crate::options::Protocol;
use crate::time::ServerTime;
use crate::token::Token;

/// What is at a lock path.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    Free,
    Lock(SeenLock),
    /// A lock of the dir protocol between the two steps of its release, or left there by a crash; if it is not `ours`, a
    /// directory that has nothing to do with us.
    EmptyDirectory {
        ours: bool,
    },
    /// Such a directory of ours that this user may not remove, nor replace: it is another's, and stands in a sticky directory.
    Stuck {
        owner: u32,
        /// Its last change, such as the first step of the release.
        since: ServerTime,
    },
    NotALock(String),
}

#[derive(Clone, Debug)]
pub(crate) struct SeenLock {
    pub(crate) protocol: Protocol,
    /// `None`: neither the content nor a name tells.
    pub(crate) claim: Option<Claim>,
    /// Whether it is sure to be a lock of this path. What is not is waited for as one, and left alone.
    pub(crate) is_certain: bool,
    /// Of the file that carries the expiry.
    pub(crate) attr: Attr,
    /// Whose it is; `None` if the directory and the entry in it are different users'.
    pub(crate) owner: Option<u32>,
    /// What the holder says of itself, where the protocol has room for it.
    pub(crate) about: Option<Box<About>>,
}

impl SeenLock {
    /// A dir lock that this user may not look into; `attr` are those of the directory. Whose it is does not show, nor when it
    /// expires: a refresh changes its entry alone. So it lives until it is gone, and is for its owner or root to break.
    pub(crate) fn hidden(attr: Attr) -> Self {
        Self { protocol: Protocol::Dir, claim: None, is_certain: false, attr, owner: Some(attr.owner), about: None }
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.protocol == Protocol::Dir && self.claim.is_none()
    }

    pub(crate) fn holder(&self) -> Option<Holder> {
        // Without a word of the lifetime, the mtime alone tells.
        let expiry = self.expiry(Duration::ZERO);
        self.claim.as_ref().map(|claim| claim.holder(expiry, self.about.as_deref().cloned()))
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        self.claim.as_ref().map(|claim| &claim.token)
    }

    /// When the lifetime ends. `usual` is the lifetime of a holder that says none.
    ///
    /// A request that set the mtime may be carried out once more, much later, over a newer one. But whatever is carried
    /// out makes the ctime new, and `dir` says how long the lock lasts from there: so a late request can only lengthen it.
    pub(crate) fn expiry(&self, usual: Duration) -> ServerTime {
        match self.protocol {
            Protocol::Link => self.attr.mtime,
            Protocol::Dir => expiry_of_entry(&self.attr, self.told_lifetime().unwrap_or(usual)),
        }
    }

    /// How long the lock lasts from its last change, as far as it tells. `usual` is the lifetime of a holder that says none.
    ///
    /// Its holder may have set a longer lifetime since: the mtime that it set then lies so far after the ctime of that very
    /// change. Of a later change, by whomever, it lies as much less after it as the lifetime has less to go.
    pub(crate) fn own_lifetime(&self, usual: Duration) -> Duration {
        self.told_lifetime().unwrap_or(usual).max(self.attr.mtime.since(self.attr.ctime))
    }

    /// Whatever it tells of its lifetime, it is no longer than this.
    pub(crate) fn believe_at_most(&mut self, lifetime: Duration) {
        if let Some(about) = &mut self.about {
            about.lifetime = about.lifetime.min(lifetime);
        }
        if let Some(told) = self.claim.as_mut().and_then(|claim| claim.lifetime.as_mut()) {
            *told = lifetime.min(*told);
        }
    }

    /// A dir lock's entry says it to the millisecond, the name of a claim a little more.
    fn told_lifetime(&self) -> Option<Duration> {
        let about = self.about.as_ref().map(|about| about.lifetime);
        about.or_else(|| self.claim.as_ref().and_then(|claim| claim.lifetime))
    }

    /// The same claim, and not refreshed since.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.claim == other.claim && self.is_unchanged(&other.attr)
    }

    pub(crate) fn is_unchanged(&self, attr: &Attr) -> bool {
        self.attr.id == attr.id && self.attr.mtime == attr.mtime
    }
}

/// When the lifetime ends of a dir lock whose entry has these attributes: the lifetime after its last change, or what the mtime
/// says, whichever is later.
pub(super) fn expiry_of_entry(attr: &Attr, lifetime: Duration) -> ServerTime {
    attr.mtime.max(attr.ctime + attr.ctime.rounding() + lifetime)
}

/// Whoever releases a dir lock is done with its second step much sooner.
const STUCK: Duration = Duration::from_secs(10);

/// What is at the lock path if that never comes, changed last at `since`; for an error's text. By this machine's wall clock, since
/// nothing but a word depends on it.
pub(crate) fn stuck(env: &dyn Env, since: ServerTime) -> Option<&'static str> {
    let what =
        "an empty directory that another user left in a sticky directory, where only that user or root may remove it";
    (env.wall_clock().since(since) > STUCK).then_some(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{FileId, FileKind};

    const LIFETIME: Duration = Duration::from_secs(60);

    fn entry(mtime: ServerTime, ctime: ServerTime) -> Attr {
        let id = FileId { device: 1, inode: 1 };
        Attr { id, kind: FileKind::Regular, nlink: 1, len: 1, mtime, ctime, mode: 0o644, owner: 0 }
    }

    #[test]
    fn an_entry_lasts_from_its_last_change_by_the_latest_that_the_clock_may_have_said() {
        let fine = ServerTime::from_parts(1000, 500_000_000);
        assert_eq!(expiry_of_entry(&entry(fine, fine), LIFETIME), ServerTime::from_parts(1060, 516_000_000));
        let coarse = ServerTime::from_parts(1000, 0);
        assert_eq!(expiry_of_entry(&entry(coarse, coarse), LIFETIME), ServerTime::from_parts(1062, 0));
        let later = ServerTime::from_parts(2000, 0);
        assert_eq!(expiry_of_entry(&entry(later, fine), LIFETIME), later);
    }
}
