//! File systems without hard links.

use std::process::Command;
use std::time::Duration;

use linklock::{ErrorKind, Lock, Protocol, Wait};

use crate::common::{Ground, HOUR, say};
use crate::kernel::{LINKS, is_root, with_failing};

#[test]
fn where_links_are_refused_the_error_names_the_dir_protocol_which_works_there() {
    // As link(2) has it, and as some network and FUSE file systems do.
    for errno in [libc::EPERM, libc::EOPNOTSUPP, libc::ENOSYS, libc::EMLINK] {
        let ground = Ground::new();
        let acted = with_failing(LINKS, errno, || {
            let builder = || Lock::builder(ground.lock());
            let error = builder().build().unwrap().acquire_with(&Wait::never()).unwrap_err();
            assert_eq!((error.kind(), error.path()), (ErrorKind::Unsupported, Some(&*ground.lock())), "{error}");
            assert!(error.to_string().contains("dir protocol"), "{error}");
            assert_eq!(ground.names(), [""; 0], "nothing is left");
            let dir = builder().protocol(Protocol::Dir).build().unwrap();
            let guard = dir.acquire().unwrap();
            guard.refresh().unwrap();
            assert!(dir.acquire_with(&Wait::never()).unwrap_err().is_timeout());
            guard.release().unwrap();
        });
        if let Err(e) = acted {
            say(&format!("not run: links that are refused: no seccomp here: {e}"));
        }
    }
}

/// FAT has no hard links, no `|` in names, times of two seconds, and a ctime that is always the mtime.
#[test]
fn on_a_real_fat_file_system_the_dir_protocol_excludes_if_root_can_mount_one() {
    let ground = Ground::new();
    let Some(_mounted) = Fat::mount(&ground) else { return };
    let path = ground.dir().join("mounted/lock");
    let builder = || Lock::builder(&path).separator('^');
    let error = builder().build().unwrap().acquire_with(&Wait::never()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("dir protocol"), "{error}");

    let short = builder().protocol(Protocol::Dir).build().unwrap();
    let guard = short.acquire().unwrap();
    let long = builder().protocol(Protocol::Dir).lifetime(HOUR).build().unwrap();
    assert!(
        long.acquire_with(&Wait::never()).unwrap_err().is_timeout(),
        "a contender with a longer lifetime breaks nothing"
    );
    for _ in 0..3 {
        guard.refresh().unwrap();
    }
    let remaining = short.inspect().unwrap().remaining.unwrap();
    assert!(remaining < Duration::from_secs(25), "refreshes add up: {remaining:?} of 15 s");
    guard.check().unwrap();
    guard.release().unwrap();
}

/// A FAT file system in a file, below the ground's directory.
struct Fat<'a>(&'a Ground);

impl<'a> Fat<'a> {
    fn mount(ground: &'a Ground) -> Option<Self> {
        if !is_root() {
            say("not run: a real FAT file system: only root can mount one");
            return None;
        }
        let script = "truncate -s 4M image && mkfs.vfat image && mkdir mounted && mount -o loop image mounted";
        let made = Command::new("sh").args(["-ec", script]).current_dir(ground.dir()).output().unwrap();
        if made.status.success() {
            return Some(Self(ground));
        }
        say(&format!("not run: a real FAT file system: {}", String::from_utf8_lossy(&made.stderr).trim()));
        None
    }
}

impl Drop for Fat<'_> {
    fn drop(&mut self) {
        // Left over, it would keep its directory from being removed, which nobody minds.
        let _ = Command::new("umount").arg(self.0.dir().join("mounted")).output();
    }
}
