//! Lists of all locks, in directories that others may write: nobody can hide a lock, make the list hang, or make it grow without
//! bounds.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use linklock::{Builder, Lock, Protocol, State, Survey};
use rustix::fs::{AtFlags, CWD, FileType, Timespec, Timestamps, mknodat, utimensat};

use crate::common::{BOTH, Ground, HOUR, plant, say};
use crate::forged::assert_harmless;
use crate::kernel::{as_user, is_root};
use crate::snapshot;

fn builder(dir: &Path) -> Builder {
    Lock::builder(dir)
}

/// The names of the locks, and their states; "error" for one that could not be looked at.
fn states(survey: &Survey) -> Vec<(String, String)> {
    let state =
        |found: &linklock::Surveyed| found.status.as_ref().map_or("error".into(), |seen| seen.state.to_string());
    let name = |found: &linklock::Surveyed| found.lock.path().file_name().unwrap().to_string_lossy().into_owned();
    survey.locks.iter().map(|found| (name(found), state(found))).collect()
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, 0o666.into(), 0).unwrap();
}

/// Names as linklock gives them, at which there is something else, and names that only look so.
#[test]
fn what_has_the_names_of_a_lock_and_is_none_hides_no_lock_and_is_not_opened() {
    let ground = Ground::new();
    let at = |name: &str| ground.dir().join(name);
    plant(Protocol::Link, &at("link"), SystemTime::now() + HOUR);
    plant(Protocol::Dir, &at("dir"), SystemTime::now() + HOUR);
    for (n, lock) in ["link", "dir"].into_iter().enumerate() {
        // A claim of each kind that a claim cannot be.
        fifo(&at(&format!("{lock}|h|1|{n}1")));
        symlink(at(lock), at(&format!("{lock}|h|1|{n}2"))).unwrap();
        symlink("/dev/zero", at(&format!("{lock}|h|1|{n}3"))).unwrap();
        fs::create_dir(at(&format!("{lock}|h|1|{n}4"))).unwrap();
        fifo(&at(&format!("{lock}|h|1|{n}4")).join("fifo"));
        // Claims that name another lock, or nothing.
        fs::write(at(&format!("{lock}|h|1|{n}5")), at("other|h|1|2").to_str().unwrap()).unwrap();
        fs::write(at(&format!("{lock}|h|1|{n}6")), vec![0xff; 100_000]).unwrap();
    }
    // A queue, bells and a break lock.
    fs::create_dir(at("link|queue")).unwrap();
    fifo(&at("link|queue").join(format!("{:020}link|h|1|2", 1)));
    symlink("/dev/zero", at("link|queue").join(format!("{:020}link|h|1|3", u64::MAX))).unwrap();
    fs::write(at("link|queue").join(format!("{}link|h|1|4", "9".repeat(20))), "").unwrap();
    fifo(&at("link|break"));
    fifo(&at("dir|queue"));
    symlink("dir|bell", at("dir|bell")).unwrap();
    symlink("x".repeat(4000), at("link|bell")).unwrap();
    fifo(&at("fifo"));
    symlink("loop", at("loop")).unwrap();
    let before = snapshot::of(ground.dir());
    let survey = builder(ground.dir()).survey().unwrap();
    assert_eq!(snapshot::of(ground.dir()), before, "nothing has changed");
    assert_eq!(states(&survey), [("dir".into(), "held".into()), ("link".into(), "held".into())]);
    for found in &survey.locks {
        // A ticket, and what is not known to be no claim, may be a waiter's of another machine.
        assert!(found.waiters.len() < 5, "{:?}", found.waiters);
        assert_eq!(Lock::new(found.lock.path()).unwrap().survey().unwrap().waiters.len(), found.waiters.len());
    }
    assert!(survey.directories.is_empty() && !survey.is_incomplete, "{survey:?}");
}

/// The bug: what had the name of a claim beside it was taken for a lock, and not for a directory. The consequence: by one name beside a
/// directory, anybody could hide all locks in it.
#[test]
fn a_claim_beside_a_directory_does_not_hide_the_locks_in_it() {
    let ground = Ground::new();
    for (name, mode) in [("plain", 0o755), ("sticky", 0o1777)] {
        let dir = ground.dir().join(name);
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(mode)).unwrap();
        plant(Protocol::Link, &dir.join("job"), SystemTime::now() + HOUR);
        fs::write(ground.dir().join(format!("{name}|h|1|2")), "").unwrap();
    }
    let survey = builder(ground.dir()).survey().unwrap();
    let not_a_lock = State::NotALock.to_string();
    assert_eq!(states(&survey), [("plain".into(), not_a_lock.clone()), ("sticky".into(), not_a_lock)]);
    assert_eq!(survey.directories.len(), 2);
    for below in &survey.directories {
        assert_eq!(states(&below.survey().unwrap()), [("job".into(), "held".into())], "{below:?}");
    }
}

#[test]
fn names_of_arbitrary_bytes_are_listed_and_shown_without_harm() {
    const NAMES: [&[u8]; 5] =
        [b"a\nFORGED", b"a\x1b[2J\x9b31m", b"\xff\xfe", "\u{202e}a\u{2028}\u{feff}".as_bytes(), b" -rf $(x) `y` ;"];
    let ground = Ground::new();
    for (n, name) in NAMES.into_iter().enumerate() {
        let path = ground.dir().join(OsStr::from_bytes(name));
        let lock = builder(&path).protocol(BOTH[n % 2]).lifetime(HOUR).host("h\x1b[2J\u{202e}").build().unwrap();
        drop(lock.acquire().unwrap().leave());
    }
    let dir = ground.dir().join(OsStr::from_bytes(b"dir\n\x1b[2J\xff"));
    fs::create_dir(&dir).unwrap();
    let survey = builder(ground.dir()).survey().unwrap();
    assert_eq!(survey.locks.len(), NAMES.len(), "{survey:?}");
    for found in &survey.locks {
        let status = found.status.as_ref().unwrap();
        assert_eq!(status.state, State::Held);
        assert_harmless(&status.holder.as_ref().unwrap().to_string());
        assert_harmless(&linklock::Printable::new(found.lock.path()).to_string());
    }
    fs::remove_dir(&dir).unwrap();
    let gone = survey.directories[0].survey().unwrap_err();
    assert_harmless(&gone.to_string());
}

/// A file system may keep any 64-bit number of seconds.
#[test]
fn times_far_away_are_no_trouble() {
    let ground = Ground::new();
    for (n, secs) in [i64::MIN, i64::MIN + 1, -1, 0, 1 << 33, 1 << 60, i64::MAX - 1, i64::MAX].into_iter().enumerate() {
        for protocol in BOTH {
            let lock = ground.dir().join(format!("{protocol}{n}"));
            let token = plant(protocol, &lock, SystemTime::now() + HOUR);
            let waits = ground.dir().join(format!("{protocol}{n}|elsewhere|1|9{n}"));
            fs::write(&waits, waits.to_str().unwrap()).unwrap();
            let file = if protocol == Protocol::Dir { lock.join(token.as_os_str()) } else { lock };
            for path in [&file, &waits] {
                let time = Timespec { tv_sec: secs, tv_nsec: 0 };
                let times = Timestamps { last_access: time, last_modification: time };
                utimensat(CWD, path, &times, AtFlags::empty()).unwrap();
            }
        }
    }
    let survey = builder(ground.dir()).grace(10 * 365 * 24 * HOUR).survey().unwrap();
    assert_eq!(survey.locks.len(), 16, "{survey:?}");
    assert!(survey.locks.iter().all(|found| found.status.is_ok() && !found.safe_to_break.to_string().is_empty()));
}

/// The bug: names could be listed that could not be looked at, and then no lock was known by what has its name. The consequence: a
/// monitor without the right to look was told that there are no locks.
#[test]
fn a_directory_that_may_be_listed_and_not_looked_into_is_an_error_if_run_by_root() {
    if !is_root() {
        return say("not run: a directory of another user: only root can be several users");
    }
    let ground = Ground::new();
    plant(Protocol::Dir, &ground.lock(), SystemTime::now() + HOUR);
    for (mode, says) in [(0o755, None), (0o744, Some("look into the directory")), (0o711, Some("list the directory"))] {
        fs::set_permissions(ground.dir(), Permissions::from_mode(mode)).unwrap();
        let survey = as_user(4711, 4711, || builder(ground.dir()).survey());
        assert_eq!(survey.as_ref().err().map(ToString::to_string).is_some(), says.is_some(), "{mode:o}: {survey:?}");
        if let (Err(e), Some(says)) = (survey, says) {
            assert!(e.to_string().contains(says) && e.to_string().contains("ermission"), "{mode:o}: {e}");
        }
    }
}

/// So many that whatever is done for each of them with all the others would take hours.
const MANY: usize = 100_000;
/// Much longer than it takes.
const LIMIT: Duration = Duration::from_secs(100);

#[track_caller]
fn in_time<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = act();
    let took = begin.elapsed();
    say(&format!("{MANY} {what}: {took:?}"));
    assert!(took < LIMIT, "{what}: {took:?}");
    done
}

#[test]
fn a_hundred_thousand_claims_of_one_lock_are_listed_in_time() {
    let ground = Ground::new();
    plant(Protocol::Link, &ground.lock(), SystemTime::now() + HOUR);
    let one = File::create(ground.dir().join("lock|h|1|1")).unwrap();
    one.set_modified(SystemTime::now() + HOUR).unwrap();
    for n in 2..MANY {
        // Files of their own take longer to make. A file has at most so many names on ext4.
        let link = fs::hard_link(ground.dir().join("lock|h|1|1"), ground.dir().join(format!("lock|h|1|{n}")));
        if link.is_err() {
            fs::write(ground.dir().join(format!("lock|h|1|{n}")), "").unwrap();
        }
    }
    let survey = in_time("claims", || builder(ground.dir()).survey().unwrap());
    let [found] = &survey.locks[..] else { panic!("one lock: {}", survey.locks.len()) };
    assert_eq!(found.status.as_ref().unwrap().state, State::Held);
    assert!(!survey.is_incomplete);
}

/// The bug: to find the claim of an empty lock, the whole directory was listed, for each such lock. The consequence: a directory with
/// 100,000 of them took hours. The mend: its names are known from the one listing.
#[test]
fn a_hundred_thousand_locks_without_content_are_listed_in_time() {
    let ground = Ground::new();
    for n in 0..MANY / 2 {
        let (lock, claim) = (ground.dir().join(format!("{n}")), ground.dir().join(format!("{n}|h|1|2")));
        File::create(&lock).unwrap().set_modified(SystemTime::now() + HOUR).unwrap();
        fs::hard_link(lock, claim).unwrap();
    }
    let survey = in_time("names of locks", || builder(ground.dir()).survey().unwrap());
    assert_eq!(survey.locks.len(), MANY / 2);
    let is_known = |found: &linklock::Surveyed| found.inspect_again().unwrap().holder.is_some_and(|h| h.host == "h");
    assert!(in_time("names of locks, again", || survey.locks.iter().all(is_known)));
}
