//! What a directory at a lock path is.

use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::ControlFlow;

use crate::claim::Claim;
use crate::env::{Attr, FileKind, Liveness};
use crate::holder::About;
use crate::names::bytes_of;
use crate::options::Protocol;
use crate::protocol::io_error::{is_gone, is_refused, is_unreadable};
use crate::protocol::place::{BREAK_LIFETIME, Place, ROOT, STICKY};
use crate::protocol::seen::{Seen, SeenLock};
use crate::protocol::silly_names;
use crate::token::Token;

/// The most readers that a look tells apart from other things in a directory.
pub(crate) const READERS_MOST: usize = 1 << 14;

/// The names in the directory at the lock path, as far as a look needs them: others may have put any number there.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// The claims of those who share the lock.
    pub(crate) readers: Vec<Claim>,
    /// All others: the claim of one who has the lock for himself, or what is no claim.
    pub(crate) others: Vec<OsString>,
    /// What an NFS client left of entries that were removed.
    left: Vec<OsString>,
}

impl Entries {
    pub(crate) fn list(place: &Place, ours: bool) -> io::Result<Self> {
        let mut entries = Self::default();
        place.env.list(place.location(), &mut |name, _| {
            let claim = place.path.parse(bytes_of(name)).filter(|claim| claim.token.as_os_str() == name);
            match claim {
                Some(claim) if claim.is_shared => entries.readers.push(claim),
                _ if ours && silly_names::has_prefix(name) => entries.left.push(name.to_owned()),
                _ => entries.others.push(name.to_owned()),
            }
            let Self { readers, others, left } = &entries;
            let is_enough = others.len() > 1 || left.len() > silly_names::MOST || readers.len() > READERS_MOST;
            if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(entries)
    }
}

/// What the directory at the lock path is; of several readers, the named one if it is among them. `None` if it changed during the look.
pub(super) fn look(place: &Place, attr: Attr, wanted: Option<&Token>) -> io::Result<Option<Seen>> {
    let ours = place.is_marked(&attr);
    // An umask of 077 makes such a directory.
    let hidden = || Ok(Some(Seen::Lock(SeenLock::hidden(attr))));
    let Entries { readers, others, left } = match Entries::list(place, ours) {
        Err(e) if ours && is_refused(&e) => return hidden(),
        listed => listed?,
    };
    let not_a_lock = || Ok(Some(Seen::NotALock("a directory".into())));
    if left.len() > silly_names::MOST || readers.len() > READERS_MOST {
        return not_a_lock();
    }
    let claim = match others.as_slice() {
        // Whoever has an entry beside it is about to see that the lock is not to be shared, and removes it.
        [name] => place.path.parse(bytes_of(name)),
        [] if !readers.is_empty() => one_of(place, &readers, wanted),
        [] if left.iter().all(|name| silly_names::is_removable(place, name)) => {
            let is_stuck = ours && is_anothers(place, &attr)?;
            let stuck = Seen::Stuck { owner: attr.owner, since: attr.ctime };
            return Ok(Some(if is_stuck { stuck } else { Seen::EmptyDirectory { ours } }));
        }
        _ => None,
    };
    let Some(claim) = claim else { return not_a_lock() };
    let readers = if others.is_empty() { readers.len() } else { 0 };
    let name = others.first().cloned().unwrap_or_else(|| claim.token.as_os_str().to_owned());
    match look_at_entry(place, &attr, &name, claim, readers)? {
        Some(lock) => Ok(Some(Seen::Lock(lock))),
        None => not_a_lock(),
    }
}

/// Each reader that has an entry in the directory at the lock path, which has these attributes.
pub(super) fn readers(place: &Place, attr: &Attr) -> io::Result<Vec<SeenLock>> {
    let claims = Entries::list(place, true)?.readers;
    let mut readers = Vec::with_capacity(claims.len());
    for claim in &claims {
        match look_at_entry(place, attr, claim.token.as_os_str(), claim.clone(), claims.len()) {
            // It has left meanwhile.
            Err(e) if is_gone(&e) => {}
            seen => readers.extend(seen?),
        }
    }
    Ok(readers)
}

/// The lock by this entry of the directory that has these attributes; `None` if what has the name is no file. If the entry is gone by
/// now, the error makes the caller look again.
fn look_at_entry(
    place: &Place,
    dir: &Attr,
    name: &OsStr,
    claim: Claim,
    readers: usize,
) -> io::Result<Option<SeenLock>> {
    let entry = place.location().inside(name);
    let (attr, content) = match place.read(&entry, dir.id.device) {
        Err(e) if !is_gone(&e) => match place.env.stat(&entry) {
            Err(e) if is_refused(&e) => return Ok(Some(SeenLock::hidden(*dir))),
            // The content is not needed to judge the lock.
            Ok(attr) if is_unreadable(&e) || attr.kind != FileKind::Regular => (attr, Vec::new()),
            stat => return Err(stat.err().unwrap_or(e)),
        },
        read => read?,
    };
    if attr.kind != FileKind::Regular {
        return Ok(None);
    }
    let mut lock = SeenLock {
        protocol: Protocol::Dir,
        claim: Some(claim),
        is_certain: true,
        attr,
        owner: Some(dir.owner).filter(|owner| *owner == attr.owner),
        about: About::from_json(&content).map(Box::new),
        readers,
    };
    if place.path.is_break_lock {
        lock.believe_at_most(BREAK_LIFETIME);
    }
    Ok(Some(lock))
}

/// The reader that is looked at: one that is wanted, else one that is known to be dead, who can go at once, else always the same as
/// long as it is there.
fn one_of(place: &Place, readers: &[Claim], wanted: Option<&Token>) -> Option<Claim> {
    let is_dead = |claim: &&Claim| place.liveness(claim) == Liveness::Dead;
    let named = wanted.and_then(|token| readers.iter().find(|claim| claim.token == *token));
    let first = || readers.iter().min_by(|one, other| one.token.cmp(&other.token));
    named.or_else(|| readers.iter().find(is_dead)).or_else(first).cloned()
}

/// Whether another user owns an empty directory at the lock path, and this user cannot remove it. A server may map our
/// user to another one, and then our own directory looks like another user's: callers compare with the owner of our
/// claim.
fn is_anothers(place: &Place, attr: &Attr) -> io::Result<bool> {
    let Some(user) = place.env.user_id().filter(|user| *user != ROOT && *user != attr.owner) else { return Ok(false) };
    let parent = place.stat_dir()?;
    Ok(parent.mode & STICKY != 0 && parent.owner != user)
}
