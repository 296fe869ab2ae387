//! Lock paths that are no text, mean another place later, or lead through a link.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::Duration;

use linklock::{Lock, State, Wait, Which};

use crate::common::{BOTH, Ground, HOUR, assert_names_holder, long_ago, plant, say};
use crate::kernel::with_own_cwd;
use crate::snapshot;

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
            assert!(lock.acquire_with(&Wait::never()).unwrap_err().is_timeout(), "{protocol}");
            let guard = lock.adopt(&token).unwrap();
            guard.refresh().unwrap();
            guard.check().unwrap();
            let broken = lock.break_lock(&Which::Claim(token.clone())).unwrap().unwrap();
            assert_eq!(broken.holder.map(|h| h.token), Some(token), "{protocol}");
            assert!(guard.release().unwrap_err().error().is_lost(), "{protocol}");
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
            let error = contender.acquire_with(&Wait::never()).unwrap_err();
            assert_names_holder(&error, &guard);
            guard.refresh().unwrap();
            guard.release().unwrap();
        }
        plant(protocol, &ground.dir().join("directory/lock"), long_ago());
        linked.acquire_with(&Wait::never()).unwrap().release().unwrap();
        assert_eq!(ground.names(), ["directory", "link"], "{protocol}");
    }
}
