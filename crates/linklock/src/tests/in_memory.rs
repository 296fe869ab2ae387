//! Guards and the thread that keeps them alive, without a system call: Miri can run these tests. It draws the order of the threads'
//! steps, and lets a thread see what another wrote as late as the orderings of the atomics allow.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::faults::pause;
use super::holding::KEEPER;
use crate::env::{
    Attr, DirMode, Each, Env, Event, Expiry, FileId, FileKind, Liveness, Location, Meant, NewDir, Reach, Watcher,
};
use crate::file_system::Stamps;
use crate::fingerprint::Fingerprint;
use crate::time::{LocalTime, ServerTime};
use crate::{Guard, Lock};

const LIFETIME: Duration = Duration::from_secs(60);
const PATH: &str = "/shared/job.lock";

/// The file system of one machine, with what the `link` protocol needs of it, and a clock that tests move.
#[derive(Debug, Default)]
struct Memory {
    names: Mutex<BTreeMap<PathBuf, Arc<Mutex<File>>>>,
    /// In nanoseconds. It must order nothing between the threads that read it.
    clock: AtomicU64,
    serial: AtomicU64,
    generation: AtomicU64,
}

#[derive(Debug)]
struct File {
    inode: u64,
    content: Vec<u8>,
    mtime: ServerTime,
    ctime: ServerTime,
}

impl Memory {
    fn pass(&self, time: Duration) {
        self.clock.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    fn attr(&self, path: &Path) -> io::Result<Attr> {
        let names = self.names.lock().unwrap();
        let found = names.get(path).ok_or(ErrorKind::NotFound)?;
        let nlink = names.values().filter(|file| Arc::ptr_eq(file, found)).count() as u64;
        let file = found.lock().unwrap();
        let id = FileId { device: 1, inode: file.inode };
        let (len, mtime, ctime) = (file.content.len() as u64, file.mtime, file.ctime);
        Ok(Attr { id, kind: FileKind::Regular, nlink, len, mtime, ctime, mode: 0o644, owner: 0 })
    }

    fn change(&self, at: &Location, meant: Meant, change: impl FnOnce(&mut File)) -> io::Result<Attr> {
        let attr = self.attr(at.as_path())?;
        let file = self.names.lock().unwrap().get(at.as_path()).cloned().filter(|_| meant.is(&attr));
        let file = file.ok_or(ErrorKind::NotFound)?;
        let now = self.wall_clock();
        let mut file = file.lock().unwrap();
        file.ctime = now;
        change(&mut file);
        drop(file);
        self.attr(at.as_path())
    }

    /// The expiry at the lock path.
    fn expiry(&self) -> Option<ServerTime> {
        self.attr(PATH.as_ref()).ok().map(|attr| attr.mtime)
    }

    fn acquire(self: &Arc<Self>, keep_alive: bool) -> Guard {
        let builder = Lock::builder(PATH).host("here").lifetime(LIFETIME).keep_alive(keep_alive);
        builder.build_in(self.clone()).unwrap().acquire().unwrap()
    }

    /// An operator takes the lock away by force.
    fn force(&self) {
        self.names.lock().unwrap().remove(Path::new(PATH));
    }
}

const SECOND: u64 = 1_000_000_000;

impl Env for Memory {
    fn now(&self) -> LocalTime {
        LocalTime::from_nanos(1_000 * SECOND + self.clock.fetch_add(1_000, Ordering::Relaxed))
    }

    fn wall_clock(&self) -> ServerTime {
        ServerTime::from_parts(1_700_000_000, 0) + Duration::from_nanos(self.clock.fetch_add(1_000, Ordering::Relaxed))
    }

    fn random(&self) -> u64 {
        self.unique()
    }

    fn unique(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    fn host_name(&self) -> String {
        "here".into()
    }

    fn process_id(&self) -> u32 {
        100
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn fingerprint(&self, _: u32) -> Option<Fingerprint> {
        None
    }

    fn liveness(&self, _: u32, _: Fingerprint) -> Liveness {
        Liveness::Unknown
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

    fn create(&self, at: &Location, content: &[u8], _: u32, expiry: &mut Expiry<'_>) -> io::Result<Attr> {
        let (inode, now) = (self.unique(), self.wall_clock());
        let file = Arc::new(Mutex::new(File { inode, content: content.into(), mtime: now, ctime: now }));
        self.names.lock().unwrap().insert(at.as_path().into(), Arc::clone(&file));
        let attr = self.attr(at.as_path())?;
        file.lock().unwrap().mtime = expiry(&attr).unwrap_or(now);
        self.attr(at.as_path())
    }

    fn set_expiry(&self, at: &Location, meant: Meant, expiry: ServerTime) -> io::Result<Attr> {
        self.change(at, meant, |file| file.mtime = expiry)
    }

    fn append(&self, at: &Location, meant: Meant, content: &[u8]) -> io::Result<()> {
        self.change(at, meant, |file| file.content.extend(content)).map(drop)
    }

    fn touch(&self, at: &Location, meant: Meant) -> io::Result<Attr> {
        self.change(at, meant, |_| {})
    }

    fn stat(&self, at: &Location) -> io::Result<Attr> {
        self.attr(at.as_path())
    }

    fn stat_dir(&self, dir: &Path) -> io::Result<Attr> {
        let (id, now) = (FileId { device: 1, inode: 0 }, self.wall_clock());
        let owner = u32::from(dir != Path::new("/shared"));
        Ok(Attr { id, kind: FileKind::Directory, nlink: 1, len: 0, mtime: now, ctime: now, mode: 0o755, owner })
    }

    fn stat_as_known(&self, at: &Location) -> io::Result<Attr> {
        self.stat(at)
    }

    fn id_as_known(&self, at: &Location) -> io::Result<FileId> {
        Ok(self.stat(at)?.id)
    }

    fn read(&self, at: &Location, _: usize) -> io::Result<(Attr, Vec<u8>)> {
        let attr = self.stat(at)?;
        let names = self.names.lock().unwrap();
        let content = names.get(at.as_path()).ok_or(ErrorKind::NotFound)?.lock().unwrap().content.clone();
        Ok((attr, content))
    }

    fn read_without_delegation(&self, at: &Location, _: u64, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
        self.read(at, limit)
    }

    fn list(&self, at: &Location, each: &mut Each<'_>) -> io::Result<()> {
        self.list_dir(at.as_path(), each)
    }

    fn list_dir(&self, dir: &Path, each: &mut Each<'_>) -> io::Result<()> {
        let names: Vec<_> =
            self.names.lock().unwrap().keys().filter(|path| path.parent() == Some(dir)).cloned().collect();
        let _ = names.iter().filter_map(|path| path.file_name()).try_for_each(|name| each(name, 1));
        Ok(())
    }

    fn link(&self, from: &Location, to: &Location) -> io::Result<()> {
        let mut names = self.names.lock().unwrap();
        if names.contains_key(to.as_path()) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = names.get(from.as_path()).cloned().ok_or(ErrorKind::NotFound)?;
        names.insert(to.as_path().into(), file);
        Ok(())
    }

    fn rename(&self, _: &Location, _: &Location) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn rename_noreplace(&self, _: &Location, _: &Location) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn unlink(&self, at: &Location) -> io::Result<()> {
        self.names.lock().unwrap().remove(at.as_path()).map(drop).ok_or(ErrorKind::NotFound.into())
    }

    fn mkdir(&self, _: &Location, _: u32) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn make_dir(&self, _: &Location, _: DirMode) -> io::Result<Box<dyn NewDir>> {
        Err(ErrorKind::Unsupported.into())
    }

    fn rmdir(&self, _: &Location) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn removes_by_name_alone(&self, _: &Path) -> bool {
        false
    }

    fn stamps(&self, _: &Path) -> Stamps {
        Stamps::Server
    }

    fn watcher(&self) -> Box<dyn Watcher> {
        Box::new(Never)
    }
}

/// Nobody waits for a lock here.
#[derive(Debug)]
struct Never;

impl Watcher for Never {
    fn arm(&mut self, _: &Location, _: Option<u32>) {}

    fn reach(&self) -> Reach {
        Reach::NoneLocal
    }

    fn wait(&mut self, _: LocalTime, _: Option<&Event>) {
        thread::yield_now();
    }

    #[cfg(feature = "tokio")]
    fn fall_asleep(&mut self, _: LocalTime, _: Option<&Event>) -> Option<crate::env::os::Wakes> {
        None
    }

    #[cfg(feature = "tokio")]
    fn wake_up(&mut self, _: crate::env::os::Woken, _: Option<&Event>) -> bool {
        true
    }
}

/// The bug: whoever waited for a loss looked first whether the lock was lost, then whether its guard had ended. The consequence: if both
/// came to be in between, it was told that the lock had ended well. The mend: it looks in the other order.
#[test]
fn a_lock_that_was_lost_before_its_guard_ended_is_not_reported_as_released() {
    let memory = Arc::new(Memory::default());
    let guard = memory.acquire(false);
    memory.force();
    let loss = guard.loss();
    thread::scope(|scope| {
        scope.spawn(move || {
            assert!(guard.refresh().unwrap_err().is_lost());
            let _ = guard.leave();
        });
        scope.spawn(move || {
            let outcome = loop {
                if let Some(is_lost) = loss.tenure.outcome() {
                    break is_lost;
                }
                thread::yield_now();
            };
            assert!(outcome, "it was lost, and then left");
        });
    });
}

#[test]
fn a_lock_is_kept_alive_and_a_later_one_too_after_the_keeper_has_ended() {
    let _alone = KEEPER.lock().unwrap();
    let memory = Arc::new(Memory::default());
    for _ in 0..2 {
        let guard = memory.acquire(true);
        for _ in 0..2 {
            let before = memory.expiry();
            memory.pass(LIFETIME / 2);
            while memory.expiry() == before {
                pause(Duration::from_millis(10));
            }
        }
        assert_eq!(guard.why_lost(), None);
        guard.release().unwrap();
    }
}

#[test]
fn a_guard_that_is_dropped_or_released_during_a_refresh_leaves_nothing() {
    let _alone = KEEPER.lock().unwrap();
    for release in [false, true] {
        let memory = Arc::new(Memory::default());
        let guard = memory.acquire(true);
        memory.pass(LIFETIME / 2);
        thread::yield_now();
        if release {
            guard.release().unwrap()
        } else {
            drop(guard)
        }
        assert_eq!(memory.names.lock().unwrap().len(), 0);
    }
}

#[test]
fn a_forked_child_learns_from_the_generation_alone_that_it_holds_nothing() {
    let memory = Arc::new(Memory::default());
    let guard = memory.acquire(false);
    memory.generation.store(7, Ordering::Relaxed);
    let before = memory.expiry();
    assert!(guard.is_lost() && guard.loss().wait() && guard.why_lost().is_none());
    guard.keep_alive().unwrap();
    assert_eq!(guard.refresh().unwrap_err().kind(), crate::ErrorKind::NotHeld);
    drop(guard);
    assert_eq!(memory.expiry(), before, "the child has changed nothing");
}
