//! Which claim a `link` lock belongs to, if its content does not say so. linklock looks at the names of its other
//! links, and opens no file.
//!
//! The content may be unreadable for this user. Or to open the file would leave a delegation behind (NFS 4.0), or would
//! have to wait for another process's lease. Or a power failure has emptied the file, since names and inodes are
//! journalled and content is not.

use std::ffi::OsStr;
use std::io;
use std::ops::ControlFlow;

use super::io_error::{is_gone, is_refused, is_unreadable};
use super::place::Place;
use super::seen::SeenLock;
use crate::claim::Claim;
use crate::env::{Attr, Each, Location};
use crate::error::Error;
use crate::names::bytes_of;

/// If there are more claims than this, linklock does not ask which of them are links of a file. On file systems whose
/// listings tell inode numbers, so many claims would have to be links of one file.
const CLAIMS_MOST: usize = 1000;

/// The claim that a file at the lock path belongs to, by the file's other links.
#[derive(Debug)]
pub(super) enum LinkedClaim {
    /// The file changed meanwhile, or is not at the lock path any more.
    Changed,
    /// None of its other links is a claim of this lock.
    NoClaim,
    One(Claim),
    /// Its own claim, and what a breaker left that ended while it put the lock back. They cannot be told apart.
    Several,
}

/// The claim that the file belongs to which was seen at the lock path with these attributes.
///
/// A new file can have the inode number of one that is gone, and a listing can be old. So a name counts only if its own
/// attributes, from the server, show the number while the seen file is at the lock path. The seen file was there all
/// that time: afterwards the lock path still has the same number and the same ctime, and every change of a file renews
/// its ctime.
pub(super) fn linked_claim(place: &Place, seen: &Attr) -> io::Result<LinkedClaim> {
    let known = place.lock_path().file_name().unwrap_or_default();
    let mut links = links(place, known, seen)?;
    match place.env.stat(place.location()) {
        Ok(now) if now == *seen => {}
        Ok(_) => return Ok(LinkedClaim::Changed),
        Err(e) if is_gone(&e) => return Ok(LinkedClaim::Changed),
        Err(e) => return Err(e),
    }
    Ok(match (links.pop(), links.is_empty()) {
        (None, _) => LinkedClaim::NoClaim,
        (Some(claim), true) => LinkedClaim::One(claim),
        (Some(_), false) => LinkedClaim::Several,
    })
}

/// The claims of this lock whose names are links of this file, besides its name `known` in the same directory. Empty if
/// there are too many names to tell.
pub(super) fn links(place: &Place, known: &OsStr, file: &Attr) -> io::Result<Vec<Claim>> {
    if let Some(listed) = &place.listed {
        let links = links_in(place, known, file, &mut |each| {
            let _ = listed.iter().try_for_each(|(name, number)| each(name, *number));
            Ok(())
        })?;
        // Perhaps it has another holder since. Others may have put any number of files there that are links of no claim.
        if !links.is_empty() || !place.checked.may_list_again() {
            return Ok(links);
        }
    }
    links_in(place, known, file, &mut |each| place.list_dir(each))
}

fn links_in(
    place: &Place,
    known: &OsStr,
    file: &Attr,
    list: &mut dyn FnMut(&mut Each<'_>) -> io::Result<()>,
) -> io::Result<Vec<Claim>> {
    let mut numbers_tell = false;
    // The claims with the file's inode number, and all other claims.
    let (mut same, mut others) = (Vec::new(), Vec::new());
    let listed = list(&mut |name, number| {
        let is_same = number == file.id.inode;
        if name == known {
            numbers_tell = is_same;
            return ControlFlow::Continue(());
        }
        let claims = if is_same { &mut same } else { &mut others };
        if claims.len() <= CLAIMS_MOST {
            let claim = place.path.parse(bytes_of(name)).filter(|claim| claim.token.as_os_str() == name);
            claims.extend(claim);
        }
        ControlFlow::Continue(())
    });
    match listed {
        Err(e) if is_refused(&e) => return Ok(Vec::new()),
        listed => listed?,
    }
    // If the listing's numbers differ from those in the attributes, each claim must be checked.
    if !numbers_tell {
        same.append(&mut others);
    }
    // Too many: the answer would not be certain.
    if same.len() > CLAIMS_MOST {
        return Ok(Vec::new());
    }
    let mut links = Vec::new();
    for claim in same {
        if is_link(place, &claim, file)? {
            links.push(claim);
        }
        if links.len() as u64 + 1 >= file.nlink {
            break;
        }
    }
    Ok(links)
}

/// Whether a claim's own name is a link of this file, which exists.
pub(super) fn is_link(place: &Place, claim: &Claim, file: &Attr) -> io::Result<bool> {
    match place.env.stat(&place.path.beside(&claim.token)) {
        Ok(own) => Ok(own.id == file.id),
        Err(e) if is_gone(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

/// The attributes of `aside`, if it is the lock that was seen, moved there by a breaker, and unchanged.
pub(super) fn is_aside(place: &Place, seen: &SeenLock, aside: &Location) -> Option<Attr> {
    let moved = match place.read(aside, seen.attr.id.device) {
        Ok((moved, content)) if !is_blank(&content) => {
            let named = place.path.parse(&content)?;
            return (seen.is_unchanged(&moved) && seen.claim.as_ref().is_none_or(|claim| *claim == named))
                .then_some(moved);
        }
        // Whoever empties a file renews its mtime.
        Ok((moved, _)) => moved,
        Err(e) if is_unreadable(&e) => place.env.stat(aside).ok()?,
        Err(_) => return None,
    };
    // Without content, the claim's own name tells, unless its holder has just removed it.
    let is_claims = |claim| moved.nlink < 2 || is_link(place, claim, &moved).unwrap_or(false);
    (seen.is_unchanged(&moved) && seen.claim.as_ref().is_none_or(is_claims)).then_some(moved)
}

/// Whether an expired lock may be broken. `false`: that cannot be known now.
pub(crate) fn may_break(place: &Place, seen: &SeenLock) -> Result<bool, Error> {
    if seen.is_certain {
        return Ok(true);
    }
    let read = place.read(place.location(), seen.attr.id.device);
    if read.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock) {
        return Ok(false);
    }
    let what = if seen.attr.len == 0 { "it is empty, and may be no lock" } else { "its content cannot be read" };
    Err(place.break_failed(seen, io::Error::new(io::ErrorKind::PermissionDenied, what)))
}

/// What a power failure leaves of content that had not reached the disk: nothing, or zeros.
pub(super) fn is_blank(content: &[u8]) -> bool {
    content.iter().all(|byte| *byte == 0)
}
