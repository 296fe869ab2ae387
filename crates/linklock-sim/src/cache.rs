//! What a client remembers of names, and how it finds files by them.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use crate::client::SimEnv;
use crate::env::{Attr, FileKind};
use crate::server::{Answer, Handle, ROOT, Request};
use crate::world::{error, random};

/// A file as a client knows it.
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

/// A cached name, in a directory that is known by its handle: whatever becomes of the directory's own name, the client
/// still knows what was in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dentry {
    /// `None`: there is no such name.
    pub(crate) file: Option<Known>,
    /// Believed without asking up to this moment of the world's time.
    until: Duration,
}

/// The cached names in a directory, believed up to this moment of the world's time.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    names: Vec<(OsString, u64)>,
    until: Duration,
}

impl SimEnv {
    pub(crate) fn cache(&self, dir: Handle, name: OsString, file: Option<Known>) {
        let random_age = self.sim.with(|world| world.config.random);
        let age = if random_age && random(2) == 0 { 43 } else { 5 };
        let host = self.host();
        self.sim.with(|world| {
            let until = world.now + Duration::from_secs(age);
            world.hosts[host].dentries.insert((dir, name), Dentry { file, until });
        });
    }

    /// Gives what was known.
    pub(crate) fn forget(&self, dir: Handle, name: &OsStr) -> Option<Dentry> {
        let host = self.host();
        self.sim.with(|world| world.hosts[host].dentries.remove(&(dir, name.to_owned())))
    }

    pub(crate) fn cached(&self, dir: Handle, name: &OsStr) -> Option<Dentry> {
        let host = self.host();
        self.sim.with(|world| {
            world.hosts[host].dentries.get(&(dir, name.to_owned())).copied().filter(|d| world.now < d.until)
        })
    }

    /// The file of a path, by the cache where it knows the name.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<Known> {
        if path == Path::new(crate::DIR) {
            return Ok(Known { handle: ROOT, is_dir: true });
        }
        let (dir, name) = self.split(path)?;
        if let Some(known) = self.cached(dir, &name) {
            return known.file.ok_or(error(ErrorKind::NotFound));
        }
        match self.call(&Request::Lookup { dir, name: name.clone() }) {
            Ok(Answer { file: Some(found), .. }) => {
                let known = Known::new(found);
                self.cache(dir, name, Some(known));
                Ok(known)
            }
            Ok(_) => Err(error(ErrorKind::NotFound)),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.cache(dir, name, None);
                Err(e)
            }
            Err(e) => Err(e),
        }
    }

    pub(crate) fn split(&self, path: &Path) -> io::Result<(Handle, OsString)> {
        let invalid = || error(ErrorKind::InvalidInput);
        let dir = self.resolve(path.parent().ok_or_else(invalid)?)?;
        Ok((dir.handle, path.file_name().ok_or_else(invalid)?.to_owned()))
    }

    /// Does it once more with fresh names if what they led to is gone, as the kernel does.
    pub(crate) fn afresh<T>(&self, paths: &[&Path], act: impl Fn() -> io::Result<T>) -> io::Result<T> {
        let result = act();
        if !result.as_ref().is_err_and(|e| e.kind() == ErrorKind::StaleNetworkFileHandle) {
            return result;
        }
        for path in paths {
            self.forget_all(path);
        }
        act()
    }

    /// Forgets every name in a path.
    pub(crate) fn forget_all(&self, path: &Path) {
        let mut dir = ROOT;
        for name in path.strip_prefix(crate::DIR).unwrap_or(path) {
            match self.forget(dir, name).and_then(|known| known.file) {
                Some(known) => dir = known.handle,
                None => break,
            }
        }
    }

    /// The names in a directory, with the numbers of their files: as they are now, since opening it asks the server; from memory on a mount that does not
    /// ask. The client's own changes there are known.
    pub(crate) fn names_in(&self, dir: Handle) -> io::Result<Vec<(OsString, u64)>> {
        let host = self.host();
        let known = self.sim.with(|world| {
            let known = world.hosts[host].listings.get(&dir).filter(|known| world.now < known.until);
            known.filter(|_| world.config.stale_lists).map(|known| known.names.clone())
        });
        if let Some(names) = known {
            return Ok(names);
        }
        let answer = self.call(&Request::ReadDir { dir })?;
        let names: Vec<_> = answer.names.into_iter().zip(answer.inodes).collect();
        self.sim.with(|world| {
            let listing = Listing { names: names.clone(), until: world.now + Duration::from_secs(43) };
            world.hosts[host].listings.insert(dir, listing);
        });
        Ok(names)
    }

    /// To be called when the client has changed the directory, or has fresh attributes of it.
    pub(crate) fn forget_listing(&self, dir: Handle) {
        let host = self.host();
        self.sim.with(|world| world.hosts[host].listings.remove(&dir));
    }
}
