//! The library's `Env` on a client of the simulated server, call by call.
//!
//! It asks for attributes each time, as the real environment does with AT_STATX_FORCE_SYNC. Link, rename, unlink, mkdir and
//! exclusive creation always reach the server.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::cache::Known;
use crate::client::{SHELL, SimEnv, error};
use crate::config::DIR;
use crate::env::{
    Attr, DirMode, Each, Env, Event, Expiry, FileId, Liveness, Location, Meant, NewDir, Reach, Step, Watcher,
};
use crate::file_system::{FILE_SYSTEMS, FileSystem, Stamps};
use crate::fingerprint::Fingerprint;
use crate::hint::Ear;
use crate::server::{Answer, Handle, Request};
use crate::time::{LocalTime, ServerTime};

use crate::world::World;

/// The pid of process 0.
const FIRST_PID: u32 = 100;

impl SimEnv {
    fn tell<T>(&self, what: &str, result: io::Result<T>) -> io::Result<T> {
        let outcome = result.as_ref().map_or_else(|e| format!("{:?}", e.kind()), |_| "ok".into());
        self.sim.with(|world| world.tell(&format!("c{}", self.number), || format!("{what}: {outcome}")));
        result
    }

    /// Makes a name. It asks the server, whatever the cache says.
    fn make(&self, path: &Path, request: impl Fn(Handle, OsString) -> Request) -> io::Result<Answer> {
        let made = self.afresh(&[path], || {
            let (dir, name) = self.split(path)?;
            self.forget(dir, &name);
            self.forget_listing(dir);
            let answer = self.call(&request(dir, name.clone()))?;
            self.cache(dir, name, answer.file.map(Known::new));
            Ok(answer)
        });
        self.changed(path, &made);
        made
    }

    /// Wakes the waiters of this machine if the lock path changed. A failed call wakes no waiter: otherwise a contender would
    /// wake itself for ever.
    fn changed<T>(&self, path: &Path, result: &io::Result<T>) {
        let is_lock =
            |world: &mut World| world.config.locks().iter().any(|lock| path.starts_with(Path::new(DIR).join(lock)));
        if result.is_err() || !self.sim.with(is_lock) {
            return;
        }
        self.with_machine(|machine, _| machine.changes += 1);
        self.sim.ring();
    }

    /// The cache decides whether the client sends the removal. It does not if it knows that the name is missing or of the other
    /// kind. On NFS 4, files and directories share one request.
    fn remove(&self, path: &Path, is_dir: bool) -> io::Result<()> {
        let removed = self.afresh(&[path], || {
            let known = self.resolve(path)?;
            match (known.is_dir, is_dir) {
                (true, false) => return Err(error(ErrorKind::IsADirectory)),
                (false, true) => return Err(error(ErrorKind::NotADirectory)),
                _ => {}
            }
            let (dir, name) = self.split(path)?;
            let sent = name.clone();
            self.forget(dir, &name);
            self.forget_listing(dir);
            if is_dir {
                self.call(&Request::RmDir { dir, name: sent })?;
            } else if self.with_machine(|machine, _| machine.open.is_open(dir, &name)) {
                self.remove_open(dir, &name, known.handle)?;
            } else {
                self.call(&Request::Remove { dir, name: sent })?;
            }
            self.cache(dir, name, None);
            Ok(())
        });
        self.changed(path, &removed);
        removed
    }

    fn show(path: &Path) -> String {
        path.strip_prefix(DIR).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// Notes in the world that a removal of the lock path is under way.
    fn removing<T>(&self, path: &Path, remove: impl FnOnce() -> T) -> T {
        self.sim.with(|world| {
            let shared = world.config.locks().iter().any(|lock| path == Path::new(DIR).join(lock));
            world.processes[self.number].removes_shared = shared;
        });
        let removed = remove();
        self.sim.with(|world| world.processes[self.number].removes_shared = false);
        removed
    }

    fn move_name(&self, from: &Path, to: &Path) -> io::Result<()> {
        let renamed = self.afresh(&[from, to], || {
            let moved = self.resolve(from)?;
            let ((dir, old), (to_dir, new)) = (self.split(from)?, self.split(to)?);
            // The client may refuse by what it knows of the new name, without asking.
            match self.cached(to_dir, &new).flatten() {
                Some(replaced) if replaced.handle == moved.handle => return Ok(()),
                Some(replaced) if moved.is_dir && !replaced.is_dir => return Err(error(ErrorKind::NotADirectory)),
                Some(replaced) if !moved.is_dir && replaced.is_dir => return Err(error(ErrorKind::IsADirectory)),
                _ => {}
            }
            match self.call(&Request::Rename { dir, from: old.clone(), to_dir, to: new.clone() }) {
                Ok(_) => {
                    self.forget_listing(dir);
                    self.forget_listing(to_dir);
                    self.forget(dir, &old);
                    self.with_machine(|machine, _| machine.open.rename((dir, &old), (to_dir, &new)));
                    self.cache(to_dir, new, Some(moved));
                    Ok(())
                }
                Err(e) => {
                    if e.kind() == ErrorKind::NotFound {
                        self.cache(dir, old, None);
                    }
                    Err(e)
                }
            }
        });
        self.changed(from, &renamed);
        self.tell(&format!("rename {} to {}", Self::show(from), Self::show(to)), renamed)
    }

    fn stat_path(&self, path: &Path) -> io::Result<Attr> {
        if let Ok(Known { handle, is_dir: true }) = self.resolve(path) {
            // After fresh attributes of a directory the client asks again for the names in it.
            self.with_machine(|machine, _| machine.cache.forget_names_in(handle));
            self.forget_listing(handle);
        }
        let stat = self.ask(path, |file| Request::GetAttr { file }).map(|(attr, _)| attr);
        let links = stat.as_ref().map_or(0, |attr| attr.nlink);
        self.tell(&format!("stat {} ({links} links)", Self::show(path)), stat)
    }

    /// Checks that the file that the client knows at `path` is the one that is meant.
    fn check(&self, path: &Path, meant: Meant) -> io::Result<()> {
        let known = self.afresh(&[path], || self.resolve(path))?;
        let attr = self.attr(known.handle);
        if attr.is_none_or(|attr| meant.is(&attr)) { Ok(()) } else { Err(error(ErrorKind::NotFound)) }
    }

    fn read_file(&self, path: &Path, limit: usize, delegation: bool) -> io::Result<(Attr, Vec<u8>)> {
        let read = self.open_and_read(path, delegation).map(|(attr, mut content)| {
            content.truncate(limit);
            (attr, content)
        });
        self.tell(&format!("read {}", Self::show(path)), read)
    }

    /// Waits, by the process's own clock, as a working holder does.
    pub(crate) fn sleep(&self, time: Duration) {
        let until = self.now() + time;
        SimWatcher { env: self.clone(), changes: None, listens: false }.wait(until, None);
    }
}

impl Env for SimEnv {
    fn now(&self) -> LocalTime {
        let host = self.host();
        self.sim.with(|world| world.local_now(host))
    }

    fn wall_clock(&self) -> ServerTime {
        let host = self.host();
        self.sim.with(|world| world.wall_clock(host))
    }

    fn random(&self) -> u64 {
        self.sim.with(World::next_random)
    }

    fn unique(&self) -> u64 {
        self.sim.with(|world| world.next_serial()).into()
    }

    fn host_name(&self) -> String {
        format!("h{}", self.host())
    }

    fn process_id(&self) -> u32 {
        FIRST_PID + self.number as u32
    }

    fn generation(&self) -> u64 {
        self.sim.with(|world| world.generation) + u64::from(self.process_id())
    }

    fn fingerprint(&self, pid: u32) -> Option<Fingerprint> {
        Some(Fingerprint::new(self.host_name().as_bytes(), pid.into()))
    }

    fn liveness(&self, pid: u32, _: Fingerprint) -> Liveness {
        let host = self.host();
        self.sim.with(|world| {
            let is_dead = if pid == SHELL {
                world.hosts[host].shell_killed
            } else {
                let process = &world.processes[(pid - FIRST_PID) as usize];
                process.killed || process.ended
            };
            if is_dead { Liveness::Dead } else { Liveness::Alive }
        })
    }

    fn may_exist(&self, _: u32) -> bool {
        true
    }

    fn command(&self, _: u32) -> Option<String> {
        None
    }

    fn user(&self) -> Option<String> {
        None
    }

    fn create(&self, at: &Location, content: &[u8], mode: u32, expiry: &mut Expiry<'_>) -> io::Result<Attr> {
        let path = at.as_path();
        let verifier = self.sim.with(|world| world.next_serial()).into();
        let made = self.make(path, |dir, name| Request::Create { dir, name, mode, verifier });
        let made = self.tell(&format!("create {}", Self::show(path)), made)?;
        let (file, attr) = made.file.ok_or(error(ErrorKind::NotFound))?;
        let mtime = expiry(&attr);
        self.call(&Request::Write { file, at: 0, content: content.to_vec() })?;
        if mtime.is_none() {
            return Ok(attr);
        }
        let set = self.call(&Request::SetMtime { file, mtime })?;
        set.file.map(|(_, attr)| attr).ok_or(error(ErrorKind::NotFound))
    }

    fn set_expiry(&self, at: &Location, meant: Meant, expiry: ServerTime) -> io::Result<Attr> {
        let path = at.as_path();
        self.check(path, meant)?;
        let set = self.ask(path, |file| Request::SetMtime { file, mtime: Some(expiry) }).map(|(attr, _)| attr);
        self.changed(path, &set);
        self.tell(&format!("set the expiry of {}", Self::show(path)), set)
    }

    fn append(&self, at: &Location, meant: Meant, content: &[u8]) -> io::Result<()> {
        let path = at.as_path();
        self.check(path, meant)?;
        let (attr, _) = self.ask(path, |file| Request::GetAttr { file })?;
        let end = attr.len as usize;
        let made = self.ask(path, |file| Request::Write { file, at: end, content: content.to_vec() }).map(drop);
        self.changed(path, &made);
        self.tell(&format!("append to {}", Self::show(path)), made)
    }

    fn touch(&self, at: &Location, meant: Meant) -> io::Result<Attr> {
        let path = at.as_path();
        self.check(path, meant)?;
        self.ask(path, |file| Request::SetMtime { file, mtime: None }).map(|(attr, _)| attr)
    }

    fn stat(&self, at: &Location) -> io::Result<Attr> {
        self.stat_path(at.as_path())
    }

    fn stat_dir(&self, dir: &Path) -> io::Result<Attr> {
        self.stat_path(dir)
    }

    fn stat_as_known(&self, at: &Location) -> io::Result<Attr> {
        let path = at.as_path();
        let attr = self.attr(self.resolve(path)?.handle);
        attr.map_or_else(
            || self.stat_path(path),
            |attr| self.tell(&format!("stat {} as known", Self::show(path)), Ok(attr)),
        )
    }

    fn id_as_known(&self, at: &Location) -> io::Result<FileId> {
        Ok(self.stat_as_known(at)?.id)
    }

    fn read(&self, at: &Location, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
        // The client gets a delegation of each file that it opens for reading, unless it refuses it.
        let takes_delegation = self.sim.with(|world| world.config.delegations);
        self.read_file(at.as_path(), limit, takes_delegation)
    }

    fn read_without_delegation(&self, at: &Location, _: u64, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
        if self.sim.with(|world| world.config.opens_nothing) {
            return Err(error(ErrorKind::Unsupported));
        }
        self.read_file(at.as_path(), limit, false)
    }

    fn list(&self, at: &Location, each: &mut Each<'_>) -> io::Result<()> {
        self.list_dir(at.as_path(), each)
    }

    fn list_dir(&self, path: &Path, each: &mut Each<'_>) -> io::Result<()> {
        let listed = self.afresh(&[path], || self.resolve(path).and_then(|dir| self.names_in(dir.handle)));
        let listed = self.tell(&format!("list {}", Self::show(path)), listed)?;
        let _ = listed.iter().try_for_each(|(name, number)| each(name, *number));
        Ok(())
    }

    fn link(&self, from: &Location, to: &Location) -> io::Result<()> {
        let (from, to) = (from.as_path(), to.as_path());
        let linked = self.afresh(&[from, to], || {
            let file = self.resolve(from)?.handle;
            self.make(to, |dir, name| Request::Link { file, dir, name })
        });
        self.tell(&format!("link {} to {}", Self::show(from), Self::show(to)), linked.map(drop))
    }

    fn rename(&self, from: &Location, to: &Location) -> io::Result<()> {
        let (from, to) = (from.as_path(), to.as_path());
        self.removing(from, || self.move_name(from, to))
    }

    /// NFS does not have the flag, but the kernel first looks into its cache.
    fn rename_noreplace(&self, _: &Location, to: &Location) -> io::Result<()> {
        let (dir, name) = self.split(to.as_path())?;
        let known = self.cached(dir, &name).is_some_and(|known| known.is_some());
        Err(error(if known { ErrorKind::AlreadyExists } else { ErrorKind::InvalidInput }))
    }

    fn unlink(&self, at: &Location) -> io::Result<()> {
        let path = at.as_path();
        let removed = self.removing(path, || self.remove(path, false));
        self.tell(&format!("unlink {}", Self::show(path)), removed)
    }

    fn mkdir(&self, at: &Location, mode: u32) -> io::Result<()> {
        let path = at.as_path();
        let made = self.make(path, |dir, name| Request::MkDir { dir, name, mode });
        self.tell(&format!("mkdir {}", Self::show(path)), made.map(drop))
    }

    fn make_dir(&self, at: &Location, mode: DirMode) -> io::Result<Box<dyn NewDir>> {
        match mode {
            DirMode::Usual(mode) => self.mkdir(at, mode)?,
            DirMode::Exactly(mode) => {
                self.mkdir(at, 0o1700)?;
                self.ask(at.as_path(), |file| Request::SetMode { file, mode })?;
            }
        }
        Ok(Box::new(SimDir { env: self.clone(), at: at.clone() }))
    }

    fn rmdir(&self, at: &Location) -> io::Result<()> {
        let path = at.as_path();
        let remove = || self.remove(path, true);
        let one_remove = self.sim.with(|world| world.config.one_remove && world.bounds.longest_pause.is_some());
        let removed = if one_remove { self.removing(path, remove) } else { remove() };
        self.tell(&format!("rmdir {}", Self::show(path)), removed)
    }

    fn symlink(&self, target: &OsStr, at: &Location) -> io::Result<()> {
        let path = at.as_path();
        let made = self.make(path, |dir, name| Request::Symlink { dir, name, target: target.to_owned() });
        self.tell(&format!("symlink {}", Self::show(path)), made.map(drop))
    }

    fn read_symlink(&self, at: &Location) -> io::Result<OsString> {
        let path = at.as_path();
        let read = self.ask(path, |file| Request::ReadLink { file });
        let read = read.and_then(|(_, mut answer)| answer.names.pop().ok_or(error(ErrorKind::InvalidInput)));
        self.tell(&format!("read the link {}", Self::show(path)), read)
    }

    fn removes_by_name_alone(&self, _: &Path) -> bool {
        self.sim.with(|world| world.config.one_remove)
    }

    fn stamps(&self, _: &Path) -> Stamps {
        // A server that ignores times is FUSE, where the library cannot know which clock stamps files.
        let is_known = self.sim.with(|world| !world.config.client_stamps && !world.config.times.ignores_times);
        if is_known { Stamps::Server } else { Stamps::NotKnown }
    }

    /// What the protocols rely on is shown here. What a server lacks in some world is theirs to find out.
    fn file_system(&self, _: &Path) -> Option<&'static FileSystem> {
        FILE_SYSTEMS.iter().find(|known| known.name == "NFS")
    }

    fn ear(&self, _: &Path) -> Option<SocketAddr> {
        Some(SocketAddr::new([192, 0, 2, self.host() as u8 + 1].into(), 4000 + self.number as u16))
    }

    fn hint(&self, to: &Ear) {
        if !self.sim.happens(|left| &mut left.lost_hints, 2) {
            self.sim.with(|world| world.hint(to.nonce));
            self.sim.ring();
        }
    }

    fn watcher(&self) -> Box<dyn Watcher> {
        Box::new(SimWatcher { env: self.clone(), changes: None, listens: false })
    }

    fn leaves_out(&self, step: Step) -> bool {
        self.sim.with(|world| world.config.without.contains(&step))
    }
}

/// No hostile neighbour replaces a directory in the simulation.
struct SimDir {
    env: SimEnv,
    at: Location,
}

impl NewDir for SimDir {
    fn create(&self, name: &OsStr, content: &[u8], mode: u32, expiry: &mut Expiry<'_>) -> io::Result<Attr> {
        self.env.create(&self.at.inside(name), content, mode, expiry)
    }
}

/// Wakes on every change of the lock path by its own machine.
#[derive(Debug)]
struct SimWatcher {
    env: SimEnv,
    changes: Option<u64>,
    /// Whether hints wake it.
    listens: bool,
}

impl Watcher for SimWatcher {
    fn arm(&mut self, _: &Location, _: Option<u32>) {
        self.changes = Some(self.env.with_machine(|machine, _| machine.changes));
    }

    fn reach(&self) -> Reach {
        if self.env.sim.with(|world| world.config.is_local) { Reach::All } else { Reach::ThisMachine }
    }

    fn listen(&mut self, nonce: u64) {
        self.listens = true;
        let number = self.env.number;
        self.env.sim.with(|world| world.processes[number].nonce = Some(nonce));
    }

    fn wait(&mut self, until: LocalTime, _: Option<&Event>) {
        let (number, host) = (self.env.number, self.env.host());
        self.env.sim.with(|world| world.processes[number].waiting_until = Some(until));
        self.env.sim.ring();
        let (known, listens) = (self.changes, self.listens);
        self.env.sim.block(number, |world| {
            let changed = known.is_some_and(|known| world.hosts[host].changes != known);
            changed || listens && world.processes[number].is_hinted || world.local_now(host) >= until
        });
        self.env.sim.with(|world| {
            let process = &mut world.processes[number];
            (process.waiting_until, process.is_hinted) = (None, false);
        });
    }
}
