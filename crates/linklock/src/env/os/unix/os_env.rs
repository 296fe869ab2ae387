//! This machine as an [`Env`].

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, mkdirat, open, readlinkat, symlinkat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::time::{ClockId, clock_gettime};

use super::super::hints;
use super::convert::{to_mode, to_pid, to_timespec};
use super::files::{TO_LIST, show_names};
use super::reach::{is_for_want_of_descriptors, open_at, reach, reach_both};
use super::system::basics::rename_noreplace;
use super::system::mounts::{file_system, mount, removes_by_name_alone, stamps};
use super::system::proc::{Proc, command};
use super::system::reading::read_without_delegation;
use super::system::stat::{self, id_as_known, mode_as_known, stat_afresh, stat_at, stat_dir};
use super::system::watcher::{OsWatcher, ear};
use super::users::{Known, known, name_of_user};
use super::{clock, files, new_dir, own};
use crate::env::attr::{Attr, FileId, Meant};
use crate::env::location::Location;
use crate::env::world::{DirMode, Each, Env, Expiry, Liveness, NewDir, Watcher};
use crate::file_system::{FileSystem, Mount, Stamps};
use crate::fingerprint::Fingerprint;
use crate::hint::Ear;
use crate::time::{LocalTime, ServerTime};

/// This machine.
#[derive(Debug)]
pub(crate) struct OsEnv;

impl Env for OsEnv {
    fn now(&self) -> LocalTime {
        clock::now()
    }

    fn wall_clock(&self) -> ServerTime {
        let now = clock_gettime(ClockId::Realtime);
        ServerTime::from_parts(now.tv_sec, now.tv_nsec as u32)
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }

    fn unique(&self) -> u64 {
        own::unique()
    }

    fn host_name(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    fn process_id(&self) -> u32 {
        own::process_id()
    }

    fn generation(&self) -> u64 {
        own::generation()
    }

    fn fingerprint(&self, pid: u32) -> Option<Fingerprint> {
        let read = || {
            let proc = Proc::open().filter(Proc::is_ours)?;
            Some(Fingerprint::new(&proc.boot_and_namespaces()?, proc.stat(pid)?.start))
        };
        // Every claim needs this process's own fingerprint.
        if pid == self.process_id() { own::fingerprint(read) } else { read() }
    }

    fn liveness(&self, pid: u32, fingerprint: Fingerprint) -> Liveness {
        let Some(here) = self.fingerprint(self.process_id()) else { return Liveness::Unknown };
        let Some(id) = to_pid(pid) else { return Liveness::Unknown };
        // Another boot, container or machine: its pids mean nothing here.
        if !here.comparable(fingerprint) {
            return Liveness::Unknown;
        }
        // Asks the kernel first: /proc may be mounted so that it hides other users' processes.
        match rustix::process::test_kill_process(id) {
            Err(Errno::SRCH) => return Liveness::Dead,
            Ok(()) | Err(Errno::PERM) => {}
            Err(_) => return Liveness::Unknown,
        }
        let Some(proc) = Proc::open() else { return Liveness::Unknown };
        match proc.stat(pid) {
            Some(stat) if stat.ended || here.with_start(stat.start) != fingerprint => {
                // Another /proc may have been mounted since our own fingerprint was read. There the pid is another
                // process.
                if proc.is_ours() { Liveness::Dead } else { Liveness::Unknown }
            }
            Some(_) => Liveness::Alive,
            None => Liveness::Unknown,
        }
    }

    fn may_exist(&self, pid: u32) -> bool {
        to_pid(pid).is_some_and(|id| rustix::process::test_kill_process(id) != Err(Errno::SRCH))
    }

    fn command(&self, pid: u32) -> Option<String> {
        thread_local!(static OWN: Known = const { Known::new(None) });
        let read = || command(pid);
        if pid == self.process_id() { known(&OWN, self.generation(), read) } else { read() }
    }

    fn user(&self) -> Option<String> {
        thread_local!(static USER: Known = const { Known::new(None) });
        let id = rustix::process::geteuid().as_raw();
        known(&USER, id.into(), || Some(name_of_user(id).unwrap_or_else(|| id.to_string())))
    }

    fn user_id(&self) -> Option<u32> {
        Some(rustix::process::geteuid().as_raw())
    }

    fn name_of_user(&self, id: u32) -> Option<String> {
        thread_local!(static OWNER: Known = const { Known::new(None) });
        known(&OWNER, id.into(), || name_of_user(id))
    }

    fn create(&self, at: &Location, content: &[u8], mode: u32, expiry: &mut Expiry<'_>) -> io::Result<Attr> {
        reach(at, |dir, name| files::create(dir, name, content, mode, expiry, None))
    }

    fn set_expiry(&self, at: &Location, meant: Meant, expiry: ServerTime) -> io::Result<Attr> {
        set_times(at, meant, to_timespec(expiry), to_timespec(expiry))
    }

    fn append(&self, at: &Location, meant: Meant, content: &[u8]) -> io::Result<()> {
        files::append(at, meant, content)
    }

    fn touch(&self, at: &Location, meant: Meant) -> io::Result<Attr> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW as _ };
        let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ };
        set_times(at, meant, now, omit)
    }

    fn stat(&self, at: &Location) -> io::Result<Attr> {
        reach(at, stat_afresh)
    }

    fn stat_dir(&self, dir: &Path) -> io::Result<Attr> {
        stat_dir(dir)
    }

    fn stat_as_known(&self, at: &Location) -> io::Result<Attr> {
        reach(at, stat_at)
    }

    fn id_as_known(&self, at: &Location) -> io::Result<FileId> {
        reach(at, id_as_known)
    }

    fn mode_as_known(&self, at: &Location) -> io::Result<u32> {
        reach(at, mode_as_known)
    }

    fn read(&self, at: &Location, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
        files::read(at, limit)
    }

    fn read_without_delegation(&self, at: &Location, device: u64, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
        read_without_delegation(at, device, limit)
    }

    fn list(&self, at: &Location, each: &mut Each<'_>) -> io::Result<()> {
        show_names(open_at(at, TO_LIST | OFlags::NOFOLLOW)?, each)
    }

    fn list_dir(&self, dir: &Path, each: &mut Each<'_>) -> io::Result<()> {
        show_names(retry_on_intr(|| open(dir, TO_LIST, Mode::empty()))?, each)
    }

    fn link(&self, from: &Location, to: &Location) -> io::Result<()> {
        let link = |(dir, name): (BorrowedFd<'_>, &Path), (to_dir, new): (BorrowedFd<'_>, &Path)| {
            rustix::fs::linkat(dir, name, to_dir, new, AtFlags::empty()).map_err(|e| match e {
                // This is how link(2) fails on a file system without hard links.
                Errno::PERM => io::Error::new(io::ErrorKind::Unsupported, e),
                e => e.into(),
            })
        };
        reach_both(from, to, link)
    }

    fn rename(&self, from: &Location, to: &Location) -> io::Result<()> {
        reach_both(from, to, |(dir, name), (to_dir, new)| Ok(rustix::fs::renameat(dir, name, to_dir, new)?))
    }

    fn rename_noreplace(&self, from: &Location, to: &Location) -> io::Result<()> {
        reach_both(from, to, |(dir, name), (to_dir, new)| Ok(rename_noreplace(dir, name, to_dir, new)?))
    }

    fn unlink(&self, at: &Location) -> io::Result<()> {
        reach(at, |dir, name| Ok(unlinkat(dir, name, AtFlags::empty())?))
    }

    fn mkdir(&self, at: &Location, mode: u32) -> io::Result<()> {
        reach(at, |dir, name| Ok(mkdirat(dir, name, to_mode(mode))?))
    }

    fn make_dir(&self, at: &Location, mode: DirMode) -> io::Result<Box<dyn NewDir>> {
        Ok(Box::new(reach(at, |dir, name| new_dir::make(dir, name, mode))?))
    }

    fn rmdir(&self, at: &Location) -> io::Result<()> {
        reach(at, |dir, name| Ok(unlinkat(dir, name, AtFlags::REMOVEDIR)?))
    }

    fn symlink(&self, target: &OsStr, at: &Location) -> io::Result<()> {
        reach(at, |dir, name| Ok(symlinkat(target, dir, name)?))
    }

    fn read_symlink(&self, at: &Location) -> io::Result<OsString> {
        reach(at, |dir, name| Ok(OsString::from_vec(readlinkat(dir, name, Vec::new())?.into_bytes())))
    }

    fn removes_by_name_alone(&self, dir: &Path) -> bool {
        removes_by_name_alone(dir)
    }

    fn stamps(&self, dir: &Path) -> Stamps {
        stamps(dir)
    }

    fn file_system(&self, dir: &Path) -> Option<&'static FileSystem> {
        file_system(dir)
    }

    fn mount(&self, dir: &Path) -> Option<Mount> {
        mount(dir)
    }

    fn ear(&self, dir: &Path) -> Option<SocketAddr> {
        ear(dir)
    }

    fn hint(&self, to: &Ear) {
        hints::send(to);
    }

    fn watcher(&self) -> Box<dyn Watcher> {
        Box::new(OsWatcher::new())
    }

    fn is_for_want_of_descriptors(&self, e: &io::Error) -> bool {
        is_for_want_of_descriptors(e)
    }
}

fn set_times(at: &Location, meant: Meant, access: Timespec, modification: Timespec) -> io::Result<Attr> {
    let times = Timestamps { last_access: access, last_modification: modification };
    reach(at, |dir, name| stat::set_times(dir, name, meant, &times))
}
