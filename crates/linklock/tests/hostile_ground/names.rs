//! Lock paths that are too long, ambiguous, no text, or mean another place later.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use linklock::{ErrorKind, Lock, Protocol, State, Which};

use crate::common::{BOTH, Ground, HOUR, assert_names_holder, long_ago, plant, say};
use crate::kernel::with_own_cwd;
use crate::snapshot;

#[test]
fn a_name_that_leaves_no_room_for_a_claim_is_refused() {
    for protocol in BOTH {
        for length in [255, 256, 5000] {
            let ground = Ground::new();
            let path = ground.dir().join("x".repeat(length));
            let error = Lock::builder(&path).protocol(protocol).build().unwrap().try_acquire().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CannotCreate, "{protocol}: {length} bytes: {error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{protocol}: {error}");
            assert_eq!(ground.names(), [""; 0], "{protocol}");
        }
    }
}

/// Breakers of the link protocol make claims whose names are longer than a holder's.
#[test]
fn a_lock_with_the_longest_name_that_can_be_acquired_can_be_broken_too() {
    for protocol in BOTH {
        let ground = Ground::new();
        let lock_at = |path: &Path| {
            let builder = Lock::builder(path).protocol(protocol).grace(Duration::ZERO);
            builder.host("host.example").build().unwrap()
        };
        let longest = (1..=255).rev().find_map(|length| {
            let path = ground.dir().join("x".repeat(length));
            lock_at(&path).try_acquire().ok().map(|guard| (guard.release().unwrap(), path).1)
        });
        let path = longest.expect("some name is short enough");
        plant(protocol, &path, long_ago());
        let bytes = path.file_name().unwrap().len();
        lock_at(&path).try_acquire().unwrap_or_else(|e| panic!("{protocol}: {bytes} bytes: {e}")).release().unwrap();
    }
}

#[test]
fn a_path_that_holds_the_separator_is_refused_and_another_separator_helps() {
    for protocol in BOTH {
        for name in ["lo|ck", "a|b/lock"] {
            let ground = Ground::new();
            fs::create_dir(ground.dir().join("a|b")).unwrap();
            let path = ground.dir().join(name);
            let error = Lock::builder(&path).protocol(protocol).build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{protocol}: {error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{protocol}: {error}");
            let before = snapshot::of(ground.dir());
            let lock = Lock::builder(&path).protocol(protocol).separator('^').build().unwrap();
            let guard = lock.acquire().unwrap();
            assert_eq!(&lock.inspect().unwrap().holder.unwrap().token, guard.token(), "{protocol}");
            guard.release().unwrap();
            assert_eq!(snapshot::of(ground.dir()), before, "{protocol}");
        }
    }
}

#[test]
fn a_path_that_is_not_utf_8_is_as_good_as_any() {
    for protocol in BOTH {
        for place in [&b"l\xffck"[..], b"d\xfe/l\xffck"] {
            let ground = Ground::new();
            fs::create_dir(ground.dir().join(OsStr::from_bytes(b"d\xfe"))).unwrap();
            let path = ground.dir().join(OsStr::from_bytes(place));
            let before = snapshot::of(ground.dir());
            let lock = Lock::builder(&path).protocol(protocol).lifetime(HOUR).build().unwrap();
            let token = lock.acquire().unwrap().leave();
            let status = lock.inspect().unwrap();
            assert_eq!(
                (status.state, status.holder.map(|h| h.token)),
                (State::Held, Some(token.clone())),
                "{protocol}"
            );
            assert!(lock.try_acquire().unwrap_err().is_timeout(), "{protocol}");
            let guard = lock.adopt(&token).unwrap();
            guard.refresh().unwrap();
            guard.check().unwrap();
            let broken = lock.break_lock(&Which::Claim(token.clone())).unwrap().unwrap();
            assert_eq!(broken.holder.map(|h| h.token), Some(token), "{protocol}");
            assert!(guard.release().unwrap_err().error.is_lost(), "{protocol}");
            lock.acquire().unwrap().release().unwrap();
            assert_eq!(snapshot::of(ground.dir()), before, "{protocol}");
        }
    }
}

#[test]
fn a_relative_path_means_the_same_lock_after_the_working_directory_was_changed() {
    for protocol in BOTH {
        let ground = Ground::new();
        let (here, there) = (ground.dir().join("here"), ground.dir().join("there"));
        fs::create_dir(&here).unwrap();
        fs::create_dir(&there).unwrap();
        let acted = with_own_cwd(|| {
            std::env::set_current_dir(&here).unwrap();
            let lock = Lock::builder("lock").protocol(protocol).build().unwrap();
            std::env::set_current_dir(&there).unwrap();
            let guard = lock.acquire().unwrap();
            assert_eq!((guard.path(), lock.path()), (&*here.join("lock"), &*here.join("lock")), "{protocol}");
            std::env::set_current_dir("/").unwrap();
            guard.refresh().unwrap();
            let same = Lock::builder(here.join("lock")).protocol(protocol).build().unwrap();
            assert_eq!(&same.inspect().unwrap().holder.unwrap().token, guard.token(), "{protocol}");
            guard.release().unwrap();
        });
        if let Err(e) = acted {
            say(&format!("not run: a later chdir: a thread cannot have a working directory of its own here: {e}"));
        }
        assert_eq!(snapshot::of(&there).len() + snapshot::of(&here).len(), 0, "{protocol}");
    }
}

#[test]
fn a_directory_that_is_reached_by_a_symbolic_link_has_the_same_lock() {
    for protocol in BOTH {
        let ground = Ground::new();
        fs::create_dir(ground.dir().join("directory")).unwrap();
        symlink("directory", ground.dir().join("link")).unwrap();
        let at = |dir: &str| {
            let builder = Lock::builder(ground.dir().join(dir).join("lock")).protocol(protocol);
            builder.grace(Duration::ZERO).build().unwrap()
        };
        let (direct, linked) = (at("directory"), at("link"));
        for (holder, contender) in [(&direct, &linked), (&linked, &direct)] {
            let guard = holder.acquire().unwrap();
            let error = contender.try_acquire().unwrap_err();
            assert_names_holder(&error, &guard);
            guard.refresh().unwrap();
            guard.release().unwrap();
        }
        plant(protocol, &ground.dir().join("directory/lock"), long_ago());
        linked.try_acquire().unwrap().release().unwrap();
        assert_eq!(ground.names(), ["directory", "link"], "{protocol}");
    }
}

#[test]
fn a_path_without_a_name_is_refused() {
    for path in ["", "/", "..", "/tmp/.."] {
        let error = Lock::new(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{path:?}: {error}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let builder = || Lock::builder(Path::new("/tmp/lock")).protocol(Protocol::Link);
    let refused = [
        builder().lifetime(Duration::ZERO),
        builder().lifetime(Duration::MAX),
        builder().grace(Duration::MAX),
        builder().mode(0o755),
        builder().mode(0o044),
        builder().separator('/'),
        builder().separator('a'),
        builder().host(""),
        builder().host("a|b"),
        builder().host("a/b"),
    ];
    for builder in refused {
        let shown = format!("{builder:?}");
        let error = builder.build().expect_err(&shown);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{shown}: {error}");
    }
}
