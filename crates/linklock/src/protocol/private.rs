//! Who else may write to the lock's directory. Such users can deny the lock. Unless the directory is sticky and not
//! their own, they can also remove the lock while it is held.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::place::{Place, ROOT, STICKY};
use super::warned::{Warning, is_first};
use crate::env::Attr;
use crate::error::Error;
use crate::holder::Owner;
use crate::printable::Printable;

const GROUP_MAY_WRITE: u32 = 0o020;
const OTHERS_MAY_WRITE: u32 = 0o002;

/// Whether a lock's directory must be private, and whether it was checked for a warning.
#[derive(Debug)]
pub(crate) struct Privacy {
    is_required: bool,
    has_looked: AtomicBool,
}

impl Privacy {
    pub(crate) fn new(is_required: bool) -> Self {
        Self { is_required, has_looked: AtomicBool::new(false) }
    }

    /// Call this before the lock is acquired. If the directory must be private, it is checked each time. If not, only
    /// root checks it, and once: other users share the directory knowingly, or it is their own.
    pub(crate) fn check(&self, place: &Place) -> Result<(), Error> {
        if self.is_required {
            return require(place);
        }
        if !self.has_looked.load(Ordering::Relaxed) {
            self.has_looked.store(true, Ordering::Relaxed);
            if place.env.user_id() == Some(ROOT) {
                warn(place);
            }
        }
        Ok(())
    }
}

fn require(place: &Place) -> Result<(), Error> {
    // If we cannot look at the directory, we cannot create a claim there either.
    let attr = place.stat_dir().map_err(|e| Error::cannot_create(place.lock_path(), e))?;
    let user = place.env.user_id().unwrap_or(ROOT);
    match Flaw::of(place, &attr, user) {
        Some(flaw) => Err(Error::not_private(place.lock_path(), flaw.to_string())),
        None => Ok(()),
    }
}

/// Warns root of a directory where others can remove a lock. Ignores errors: the acquisition meets them too.
fn warn(place: &Place) {
    // From the cache: a warning is not worth a request to a server.
    let Ok(attr) = place.dir_as_known() else { return };
    let Some(flaw) = Flaw::of(place, &attr, ROOT) else { return };
    // In a sticky directory, only the owner of a file and the owner of the directory may remove the file.
    let only_denies = attr.mode & STICKY != 0 && !matches!(flaw, Flaw::BelongsTo(_));
    if !only_denies && is_first(Warning::NotPrivate, place.path.dir()) {
        tracing::warn!(
            target: "linklock::private",
            "{}: this directory {flaw}: whoever may write to it can remove a held lock, and then two contenders can hold it; use a directory that only root may write to (chown root, chmod go-w), or a sticky one of root's (chmod +t), where others can only deny the lock",
            Printable::new(place.path.dir())
        );
    }
}

/// Why a directory is not private.
enum Flaw {
    BelongsTo(Owner),
    OpenToAll { mode: u32 },
    OpenToGroup { mode: u32 },
}

impl Flaw {
    /// A sticky directory is not private either: whoever may write to it can take the lock's name.
    fn of(place: &Place, attr: &Attr, user: u32) -> Option<Self> {
        let mode = attr.mode;
        if attr.owner != user && attr.owner != ROOT {
            return Some(Self::BelongsTo(place.user(attr.owner)));
        }
        match mode {
            _ if mode & OTHERS_MAY_WRITE != 0 => Some(Self::OpenToAll { mode }),
            // These bits also show an access list that lets others write: they are its mask.
            _ if mode & GROUP_MAY_WRITE != 0 => Some(Self::OpenToGroup { mode }),
            _ => None,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BelongsTo(owner) => write!(f, "belongs to {owner}"),
            Self::OpenToAll { mode } => write!(f, "can be written to by everybody (mode {mode:04o})"),
            Self::OpenToGroup { mode } => write!(f, "can be written to by its group (mode {mode:04o})"),
        }
    }
}
