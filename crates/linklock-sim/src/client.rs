//! A client of the simulated server, as one process uses it: it sends requests, and finds files by cached names.
//!
//! It caches names and attributes as the Linux NFS client does. It may believe for up to 43 s, without asking, that a name is
//! there or is missing.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Known;
use crate::chance::random;
use crate::config::DIR;
use crate::env::Attr;
use crate::server::{Answer, Handle, ROOT, Request};
use crate::settings::Settings;
use crate::sim::Sim;
use crate::world::{Host, World};

/// The pid of the process on whose behalf others of its machine take locks.
pub(crate) const SHELL: u32 = 50;

/// Process `number`, on its machine.
#[derive(Clone, Debug)]
pub(crate) struct SimEnv {
    pub(crate) sim: Arc<Sim>,
    pub(crate) number: usize,
}

impl SimEnv {
    pub(crate) fn host(&self) -> usize {
        self.sim.with(|world| world.processes[self.number].host)
    }

    pub(crate) fn settings(&self) -> Settings {
        self.sim.with(|world| world.processes[self.number].settings.clone())
    }

    /// Calls `f` with this process's machine and the world time.
    pub(crate) fn with_machine<R>(&self, f: impl FnOnce(&mut Host, Duration) -> R) -> R {
        self.sim.with(|world| {
            let (host, now) = (world.processes[self.number].host, world.now);
            f(&mut world.hosts[host], now)
        })
    }

    pub(crate) fn call(&self, request: &Request) -> io::Result<Answer> {
        let answer = self.sim.call(self.number, request).map_err(error)?;
        if let Some((file, attr)) = answer.file {
            self.with_machine(|machine, _| machine.cache.keep_attr(file, attr));
        }
        Ok(answer)
    }

    pub(crate) fn cache(&self, dir: Handle, name: OsString, file: Option<Known>) {
        let random_age = self.sim.with(|world| world.config.random);
        let age = Duration::from_secs(if random_age && random(2) == 0 { 43 } else { 5 });
        self.with_machine(|machine, now| machine.cache.keep_name(dir, name, file, now + age));
    }

    /// What another process of this machine did with that name meanwhile is newer: a kernel makes no change to a directory while it looks a
    /// name up there.
    fn cache_looked_up(&self, dir: Handle, name: OsString, file: Option<Known>) {
        if self.cached(dir, &name).is_none() {
            self.cache(dir, name, file);
        }
    }

    /// Returns the file that was known by that name.
    pub(crate) fn forget(&self, dir: Handle, name: &OsStr) -> Option<Known> {
        self.with_machine(|machine, _| machine.cache.forget_name(dir, name))
    }

    /// `None` if the client does not know; `Some(None)` if it knows that there is no such name.
    pub(crate) fn cached(&self, dir: Handle, name: &OsStr) -> Option<Option<Known>> {
        self.with_machine(|machine, now| machine.cache.name(dir, name, now))
    }

    /// The attributes of a file in the last reply.
    pub(crate) fn attr(&self, file: Handle) -> Option<Attr> {
        self.with_machine(|machine, _| machine.cache.attr(file))
    }

    /// The file of a path: by the cache if it knows the name, else by asking the server.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<Known> {
        if path == Path::new(DIR) {
            return Ok(Known { handle: ROOT, is_dir: true });
        }
        let (dir, name) = self.split(path)?;
        if let Some(known) = self.cached(dir, &name) {
            return known.ok_or(error(ErrorKind::NotFound));
        }
        match self.call(&Request::Lookup { dir, name: name.clone() }) {
            Ok(Answer { file: Some(found), .. }) => {
                let known = Known::new(found);
                self.cache_looked_up(dir, name, Some(known));
                Ok(known)
            }
            Ok(_) => Err(error(ErrorKind::NotFound)),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.cache_looked_up(dir, name, None);
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

    /// Runs `act`, and once more with fresh names if its file is gone, as the kernel does.
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
    fn forget_all(&self, path: &Path) {
        let mut dir = ROOT;
        for name in path.strip_prefix(DIR).unwrap_or(path) {
            match self.forget(dir, name) {
                Some(known) => dir = known.handle,
                None => break,
            }
        }
    }

    /// Sends a request about the file that the client believes to be at `path`.
    pub(crate) fn ask(&self, path: &Path, request: impl Fn(Handle) -> Request) -> io::Result<(Attr, Answer)> {
        let answer = self.afresh(&[path], || self.resolve(path).and_then(|file| self.call(&request(file.handle))))?;
        let (_, attr) = answer.file.ok_or(error(ErrorKind::NotFound))?;
        Ok((attr, answer))
    }

    /// The names in a directory, with the inode numbers of their files. Opening a directory asks the server, except on a mount
    /// with `nocto`, where the client may answer from its cache. It always knows its own changes.
    pub(crate) fn names_in(&self, dir: Handle) -> io::Result<Vec<(OsString, u64)>> {
        if self.sim.with(|world| world.config.stale_lists)
            && let Some(names) = self.with_machine(|machine, now| machine.cache.listing(dir, now))
        {
            return Ok(names);
        }
        let answer = self.call(&Request::ReadDir { dir })?;
        let names: Vec<_> = answer.names.into_iter().zip(answer.inodes).collect();
        // It learns that what it took for missing is there.
        self.with_machine(|machine, _| names.iter().for_each(|(name, _)| machine.cache.forget_missing(dir, name)));
        let age = Duration::from_secs(43);
        self.with_machine(|machine, now| machine.cache.keep_listing(dir, names.clone(), now + age));
        Ok(names)
    }

    /// Call it when the client has changed the directory, or has fresh attributes of it.
    pub(crate) fn forget_listing(&self, dir: Handle) {
        self.with_machine(|machine, _| machine.cache.forget_listing(dir));
    }

    /// Opens a file, reads it and closes it. Where open files do not matter, that is one request.
    pub(crate) fn open_and_read(&self, path: &Path, delegation: bool) -> io::Result<(Attr, Vec<u8>)> {
        let read = |file| Request::Read { file, delegation };
        if !self.sim.with(|world| world.config.silly_renames) {
            return self.ask(path, read).map(|(attr, answer)| (attr, answer.content));
        }
        let (file, is_dir, (dir, name)) = self.afresh(&[path], || {
            let known = self.resolve(path)?;
            self.call(&Request::GetAttr { file: known.handle })?;
            Ok((known.handle, known.is_dir, self.split(path)?))
        })?;
        if !is_dir {
            self.with_machine(|machine, _| machine.open.open(self.number, dir, name));
        }
        let answer = self.call(&read(file));
        for (dir, name) in self.with_machine(|machine, _| machine.open.close(self.number)) {
            self.forget(dir, &name);
            self.forget_listing(dir);
            let removed = self.call(&Request::Remove { dir, name: name.clone() });
            let host = self.host();
            self.sim.with(|world| world.tell(&format!("h{host}"), || format!("removes {name:?}: {removed:?}")));
        }
        let answer = answer?;
        let (_, attr) = answer.file.ok_or(error(ErrorKind::NotFound))?;
        Ok((attr, answer.content))
    }

    /// Removes the name of a file that a process of this machine has open.
    pub(crate) fn remove_open(&self, dir: Handle, name: &OsStr, file: Handle) -> io::Result<()> {
        if self.with_machine(|machine, _| machine.open.is_removed(dir, name)) {
            return Err(error(ErrorKind::ResourceBusy));
        }
        let inode = self.attr(file).map_or(0, |attr| attr.id.inode);
        let serial = self.sim.with(World::next_serial);
        let aside = OsString::from(format!(".nfs{inode:016x}{serial:08x}"));
        self.call(&Request::Rename { dir, from: name.to_owned(), to_dir: dir, to: aside.clone() })?;
        let is_open = self.with_machine(|machine, _| machine.open.remove(dir, name, &aside));
        // It was closed during the rename.
        if !is_open {
            self.call(&Request::Remove { dir, name: aside })?;
        }
        Ok(())
    }
}

pub(crate) fn error(kind: ErrorKind) -> io::Error {
    kind.into()
}
