//! This machine as an [`Env`].

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use windows_sys::Win32::Foundation::ERROR_TOO_MANY_OPEN_FILES;

use super::super::hints;
use super::watcher::OsWatcher;
use super::{files, identity, paths, processes};
use crate::env::attr::{Attr, FileId, Meant};
use crate::env::location::Location;
use crate::env::world::{DirMode, Each, Env, Expiry, Liveness, NewDir, Watcher};
use crate::file_system::Stamps;
use crate::fingerprint::Fingerprint;
use crate::hint::Ear;
use crate::time::{LocalTime, ServerTime};

/// This machine.
#[derive(Debug)]
pub(crate) struct OsEnv;

#[expect(clippy::disallowed_methods, reason = "this is the place for it")]
impl Env for OsEnv {
    fn now(&self) -> LocalTime {
        identity::now()
    }

    fn wall_clock(&self) -> ServerTime {
        SystemTime::now().into()
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }

    fn unique(&self) -> u64 {
        static CLAIMS: AtomicU64 = AtomicU64::new(0);
        let count = self.generation().wrapping_add(CLAIMS.fetch_add(1, Ordering::Relaxed));
        // The random bits: an attacker who knew the next name could create something there first.
        u64::from(identity::random()) << 32 | count & u64::from(u32::MAX)
    }

    fn host_name(&self) -> String {
        identity::host_name().unwrap_or_else(|| "localhost".into())
    }

    fn process_id(&self) -> u32 {
        std::process::id()
    }

    fn generation(&self) -> u64 {
        // Windows has no fork. The standard library's hasher has a random key from the system.
        static OWN: OnceLock<u64> = OnceLock::new();
        *OWN.get_or_init(|| RandomState::new().build_hasher().finish())
    }

    fn fingerprint(&self, pid: u32) -> Option<Fingerprint> {
        // Every claim needs this process's own fingerprint.
        static OWN: OnceLock<Option<Fingerprint>> = OnceLock::new();
        let ask = || Some(Fingerprint::new(identity::boot()?, processes::start_of(pid)?));
        if pid == self.process_id() { *OWN.get_or_init(ask) } else { ask() }
    }

    fn liveness(&self, pid: u32, fingerprint: Fingerprint) -> Liveness {
        let Some(here) = self.fingerprint(self.process_id()) else { return Liveness::Unknown };
        // Another boot or machine, or not Windows at all: its pids mean nothing here.
        if !here.comparable(fingerprint) {
            return Liveness::Unknown;
        }
        match processes::look(pid) {
            processes::Look::Runs { start } if here.with_start(start) == fingerprint => Liveness::Alive,
            processes::Look::Runs { .. } | processes::Look::Ended => Liveness::Dead,
            processes::Look::Refused => Liveness::Unknown,
        }
    }

    fn may_exist(&self, pid: u32) -> bool {
        !matches!(processes::look(pid), processes::Look::Ended)
    }

    fn command(&self, pid: u32) -> Option<String> {
        processes::name_of(pid)
    }

    fn user(&self) -> Option<String> {
        identity::user()
    }

    /// The directory's access list does what the mode is for.
    fn create(&self, at: &Location, content: &[u8], _mode: u32, expiry: &mut Expiry<'_>) -> io::Result<Attr> {
        files::create(at, content, expiry)
    }

    fn set_expiry(&self, at: &Location, meant: Meant, expiry: ServerTime) -> io::Result<Attr> {
        files::set_times(at, meant, files::Times::Modified(expiry))
    }

    fn append(&self, at: &Location, meant: Meant, content: &[u8]) -> io::Result<()> {
        files::append(at, meant, content)
    }

    fn touch(&self, at: &Location, meant: Meant) -> io::Result<Attr> {
        files::set_times(at, meant, files::Times::Accessed(self.wall_clock()))
    }

    fn stat(&self, at: &Location) -> io::Result<Attr> {
        files::stat(at)
    }

    fn stat_dir(&self, dir: &Path) -> io::Result<Attr> {
        files::stat_dir(dir)
    }

    fn stat_as_known(&self, at: &Location) -> io::Result<Attr> {
        files::stat(at)
    }

    fn id_as_known(&self, at: &Location) -> io::Result<FileId> {
        Ok(files::stat(at)?.id)
    }

    fn read(&self, at: &Location, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
        files::read(at, limit)
    }

    /// Windows' own NFS client knows no delegations.
    fn read_without_delegation(&self, at: &Location, _device: u64, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
        files::read(at, limit)
    }

    fn list(&self, at: &Location, each: &mut Each<'_>) -> io::Result<()> {
        files::list(at, each)
    }

    fn list_dir(&self, dir: &Path, each: &mut Each<'_>) -> io::Result<()> {
        files::list_dir(dir, each)
    }

    fn link(&self, from: &Location, to: &Location) -> io::Result<()> {
        files::link(from, to)
    }

    /// Never replaces anything: not every Windows file system can replace an empty directory, as other systems' rename
    /// does.
    fn rename(&self, from: &Location, to: &Location) -> io::Result<()> {
        files::rename(from, to)
    }

    fn rename_noreplace(&self, from: &Location, to: &Location) -> io::Result<()> {
        files::rename(from, to)
    }

    fn unlink(&self, at: &Location) -> io::Result<()> {
        files::unlink(at)
    }

    fn mkdir(&self, at: &Location, _mode: u32) -> io::Result<()> {
        files::make_dir(at).map(drop)
    }

    fn make_dir(&self, at: &Location, _mode: DirMode) -> io::Result<Box<dyn NewDir>> {
        Ok(Box::new(files::make_dir(at)?))
    }

    fn rmdir(&self, at: &Location) -> io::Result<()> {
        files::rmdir(at)
    }

    /// It removes what was opened and seen to be an empty directory, not whatever has its name by then.
    fn removes_by_name_alone(&self, _dir: &Path) -> bool {
        false
    }

    /// If only this machine changes the file system, only its clock stamps files. A share's server may keep the times
    /// that its clients send.
    fn stamps(&self, dir: &Path) -> Stamps {
        // Resolved by the system, so that a link to a share does not count as a drive of this machine.
        let is_own = std::fs::canonicalize(dir).is_ok_and(|dir| paths::is_on_own_drive(&dir));
        if is_own { Stamps::Server } else { Stamps::NotKnown }
    }

    fn is_for_want_of_descriptors(&self, e: &io::Error) -> bool {
        e.raw_os_error() == Some(ERROR_TOO_MANY_OPEN_FILES as i32)
    }

    fn hint(&self, to: &Ear) {
        hints::send(to);
    }

    fn watcher(&self) -> Box<dyn Watcher> {
        Box::new(OsWatcher::new())
    }

    #[cfg(feature = "tokio")]
    fn watcher_for_task(&self) -> Box<dyn Watcher> {
        Box::new(OsWatcher::deaf())
    }
}
