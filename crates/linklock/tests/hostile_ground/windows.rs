//! What only Windows has: names that mean something else, files that are not shared, names that are being deleted, and
//! junctions.

use std::fs::{self, File, OpenOptions};
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use linklock::{ErrorKind, Lock, Protocol, Wait, Which};

use crate::common::{BOTH, Ground, HOUR, LONG, assert_names_holder, named, plant, say};
use crate::snapshot;

const SHORT: Duration = Duration::from_millis(30);
const SHARE_READ_AND_WRITE: u32 = 3;

#[test]
fn a_name_that_windows_would_take_for_something_else_is_refused() {
    for protocol in BOTH {
        for (name, why) in [
            ("NUL", "device"),
            ("com1.lock", "device"),
            ("Aux .lock", "device"),
            ("job:lock", "stream"),
            ("job.", "dot or a space"),
            ("job ", "dot or a space"),
            ("a*b", "'*'"),
            ("NUL/lock", "device"),
        ] {
            let ground = Ground::new();
            let path = ground.dir().join(name);
            let error = Lock::builder(&path).protocol(protocol).build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}: {error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "names the path: {error}");
            assert!(error.to_string().contains(why), "{name:?}: {error}");
            assert_eq!(ground.names(), [""; 0], "{name:?}");
        }
    }
}

#[test]
fn a_path_in_other_case_is_the_same_lock() {
    for protocol in BOTH {
        let ground = Ground::new();
        let at = |name: &str| Lock::builder(ground.dir().join(name)).protocol(protocol).build().unwrap();
        let guard = at("Job.Lock").acquire().unwrap();
        let error = at("jOB.lOCK").acquire_with(&Wait::never()).unwrap_err();
        assert_names_holder(&error, &guard);
        guard.release().unwrap();
        at("jOB.lOCK").acquire_with(&Wait::never()).unwrap().release().unwrap();
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

/// The file that carries the claim, as its holder has it at the lock path.
fn held_file(protocol: Protocol, ground: &Ground) -> PathBuf {
    match protocol {
        Protocol::Dir => fs::read_dir(ground.lock()).unwrap().next().unwrap().unwrap().path(),
        _ => ground.lock(),
    }
}

/// As a scanner does, or a peer that is written in Python.
fn open_without_sharing_deletion(path: &Path) -> File {
    OpenOptions::new().read(true).share_mode(SHARE_READ_AND_WRITE).open(path).unwrap()
}

#[test]
fn a_release_waits_a_moment_for_a_reader_that_does_not_share() {
    for protocol in BOTH {
        let ground = Ground::new();
        let guard = Lock::builder(ground.lock()).protocol(protocol).lifetime(HOUR).build().unwrap().acquire().unwrap();
        let reader = open_without_sharing_deletion(&held_file(protocol, &ground));
        let closing = std::thread::spawn(move || {
            std::thread::sleep(SHORT);
            drop(reader);
        });
        guard.release().unwrap_or_else(|e| panic!("{protocol}: {e}"));
        closing.join().unwrap();
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn a_release_that_a_reader_is_in_the_way_of_can_be_tried_again() {
    for protocol in BOTH {
        let ground = Ground::new();
        let guard = Lock::builder(ground.lock()).protocol(protocol).lifetime(HOUR).build().unwrap().acquire().unwrap();
        let reader = open_without_sharing_deletion(&held_file(protocol, &ground));
        let failed = guard.release().unwrap_err();
        assert_eq!(failed.error().kind(), ErrorKind::Io, "{protocol}: {failed}");
        assert!(failed.to_string().contains(ground.lock().to_str().unwrap()), "{protocol}: names the path: {failed}");
        drop(reader);
        failed.into_parts().1.release().unwrap_or_else(|e| panic!("{protocol}: {e}"));
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

/// A name that is being deleted is there until its last handle is closed: nobody can have it until then, and nobody is told
/// an error of it.
#[test]
fn a_lock_path_that_is_being_deleted_is_waited_for() {
    for protocol in BOTH {
        let ground = Ground::new();
        plant(protocol, &ground.lock(), SystemTime::now() + HOUR);
        let file = held_file(protocol, &ground);
        let kept = File::open(&file).unwrap();
        // From here on it is being deleted.
        fs::remove_file(&file).unwrap();
        let lock = Lock::builder(ground.lock()).protocol(protocol).build().unwrap();
        let tried = lock.acquire_with(&Wait::never()).map(drop);
        // Windows from version 1809 on may remove the name at once.
        assert!(tried.as_ref().map_or_else(linklock::Error::is_timeout, |()| true), "{protocol}: {tried:?}");
        let waiting = std::thread::spawn(move || lock.acquire_with(&Wait::up_to(LONG)).map(|guard| guard.release()));
        std::thread::sleep(SHORT);
        drop(kept);
        waiting.join().unwrap().unwrap_or_else(|e| panic!("{protocol}: {e}")).unwrap();
        assert!(!ground.lock().exists(), "{protocol}");
    }
}

#[test]
fn a_lock_whose_files_were_made_read_only_is_released_or_its_error_names_the_path() {
    for protocol in BOTH {
        let ground = Ground::new();
        let guard = Lock::builder(ground.lock()).protocol(protocol).lifetime(HOUR).build().unwrap().acquire().unwrap();
        let file = held_file(protocol, &ground);
        let mut permissions = fs::metadata(&file).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&file, permissions.clone()).unwrap();
        // Wine 8, and Windows before version 1809, refuse to remove such a file.
        if let Err(e) = guard.release() {
            say(&format!("{protocol}: this system keeps what is read-only: {e}"));
            assert!(e.to_string().contains(ground.lock().to_str().unwrap()), "{protocol}: {e}");
            #[expect(clippy::permissions_set_readonly_false, reason = "here it is no more than an attribute")]
            permissions.set_readonly(false);
            fs::set_permissions(&file, permissions).unwrap();
            e.into_parts().1.release().unwrap_or_else(|e| panic!("{protocol}: {e}"));
        }
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

/// A directory outside of the lock's, with something in it.
struct Outside(Ground);

impl Outside {
    fn new() -> Self {
        let outside = Self(Ground::new());
        fs::write(outside.0.dir().join("precious"), "precious").unwrap();
        outside
    }

    /// Puts a junction to it there: any user can make one. Wine 8 makes none, by `mklink /J` or FSCTL_SET_REPARSE_POINT, and
    /// what its Unix has in place of one, a symbolic link, it follows whatever it is asked for. So these tests are for Windows
    /// itself. By Wine, the library's own show that what is in a directory is reached by its handle, and which is refused.
    fn stands_at(&self, at: &Path) -> bool {
        const REPARSE_POINT: u32 = 0x400;
        let mut cmd = Command::new("cmd");
        let made = cmd.args(["/c", "mklink", "/J"]).arg(at).arg(self.0.dir()).output();
        let stands = fs::symlink_metadata(at).is_ok_and(|data| data.file_attributes() & REPARSE_POINT != 0);
        if !stands {
            say(&format!("not run: a junction in the way: this system makes none: {made:?}"));
        }
        stands
    }
}

#[test]
fn a_junction_at_the_lock_path_is_left_alone_and_so_is_what_is_behind_it() {
    for protocol in BOTH {
        let (ground, outside) = (Ground::new(), Outside::new());
        if !outside.stands_at(&ground.lock()) {
            return;
        }
        let before = [snapshot::of(ground.dir()), snapshot::of(outside.0.dir())];
        let lock = Lock::builder(ground.lock()).protocol(protocol).grace(Duration::ZERO).build().unwrap();
        for error in [
            lock.acquire_with(&Wait::never()).map(drop).unwrap_err(),
            lock.break_lock(&Which::Any).map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotALock, "{protocol}: {error}");
            assert!(error.to_string().contains(ground.lock().to_str().unwrap()), "{protocol}: names the path: {error}");
        }
        assert_eq!([snapshot::of(ground.dir()), snapshot::of(outside.0.dir())], before, "{protocol}");
    }
}

#[test]
fn a_release_removes_nothing_behind_a_junction_that_took_the_place_of_its_directory() {
    let (ground, outside) = (Ground::new(), Outside::new());
    let lock = Lock::builder(ground.lock()).protocol(Protocol::Dir).lifetime(HOUR).build().unwrap();
    let guard = lock.acquire().unwrap();
    // Of the very name that a release removes.
    fs::write(outside.0.dir().join(guard.token().as_os_str()), "precious").unwrap();
    fs::rename(ground.lock(), ground.dir().join("away")).unwrap();
    if !outside.stands_at(&ground.lock()) {
        return;
    }
    let before = snapshot::of(outside.0.dir());
    guard.refresh().unwrap_err();
    let failed = guard.release().unwrap_err();
    assert!(failed.error().is_lost(), "{failed}");
    assert!(failed.to_string().contains(ground.lock().to_str().unwrap()), "names the path: {failed}");
    assert_eq!(snapshot::of(outside.0.dir()), before);
}

#[test]
fn nothing_is_made_behind_a_junction_in_the_place_of_the_counter() {
    for protocol in BOTH {
        let (ground, outside) = (Ground::new(), Outside::new());
        // A number that the counter would remove, were it its own.
        fs::create_dir(outside.0.dir().join("1")).unwrap();
        let at = ground.dir().join(named("lock|fence"));
        if !outside.stands_at(&at) {
            return;
        }
        let before = snapshot::of(outside.0.dir());
        let lock = Lock::builder(ground.lock()).protocol(protocol).fence(true).build().unwrap();
        let error = lock.acquire_with(&Wait::never()).map(drop).unwrap_err();
        assert!(error.to_string().contains(at.to_str().unwrap()), "{protocol}: names what is in the way: {error}");
        assert_eq!(snapshot::of(outside.0.dir()), before, "{protocol}");
    }
}

#[test]
fn who_finds_a_junction_in_the_place_of_the_queue_waits_out_of_order_and_makes_nothing_behind_it() {
    for protocol in BOTH {
        let (ground, outside) = (Ground::new(), Outside::new());
        if !outside.stands_at(&ground.dir().join(named("lock|queue"))) {
            return;
        }
        let before = snapshot::of(outside.0.dir());
        let lock = Lock::builder(ground.lock()).protocol(protocol).lifetime(HOUR).queue(true).build().unwrap();
        let held = lock.acquire_with(&Wait::never()).unwrap();
        let waiting = std::thread::spawn(move || lock.acquire_with(&Wait::up_to(LONG)).map(|guard| guard.release()));
        // In which it would queue up.
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(snapshot::of(outside.0.dir()), before, "{protocol}");
        held.release().unwrap();
        waiting.join().unwrap().unwrap_or_else(|e| panic!("{protocol}: {e}")).unwrap();
        assert_eq!(snapshot::of(outside.0.dir()), before, "{protocol}");
    }
}
