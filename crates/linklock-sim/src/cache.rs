//! What a client caches: names, attributes, and lists of names.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use crate::env::{Attr, FileKind};
use crate::server::Handle;

/// A file as the client knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) handle: Handle,
    pub(crate) is_dir: bool,
}

impl Known {
    pub(crate) fn new((handle, attr): (Handle, Attr)) -> Self {
        Self { handle, is_dir: attr.kind == FileKind::Directory }
    }
}

/// A cached name.
#[derive(Clone, Copy, Debug)]
struct Dentry {
    /// `None`: there is no such name.
    file: Option<Known>,
    /// The client believes it, without asking, up to this world time.
    until: Duration,
}

/// The cached names in a directory, with the inode numbers of their files; believed up to this world time.
#[derive(Clone, Debug)]
struct Listing {
    names: Vec<(OsString, u64)>,
    until: Duration,
}

/// The cache of one machine.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// By the directory's handle: if the directory itself is renamed, the client still knows the names in it.
    dentries: BTreeMap<(Handle, OsString), Dentry>,
    /// The attributes of a file in the last reply.
    attrs: BTreeMap<Handle, Attr>,
    listings: BTreeMap<Handle, Listing>,
}

impl Cache {
    /// `None`: there is no such name.
    pub(crate) fn keep_name(&mut self, dir: Handle, name: OsString, file: Option<Known>, until: Duration) {
        self.dentries.insert((dir, name), Dentry { file, until });
    }

    /// `None` if the client does not know; `Some(None)` if it knows that there is no such name.
    pub(crate) fn name(&self, dir: Handle, name: &OsStr, now: Duration) -> Option<Option<Known>> {
        let dentry = self.dentries.get(&(dir, name.to_owned())).filter(|dentry| now < dentry.until);
        dentry.map(|dentry| dentry.file)
    }

    /// Returns the file that the client knew, even if the entry was too old to believe.
    pub(crate) fn forget_name(&mut self, dir: Handle, name: &OsStr) -> Option<Known> {
        self.dentries.remove(&(dir, name.to_owned())).and_then(|dentry| dentry.file)
    }

    /// Forgets that there is no such name, if that is what the client knows.
    pub(crate) fn forget_missing(&mut self, dir: Handle, name: &OsStr) {
        let key = (dir, name.to_owned());
        if self.dentries.get(&key).is_some_and(|dentry| dentry.file.is_none()) {
            self.dentries.remove(&key);
        }
    }

    pub(crate) fn forget_names_in(&mut self, parent: Handle) {
        self.dentries.retain(|(dir, _), _| *dir != parent);
    }

    pub(crate) fn keep_attr(&mut self, file: Handle, attr: Attr) {
        self.attrs.insert(file, attr);
    }

    pub(crate) fn attr(&self, file: Handle) -> Option<Attr> {
        self.attrs.get(&file).copied()
    }

    pub(crate) fn keep_listing(&mut self, dir: Handle, names: Vec<(OsString, u64)>, until: Duration) {
        self.listings.insert(dir, Listing { names, until });
    }

    pub(crate) fn listing(&self, dir: Handle, now: Duration) -> Option<Vec<(OsString, u64)>> {
        self.listings.get(&dir).filter(|listing| now < listing.until).map(|listing| listing.names.clone())
    }

    pub(crate) fn forget_listing(&mut self, dir: Handle) {
        self.listings.remove(&dir);
    }
}
