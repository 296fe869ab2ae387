//! A client of the simulated server: the environment of one process.
//!
//! Names and attributes are cached as the Linux NFS client does. A name, present or absent, may be believed for up to 43 s
//! without asking; attributes are asked for each time, as the real environment does with AT_STATX_FORCE_SYNC; link, rename,
//! unlink, mkdir and exclusive creation reach the server.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::claim::Fingerprint;
use crate::env::{Attr, Env, Liveness, Reach, Step, Watcher};
use crate::lease::{LocalTime, ServerTime};
use crate::server::{Answer, Handle, ROOT, Request};
use crate::wait::Cancel;
use crate::world::{Sim, error, random};

/// A cached name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dentry {
    /// `None`: there is no such name.
    file: Option<Handle>,
    /// Believed without asking up to this moment of the world's time.
    until: Duration,
}

/// The cached names in a directory, believed up to this moment of the world's time.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    names: Vec<OsString>,
    until: Duration,
}

/// Process `number`, on its machine.
#[derive(Clone, Debug)]
pub(crate) struct SimEnv {
    pub(crate) sim: Arc<Sim>,
    pub(crate) number: usize,
}

impl SimEnv {
    fn host(&self) -> usize {
        self.sim.with(|world| world.processes[self.number].host)
    }

    fn call(&self, request: &Request) -> io::Result<Answer> {
        self.sim.call(self.number, request).map_err(error)
    }

    fn tell<T>(&self, what: &str, result: io::Result<T>) -> io::Result<T> {
        let outcome = result.as_ref().map_or_else(|e| format!("{:?}", e.kind()), |_| "ok".into());
        self.sim.with(|world| world.tell(&format!("c{}", self.number), || format!("{what}: {outcome}")));
        result
    }

    fn cache(&self, path: &Path, file: Option<Handle>) {
        let random_age = self.sim.with(|world| world.config.random);
        let age = if random_age && random(2) == 0 { 43 } else { 5 };
        let host = self.host();
        self.sim.with(|world| {
            let until = world.now + Duration::from_secs(age);
            world.hosts[host].dentries.insert(path.into(), Dentry { file, until });
        });
    }

    fn forget(&self, path: &Path) {
        let host = self.host();
        self.sim.with(|world| world.hosts[host].dentries.retain(|known, _| !known.starts_with(path)));
    }

    fn cached(&self, path: &Path) -> Option<Dentry> {
        let host = self.host();
        self.sim.with(|world| world.hosts[host].dentries.get(path).copied().filter(|d| world.now < d.until))
    }

    /// The handle of a path, by the cache where it knows the name.
    fn resolve(&self, path: &Path) -> io::Result<Handle> {
        if path == Path::new(crate::DIR) {
            return Ok(ROOT);
        }
        if let Some(known) = self.cached(path) {
            return known.file.ok_or(error(ErrorKind::NotFound));
        }
        let (dir, name) = self.split(path)?;
        match self.call(&Request::Lookup { dir, name }) {
            Ok(Answer { file: Some((file, _)), .. }) => {
                self.cache(path, Some(file));
                Ok(file)
            }
            Ok(_) => Err(error(ErrorKind::NotFound)),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.cache(path, None);
                Err(e)
            }
            Err(e) => Err(e),
        }
    }

    fn split(&self, path: &Path) -> io::Result<(Handle, OsString)> {
        let invalid = || error(ErrorKind::InvalidInput);
        let dir = self.resolve(path.parent().ok_or_else(invalid)?)?;
        Ok((dir, path.file_name().ok_or_else(invalid)?.to_owned()))
    }

    /// Asks about the file that `path` is believed to be; once more with fresh names if that file is gone.
    fn ask(&self, path: &Path, request: impl Fn(Handle) -> Request) -> io::Result<(Attr, Answer)> {
        let mut answer = self.resolve(path).and_then(|file| self.call(&request(file)));
        if answer.as_ref().is_err_and(|e| e.kind() == ErrorKind::StaleNetworkFileHandle) {
            self.forget_with_parents(path);
            answer = self.resolve(path).and_then(|file| self.call(&request(file)));
        }
        let answer = answer?;
        let (_, attr) = answer.file.ok_or(error(ErrorKind::NotFound))?;
        Ok((attr, answer))
    }

    fn forget_with_parents(&self, path: &Path) {
        let mut path = Some(path);
        while let Some(this) = path.filter(|p| *p != Path::new(crate::DIR)) {
            self.forget(this);
            path = this.parent();
        }
    }

    /// The names in a directory: as they are now, since opening it asks the server; from memory on a mount that does not
    /// ask. The client's own changes there are known.
    fn names_in(&self, dir: Handle) -> io::Result<Vec<OsString>> {
        let host = self.host();
        let known = self.sim.with(|world| {
            let known = world.hosts[host].listings.get(&dir).filter(|known| world.now < known.until);
            known.filter(|_| world.config.stale_lists).map(|known| known.names.clone())
        });
        if let Some(names) = known {
            return Ok(names);
        }
        let names = self.call(&Request::ReadDir { dir })?.names;
        self.sim.with(|world| {
            let listing = Listing { names: names.clone(), until: world.now + Duration::from_secs(43) };
            world.hosts[host].listings.insert(dir, listing);
        });
        Ok(names)
    }

    fn forget_listing(&self, dir: &Path) {
        let host = self.host();
        let dir = if dir == Path::new(crate::DIR) { Some(ROOT) } else { self.cached(dir).and_then(|known| known.file) };
        self.sim.with(|world| dir.map(|dir| world.hosts[host].listings.remove(&dir)));
    }

    /// Changes a directory; once more with fresh names if the directory is gone.
    fn change(&self, path: &Path, request: impl Fn(Handle, OsString) -> Request) -> io::Result<Answer> {
        let mut answer = self.split(path).and_then(|(dir, name)| self.call(&request(dir, name)));
        if answer.as_ref().is_err_and(|e| e.kind() == ErrorKind::StaleNetworkFileHandle) {
            self.forget_with_parents(path);
            answer = self.split(path).and_then(|(dir, name)| self.call(&request(dir, name)));
        }
        self.forget_listing(path.parent().unwrap_or(path));
        self.changed(path);
        answer
    }

    /// Wakes the waiters of this machine, if it is the lock path that was changed.
    fn changed(&self, path: &Path) {
        if !path.starts_with(Path::new(crate::DIR).join(crate::LOCK)) {
            return;
        }
        let host = self.host();
        self.sim.with(|world| world.hosts[host].changes += 1);
        self.sim.ring();
    }

    /// A removal of a name that is known to be absent is not even sent.
    fn remove(&self, path: &Path, request: impl Fn(Handle, OsString) -> Request) -> io::Result<()> {
        if self.cached(path).is_some_and(|known| known.file.is_none()) {
            return Err(error(ErrorKind::NotFound));
        }
        let removed = self.change(path, request).map(drop);
        match &removed {
            Ok(()) => {
                self.forget(path);
                self.cache(path, None);
            }
            Err(_) => self.forget(path),
        }
        removed
    }

    fn show(path: &Path) -> String {
        path.strip_prefix(crate::DIR).unwrap_or(path).display().to_string()
    }

    /// Tells the world while the lock path itself is being removed.
    fn removing<T>(&self, path: &Path, remove: impl FnOnce() -> T) -> T {
        let shared = path == Path::new(crate::DIR).join(crate::LOCK);
        self.sim.with(|world| world.processes[self.number].removes_shared = shared);
        let removed = remove();
        self.sim.with(|world| world.processes[self.number].removes_shared = false);
        removed
    }

    fn move_name(&self, from: &Path, to: &Path) -> io::Result<()> {
        let moved = self.resolve(from)?;
        let (to_dir, new) = self.split(to)?;
        let renamed = self.change(from, |dir, from| Request::Rename { dir, from, to_dir, to: new.clone() }).map(drop);
        if renamed.is_ok() {
            self.forget(from);
            self.forget(to);
            self.cache(from, None);
            self.cache(to, Some(moved));
        }
        self.tell(&format!("rename {} to {}", Self::show(from), Self::show(to)), renamed)
    }

    /// Waits on the process's own clock, as a holder at work does.
    pub(crate) fn sleep(&self, time: Duration) {
        let until = self.now() + time;
        SimWatcher { env: self.clone(), changes: None }.wait(until, None);
    }
}

impl Env for SimEnv {
    fn now(&self) -> LocalTime {
        let host = self.host();
        self.sim.with(|world| world.local_now(host))
    }

    fn wall_clock(&self) -> ServerTime {
        // An hour off for each machine.
        ServerTime::from_parts(1_600_000_000, 0) + self.now().since(LocalTime::from_nanos(0))
    }

    fn random(&self) -> u64 {
        self.sim.with(crate::world::World::next_random)
    }

    fn serial(&self) -> u32 {
        self.sim.with(|world| world.next_serial())
    }

    fn host_name(&self) -> String {
        format!("h{}", self.host())
    }

    fn process_id(&self) -> u32 {
        100 + self.number as u32
    }

    fn fingerprint(&self, pid: u32) -> Option<Fingerprint> {
        Some(Fingerprint::new(self.host_name().as_bytes(), pid.into()))
    }

    fn liveness(&self, pid: u32, _: Fingerprint) -> Liveness {
        self.sim.with(|world| match world.processes.get(pid as usize - 100) {
            Some(process) if process.killed || process.ended => Liveness::Dead,
            Some(_) => Liveness::Alive,
            None => Liveness::Unknown,
        })
    }

    fn command(&self, _: u32) -> Option<String> {
        None
    }

    fn user(&self) -> Option<String> {
        None
    }

    fn create(
        &self,
        path: &Path,
        content: &[u8],
        _: u32,
        expiry: &mut dyn FnMut(&Attr) -> ServerTime,
    ) -> io::Result<()> {
        let verifier = self.sim.with(|world| world.next_serial()).into();
        let made = self.change(path, |dir, name| Request::Create { dir, name, verifier });
        let made = self.tell(&format!("create {}", Self::show(path)), made)?;
        let (file, attr) = made.file.ok_or(error(ErrorKind::NotFound))?;
        self.cache(path, Some(file));
        let mtime = Some(expiry(&attr));
        self.call(&Request::Write { file, content: content.to_vec() })?;
        self.call(&Request::SetMtime { file, mtime }).map(drop)
    }

    fn set_expiry(&self, path: &Path, expiry: ServerTime) -> io::Result<Attr> {
        let set = self.ask(path, |file| Request::SetMtime { file, mtime: Some(expiry) }).map(|(attr, _)| attr);
        self.changed(path);
        self.tell(&format!("set the expiry of {}", Self::show(path)), set)
    }

    fn touch(&self, path: &Path) -> io::Result<Attr> {
        self.ask(path, |file| Request::SetMtime { file, mtime: None }).map(|(attr, _)| attr)
    }

    fn stat(&self, path: &Path) -> io::Result<Attr> {
        let host = self.host();
        if path == Path::new(crate::DIR) {
            // New attributes of a directory make the client ask again for the names in it.
            self.sim.with(|world| world.hosts[host].dentries.clear());
        }
        let stat = self.ask(path, |file| {
            self.sim.with(|world| world.hosts[host].listings.remove(&file));
            Request::GetAttr { file }
        });
        let stat = stat.map(|(attr, _)| attr);
        let links = stat.as_ref().map_or(0, |attr| attr.nlink);
        self.tell(&format!("stat {} ({links} links)", Self::show(path)), stat)
    }

    fn read(&self, path: &Path, _: usize) -> io::Result<(Attr, Vec<u8>)> {
        let read = self.ask(path, |file| Request::Read { file }).map(|(attr, answer)| (attr, answer.content));
        self.tell(&format!("read {}", Self::show(path)), read)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let mut listed = self.resolve(path).and_then(|dir| self.names_in(dir));
        if listed.as_ref().is_err_and(|e| e.kind() == ErrorKind::StaleNetworkFileHandle) {
            self.forget_with_parents(path);
            listed = self.resolve(path).and_then(|dir| self.names_in(dir));
        }
        self.tell(&format!("list {}", Self::show(path)), listed)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.resolve(from)?;
        // The client drops what it knows of the new name before it asks.
        self.forget(to);
        let linked = self.change(to, |dir, name| Request::Link { file, dir, name }).map(drop);
        if linked.is_ok() {
            self.cache(to, Some(file));
        }
        self.tell(&format!("link {} to {}", Self::show(from), Self::show(to)), linked)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.removing(from, || self.move_name(from, to))
    }

    fn rename_noreplace(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(error(ErrorKind::InvalidInput))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let removed = self.removing(path, || self.remove(path, |dir, name| Request::Remove { dir, name }));
        self.tell(&format!("unlink {}", Self::show(path)), removed)
    }

    fn mkdir(&self, path: &Path, _: u32) -> io::Result<()> {
        let made = self.change(path, |dir, name| Request::MkDir { dir, name });
        match &made {
            Ok(Answer { file, .. }) => self.cache(path, file.map(|(file, _)| file)),
            Err(_) => self.forget(path),
        }
        self.tell(&format!("mkdir {}", Self::show(path)), made.map(drop))
    }

    fn chmod(&self, _: &Path, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn rmdir(&self, path: &Path) -> io::Result<()> {
        let removed = self.remove(path, |dir, name| Request::RmDir { dir, name });
        self.tell(&format!("rmdir {}", Self::show(path)), removed)
    }

    fn watcher(&self) -> Box<dyn Watcher> {
        Box::new(SimWatcher { env: self.clone(), changes: None })
    }

    fn leaves_out(&self, step: Step) -> bool {
        self.sim.with(|world| world.config.without.contains(&step))
    }
}

/// Wakes on every change of the lock path that the own machine makes.
#[derive(Debug)]
struct SimWatcher {
    env: SimEnv,
    changes: Option<u64>,
}

impl Watcher for SimWatcher {
    fn arm(&mut self, _: &Path, _: Option<u32>) {
        let host = self.env.host();
        self.changes = Some(self.env.sim.with(|world| world.hosts[host].changes));
    }

    fn reach(&self) -> Reach {
        Reach::ThisMachine
    }

    fn wait(&mut self, until: LocalTime, _: Option<&Cancel>) {
        let (number, host) = (self.env.number, self.env.host());
        self.env.sim.with(|world| world.processes[number].waiting_until = Some(until));
        self.env.sim.ring();
        let known = self.changes;
        self.env.sim.block(number, |world| {
            let changed = known.is_some_and(|known| world.hosts[host].changes != known);
            changed || world.local_now(host) >= until
        });
        self.env.sim.with(|world| world.processes[number].waiting_until = None);
    }
}
