//! Files and directories. Each is opened so that others can still delete and rename it, and without following a
//! symbolic link or a junction: neither at the name itself nor at a directory in between.
//!
//! A file that another process has open is in the way for a moment. A name that is being deleted exists until its last
//! handle is closed, and a scanner or a peer may not share what it reads. So every call is retried for a while.
#![expect(clippy::disallowed_methods, reason = "this is the place for it")]

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_CALL_NOT_IMPLEMENTED, ERROR_INVALID_FUNCTION, ERROR_INVALID_PARAMETER, ERROR_LOCK_VIOLATION,
    ERROR_NO_MORE_FILES, ERROR_NOT_SUPPORTED, ERROR_SHARING_VIOLATION, GENERIC_READ, GENERIC_WRITE,
    STATUS_DELETE_PENDING, STATUS_FILE_DELETED,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_APPEND_DATA, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT, FILE_BASIC_INFO,
    FILE_DISPOSITION_FLAG_DELETE, FILE_DISPOSITION_FLAG_IGNORE_READONLY_ATTRIBUTE,
    FILE_DISPOSITION_FLAG_POSIX_SEMANTICS, FILE_DISPOSITION_INFO, FILE_DISPOSITION_INFO_EX, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_FLAG_OPEN_REPARSE_POINT, FILE_FLAG_OVERLAPPED, FILE_ID_INFO, FILE_LIST_DIRECTORY, FILE_READ_ATTRIBUTES,
    FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_STANDARD_INFO, FILE_WRITE_ATTRIBUTES,
};

use super::handles::{self, get, last_status, next_entries, set};
use super::paths::to_wide;
use super::{records, relative};
use crate::env::attr::{Attr, FileId, FileKind, Meant};
use crate::env::location::Between;
use crate::env::location::Location;
use crate::env::world::{Each, Expiry, NewDir};
use crate::time::ServerTime;

const SHARE_ALL: u32 = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

/// Together a tenth of a second. Any grace must cover that: a removal that is retried comes late.
const TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

/// A time to set on a file.
pub(super) enum Times {
    Modified(ServerTime),
    /// We do not use this time, but any change renews the change time.
    Accessed(ServerTime),
}

/// Retries for a while, as long as another process is in the way.
fn patiently<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match act() {
            Err(e) if is_being_deleted(&e) || is_in_use(&e) => thread::sleep(BETWEEN_TRIES),
            done => return done,
        }
    }
    act()
}

/// Call this right after the failed call.
fn is_being_deleted(e: &io::Error) -> bool {
    let said = || matches!(last_status(), STATUS_DELETE_PENDING | STATUS_FILE_DELETED);
    e.kind() == io::ErrorKind::PermissionDenied && said()
}

fn is_in_use(e: &io::Error) -> bool {
    let code = e.raw_os_error().unwrap_or(0) as u32;
    matches!(code, ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION)
}

/// If a name stays "being deleted", a reader treats it as gone. To create it, treat it as taken.
fn open(at: &Location, access: u32, flags: u32) -> io::Result<File> {
    patiently(|| match at.between() {
        None => open_path(at.as_path(), access, flags | FILE_FLAG_OPEN_REPARSE_POINT),
        Some((between, must_be)) => {
            relative::open(&open_between(between, must_be)?, at.name(), access, flags & FILE_FLAG_BACKUP_SEMANTICS != 0)
        }
    })
    .map_err(gone_if_being_deleted)
}

fn gone_if_being_deleted(e: io::Error) -> io::Error {
    if is_being_deleted(&e) { io::Error::new(io::ErrorKind::NotFound, e) } else { e }
}

fn open_path(path: &Path, access: u32, flags: u32) -> io::Result<File> {
    OpenOptions::new().access_mode(access).share_mode(SHARE_ALL).custom_flags(flags).open(path)
}

/// The directory in between. A call relative to its handle acts in it, whatever has its name meanwhile.
fn open_between(path: &Path, must_be: Between) -> io::Result<File> {
    let flags = FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT;
    let dir = open_path(path, relative::TO_REACH, flags)?;
    let attr = attr_of(&dir)?;
    expect_directory(attr.kind)?;
    must_be.check(|| Ok(attr))?;
    Ok(dir)
}

/// Opens anything. Without backup semantics, directories cannot be opened.
fn open_any(at: &Location, access: u32) -> io::Result<File> {
    open(at, access, FILE_FLAG_BACKUP_SEMANTICS)
}

/// The lock's directory, reached as its path says.
fn open_dir(dir: &Path, access: u32) -> io::Result<File> {
    patiently(|| open_path(dir, access, FILE_FLAG_BACKUP_SEMANTICS)).map_err(gone_if_being_deleted)
}

/// The directory that a name is in, to watch its changes in the background.
pub(super) fn open_to_watch(at: &Location) -> io::Result<File> {
    let flags = FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OVERLAPPED;
    match at.between() {
        None => open_path(at.dir(), FILE_LIST_DIRECTORY, flags),
        Some((between, _)) => {
            let dir = open_path(between, FILE_LIST_DIRECTORY, flags | FILE_FLAG_OPEN_REPARSE_POINT)?;
            expect_directory(attr_of(&dir)?.kind)?;
            Ok(dir)
        }
    }
}

pub(super) fn create(at: &Location, content: &[u8], expiry: &mut Expiry<'_>) -> io::Result<Attr> {
    let made = patiently(|| match at.between() {
        None => {
            let mut new = OpenOptions::new();
            new.access_mode(GENERIC_READ | GENERIC_WRITE | DELETE).write(true).share_mode(SHARE_ALL).create_new(true);
            new.open(at.as_path())
        }
        Some((between, must_be)) => relative::create(&open_between(between, must_be)?, at.name()),
    });
    fill(taken_if_being_deleted(made)?, content, expiry)
}

/// If it cannot be filled, this very file is removed, not whatever has its name by then.
fn fill(mut file: File, content: &[u8], expiry: &mut Expiry<'_>) -> io::Result<Attr> {
    let mut fill = || {
        let attr = attr_of(&file)?;
        let expiry = expiry(&attr);
        file.write_all(content)?;
        // After the write, which sets the time to now.
        let Some(expiry) = expiry else { return Ok(attr) };
        set(&file, &basic_info(Times::Modified(expiry)))?;
        attr_of(&file)
    };
    let filled = fill();
    filled.inspect_err(|_| {
        // Returns the first error. An error here would only follow from it.
        let _ = delete(&file);
    })
}

/// A directory that was just created.
#[derive(Debug)]
pub(super) struct OpenDir(File);

/// One call creates it and returns its handle, so that nothing can take its place before it is opened.
pub(super) fn make_dir(at: &Location) -> io::Result<OpenDir> {
    let made = patiently(|| {
        let dir = match at.between() {
            None => open_path(at.dir(), relative::TO_REACH, FILE_FLAG_BACKUP_SEMANTICS)?,
            Some((between, must_be)) => open_between(between, must_be)?,
        };
        relative::make_dir(&dir, at.name())
    });
    taken_if_being_deleted(made).map(OpenDir)
}

impl NewDir for OpenDir {
    /// The directory's access list does what the mode is for.
    fn create(&self, name: &OsStr, content: &[u8], _mode: u32, expiry: &mut Expiry<'_>) -> io::Result<Attr> {
        fill(taken_if_being_deleted(patiently(|| relative::create(&self.0, name)))?, content, expiry)
    }
}

pub(super) fn set_times(at: &Location, meant: Meant, times: Times) -> io::Result<Attr> {
    let file = open_any(at, FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES)?;
    if !meant.is(&attr_of(&file)?) {
        return Err(io::ErrorKind::NotFound.into());
    }
    set(&file, &basic_info(times))?;
    attr_of(&file)
}

pub(super) fn append(at: &Location, meant: Meant, content: &[u8]) -> io::Result<()> {
    let mut file = open_any(at, FILE_READ_ATTRIBUTES | FILE_APPEND_DATA)?;
    if !meant.is(&attr_of(&file)?) {
        return Err(io::ErrorKind::NotFound.into());
    }
    file.write_all(content)?;
    // A client may keep what is written for a while.
    file.sync_all()
}

/// Opens it, which asks the server, if there is one.
pub(super) fn stat(at: &Location) -> io::Result<Attr> {
    attr_of(&open_any(at, FILE_READ_ATTRIBUTES)?)
}

pub(super) fn stat_dir(dir: &Path) -> io::Result<Attr> {
    attr_of(&open_dir(dir, FILE_READ_ATTRIBUTES)?)
}

pub(super) fn read(at: &Location, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
    let file = open_any(at, GENERIC_READ)?;
    let attr = attr_of(&file)?;
    let mut content = Vec::new();
    if attr.kind == FileKind::Regular {
        file.take(limit as u64).read_to_end(&mut content)?;
    }
    Ok((attr, content))
}

pub(super) fn list(at: &Location, each: &mut Each<'_>) -> io::Result<()> {
    // By a handle that shares everything. The standard library's does not share deletion everywhere, and would delay a
    // release.
    show_names(&open_any(at, FILE_LIST_DIRECTORY | FILE_READ_ATTRIBUTES)?, each)
}

pub(super) fn list_dir(dir: &Path, each: &mut Each<'_>) -> io::Result<()> {
    show_names(&open_dir(dir, FILE_LIST_DIRECTORY | FILE_READ_ATTRIBUTES)?, each)
}

/// Does not ask for the inode numbers: they are 0.
fn show_names(dir: &File, each: &mut Each<'_>) -> io::Result<()> {
    expect_directory(attr_of(dir)?.kind)?;
    let mut buffer = Box::new(records::EMPTY);
    loop {
        match next_entries(dir, &mut buffer) {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == Some(ERROR_NO_MORE_FILES as i32) => return Ok(()),
            Err(e) => return Err(e),
        }
        for name in records::names(&buffer[..], records::ENTRIES) {
            if name != "." && name != ".." && each(&name, 0).is_break() {
                return Ok(());
            }
        }
    }
}

/// The path of a name in the lock's directory, for calls that take only paths: they would follow a directory in
/// between.
fn beside(at: &Location) -> io::Result<&Path> {
    if at.between().is_some() { Err(io::ErrorKind::Unsupported.into()) } else { Ok(at.as_path()) }
}

/// Claims are linked to the lock path, and both are in the lock's directory. By the documentation of CreateHardLinkW, a
/// symbolic link is linked itself.
pub(super) fn link(from: &Location, to: &Location) -> io::Result<()> {
    let (from, to) = (beside(from)?, beside(to)?);
    taken_if_being_deleted(patiently(|| fs::hard_link(from, to))).map_err(|e| {
        match e.raw_os_error().map(|e| e as u32) {
            // This is how file systems without hard links fail.
            Some(ERROR_NOT_SUPPORTED | ERROR_INVALID_FUNCTION | ERROR_CALL_NOT_IMPLEMENTED) => {
                io::Error::new(io::ErrorKind::Unsupported, e)
            }
            _ => e,
        }
    })
}

/// Fails if `to` exists. By a handle of whatever has the name itself: the documentation of MoveFileExW does not say
/// whether it moves a symbolic link or its target. Both names are in the lock's directory.
pub(super) fn rename(from: &Location, to: &Location) -> io::Result<()> {
    let (from, to) = (beside(from)?, to_wide(beside(to)?));
    let flags = FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT;
    // Opened again each time, since another file may have the name by then.
    taken_if_being_deleted(patiently(|| handles::rename(&open_path(from, DELETE, flags)?, &to)))
}

fn taken_if_being_deleted<T>(done: io::Result<T>) -> io::Result<T> {
    done.map_err(|e| if is_being_deleted(&e) { io::Error::new(io::ErrorKind::AlreadyExists, e) } else { e })
}

/// Cannot remove a directory: without backup semantics, directories cannot be opened.
pub(super) fn unlink(at: &Location) -> io::Result<()> {
    delete(&open(at, DELETE, 0)?)
}

pub(super) fn rmdir(at: &Location) -> io::Result<()> {
    // The entry that was just removed may still exist, because somebody reads it.
    for _ in 1..TRIES {
        match rmdir_once(at) {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => thread::sleep(BETWEEN_TRIES),
            removed => return removed,
        }
    }
    rmdir_once(at)
}

/// With a handle of its own: when one is asked a second time, Wine 8 takes every directory for empty.
fn rmdir_once(at: &Location) -> io::Result<()> {
    let dir = open_any(at, DELETE | FILE_READ_ATTRIBUTES)?;
    // Checked on the very directory that is then removed.
    expect_directory(attr_of(&dir)?.kind)?;
    delete(&dir)
}

/// Removes the name by which it was opened: immediately if the file system can, otherwise when its last handle is
/// closed. Does not remove a directory that is not empty.
fn delete(file: &File) -> io::Result<()> {
    let flags = FILE_DISPOSITION_FLAG_DELETE
        | FILE_DISPOSITION_FLAG_POSIX_SEMANTICS
        | FILE_DISPOSITION_FLAG_IGNORE_READONLY_ATTRIBUTE;
    match set(file, &FILE_DISPOSITION_INFO_EX { Flags: flags }) {
        Err(e) if is_unknown(&e) => set(file, &FILE_DISPOSITION_INFO { DeleteFile: true }),
        deleted => deleted,
    }
}

/// Whether the file system, or the system, does not know the request.
fn is_unknown(e: &io::Error) -> bool {
    let code = e.raw_os_error().unwrap_or(0) as u32;
    matches!(code, ERROR_INVALID_PARAMETER | ERROR_NOT_SUPPORTED | ERROR_INVALID_FUNCTION | ERROR_CALL_NOT_IMPLEMENTED)
}

fn attr_of(file: &File) -> io::Result<Attr> {
    let basic: FILE_BASIC_INFO = get(file)?;
    let standard: FILE_STANDARD_INFO = get(file)?;
    // It was opened just before.
    if standard.DeletePending {
        return Err(io::ErrorKind::NotFound.into());
    }
    let id: FILE_ID_INFO = get(file)?;
    let kind = kind_of(basic.FileAttributes);
    let mtime = from_ticks(basic.LastWriteTime);
    Ok(Attr {
        id: to_id(&id),
        kind,
        nlink: standard.NumberOfLinks.into(),
        len: standard.EndOfFile as u64,
        mtime,
        // FAT has no change time.
        ctime: if basic.ChangeTime == 0 { mtime } else { from_ticks(basic.ChangeTime) },
        // There is no sticky bit to mark our directories with, so every empty one counts as ours.
        mode: if kind == FileKind::Directory { 0o1755 } else { 0o644 },
        // Access lists decide who may do what, not owners.
        owner: 0,
    })
}

fn kind_of(attributes: u32) -> FileKind {
    let is = |attribute: u32| attributes & attribute != 0;
    match (is(FILE_ATTRIBUTE_REPARSE_POINT), is(FILE_ATTRIBUTE_DIRECTORY)) {
        // All kinds of links, also junctions, which any user can make. And a cloud's or an archive's placeholder for a
        // file is not ours either.
        (true, _) => FileKind::Symlink,
        (false, true) => FileKind::Directory,
        (false, false) => FileKind::Regular,
    }
}

fn expect_directory(kind: FileKind) -> io::Result<()> {
    if kind == FileKind::Directory { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

fn to_id(id: &FILE_ID_INFO) -> FileId {
    // 128 bits, of which NTFS uses the lower half.
    let number = u128::from_le_bytes(id.FileId.Identifier);
    let high = ((number >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    FileId { device: id.VolumeSerialNumber, inode: number as u64 ^ high }
}

/// Fields that are zero are left unchanged.
fn basic_info(times: Times) -> FILE_BASIC_INFO {
    let mut info = FILE_BASIC_INFO::default();
    match times {
        Times::Modified(time) => info.LastWriteTime = to_ticks(time),
        Times::Accessed(time) => info.LastAccessTime = to_ticks(time),
    }
    info
}

/// Windows counts tenths of microseconds from the year 1601.
const TICK_NANOS: u32 = 100;
const TICKS_PER_SEC: i64 = 10_000_000;
const EPOCH_SECS: i64 = 11_644_473_600;

fn from_ticks(ticks: i64) -> ServerTime {
    let nanos = ticks.rem_euclid(TICKS_PER_SEC) as u32 * TICK_NANOS;
    ServerTime::from_parts(ticks.div_euclid(TICKS_PER_SEC) - EPOCH_SECS, nanos)
}

/// Rounded up: a lock must not expire before its holder's deadline.
fn to_ticks(time: ServerTime) -> i64 {
    let (secs, nanos) = time.to_parts();
    let whole = secs.saturating_add(EPOCH_SECS).saturating_mul(TICKS_PER_SEC);
    whole.saturating_add(i64::from(nanos.div_ceil(TICK_NANOS)))
}

#[cfg(test)]
mod tests;
