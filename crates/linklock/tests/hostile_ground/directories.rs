//! Directories in which no claim can be made.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use linklock::{ErrorKind, Lock, Protocol, Wait};

use crate::common::{BOTH, Ground, long_ago, plant, say};
use crate::kernel::{LINKS, RENAMES, as_nobody, is_root, with_failing};
use crate::no_directory::{assert_clear, try_acquire};
use crate::snapshot;

#[test]
fn a_directory_without_write_permission_is_named() {
    for protocol in BOTH {
        let ground = Ground::new();
        fs::set_permissions(ground.dir(), fs::Permissions::from_mode(0o555)).unwrap();
        // Permissions do not bind root.
        let tried = if is_root() {
            as_nobody(|| try_acquire(protocol, &ground.lock()))
        } else {
            try_acquire(protocol, &ground.lock())
        };
        fs::set_permissions(ground.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_clear(&tried.unwrap_err(), ErrorKind::Permission, &ground.lock(), "write permission");
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn a_directory_that_may_not_even_be_searched_is_named() {
    for protocol in BOTH {
        let ground = Ground::new();
        fs::set_permissions(ground.dir(), fs::Permissions::from_mode(0o000)).unwrap();
        let lock = Lock::builder(ground.lock()).protocol(protocol).build().unwrap();
        let look = || (lock.inspect().map(drop), lock.acquire_with(&Wait::never()).map(drop));
        let (looked, tried) = if is_root() { as_nobody(look) } else { look() };
        fs::set_permissions(ground.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_clear(&looked.unwrap_err(), ErrorKind::Permission, &ground.lock(), "look at the lock");
        assert_clear(&tried.unwrap_err(), ErrorKind::Permission, &ground.lock(), "make a claim");
    }
}

#[test]
fn a_file_system_without_room_is_named_and_nothing_is_left_there() {
    for protocol in BOTH {
        for errno in [libc::ENOSPC, libc::EDQUOT] {
            let ground = Ground::new();
            match with_failing(&[libc::SYS_write], errno, || try_acquire(protocol, &ground.lock())) {
                Ok(tried) => {
                    assert_clear(&tried.unwrap_err(), ErrorKind::CannotCreate, &ground.lock(), "make room");
                }
                Err(e) => say(&format!("not run: no room for a claim's content: no seccomp here: {e}")),
            }
            assert_eq!(ground.names(), [""; 0], "{protocol}");
        }
    }
}

#[test]
fn a_claim_that_fails_late_leaves_nothing() {
    const SET_TIMES: &[libc::c_long] = &[libc::SYS_utimensat];
    // So NFS says that there was no room for what was written.
    const CLOSE: &[libc::c_long] = &[libc::SYS_close];
    let of_protocol = |protocol| match protocol {
        Protocol::Dir => [(CLOSE, libc::ENOSPC), (RENAMES, libc::EIO), (RENAMES, libc::ENOSPC)].as_slice(),
        _ => &[(SET_TIMES, libc::EIO), (CLOSE, libc::ENOSPC), (LINKS, libc::EIO), (LINKS, libc::EDQUOT)],
    };
    for protocol in BOTH {
        for &(calls, errno) in of_protocol(protocol) {
            let ground = Ground::new();
            match with_failing(calls, errno, || try_acquire(protocol, &ground.lock())) {
                Ok(tried) => {
                    let error = tried.expect_err("the call that fails is needed");
                    assert_eq!(error.path(), Some(&*ground.lock()), "{protocol}: {calls:?}: {error}");
                }
                Err(e) => say(&format!("not run: calls {calls:?} that fail: no seccomp here: {e}")),
            }
            assert_eq!(ground.names(), [""; 0], "{protocol}: calls {calls:?} that fail with {errno}");
        }
    }
}

/// A file system of its own, for root.
struct Mounted(Ground);

impl Mounted {
    fn tmpfs(options: &str) -> Option<Self> {
        let ground = Ground::new();
        if !is_root() {
            say("not run: a real small file system: only root can mount one");
            return None;
        }
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(ground.dir()).output();
        if mounted.as_ref().is_ok_and(|out| out.status.success()) {
            return Some(Self(ground));
        }
        say(&format!("not run: a real small file system: {mounted:?}"));
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Left over, it would keep its directory from being removed, which nobody minds.
        let _ = Command::new("umount").arg(self.0.dir()).output();
    }
}

#[test]
fn a_real_file_system_that_is_full_is_named_if_root_can_mount_one() {
    // Full of data, and full of files.
    for options in ["size=16k", "nr_inodes=8"] {
        let Some(Mounted(ground)) = &Mounted::tmpfs(options) else { return };
        let mut fillers = (0..).map(|i| ground.dir().join(format!("filler{i}")));
        while fs::write(fillers.next().unwrap(), [1; 4096]).is_ok() {}
        let before = snapshot::of(ground.dir());
        for protocol in BOTH {
            let error = try_acquire(protocol, &ground.lock()).unwrap_err();
            assert_clear(&error, ErrorKind::CannotCreate, &ground.lock(), "make room");
            assert_eq!(snapshot::of(ground.dir()), before, "{protocol}: {options}");
        }
    }
}

#[test]
fn a_real_file_system_that_is_read_only_is_named_if_root_can_mount_one() {
    let Some(mounted) = Mounted::tmpfs("size=64k") else { return };
    let ground = &mounted.0;
    plant(Protocol::Link, &ground.lock(), long_ago());
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(ground.dir()).status().unwrap();
    assert!(remounted.success());
    let before = snapshot::of(ground.dir());
    for protocol in BOTH {
        let error = try_acquire(protocol, &ground.lock()).unwrap_err();
        assert_clear(&error, ErrorKind::Permission, &ground.lock(), "make a claim");
        assert_eq!(snapshot::of(ground.dir()), before, "{protocol}");
    }
}
