//! The things by which an attacker replaces a name.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, mknodat};

use super::field::{Field, NUMBERS, OPEN, OWN, SECRET, STICKY, WAITING_DIR, make_dir};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thing {
    LinkToFile,
    LinkToNumbers,
    LinkToSticky,
    LinkToOpen,
    LinkToNowhere,
    /// A link to another user's claim, which is a directory.
    LinkToClaim,
    HardLink,
    File,
    /// The same thing, but the attacker owns it.
    Copy,
    Fifo,
    Directory,
    /// A directory with the old names and those that the victim is about to use, all links to a file of the victim's.
    DirectoryOfLinks,
    DirectoryOfHardLinks,
    /// A renamed directory of the victim's.
    OwnDirectory,
    Nothing,
}

impl Thing {
    pub(crate) const ALL: [Self; 15] = [
        Self::LinkToFile,
        Self::LinkToNumbers,
        Self::LinkToSticky,
        Self::LinkToOpen,
        Self::LinkToNowhere,
        Self::LinkToClaim,
        Self::HardLink,
        Self::File,
        Self::Copy,
        Self::Fifo,
        Self::Directory,
        Self::DirectoryOfLinks,
        Self::DirectoryOfHardLinks,
        Self::OwnDirectory,
        Self::Nothing,
    ];

    /// Whether an open of the place that it leads to would follow it.
    pub(crate) fn leads_away(self) -> bool {
        !matches!(self, Self::HardLink | Self::DirectoryOfHardLinks | Self::OwnDirectory)
    }

    /// Puts it at `path` with the attacker's rights. `inside` are the names that the victim is about to use in a directory there.
    pub(crate) fn put(self, field: &Field, path: &Path, inside: Vec<OsString>) -> io::Result<()> {
        let stash = path.with_file_name("stash");
        field.as_attacker(|| move_away(path, &stash))?;
        let mut names = inside;
        names.extend(fs::read_dir(&stash).into_iter().flatten().map(|entry| entry.unwrap().file_name()));
        let (vault, secret) = (field.vault(), field.vault().join(SECRET));
        match self {
            // Without fs.protected_hardlinks, or by an NFS client, anybody may do this, but only in a directory of his own.
            Self::HardLink => {
                field.as_attacker(|| fs::write(path, "").and_then(|()| fs::remove_file(path)))?;
                fs::hard_link(secret, path)
            }
            Self::DirectoryOfHardLinks => {
                field.as_attacker(|| fs::create_dir(path))?;
                names.iter().try_for_each(|name| fs::hard_link(&secret, path.join(name)))
            }
            _ => field.as_attacker(|| match self {
                Self::LinkToFile => symlink(&secret, path),
                Self::LinkToNumbers => symlink(vault.join(NUMBERS), path),
                Self::LinkToSticky => symlink(vault.join(STICKY), path),
                Self::LinkToOpen => symlink(vault.join(OPEN), path),
                Self::LinkToNowhere => symlink(vault.join(OPEN).join("nowhere"), path),
                Self::LinkToClaim => symlink(WAITING_DIR, path),
                Self::File => fs::write(path, "foreign"),
                Self::Copy => forge(&stash, path),
                Self::Fifo => Ok(mknodat(CWD, path, FileType::Fifo, 0o666.into(), 0)?),
                Self::Directory => may_make_dir(path, 0o1777),
                Self::DirectoryOfLinks => {
                    fs::create_dir(path)?;
                    names.iter().try_for_each(|name| symlink(&secret, path.join(name)))
                }
                Self::OwnDirectory => fs::rename(field.dir().join(OWN), path),
                Self::Nothing | Self::HardLink | Self::DirectoryOfHardLinks => Ok(()),
            }),
        }
    }
}

fn move_away(path: &Path, stash: &Path) -> io::Result<()> {
    match fs::rename(path, stash) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}

fn may_make_dir(path: &Path, mode: u32) -> io::Result<()> {
    // The first call checks that it may be created; the second sets its mode.
    fs::create_dir(path).and_then(|()| fs::remove_dir(path))?;
    make_dir(path, mode);
    Ok(())
}

/// A regular file with the old time and with a second link, as a `link` lock has; or a directory of such files.
fn forge(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(from) {
        Ok(data) if data.is_dir() => {
            may_make_dir(to, 0o1755)?;
            fs::read_dir(from)?.try_for_each(|entry| entry.and_then(|e| copy(&e.path(), &to.join(e.file_name()))))
        }
        Ok(_) => copy(from, to).and_then(|()| fs::hard_link(to, to.with_file_name("second"))),
        Err(_) => fs::write(to, ""),
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::write(to, fs::read(from)?)?;
    fs::File::options().write(true).open(to)?.set_modified(fs::metadata(from)?.modified()?)
}
