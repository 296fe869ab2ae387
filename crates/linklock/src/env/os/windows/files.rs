//! Files and directories. All are opened so that nobody is kept from deleting or renaming them, and none by following a
//! symbolic link or a junction: neither one that has the name itself nor one in the place of a directory in between.
//!
//! What another process has open is in the way for a moment: a name that is being deleted is there until its last handle
//! is closed, and a scanner or a peer may not share what it reads. So every call is tried for a while.
#![expect(clippy::disallowed_methods, reason = "this is the place for it")]

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_CALL_NOT_IMPLEMENTED, ERROR_DELETE_PENDING, ERROR_INVALID_FUNCTION, ERROR_INVALID_PARAMETER,
    ERROR_LOCK_VIOLATION, ERROR_NO_MORE_FILES, ERROR_NOT_SUPPORTED, ERROR_SHARING_VIOLATION, GENERIC_READ,
    GENERIC_WRITE, STATUS_DELETE_PENDING,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT, FILE_BASIC_INFO, FILE_DISPOSITION_FLAG_DELETE,
    FILE_DISPOSITION_FLAG_IGNORE_READONLY_ATTRIBUTE, FILE_DISPOSITION_FLAG_POSIX_SEMANTICS, FILE_DISPOSITION_INFO,
    FILE_DISPOSITION_INFO_EX, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_FLAG_OVERLAPPED,
    FILE_ID_INFO, FILE_LIST_DIRECTORY, FILE_READ_ATTRIBUTES, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
    FILE_STANDARD_INFO, FILE_WRITE_ATTRIBUTES,
};

use super::handles::{self, get, last_status, next_entries, set};
use super::inside::{self, Wanted};
use super::names::to_wide;
use super::records;
use crate::env::{Attr, Expiry, FileId, FileKind, Location, Meant, NewDir};
use crate::lease::ServerTime;

pub(super) const SHARE_ALL: u32 = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

/// Together a tenth of a second, which any grace must cover: a removal that is tried again is one that comes late.
const TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

/// A time that a file is given.
pub(super) enum Times {
    Modified(ServerTime),
    /// Of no meaning to us; but any change makes the change time new.
    Accessed(ServerTime),
}

/// Does it again for a while, as long as somebody else is in the way.
fn patiently<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match act() {
            Err(e) if is_being_deleted(&e) || is_in_use(&e) => thread::sleep(BETWEEN_TRIES),
            done => return done,
        }
    }
    act()
}

/// To be asked right after the call.
fn is_being_deleted(e: &io::Error) -> bool {
    e.raw_os_error() == Some(ERROR_DELETE_PENDING as i32)
        || e.kind() == io::ErrorKind::PermissionDenied && last_status() == STATUS_DELETE_PENDING
}

fn is_in_use(e: &io::Error) -> bool {
    let code = e.raw_os_error().unwrap_or(0) as u32;
    matches!(code, ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION)
}

/// A name that stays "being deleted" is for who looks as good as gone; for who wants to have it, it is taken.
fn gone_if_being_deleted<T>(done: io::Result<T>) -> io::Result<T> {
    done.map_err(|e| if is_being_deleted(&e) { io::Error::new(io::ErrorKind::NotFound, e) } else { e })
}

fn taken_if_being_deleted<T>(done: io::Result<T>) -> io::Result<T> {
    done.map_err(|e| if is_being_deleted(&e) { io::Error::new(io::ErrorKind::AlreadyExists, e) } else { e })
}

fn open(at: &Location, access: u32, wanted: Wanted) -> io::Result<File> {
    gone_if_being_deleted(patiently(|| open_once(at, access, wanted)))
}

fn open_once(at: &Location, access: u32, wanted: Wanted) -> io::Result<File> {
    // Whose the directory in between is, no number tells.
    if let Some((between, _)) = at.between() {
        return inside::open(&open_between(between, FILE_READ_ATTRIBUTES, 0)?, at.name(), access, wanted);
    }
    let mut options = OpenOptions::new();
    options.access_mode(access).share_mode(SHARE_ALL);
    match wanted {
        // Without backup semantics no directory can be opened.
        Wanted::Any => options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS),
        Wanted::File => options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT),
        Wanted::NewFile => options.write(true).create_new(true),
        // There is no such call by a path that gives the handle of what it made.
        Wanted::NewDirectory => {
            return inside::open(&follow(at.dir(), FILE_READ_ATTRIBUTES)?, at.name(), access, wanted);
        }
    };
    options.open(at)
}

/// A directory that has a name in the lock's directory. Opened by its path, since nothing else is on the way to it; the
/// handle tells whether it is one.
fn open_between(path: &Path, access: u32, flags: u32) -> io::Result<File> {
    let dir = open_dir(path, access, flags | FILE_FLAG_OPEN_REPARSE_POINT)?;
    expect_directory(get::<FILE_BASIC_INFO>(&dir)?.FileAttributes)?;
    Ok(dir)
}

/// The lock's directory: who named it is trusted.
fn follow(dir: &Path, access: u32) -> io::Result<File> {
    open_dir(dir, access, 0)
}

fn open_dir(path: &Path, access: u32, flags: u32) -> io::Result<File> {
    let flags = flags | FILE_FLAG_BACKUP_SEMANTICS;
    OpenOptions::new().access_mode(access).share_mode(SHARE_ALL).custom_flags(flags).open(path)
}

/// To be told of its changes, in the background: of the directory that this stands in.
pub(super) fn open_to_watch(at: &Location) -> io::Result<File> {
    match at.between() {
        Some((between, _)) => open_between(between, FILE_LIST_DIRECTORY, FILE_FLAG_OVERLAPPED),
        None => open_dir(at.dir(), FILE_LIST_DIRECTORY, FILE_FLAG_OVERLAPPED),
    }
}

pub(super) fn create(at: &Location, content: &[u8], expiry: &mut Expiry<'_>) -> io::Result<Attr> {
    fill(taken_if_being_deleted(patiently(|| open_once(at, TO_FILL, Wanted::NewFile)))?, content, expiry)
}

/// To remove it as well, should it fail: what was made, and not what has its name by then.
const TO_FILL: u32 = GENERIC_READ | GENERIC_WRITE | DELETE;

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
        // The error that is told is the one that stopped us; this one would only follow from it.
        let _ = delete(&file);
    })
}

/// A directory that was made by this very call.
#[derive(Debug)]
pub(super) struct OpenDir(File);

pub(super) fn make_dir(at: &Location) -> io::Result<OpenDir> {
    let made = patiently(|| open_once(at, FILE_READ_ATTRIBUTES, Wanted::NewDirectory));
    taken_if_being_deleted(made).map(OpenDir)
}

impl NewDir for OpenDir {
    fn create(&self, name: &OsStr, content: &[u8], _mode: u32, expiry: &mut Expiry<'_>) -> io::Result<Attr> {
        let made = patiently(|| inside::open(&self.0, name, TO_FILL, Wanted::NewFile));
        fill(taken_if_being_deleted(made)?, content, expiry)
    }
}

pub(super) fn set_times(at: &Location, meant: Meant, times: Times) -> io::Result<Attr> {
    let file = open(at, FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES, Wanted::Any)?;
    if !meant.is(&attr_of(&file)?) {
        return Err(io::ErrorKind::NotFound.into());
    }
    set(&file, &basic_info(times))?;
    attr_of(&file)
}

/// By opening it, which asks the server where there is one.
pub(super) fn stat(at: &Location) -> io::Result<Attr> {
    attr_of(&open(at, FILE_READ_ATTRIBUTES, Wanted::Any)?)
}

pub(super) fn stat_dir(dir: &Path) -> io::Result<Attr> {
    attr_of(&gone_if_being_deleted(patiently(|| follow(dir, FILE_READ_ATTRIBUTES)))?)
}

pub(super) fn read(at: &Location, limit: usize) -> io::Result<(Attr, Vec<u8>)> {
    let file = open(at, GENERIC_READ, Wanted::Any)?;
    let attr = attr_of(&file)?;
    let mut content = Vec::new();
    if attr.kind == FileKind::Regular {
        file.take(limit as u64).read_to_end(&mut content)?;
    }
    Ok((attr, content))
}

// By a handle that shares all: std's own does not share deletion everywhere, and would be in a release's way.
const TO_LIST: u32 = FILE_LIST_DIRECTORY | FILE_READ_ATTRIBUTES;

pub(super) fn list(at: &Location) -> io::Result<Vec<OsString>> {
    names_in(&open(at, TO_LIST, Wanted::Any)?)
}

pub(super) fn list_dir(dir: &Path) -> io::Result<Vec<OsString>> {
    names_in(&gone_if_being_deleted(patiently(|| follow(dir, TO_LIST)))?)
}

fn names_in(dir: &File) -> io::Result<Vec<OsString>> {
    expect_directory(get::<FILE_BASIC_INFO>(dir)?.FileAttributes)?;
    let (mut names, mut buffer) = (Vec::new(), Box::new(records::EMPTY));
    loop {
        match next_entries(dir, &mut buffer) {
            Ok(()) => names.extend(records::names(&buffer[..], records::ENTRIES)),
            Err(e) if e.raw_os_error() == Some(ERROR_NO_MORE_FILES as i32) => break,
            Err(e) => return Err(e),
        }
    }
    names.retain(|name| name != "." && name != "..");
    Ok(names)
}

/// A path to a name in the lock's directory, for calls that take nothing else. Nothing is to be followed on the way to it.
fn beside(at: &Location) -> io::Result<&Path> {
    if at.between().is_some() { Err(io::ErrorKind::Unsupported.into()) } else { Ok(at.as_path()) }
}

/// Claims are linked to the lock path, and both stand in the lock's directory. Of a symbolic link the documentation of
/// CreateHardLinkW says that it is linked itself.
pub(super) fn link(from: &Location, to: &Location) -> io::Result<()> {
    let (from, to) = (beside(from)?, beside(to)?);
    taken_if_being_deleted(patiently(|| fs::hard_link(from, to))).map_err(|e| {
        match e.raw_os_error().map(|e| e as u32) {
            // So file systems without hard links say it.
            Some(ERROR_NOT_SUPPORTED | ERROR_INVALID_FUNCTION | ERROR_CALL_NOT_IMPLEMENTED) => {
                io::Error::new(io::ErrorKind::Unsupported, e)
            }
            _ => e,
        }
    })
}

/// Fails if `to` exists. By a handle: of MoveFileExW it is not documented whether it moves a symbolic link or what that leads
/// to. Both stand in the lock's directory.
pub(super) fn rename(from: &Location, to: &Location) -> io::Result<()> {
    let to = to_wide(beside(to)?);
    // Opened again each time: what has the name by then may be another file.
    taken_if_being_deleted(patiently(|| handles::rename(&open_once(from, DELETE, Wanted::Any)?, &to)))
}

/// No directory: such an open finds none.
pub(super) fn unlink(at: &Location) -> io::Result<()> {
    delete(&open(at, DELETE, Wanted::File)?)
}

pub(super) fn rmdir(at: &Location) -> io::Result<()> {
    // The entry that was just removed may still be there, since somebody reads it.
    for _ in 1..TRIES {
        match rmdir_once(at) {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => thread::sleep(BETWEEN_TRIES),
            removed => return removed,
        }
    }
    rmdir_once(at)
}

/// With a handle of its own: asked by the same one once more, Wine 8 takes every directory for empty.
fn rmdir_once(at: &Location) -> io::Result<()> {
    let dir = open(at, DELETE | FILE_READ_ATTRIBUTES, Wanted::Any)?;
    // What it is was asked of the very thing that is removed then.
    if attr_of(&dir)?.kind != FileKind::Directory {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    delete(&dir)
}

/// Removes the name by which it was opened: at once where the file system can, or else when its last handle is closed. A
/// directory that is not empty is not removed.
fn delete(file: &File) -> io::Result<()> {
    let flags = FILE_DISPOSITION_FLAG_DELETE
        | FILE_DISPOSITION_FLAG_POSIX_SEMANTICS
        | FILE_DISPOSITION_FLAG_IGNORE_READONLY_ATTRIBUTE;
    match set(file, &FILE_DISPOSITION_INFO_EX { Flags: flags }) {
        Err(e) if is_unknown(&e) => set(file, &FILE_DISPOSITION_INFO { DeleteFile: true }),
        deleted => deleted,
    }
}

/// So file systems say, and systems, that they do not know what they are asked for.
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
        // FAT keeps no change time.
        ctime: if basic.ChangeTime == 0 { mtime } else { from_ticks(basic.ChangeTime) },
        // There is no sticky bit to tell our directories by, so every one is taken for ours once it is empty.
        mode: if kind == FileKind::Directory { 0o1755 } else { 0o644 },
        // Who may do what the access lists say.
        owner: 0,
    })
}

fn kind_of(attributes: u32) -> FileKind {
    let is = |attribute: u32| attributes & attribute != 0;
    match (is(FILE_ATTRIBUTE_REPARSE_POINT), is(FILE_ATTRIBUTE_DIRECTORY)) {
        // Links of all kinds, and junctions, which any user can make; and what a cloud or an archive has in place of a file is
        // none of ours either.
        (true, _) => FileKind::Symlink,
        (false, true) => FileKind::Directory,
        (false, false) => FileKind::Regular,
    }
}

fn expect_directory(attributes: u32) -> io::Result<()> {
    if kind_of(attributes) == FileKind::Directory { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

fn to_id(id: &FILE_ID_INFO) -> FileId {
    // 128 bits, of which NTFS uses the lower half.
    let number = u128::from_le_bytes(id.FileId.Identifier);
    let high = ((number >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    FileId { device: id.VolumeSerialNumber, inode: number as u64 ^ high }
}

/// What is zero stays as it is.
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

/// Never earlier than asked for: a lock must not be over before its holder's deadline.
fn to_ticks(time: ServerTime) -> i64 {
    let (secs, nanos) = time.to_parts();
    let whole = secs.saturating_add(EPOCH_SECS).saturating_mul(TICKS_PER_SEC);
    whole.saturating_add(i64::from(nanos.div_ceil(TICK_NANOS)))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tempfile::TempDir;

    use super::*;

    /// A directory of a lock, with a directory in it that holds an entry.
    fn ground() -> (TempDir, Location) {
        let ground = tempfile::tempdir().unwrap();
        let dir = Location::beside(ground.path(), "dir".as_ref());
        make_dir(&dir).unwrap().create("entry".as_ref(), b"ours", 0o644, &mut |_| None).unwrap();
        (ground, dir)
    }

    /// Wine 8 has no junctions, and follows symbolic links of its Unix whatever it is asked for: what tells them is tried alone.
    #[test]
    fn what_leads_elsewhere_is_no_directory_to_work_in() {
        let link = FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT;
        assert_eq!(expect_directory(link).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(expect_directory(FILE_ATTRIBUTE_REPARSE_POINT).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(expect_directory(0).unwrap_err().kind(), ErrorKind::NotADirectory);
        expect_directory(FILE_ATTRIBUTE_DIRECTORY).unwrap();
        assert_eq!([link, 0].map(kind_of), [FileKind::Symlink, FileKind::Regular]);
    }

    #[test]
    fn what_is_in_a_directory_is_reached_by_its_handle() {
        let (ground, dir) = ground();
        let at = |name: &str| dir.inside(name.as_ref());
        let entry = create(&at("other"), b"text", &mut |_| None).unwrap();
        assert_eq!(stat(&at("OTHER")).unwrap().id, entry.id);
        assert_eq!(read(&at("other"), 2).unwrap().1, b"te");
        make_dir(&at("7")).unwrap();
        assert_eq!(make_dir(&at("7")).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(create(&at("other"), b"", &mut |_| None).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(list(&at("7")).unwrap(), [""; 0]);
        let mut names = list(&dir).unwrap();
        names.sort();
        assert_eq!(names, ["7", "entry", "other"]);
        assert_eq!(rmdir(&dir).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        assert_eq!(rmdir(&at("other")).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(unlink(&at("7")).unwrap_err().kind(), ErrorKind::PermissionDenied);
        rmdir(&at("7")).unwrap();
        unlink(&at("other")).unwrap();
        assert_eq!(stat(&at("other")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(list_dir(ground.path()).unwrap(), ["dir"]);
        assert_eq!(stat_dir(ground.path()).unwrap().kind, FileKind::Directory);
    }

    #[test]
    fn in_what_is_no_directory_nothing_is_found_and_nothing_is_made() {
        let (ground, dir) = ground();
        for (between, kind) in [(dir.inside("entry".as_ref()), ErrorKind::NotADirectory), (dir, ErrorKind::NotFound)] {
            let at = Location::beside(ground.path(), "none".as_ref()).inside("x".as_ref());
            let at = if kind == ErrorKind::NotFound { at } else { between.inside("x".as_ref()) };
            for failed in [
                create(&at, b"", &mut |_| None).map(drop),
                make_dir(&at).map(drop),
                stat(&at).map(drop),
                read(&at, 9).map(drop),
                list(&at).map(drop),
                set_times(&at, Meant { id: None, owner: 0 }, Times::Accessed(from_ticks(1))).map(drop),
                unlink(&at),
                rmdir(&at),
                open_to_watch(&at).map(drop),
            ] {
                assert_eq!(failed.unwrap_err().kind(), kind, "{at:?}");
            }
        }
    }

    #[test]
    fn what_is_made_in_a_new_directory_is_made_there_whatever_has_its_name_by_then() {
        let ground = tempfile::tempdir().unwrap();
        let [dir, away] = ["dir", "away"].map(|name| Location::beside(ground.path(), name.as_ref()));
        let new = make_dir(&dir).unwrap();
        rename(&dir, &away).unwrap();
        make_dir(&dir).unwrap();
        new.create("entry".as_ref(), b"ours", 0o644, &mut |_| None).unwrap();
        assert_eq!(list(&dir).unwrap(), [""; 0]);
        assert_eq!(list(&away).unwrap(), ["entry"]);
    }

    #[test]
    fn of_a_file_that_is_not_meant_nothing_is_changed() {
        let (ground, dir) = ground();
        let (entry, other) = (dir.inside("entry".as_ref()), Location::beside(ground.path(), "other".as_ref()));
        let meant = create(&other, b"", &mut |_| None).unwrap();
        let before = stat(&entry).unwrap();
        let expiry = from_ticks(1 << 57);
        for meant in [Meant { id: Some(meant.id), owner: 0 }, Meant { id: None, owner: 1 }] {
            for times in [Times::Modified(expiry), Times::Accessed(expiry)] {
                assert_eq!(set_times(&entry, meant, times).unwrap_err().kind(), ErrorKind::NotFound);
            }
        }
        assert_eq!(stat(&entry).unwrap(), before);
        let set = set_times(&entry, Meant { id: Some(before.id), owner: 0 }, Times::Modified(expiry)).unwrap();
        assert_eq!(set.mtime, expiry);
    }

    #[test]
    fn a_new_file_that_cannot_be_filled_is_removed_and_not_what_has_its_name_by_then() {
        let (_ground, dir) = ground();
        let (entry, away) = (dir.inside("new".as_ref()), dir.as_path().join("away"));
        // No time that a file can have.
        let expiry = ServerTime::from_parts(i64::MIN, 0);
        create(&entry, b"", &mut |_| Some(expiry)).unwrap_err();
        assert_eq!(list(&dir).unwrap(), ["entry"]);
        let failed = create(&entry, b"", &mut |_| {
            fs::rename(&entry, &away).unwrap();
            fs::write(&entry, "another's").unwrap();
            Some(expiry)
        });
        failed.unwrap_err();
        // Wine 8 knows a file that was moved while it was open by its old name alone, and does not remove it.
        assert_eq!(fs::read(&entry).unwrap(), b"another's");
    }

    #[test]
    fn a_name_that_is_being_deleted_is_gone_for_who_looks_and_taken_for_who_wants_it() {
        let told = || Err::<(), _>(io::Error::from_raw_os_error(ERROR_DELETE_PENDING as i32));
        assert_eq!(gone_if_being_deleted(told()).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(taken_if_being_deleted(told()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let mut tries = 0;
        let told = patiently(|| {
            tries += 1;
            if tries < 3 { told() } else { Ok(()) }
        });
        told.unwrap();
    }

    #[test]
    fn nothing_is_linked_or_moved_into_a_directory_by_its_path() {
        let (ground, dir) = ground();
        let (entry, new) = (dir.inside("entry".as_ref()), Location::beside(ground.path(), "new".as_ref()));
        assert_eq!(link(&entry, &new).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(rename(&new, &entry).unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn times_are_exact_to_a_tick_and_never_rounded_down() {
        let time = ServerTime::from_parts(2_000_000_000, 123_456_700);
        assert_eq!(from_ticks(to_ticks(time)), time);
        let between = ServerTime::from_parts(2_000_000_000, 123_456_701);
        assert_eq!(from_ticks(to_ticks(between)), ServerTime::from_parts(2_000_000_000, 123_456_800));
        assert_eq!(from_ticks(0), ServerTime::from_parts(-EPOCH_SECS, 0));
    }
}
