//! What a directory at a lock path is.

use std::io;
use std::ops::ControlFlow;

use crate::env::Attr;
use crate::holder::About;
use crate::names::bytes_of;
use crate::options::Protocol;
use crate::protocol::io_error::{is_refused, is_unreadable};
use crate::protocol::place::{BREAK_LIFETIME, Place, ROOT, STICKY};
use crate::protocol::seen::{Seen, SeenLock};
use crate::protocol::silly_names;

/// What the directory at the lock path is. `None` if it changed during the look.
pub(super) fn look(place: &Place, attr: Attr) -> io::Result<Option<Seen>> {
    let ours = place.is_marked(&attr);
    // Reads no more names than needed: others may have put any number there.
    let (mut names, mut left) = (Vec::new(), Vec::new());
    let listed = place.env.list(place.location(), &mut |name, _| {
        if ours && silly_names::has_prefix(name) { &mut left } else { &mut names }.push(name.to_owned());
        if names.len() > 1 || left.len() > silly_names::MOST {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    // An umask of 077 makes such a directory.
    let hidden = || Ok(Some(Seen::Lock(SeenLock::hidden(attr))));
    match listed {
        Err(e) if ours && is_refused(&e) => return hidden(),
        listed => listed?,
    }
    let name = match names.as_slice() {
        [name] if left.len() <= silly_names::MOST => name,
        [] if left.len() <= silly_names::MOST && left.iter().all(|name| silly_names::is_removable(place, name)) => {
            let is_stuck = ours && is_anothers(place, &attr)?;
            let stuck = Seen::Stuck { owner: attr.owner, since: attr.ctime };
            return Ok(Some(if is_stuck { stuck } else { Seen::EmptyDirectory { ours } }));
        }
        _ => return Ok(Some(Seen::NotALock("a directory".into()))),
    };
    let Some(claim) = place.path.parse(bytes_of(name)) else {
        return Ok(Some(Seen::NotALock("a directory".into())));
    };
    // If the entry is gone by now, the error makes the caller look again. The content is not needed to judge the lock.
    let entry = place.location().inside(name);
    let of_dir = attr.owner;
    let (attr, content) = match place.read(&entry, attr.id.device) {
        Err(e) if is_unreadable(&e) => match place.env.stat(&entry) {
            Err(e) if is_refused(&e) => return hidden(),
            stat => (stat?, Vec::new()),
        },
        read => read?,
    };
    let mut lock = SeenLock {
        protocol: Protocol::Dir,
        claim: Some(claim),
        is_certain: true,
        attr,
        owner: Some(of_dir).filter(|owner| *owner == attr.owner),
        about: About::from_json(&content).map(Box::new),
    };
    if place.path.is_break_lock {
        lock.believe_at_most(BREAK_LIFETIME);
    }
    Ok(Some(Seen::Lock(lock)))
}

/// Whether another user owns an empty directory at the lock path, and this user cannot remove it. A server may map our
/// user to another one, and then our own directory looks like another user's: callers compare with the owner of our
/// claim.
fn is_anothers(place: &Place, attr: &Attr) -> io::Result<bool> {
    let Some(user) = place.env.user_id().filter(|user| *user != ROOT && *user != attr.owner) else { return Ok(false) };
    let parent = place.env.stat_dir(place.path.dir())?;
    Ok(parent.mode & STICKY != 0 && parent.owner != user)
}
