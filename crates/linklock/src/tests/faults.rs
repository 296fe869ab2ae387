//! The real file system, between which and the library tests insert faults, rivals and other clocks.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tempfile::TempDir;

use crate::env::os::OsEnv;
use crate::env::{
    Attr, DirMode, Each, Env, Event, Expiry, FileId, FileKind, Liveness, Location, Meant, NewDir, Reach, Watcher,
};
use crate::file_system::{FILE_SYSTEMS, FileSystem, Stamps};
use crate::fingerprint::Fingerprint;
use crate::hint::Ear;
use crate::options::Protocol;
use crate::time::{LocalTime, ServerTime};

use crate::{Builder, Guard, Lock, Wait};

/// A call that a hook can interfere with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Create,
    /// Writing the content of a new file, after its expiry was decided.
    Fill,
    SetExpiry,
    /// Making a file longer.
    Append,
    Touch,
    /// Attributes, from the server or from this machine's cache.
    Stat,
    Link,
    Rename,
    Unlink,
    MkDir,
    RmDir,
    /// Reading the content without leaving a delegation behind.
    Read,
    /// Reading the content, even if that leaves a delegation behind.
    Open,
    Symlink,
    ReadSymlink,
    /// Listing the names in a directory.
    List,
    /// Arming the wake-ups. It returns no result.
    Arm,
    Wait,
}

/// Before the call is carried out, or after it but before its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Before,
    After,
}

/// What happens to the call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    GoOn,
    /// Before: the call is not carried out. After: its reply is lost. In both cases the caller gets this error.
    Fail(io::ErrorKind),
    /// The same, with the system's number of an error that has no kind.
    #[cfg_attr(not(unix), allow(dead_code, reason = "its numbers are those of Unix"))]
    FailBy(i32),
    /// Before: the call is not carried out, but it reports success. Only for calls that return no value.
    Pretend,
}

type Hook = Box<dyn FnMut(&FaultyEnv, Call, When, &Path) -> Fate + Send>;

/// This machine, but a test can advance its clocks, and a hook can interfere with its calls. The hook's own calls are not
/// interfered with. Rivals best use the plain system.
pub(super) struct FaultyEnv {
    this: Weak<Self>,
    hook: Mutex<Option<Hook>>,
    /// How far this machine's clock was advanced in all, and since what moment of the kernel's wall clock.
    slept: Mutex<Vec<(ServerTime, Duration)>>,
    /// How many seconds the server's clock is ahead of this machine's wall clock. Set it before the first call.
    pub(super) server_ahead_s: AtomicU64,
    /// By how many seconds the server's clock was set back since.
    pub(super) set_back_s: AtomicU64,
    /// The file system keeps its own times, and ignores the times that it is given.
    pub(super) ignores_times: AtomicBool,
    /// The file system cuts times to whole seconds.
    pub(super) cuts_times: AtomicBool,
    /// The file system reports that the times are set, but does nothing.
    pub(super) only_says_that_it_sets_times: AtomicBool,
    /// The file system shows no ctime that is earlier than the mtime.
    pub(super) ctime_is_not_before_mtime: AtomicBool,
    /// Files have the length 0.
    pub(super) loses_content: AtomicBool,
    /// One request removes both files and empty directories, as on NFS 4.
    pub(super) removes_by_name_alone: AtomicBool,
    /// A waiter detects a holder's end without a call.
    pub(super) sees_end: AtomicBool,
    /// A waiter hears of all changes, as on a file system of this machine.
    pub(super) is_local: AtomicBool,
    /// A waiter waits as on the plain system, whose clock was not advanced: after an advance no poll comes in time.
    pub(super) has_real_wakeups: AtomicBool,
    /// All files have the same inode number.
    pub(super) has_one_number: AtomicBool,
    /// These files belong to another user.
    pub(super) others: Mutex<Vec<FileId>>,
    /// Nobody knows whose clock stamps files.
    pub(super) stamps_are_not_known: AtomicBool,
    /// The kind of the file system, by its name in the table, if not its own.
    pub(super) kind: Mutex<Option<&'static str>>,
    /// Each name of a file has its own inode number, as with sshfs.
    pub(super) has_a_number_for_each_name: AtomicBool,
    /// Directories have no sticky bit, whatever they are made with.
    pub(super) keeps_no_sticky_bit: AtomicBool,
    /// A stale listing of the lock's directory, with inode numbers, in place of the real one.
    pub(super) listing: Mutex<Option<Vec<(OsString, u64)>>>,
    /// How often the clock will still panic when the keep-alive thread reads it.
    pub(super) keepers_clock_panics: AtomicU64,
    /// This process's user; beyond 32 bits: users have no numbers.
    pub(super) user_id: AtomicU64,
    /// Where this process hears hints; port 0: nowhere.
    pub(super) port: AtomicU16,
    /// The hints that were sent.
    pub(super) hints: Mutex<Vec<Ear>>,
    /// How often the server was asked for attributes.
    pub(super) asked: AtomicU64,
    /// How many names were listed.
    pub(super) shown: AtomicU64,
    calls: Mutex<Vec<(Call, PathBuf)>>,
}

impl fmt::Debug for FaultyEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyEnv")
    }
}

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "it is const, which clippy does not see on Windows")]
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

impl FaultyEnv {
    pub(super) fn new() -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            hook: Mutex::default(),
            slept: Mutex::default(),
            server_ahead_s: AtomicU64::new(0),
            set_back_s: AtomicU64::new(0),
            ignores_times: AtomicBool::new(false),
            cuts_times: AtomicBool::new(false),
            only_says_that_it_sets_times: AtomicBool::new(false),
            ctime_is_not_before_mtime: AtomicBool::new(false),
            loses_content: AtomicBool::new(false),
            removes_by_name_alone: AtomicBool::new(false),
            sees_end: AtomicBool::new(false),
            is_local: AtomicBool::new(false),
            has_real_wakeups: AtomicBool::new(false),
            has_one_number: AtomicBool::new(false),
            others: Mutex::default(),
            stamps_are_not_known: AtomicBool::new(false),
            kind: Mutex::default(),
            has_a_number_for_each_name: AtomicBool::new(false),
            keeps_no_sticky_bit: AtomicBool::new(false),
            listing: Mutex::default(),
            keepers_clock_panics: AtomicU64::new(0),
            user_id: AtomicU64::new(u64::MAX),
            port: AtomicU16::new(0),
            hints: Mutex::default(),
            asked: AtomicU64::new(0),
            shown: AtomicU64::new(0),
            calls: Mutex::default(),
        })
    }

    /// For watchers and for locks that outlive a borrow.
    pub(super) fn this(&self) -> Arc<Self> {
        self.this.upgrade().unwrap()
    }

    pub(super) fn on_call(&self, hook: impl FnMut(&Self, Call, When, &Path) -> Fate + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }

    /// Interferes with the first such call only.
    pub(super) fn once(&self, call: Call, when: When, act: impl FnOnce(&Self, &Path) -> Fate + Send + 'static) {
        let mut act = Some(act);
        self.on_call(move |env, c, w, path| match (c, w) == (call, when) {
            true => act.take().map_or(Fate::GoOn, |act| act(env, path)),
            false => Fate::GoOn,
        });
    }

    /// Lets time pass for this machine and for the server.
    pub(super) fn sleep(&self, time: Duration) {
        let mut slept = self.slept.lock().unwrap();
        let total = slept.last().map_or(Duration::ZERO, |(_, total)| *total) + time;
        let since = OsEnv.wall_clock();
        slept.push((since, total));
        // The kernel stamps files by its tick, which is late when a virtual machine gets no processor time. Changes from
        // before the sleep must have other times than changes after it.
        while ServerTime::from(tempfile::tempfile().unwrap().metadata().unwrap().modified().unwrap()) <= since {
            pause(Duration::from_millis(1));
        }
    }

    /// What another thread sees so much later, while the calling one is between two steps.
    pub(super) fn later<T>(&self, time: Duration, see: impl FnOnce() -> T) -> T {
        self.sleep(time);
        let seen = see();
        self.slept.lock().unwrap().pop();
        seen
    }

    /// Whether a test let time pass.
    pub(super) fn has_slept(&self) -> bool {
        !self.slept.lock().unwrap().is_empty()
    }

    /// The paths of all calls of this kind.
    pub(super) fn calls(&self, call: Call) -> Vec<PathBuf> {
        self.calls.lock().unwrap().iter().filter(|(c, _)| *c == call).map(|(_, path)| path.clone()).collect()
    }

    /// How many calls of any kind were made.
    pub(super) fn calls_in_all(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    fn ask(&self, call: Call, when: When, path: &Path) -> Fate {
        if IN_HOOK.get() {
            return Fate::GoOn;
        }
        // The hook is taken out while it runs, since its own calls pass here again.
        let Some(mut hook) = self.hook.lock().unwrap().take() else { return Fate::GoOn };
        IN_HOOK.set(true);
        let fate = hook(self, call, when, path);
        IN_HOOK.set(false);
        self.hook.lock().unwrap().get_or_insert(hook);
        fate
    }

    fn interfere<T>(
        &self,
        call: Call,
        path: &(impl AsRef<Path> + ?Sized),
        run: impl FnOnce() -> io::Result<T>,
        pretended: impl FnOnce() -> T,
    ) -> io::Result<T> {
        let path = path.as_ref();
        self.calls.lock().unwrap().push((call, path.into()));
        match self.ask(call, When::Before, path) {
            Fate::GoOn => {}
            Fate::Fail(kind) => return Err(kind.into()),
            Fate::FailBy(number) => return Err(io::Error::from_raw_os_error(number)),
            Fate::Pretend => return Ok(pretended()),
        }
        let result = run();
        match self.ask(call, When::After, path) {
            Fate::Fail(kind) => Err(kind.into()),
            Fate::FailBy(number) => Err(io::Error::from_raw_os_error(number)),
            Fate::GoOn | Fate::Pretend => result,
        }
    }

    fn creating(
        &self,
        at: &Location,
        expiry: &mut Expiry<'_>,
        make: impl FnOnce(&mut Expiry<'_>) -> io::Result<Attr>,
    ) -> io::Result<Attr> {
        let mut in_kernels_time = |attr: &Attr| {
            let expiry = expiry(&self.as_server_says(*attr)).map(|expiry| self.to_kernel(expiry));
            let _ = self.interfere(Call::Fill, at, || Ok(()), || ());
            expiry
        };
        self.interfere(Call::Create, at, || make(&mut in_kernels_time), no_result).map(|attr| self.as_server_says(attr))
    }

    /// The intended file, as the real file system shows it.
    fn as_kernel_means(&self, at: &Location, meant: Meant) -> io::Result<Meant> {
        let attr = OsEnv.stat(at)?;
        if !meant.is(&self.as_server_says(attr)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Meant { id: Some(attr.id), owner: attr.owner, is_alone: false })
    }

    fn show_names(
        &self,
        dir: &Path,
        each: &mut Each<'_>,
        list: impl FnOnce(&mut Each<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut show = |name: &OsStr, number| {
            self.shown.fetch_add(1, Ordering::SeqCst);
            each(name, if self.has_one_number.load(Ordering::SeqCst) { 1 } else { number })
        };
        let run = || match self.listing.lock().unwrap().clone() {
            Some(listing) => {
                let _ = listing.iter().try_for_each(|(name, number)| show(name, *number));
                Ok(())
            }
            None => list(&mut show),
        };
        self.interfere(Call::List, dir, run, || ())
    }

    fn ahead(&self) -> Duration {
        Duration::from_secs(self.server_ahead_s.load(Ordering::SeqCst))
    }

    fn slept_by(&self, kernel: ServerTime) -> Duration {
        let slept = self.slept.lock().unwrap();
        slept.iter().rev().find(|(since, _)| *since <= kernel).map_or(Duration::ZERO, |(_, total)| *total)
    }

    fn as_server_says(&self, mut attr: Attr) -> Attr {
        let back = Duration::from_secs(self.set_back_s.load(Ordering::SeqCst));
        attr.ctime = attr.ctime + (self.slept_by(attr.ctime) + self.ahead() - back);
        // We set the mtime ourselves, so only the offset is missing.
        attr.mtime = attr.mtime + self.ahead();
        if self.ctime_is_not_before_mtime.load(Ordering::SeqCst) {
            attr.ctime = attr.ctime.max(attr.mtime);
        }
        if self.others.lock().unwrap().contains(&attr.id) {
            attr.owner = !attr.owner;
        }
        if self.has_one_number.load(Ordering::SeqCst) {
            attr.id.inode = 1;
        }
        if self.keeps_no_sticky_bit.load(Ordering::SeqCst) && attr.kind == FileKind::Directory {
            attr.mode &= !0o1000;
        }
        if self.loses_content.load(Ordering::SeqCst) {
            attr.len = 0;
        }
        attr
    }

    fn numbered(&self, at: &Location, mut attr: Attr) -> Attr {
        if self.has_a_number_for_each_name.load(Ordering::SeqCst) {
            attr.nlink = 1;
            attr.id.inode = at.as_path().as_os_str().len() as u64;
        }
        attr
    }

    fn to_kernel(&self, time: ServerTime) -> ServerTime {
        if self.ignores_times.load(Ordering::SeqCst) {
            return OsEnv.wall_clock();
        }
        let epoch = ServerTime::from_parts(0, 0);
        let time = epoch + (time.since(epoch) - self.ahead());
        if self.cuts_times.load(Ordering::SeqCst) { ServerTime::from_parts(time.to_parts().0, 0) } else { time }
    }
}

/// All names in a directory, with their numbers.
pub(super) fn numbered_names(dir: &Path) -> io::Result<Vec<(OsString, u64)>> {
    let mut names = Vec::new();
    OsEnv.list_dir(dir, &mut |name, number| {
        names.push((name.to_owned(), number));
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

#[expect(clippy::disallowed_methods, reason = "the kernel's clock needs time to tick, and threads to fall asleep")]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn no_result<T>() -> T {
    panic!("only a call without a result can be pretended")
}

impl Env for FaultyEnv {
    fn now(&self) -> LocalTime {
        let keeps = || std::thread::current().name() == Some("linklock-keep");
        let left = &self.keepers_clock_panics;
        if left.load(Ordering::SeqCst) > 0 && keeps() {
            left.fetch_sub(1, Ordering::SeqCst);
            panic!("the clock panics on purpose")
        }
        OsEnv.now() + self.slept_by(OsEnv.wall_clock())
    }

    fn wall_clock(&self) -> ServerTime {
        OsEnv.wall_clock() + self.slept_by(OsEnv.wall_clock())
    }

    fn random(&self) -> u64 {
        OsEnv.random()
    }

    fn unique(&self) -> u64 {
        OsEnv.unique()
    }

    fn host_name(&self) -> String {
        OsEnv.host_name()
    }

    fn process_id(&self) -> u32 {
        OsEnv.process_id()
    }

    fn generation(&self) -> u64 {
        OsEnv.generation()
    }

    fn fingerprint(&self, pid: u32) -> Option<Fingerprint> {
        OsEnv.fingerprint(pid)
    }

    fn liveness(&self, pid: u32, fingerprint: Fingerprint) -> Liveness {
        OsEnv.liveness(pid, fingerprint)
    }

    fn may_exist(&self, pid: u32) -> bool {
        OsEnv.may_exist(pid)
    }

    fn command(&self, pid: u32) -> Option<String> {
        OsEnv.command(pid)
    }

    fn user(&self) -> Option<String> {
        OsEnv.user()
    }

    fn user_id(&self) -> Option<u32> {
        u32::try_from(self.user_id.load(Ordering::SeqCst)).ok()
    }

    fn create(&self, at: &Location, content: &[u8], mode: u32, expiry: &mut Expiry<'_>) -> io::Result<Attr> {
        self.creating(at, expiry, |expiry| OsEnv.create(at, content, mode, expiry))
    }

    fn set_expiry(&self, at: &Location, meant: Meant, expiry: ServerTime) -> io::Result<Attr> {
        let run = || match self.only_says_that_it_sets_times.load(Ordering::SeqCst) {
            true => OsEnv.stat(at),
            false => OsEnv.set_expiry(at, self.as_kernel_means(at, meant)?, self.to_kernel(expiry)),
        };
        self.interfere(Call::SetExpiry, at, run, no_result).map(|attr| self.as_server_says(attr))
    }

    fn append(&self, at: &Location, meant: Meant, content: &[u8]) -> io::Result<()> {
        self.interfere(Call::Append, at, || OsEnv.append(at, self.as_kernel_means(at, meant)?, content), || {})
    }

    fn touch(&self, at: &Location, meant: Meant) -> io::Result<Attr> {
        self.interfere(Call::Touch, at, || OsEnv.touch(at, self.as_kernel_means(at, meant)?), no_result)
            .map(|attr| self.as_server_says(attr))
    }

    fn stat(&self, at: &Location) -> io::Result<Attr> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let stat = self.interfere(Call::Stat, at, || OsEnv.stat(at), no_result);
        stat.map(|attr| self.numbered(at, self.as_server_says(attr)))
    }

    fn stat_dir(&self, dir: &Path) -> io::Result<Attr> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.interfere(Call::Stat, dir, || OsEnv.stat_dir(dir), no_result).map(|attr| self.as_server_says(attr))
    }

    fn stat_as_known(&self, at: &Location) -> io::Result<Attr> {
        let stat = self.interfere(Call::Stat, at, || OsEnv.stat(at), no_result);
        stat.map(|attr| self.numbered(at, self.as_server_says(attr)))
    }

    fn id_as_known(&self, at: &Location) -> io::Result<FileId> {
        OsEnv.id_as_known(at)
    }

    fn read(&self, at: &Location, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
        let read = self.interfere(Call::Open, at, || OsEnv.read(at, limit), no_result);
        read.map(|(attr, content)| (self.as_server_says(attr), content))
    }

    fn read_without_delegation(&self, at: &Location, device: u64, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
        let run = || OsEnv.read_without_delegation(at, device, limit);
        let read = self.interfere(Call::Read, at, run, no_result);
        read.map(|(attr, content)| (self.as_server_says(attr), content))
    }

    fn list(&self, at: &Location, each: &mut Each<'_>) -> io::Result<()> {
        self.show_names(at.as_path(), each, |each| OsEnv.list(at, each))
    }

    fn list_dir(&self, dir: &Path, each: &mut Each<'_>) -> io::Result<()> {
        self.show_names(dir, each, |each| OsEnv.list_dir(dir, each))
    }

    fn link(&self, from: &Location, to: &Location) -> io::Result<()> {
        self.interfere(Call::Link, to, || OsEnv.link(from, to), || ())
    }

    fn rename(&self, from: &Location, to: &Location) -> io::Result<()> {
        self.interfere(Call::Rename, from, || OsEnv.rename(from, to), || ())
    }

    fn rename_noreplace(&self, from: &Location, to: &Location) -> io::Result<()> {
        let run = || match self.removes_by_name_alone.load(Ordering::SeqCst) {
            false => OsEnv.rename_noreplace(from, to),
            // The client refuses a name that it knows to be in use, and does not know the flag.
            true if OsEnv.stat(to).is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
            true => Err(io::ErrorKind::InvalidInput.into()),
        };
        self.interfere(Call::Rename, from, run, || ())
    }

    fn unlink(&self, at: &Location) -> io::Result<()> {
        self.interfere(Call::Unlink, at, || OsEnv.unlink(at), || ())
    }

    fn mkdir(&self, at: &Location, mode: u32) -> io::Result<()> {
        self.interfere(Call::MkDir, at, || OsEnv.mkdir(at, mode), || ())
    }

    fn make_dir(&self, at: &Location, mode: DirMode) -> io::Result<Box<dyn NewDir>> {
        let new = self.interfere(Call::MkDir, at, || OsEnv.make_dir(at, mode), no_result)?;
        Ok(Box::new(FaultyDir { env: self.this(), at: at.clone(), new }))
    }

    fn rmdir(&self, at: &Location) -> io::Result<()> {
        let run = || match OsEnv.stat(at)?.kind {
            FileKind::Regular if self.removes_by_name_alone.load(Ordering::SeqCst) => OsEnv.unlink(at),
            _ => OsEnv.rmdir(at),
        };
        self.interfere(Call::RmDir, at, run, || ())
    }

    fn symlink(&self, target: &OsStr, at: &Location) -> io::Result<()> {
        self.interfere(Call::Symlink, at, || OsEnv.symlink(target, at), || ())
    }

    fn read_symlink(&self, at: &Location) -> io::Result<OsString> {
        self.interfere(Call::ReadSymlink, at, || OsEnv.read_symlink(at), no_result)
    }

    fn removes_by_name_alone(&self, _: &Path) -> bool {
        self.removes_by_name_alone.load(Ordering::SeqCst)
    }

    fn stamps(&self, dir: &Path) -> Stamps {
        if self.stamps_are_not_known.load(Ordering::SeqCst) { Stamps::NotKnown } else { OsEnv.stamps(dir) }
    }

    fn file_system(&self, dir: &Path) -> Option<&'static FileSystem> {
        match self.kind.lock().unwrap().as_deref() {
            Some(name) => FILE_SYSTEMS.iter().find(|known| known.name == name),
            None => OsEnv.file_system(dir),
        }
    }

    fn is_for_want_of_descriptors(&self, e: &io::Error) -> bool {
        OsEnv.is_for_want_of_descriptors(e)
    }

    fn ear(&self, _: &Path) -> Option<SocketAddr> {
        let port = self.port.load(Ordering::SeqCst);
        (port > 0).then(|| SocketAddr::new([192, 0, 2, 1].into(), port))
    }

    fn hint(&self, to: &Ear) {
        self.hints.lock().unwrap().push(*to);
    }

    fn watcher(&self) -> Box<dyn Watcher> {
        match self.has_real_wakeups.load(Ordering::SeqCst) {
            true => OsEnv.watcher(),
            false => Box::new(FaultyWatcher { env: self.this(), is_armed: false }),
        }
    }

    #[cfg(feature = "tokio")]
    fn watcher_for_task(&self) -> Box<dyn Watcher> {
        if self.has_real_wakeups.load(Ordering::SeqCst) { OsEnv.watcher_for_task() } else { self.watcher() }
    }
}

struct FaultyDir {
    env: Arc<FaultyEnv>,
    at: Location,
    new: Box<dyn NewDir>,
}

impl NewDir for FaultyDir {
    fn is_sticky(&self) -> bool {
        self.new.is_sticky() && !self.env.keeps_no_sticky_bit.load(Ordering::SeqCst)
    }

    fn create(&self, name: &OsStr, content: &[u8], mode: u32, expiry: &mut Expiry<'_>) -> io::Result<Attr> {
        self.env.creating(&self.at.inside(name), expiry, |expiry| self.new.create(name, content, mode, expiry))
    }
}

/// Waits without real time: the clocks jump to the end of the wait, unless the hook reports an event.
#[derive(Debug)]
struct FaultyWatcher {
    env: Arc<FaultyEnv>,
    is_armed: bool,
}

impl Watcher for FaultyWatcher {
    fn arm(&mut self, at: &Location, _: Option<u32>) {
        self.is_armed = true;
        let _ = self.env.interfere(Call::Arm, at, || Ok(()), || ());
    }

    fn reach(&self) -> Reach {
        if self.env.is_local.load(Ordering::SeqCst) { Reach::All } else { Reach::ThisMachine }
    }

    fn sees_end(&self) -> bool {
        self.env.sees_end.load(Ordering::SeqCst)
    }

    fn wait(&mut self, until: LocalTime, _: Option<&Event>) {
        // A watcher that is armed for nothing gets no event.
        if !self.is_armed || self.env.interfere(Call::Wait, Path::new(""), || Ok(()), || ()).is_ok() {
            self.env.sleep(until.since(self.env.now()));
        }
    }

    #[cfg(feature = "tokio")]
    fn fall_asleep(&mut self, until: LocalTime, cancel: Option<&Event>) -> Option<crate::env::os::Wakes> {
        self.wait(until, cancel);
        None
    }

    #[cfg(feature = "tokio")]
    fn wake_up(&mut self, _: crate::env::os::Woken, _: Option<&Event>) -> bool {
        true
    }
}

/// A request whose reply was lost: seconds later the client sends it again and gets the result of the second one.
pub(super) fn sent_again(env: &FaultyEnv, reply: io::ErrorKind) -> Fate {
    env.sleep(Duration::from_secs(2));
    Fate::Fail(reply)
}

/// A directory with one lock path, and its contenders.
pub(super) struct Arena {
    pub(super) dir: TempDir,
    pub(super) env: Arc<FaultyEnv>,
}

pub(super) const LIFETIME: Duration = Duration::from_secs(60);
pub(super) const GRACE: Duration = Duration::from_secs(10);

impl Arena {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), env: FaultyEnv::new() }
    }

    /// One request removes both files and empty directories, and the empty directory of a free lock may stay.
    pub(super) fn on_nfs_4() -> Self {
        let arena = Self::new();
        arena.env.removes_by_name_alone.store(true, Ordering::SeqCst);
        *arena.env.kind.lock().unwrap() = Some("NFS");
        arena
    }

    /// The same, but other users could not remove that directory, so a release clears the lock path.
    pub(super) fn on_nfs_4_in_a_sticky_directory() -> Self {
        let arena = Self::on_nfs_4();
        super::plain::Plain.chmod(arena.dir.path(), 0o1777).unwrap();
        arena
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("job.lock")
    }

    pub(super) fn builder(&self, protocol: Protocol) -> Builder {
        Lock::builder(self.path()).protocol(protocol).lifetime(LIFETIME).grace(GRACE)
    }

    /// The contender with whose calls the hook interferes.
    pub(super) fn lock(&self, protocol: Protocol) -> Lock {
        self.builder(protocol).build_in(self.env.clone()).unwrap()
    }

    /// A rival on another machine with the same clocks. No hook interferes with it.
    pub(super) fn rival(&self, protocol: Protocol) -> Rival {
        self.rival_called("rival", protocol)
    }

    pub(super) fn rival_called(&self, host: &str, protocol: Protocol) -> Rival {
        Rival(self.builder(protocol).host(host).build_in(self.env.clone()).unwrap())
    }

    /// The names in the directory.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            numbered_names(self.dir.path()).unwrap().into_iter().map(|(n, _)| n.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The token of the claim at the lock path.
    pub(super) fn holder(&self) -> Option<String> {
        let status = self.lock(Protocol::Link).inspect().unwrap();
        status.holder.map(|h| h.token.to_string())
    }
}

pub(super) struct Rival(Lock);

impl Rival {
    pub(super) fn acquire(&self) -> Guard {
        self.try_acquire().unwrap()
    }

    pub(super) fn try_acquire(&self) -> Option<Guard> {
        IN_HOOK.set(true);
        let guard = self.0.acquire_with(&Wait::never());
        IN_HOOK.set(false);
        guard.ok()
    }
}

pub(super) const BOTH: [Protocol; 2] = [Protocol::Link, Protocol::Dir];
