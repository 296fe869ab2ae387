//! Creates a directory where others may replace it before it is opened.

use std::ffi::OsStr;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, fchmod, mkdirat, openat};
use rustix::io::{Errno, retry_on_intr};

use super::convert::to_mode;
use super::files::{TO_LIST, create, show_names};
use super::system::basics::TO_REACH;
use super::system::stat::stat_open_as_known;
use crate::env::attr::{Attr, FileKind};
use crate::env::world::{DirMode, Expiry, NewDir};

/// A new directory that only its owner may open. No umask removes these bits.
const CLOSED: u32 = 0o700;

const STICKY: u32 = 0o1000;

/// A new directory has one time as mtime and ctime; a file system may round them. A rename renews only the ctime.
const ROUNDING: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct OpenDir {
    dir: OwnedFd,
    owner: u32,
    is_sticky: bool,
}

pub(super) fn make(parent: BorrowedFd<'_>, name: &Path, mode: DirMode) -> io::Result<OpenDir> {
    let (bits, flags) = match mode {
        DirMode::Usual(bits) => (bits, TO_REACH),
        DirMode::Exactly(_) => (CLOSED, TO_LIST | OFlags::NOFOLLOW),
    };
    mkdirat(parent, name, to_mode(bits))?;
    let dir = retry_on_intr(|| openat(parent, name, flags, Mode::empty())).map_err(|e| match e {
        // It is not what was created.
        Errno::NOTDIR | Errno::LOOP | Errno::MLINK | Errno::NOENT => taken(),
        e => e.into(),
    })?;
    let attr = stat_open_as_known(&dir)?;
    // An older directory that was moved here. Nothing must be created in it.
    if attr.kind != FileKind::Directory || attr.ctime.since(attr.mtime) > ROUNDING {
        return Err(taken());
    }
    if let DirMode::Exactly(bits) = mode {
        open_to_others(&dir, &attr, bits)?;
    }
    Ok(OpenDir { dir, owner: attr.owner, is_sticky: attr.mode & STICKY != 0 })
}

/// By the descriptor, so that it changes the directory that was checked: one that is empty and closed, as ours is.
fn open_to_others(dir: &OwnedFd, attr: &Attr, bits: u32) -> io::Result<()> {
    let mut is_empty = true;
    show_names(dir.try_clone()?, &mut |_, _| {
        is_empty = false;
        ControlFlow::Break(())
    })?;
    // Either the file system shows its own permissions, whatever was requested; or it is not what was created.
    if attr.mode & 0o777 != CLOSED || !is_empty {
        return Ok(());
    }
    // Keeps the set-group-ID bit that it inherited.
    Ok(fchmod(dir, to_mode(bits | attr.mode & 0o2000))?)
}

fn taken() -> io::Error {
    io::ErrorKind::AlreadyExists.into()
}

impl NewDir for OpenDir {
    fn is_sticky(&self) -> bool {
        self.is_sticky
    }

    fn create(&self, name: &OsStr, content: &[u8], mode: u32, expiry: &mut Expiry<'_>) -> io::Result<Attr> {
        create(self.dir.as_fd(), Path::new(name), content, mode, expiry, Some(self.owner))
    }
}
