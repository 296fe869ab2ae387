//! Whether a file system is fit for a lock: what is known of its kind and, for `link`, whether it shows hard links.

use std::io;

use super::claims;
use super::io_error::gone_is_ok;
use super::link;
use super::place::{CONTENT_LIMIT, Place};
use super::stake::Stake;
use super::warned::{Warning, is_first};
use crate::env::FileKind;
use crate::error::Error;
use crate::file_system::{Fitness, Stamps};
use crate::options::Protocol;
use crate::printable::Printable;

/// Refuses a lock on a file system where the protocol is known to fail, or cannot work. Warns where nothing is known. To be asked
/// with a claim that is staged, before the first attempt. Asks the file system for nothing where the protocol was shown to work.
pub(crate) fn check(place: &Place, stake: &Stake) -> Result<(), Error> {
    let device = stake.id.device;
    if place.checked.is_fit(device) {
        return Ok(());
    }
    let known = place.file_system();
    let fitness = match known {
        Some(known) => known.fitness(place.protocol),
        // One clock stamps: this machine's own disk, on a system that does not tell of what kind it is.
        None if place.env.stamps(place.path.dir()) == Stamps::Server => Fitness::Shown,
        None => Fitness::NotKnown,
    };
    match (fitness, known) {
        (Fitness::Unsafe(why), Some(known)) if !place.allow_unsafe => {
            return Err(Error::unsafe_file_system(
                place.lock_path(),
                place.protocol.name(),
                known.name,
                why,
                place.instead_of(place.protocol),
            ));
        }
        (Fitness::NotKnown, _) if !place.allow_unsafe && is_first(Warning::FileSystemNotKnown, place.path.dir()) => {
            tracing::warn!(
                target: "linklock::file_system",
                "{}: it is not known whether the {} protocol is safe on {}: try it with `linklock doctor`, or keep the lock elsewhere",
                Printable::new(place.path.dir()), place.protocol, known.map_or("this kind of file system", |known| known.name)
            );
        }
        _ => {}
    }
    if place.protocol == Protocol::Link && fitness != Fitness::Shown {
        check_hard_links(place)?;
    }
    place.checked.set_fit(device, place.cached_for_on(known), known.is_none_or(|known| known.has_server));
    Ok(())
}

/// Tries a hard link between two names of our own. Contenders know by two names with one number and a count of two who won. Where
/// they cannot, the lock would come to be, and nobody would know whose it is.
///
/// Not with the claim itself: a link of it that came late would look like the lock.
fn check_hard_links(place: &Place) -> Result<(), Error> {
    let stake = link::stage(place)?;
    let second = place.path.beside(&claims::of_this_process(place).token);
    let shown = place.env.link(&place.path.beside(&stake.claim.token), &second).and_then(|()| {
        let attr = place.env.stat(&second)?;
        // Linux's SMB client may not open a second name of a file that it has a lease on.
        place.env.read(&second, CONTENT_LIMIT)?;
        Ok(attr.kind == FileKind::Regular && attr.id == stake.id && attr.nlink > 1)
    });
    let removed = gone_is_ok(place.env.unlink(&second));
    link::withdraw(place, &stake.claim);
    match shown.and_then(|shown| removed.map(|()| shown)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(link::no_hard_links(place, io::Error::other("two names of one file look like two files"))),
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Err(link::no_hard_links(place, e)),
        Err(e) => Err(link::link_failed(place, e)),
    }
}
