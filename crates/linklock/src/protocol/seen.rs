//! What a look at a lock path found.

use std::time::Duration;

use crate::claim::Claim;
use crate::env::{Attr, Env, FileId};
use crate::holder::{About, Holder};
use crate::lifetime::{LIFETIME_LEAST, LIFETIME_MOST};
use crate::options::Protocol;
use crate::time::ServerTime;
use crate::token::Token;

/// What is at a lock path.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    Free,
    Lock(SeenLock),
    /// An empty directory. If it is `ours`: what a release has left, or a dir lock between the two steps of its release,
    /// or after a crash there. If not: a directory that has nothing to do with linklock.
    EmptyDirectory {
        ours: bool,
    },
    /// An empty directory of ours that this user can neither remove nor replace: it is another user's, in a sticky
    /// directory.
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
    /// `None`: neither the content nor a name says it.
    pub(crate) claim: Option<Claim>,
    /// Whether it certainly is a lock of this path. If it is not certain, contenders wait for it but never break it.
    pub(crate) is_certain: bool,
    /// The attributes of the file that carries the expiry.
    pub(crate) attr: Attr,
    /// The owner of that file. `None` if the directory and the entry in it belong to different users.
    pub(crate) owner: Option<u32>,
    /// What the holder says about itself, if the protocol has room for it.
    pub(crate) about: Option<Box<About>>,
    /// How many share it; 0 for a lock that is not shared. The claim is that of one of them: the lock is in a writer's way as long as
    /// any is there, and each is judged by itself.
    pub(crate) readers: usize,
}

/// What tells one lock from the next, whatever a refresh has changed.
pub(crate) type Sighted = (FileId, Option<Token>);

impl SeenLock {
    pub(crate) fn sighted(&self) -> Sighted {
        (self.attr.id, self.token().cloned())
    }

    /// A dir lock that this user may not read. `attr` belongs to the directory. Neither the holder nor the expiry can
    /// be seen, since a refresh changes only the entry. So the lock counts as live until it is gone. Only its owner and
    /// root can break it.
    pub(crate) fn hidden(attr: Attr) -> Self {
        Self {
            protocol: Protocol::Dir,
            claim: None,
            is_certain: false,
            attr,
            owner: Some(attr.owner),
            about: None,
            readers: 0,
        }
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.protocol == Protocol::Dir && self.claim.is_none()
    }

    pub(crate) fn holder(&self) -> Option<Holder> {
        // If no lifetime is known, the mtime alone counts.
        let expiry = self.expiry(Duration::ZERO);
        self.claim.as_ref().map(|claim| claim.holder(expiry, self.about.as_deref().cloned()))
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        self.claim.as_ref().map(|claim| &claim.token)
    }

    /// The end of the lifetime. `usual` is the lifetime of a holder that does not say its own.
    ///
    /// A request that set the mtime may be carried out again much later, and overwrite a newer mtime. But every change
    /// renews the ctime, and a `dir` lock lasts for its lifetime after the ctime. So a late request can only make it
    /// last longer.
    pub(crate) fn expiry(&self, usual: Duration) -> ServerTime {
        match self.protocol {
            Protocol::Link => self.attr.mtime,
            Protocol::Dir => expiry_of_entry(&self.attr, self.stated_lifetime().unwrap_or(usual)),
        }
    }

    /// How long the lock lasts after its last change, as far as it says so. `usual` is the lifetime of a holder that
    /// does not say its own.
    ///
    /// Its holder may have set a longer lifetime since: then the mtime that it set is that much later than the ctime of
    /// that change. After a later change, by anybody, the distance is smaller by the time that has passed, and so is
    /// the rest of the lifetime.
    pub(crate) fn own_lifetime(&self, usual: Duration) -> Duration {
        self.stated_lifetime().unwrap_or(usual).max(self.attr.mtime.since(self.attr.ctime))
    }

    /// The lifetime that a refresh by whoever takes the lock over keeps, so that it never shortens the lock: the one that the lock
    /// was acquired with, or a longer one that a refresh has set since.
    ///
    /// What a refresh has set shows in the file's times, but not exactly: both times have ticks, and a reply takes its time. In
    /// whole seconds, and less what the ticks can add, it does not grow from refresh to refresh.
    pub(crate) fn lifetime_to_keep(&self, usual: Duration) -> Duration {
        let mark = self.claim.as_ref().map(Claim::mark).unwrap_or_default();
        let set = self.attr.mtime.since(self.attr.ctime).saturating_sub(mark + self.attr.ctime.rounding());
        let whole = Duration::from_secs((set + Duration::from_millis(500)).as_secs());
        self.stated_lifetime().unwrap_or(usual).max(whole).clamp(LIFETIME_LEAST, LIFETIME_MOST)
    }

    /// Limits the lifetime that it says.
    pub(crate) fn believe_at_most(&mut self, lifetime: Duration) {
        if let Some(about) = &mut self.about {
            about.lifetime = about.lifetime.min(lifetime);
        }
        if let Some(stated) = self.claim.as_mut().and_then(|claim| claim.lifetime.as_mut()) {
            *stated = lifetime.min(*stated);
        }
    }

    /// A dir lock's entry says it to the millisecond. A claim's name rounds it up.
    fn stated_lifetime(&self) -> Option<Duration> {
        let about = self.about.as_ref().map(|about| about.lifetime);
        about.or_else(|| self.claim.as_ref().and_then(|claim| claim.lifetime))
    }

    /// The same claim, without a refresh since.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.claim == other.claim && self.is_unchanged(&other.attr)
    }

    pub(crate) fn is_unchanged(&self, attr: &Attr) -> bool {
        self.attr.id == attr.id && self.attr.mtime == attr.mtime
    }
}

/// When a dir lock whose entry has these attributes expires: the lifetime after its last change, or at its mtime,
/// whichever is later.
pub(super) fn expiry_of_entry(attr: &Attr, lifetime: Duration) -> ServerTime {
    attr.mtime.max(attr.ctime + attr.ctime.rounding() + lifetime)
}

/// The second step of a dir lock's release follows the first much sooner.
const STUCK: Duration = Duration::from_secs(10);

/// For an error's text: what is at the lock path if that second step never comes. `since` is the last change. Uses this
/// machine's wall clock, since only a message depends on it.
pub(crate) fn stuck(env: &dyn Env, since: ServerTime) -> Option<&'static str> {
    let what =
        "an empty directory that another user left in a sticky directory, where only that user or root may remove it";
    (env.wall_clock().since(since) > STUCK).then_some(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::FileKind;

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
