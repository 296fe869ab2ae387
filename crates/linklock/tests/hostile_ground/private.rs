//! Directories that other users may write: what root is warned about, and what is refused if a private directory is required.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use linklock::{Error, ErrorKind, Lock};

use crate::common::{BOTH, Ground, say};
use crate::kernel::{NOBODY, as_nobody, is_root};
use crate::log;

fn ground(mode: u32, owner: Option<u32>) -> Ground {
    let ground = Ground::new();
    chown(ground.dir(), owner, owner).unwrap();
    fs::set_permissions(ground.dir(), fs::Permissions::from_mode(mode)).unwrap();
    ground
}

fn required(lock: &Path) -> Result<(), Error> {
    BOTH.iter().try_for_each(|protocol| {
        let lock = Lock::builder(lock).protocol(*protocol).require_private(true).build()?;
        Ok(lock.acquire()?.release()?)
    })
}

#[test]
fn a_private_directory_is_one_that_nobody_else_may_write_to() {
    for mode in [0o700, 0o755, 0o1755, 0o750] {
        required(&ground(mode, None).lock()).unwrap_or_else(|e| panic!("{mode:o}: {e}"));
    }
    for (mode, who) in [
        (0o777, "everybody (mode 0777)"),
        (0o1777, "everybody (mode 1777)"),
        (0o702, "everybody (mode 0702)"),
        (0o2775, "its group (mode 2775)"),
        (0o720, "its group (mode 0720)"),
    ] {
        let ground = ground(mode, None);
        let error = required(&ground.lock()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        let text = error.to_string();
        assert!(text.contains(who) && text.contains("chmod go-w"), "{text}");
        assert_eq!(error.path(), Some(ground.lock().as_path()));
        assert_eq!(ground.names(), [""; 0], "nothing was created");
    }
}

#[test]
fn a_private_directory_belongs_to_this_user_or_to_root_if_run_by_root() {
    if !is_root() {
        return say("not run: whose a private directory is: only root can be several users");
    }
    let error = required(&ground(0o755, Some(NOBODY)).lock()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert!(error.to_string().contains("its directory belongs to nobody,"), "{error}");
    as_nobody(|| required(&ground(0o755, None).lock())).unwrap();
    // No other user may write it. That its owner may not either does not matter here.
    let roots = ground(0o755, None);
    let error = as_nobody(|| required(&roots.lock()).unwrap_err());
    assert!(error.to_string().contains("the user needs write permission"), "{error}");
    let anothers = ground(0o755, Some(1));
    assert!(as_nobody(|| required(&anothers.lock()).unwrap_err()).to_string().contains("belongs to daemon,"));
}

#[test]
fn a_missing_directory_is_reported_as_without_the_requirement() {
    let ground = Ground::new();
    let error = required(&ground.dir().join("missing/lock")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CannotCreate, "{error}");
}

/// The warnings for two locks of one directory, each acquired twice.
fn warnings(ground: &Ground) -> Vec<String> {
    let cycle = || {
        for name in ["one", "other"] {
            let lock = Lock::new(ground.dir().join(name)).unwrap();
            for _ in 0..2 {
                lock.acquire().unwrap().release().unwrap();
            }
        }
    };
    let ((), events) = log::of(cycle);
    events.into_iter().filter(|event| event.starts_with("WARN ")).collect()
}

#[test]
fn root_is_warned_once_about_a_directory_where_others_can_remove_a_held_lock_if_run_by_root() {
    if !is_root() {
        return say("not run: what root is warned of: only root is");
    }
    for (mode, owner, why) in [
        (0o777, None, "can be written to by everybody (mode 0777)"),
        (0o2775, None, "can be written to by its group (mode 2775)"),
        (0o755, Some(NOBODY), "belongs to nobody"),
        // The owner may remove everything in it.
        (0o1777, Some(NOBODY), "belongs to nobody"),
    ] {
        let ground = ground(mode, owner);
        let warned = warnings(&ground);
        let [one] = warned.as_slice() else { panic!("{mode:o}: one warning for a directory: {warned:?}") };
        let dir = ground.dir().to_str().unwrap();
        assert!(one.starts_with(&format!("WARN linklock::private message={dir}: this directory {why}: ")), "{one}");
        assert!(one.contains("can remove a held lock"), "{one}");
    }
    for mode in [0o700, 0o755, 0o1777] {
        assert_eq!(warnings(&ground(mode, None)), [""; 0], "{mode:o}");
    }
    let open = ground(0o777, None);
    assert_eq!(as_nobody(|| warnings(&open)), [""; 0], "others are not warned");
}
