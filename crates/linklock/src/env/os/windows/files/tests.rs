#![expect(clippy::disallowed_methods, reason = "a test stands outside of what the library asks of the world")]

use std::ffi::OsString;
use std::io::ErrorKind;
use std::ops::ControlFlow;

use tempfile::TempDir;

use super::*;

/// A directory of a lock, with a directory in it that holds an entry.
fn ground() -> (TempDir, Location) {
    let ground = tempfile::tempdir().unwrap();
    let dir = Location::beside(ground.path(), "dir".as_ref());
    make_dir(&dir).unwrap().create("entry".as_ref(), b"ours", 0o644, &mut |_| None).unwrap();
    (ground, dir)
}

fn names(at: &Location) -> Vec<OsString> {
    let mut names = Vec::new();
    let each: &mut Each<'_> = &mut |name, _| {
        names.push(name.to_owned());
        ControlFlow::Continue(())
    };
    list(at, each).unwrap();
    names.sort();
    names
}

/// Wine 8 has no junctions, and follows symbolic links of its Unix whatever it is asked for: what tells them is tried alone.
#[test]
fn what_leads_elsewhere_is_no_directory_to_work_in() {
    let of = |attributes| expect_directory(kind_of(attributes)).map_err(|e| e.kind());
    for other in [FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT, FILE_ATTRIBUTE_REPARSE_POINT, 0] {
        assert_eq!(of(other), Err(ErrorKind::NotADirectory), "{other:x}");
    }
    assert_eq!(of(FILE_ATTRIBUTE_DIRECTORY), Ok(()));
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
    assert_eq!(names(&at("7")), [""; 0]);
    assert_eq!(names(&dir), ["7", "entry", "other"]);
    assert_eq!(rmdir(&dir).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    assert_eq!(rmdir(&at("other")).unwrap_err().kind(), ErrorKind::NotADirectory);
    assert_eq!(unlink(&at("7")).unwrap_err().kind(), ErrorKind::PermissionDenied);
    rmdir(&at("7")).unwrap();
    unlink(&at("other")).unwrap();
    assert_eq!(stat(&at("other")).unwrap_err().kind(), ErrorKind::NotFound);
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
            list(&at, &mut |_, _| ControlFlow::Break(())),
            set_times(&at, Meant { id: None, owner: 0, is_alone: false }, Times::Accessed(from_ticks(1))).map(drop),
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
    assert_eq!(names(&dir), [""; 0]);
    assert_eq!(names(&away), ["entry"]);
}

#[test]
fn of_a_file_that_is_not_meant_nothing_is_changed() {
    let (ground, dir) = ground();
    let (entry, other) = (dir.inside("entry".as_ref()), Location::beside(ground.path(), "other".as_ref()));
    let meant = create(&other, b"", &mut |_| None).unwrap();
    let before = stat(&entry).unwrap();
    let expiry = from_ticks(1 << 57);
    for meant in
        [Meant { id: Some(meant.id), owner: 0, is_alone: false }, Meant { id: None, owner: 1, is_alone: false }]
    {
        for times in [Times::Modified(expiry), Times::Accessed(expiry)] {
            assert_eq!(set_times(&entry, meant, times).unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
    assert_eq!(stat(&entry).unwrap(), before);
    let set =
        set_times(&entry, Meant { id: Some(before.id), owner: 0, is_alone: false }, Times::Modified(expiry)).unwrap();
    assert_eq!(set.mtime, expiry);
}

#[test]
fn a_new_file_that_cannot_be_filled_is_removed_and_not_what_has_its_name_by_then() {
    let (_ground, dir) = ground();
    let (entry, away) = (dir.inside("new".as_ref()), dir.as_path().join("away"));
    // No time that a file can have.
    let expiry = ServerTime::from_parts(i64::MIN, 0);
    create(&entry, b"", &mut |_| Some(expiry)).unwrap_err();
    assert_eq!(names(&dir), ["entry"]);
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
    for status in [STATUS_DELETE_PENDING, STATUS_FILE_DELETED] {
        // Asked right after the call, as it is meant to be.
        let told = || Err::<(), _>(relative::error_of(status));
        assert_eq!(told().map_err(gone_if_being_deleted).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(taken_if_being_deleted(told()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let mut tries = 0;
        let told = patiently(|| {
            tries += 1;
            if tries < 3 { told() } else { Ok(()) }
        });
        told.unwrap();
    }
}

#[test]
fn a_rename_moves_files_and_directories_and_replaces_neither() {
    let ground = tempfile::tempdir().unwrap();
    let at = |name: &str| Location::beside(ground.path(), name.as_ref());
    let file = create(&at("file"), b"", &mut |_| None).unwrap();
    make_dir(&at("dir")).unwrap();
    for (from, to) in [("file", "dir"), ("dir", "file")] {
        assert_eq!(rename(&at(from), &at(to)).unwrap_err().kind(), ErrorKind::AlreadyExists, "{from}");
    }
    assert_eq!(rename(&at("none"), &at("new")).unwrap_err().kind(), ErrorKind::NotFound);
    rename(&at("file"), &at("new file")).unwrap();
    rename(&at("dir"), &at("new dir")).unwrap();
    assert_eq!(stat(&at("new file")).unwrap().id, file.id);
    create(&at("file"), b"", &mut |_| None).unwrap();
    assert_eq!(rename(&at("file"), &at("new file")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(stat(&at("new file")).unwrap().id, file.id);
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
