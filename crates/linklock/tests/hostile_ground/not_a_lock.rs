//! What stands at the lock path and is no lock: it is never removed, never truncated, never followed, and never waited for.

use std::fs::{self, File};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use linklock::{Error, ErrorKind, Lock, Protocol, State, Token, Wait, Which};

use crate::common::{BOTH, Ground, LONG, long_ago, make_lock_directory, named, plant};
use crate::snapshot;

const SHORT: Duration = Duration::from_millis(50);

/// Everything that could take a lock or break it, tried on what `make` puts at the lock path.
pub(crate) fn left_alone(what: &str, make: impl Fn(&Path), kinds: &[ErrorKind]) {
    for protocol in BOTH {
        let ground = Ground::new();
        make(&ground.lock());
        let before = snapshot::of(ground.dir());
        for (tried, error) in try_all(&ground.lock(), protocol) {
            let at = format!("{protocol}: {what}: {tried}");
            assert!(kinds.contains(&error.kind()), "{at}: {:?}: {error}", error.kind());
            assert!(error.to_string().contains(ground.lock().to_str().unwrap()), "{at}: names the path: {error}");
            assert_eq!(snapshot::of(ground.dir()), before, "{at}: nothing is changed");
        }
    }
}

/// In a thread of its own: a fault would be to hang.
fn try_all(path: &Path, protocol: Protocol) -> Vec<(&'static str, Error)> {
    let lock = Lock::builder(path).protocol(protocol).grace(Duration::ZERO).build().unwrap();
    let claim = Token::new(named("lock|host|1|2"));
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || {
        let all = vec![
            ("try_acquire", lock.acquire_with(&Wait::never()).map(drop)),
            ("acquire", lock.acquire_with(&Wait::up_to(SHORT)).map(drop)),
            ("break whatever is over", lock.break_lock(&Which::Expired).map(drop)),
            ("break whatever is there", lock.break_lock(&Which::Any).map(drop)),
            ("break a claim", lock.break_lock(&Which::Claim(claim.clone())).map(drop)),
            ("adopt", lock.adopt(&claim).map(drop)),
            ("wait until free", lock.wait_until_free(&Wait::up_to(SHORT))),
        ];
        // The test has given up.
        let _ = done.send(all);
    });
    let all = result.recv_timeout(LONG).unwrap_or_else(|_| panic!("{protocol}: a call hangs"));
    all.into_iter().map(|(tried, result)| (tried, result.expect_err(tried))).collect()
}

pub(crate) fn not_a_lock(what: &str, make: impl Fn(&Path)) {
    left_alone(what, &make, &[ErrorKind::NotALock]);
    for protocol in BOTH {
        let ground = Ground::new();
        make(&ground.lock());
        let status = Lock::builder(ground.lock()).protocol(protocol).build().unwrap().inspect().unwrap();
        assert_eq!(status.state, State::NotALock, "{protocol}: {what}");
        assert!(
            status.what.is_some() && status.holder.is_none() && !status.available,
            "{protocol}: {what}: {status:?}"
        );
    }
}

#[test]
fn an_ordinary_file_at_the_lock_path_is_left_alone() {
    not_a_lock("an empty file", |path| fs::write(path, "").unwrap());
    not_a_lock("a text", |path| fs::write(path, "precious\n").unwrap());
    not_a_lock("a text with two links", |path| {
        fs::write(path, "precious\n").unwrap();
        fs::hard_link(path, path.with_extension("other")).unwrap();
    });
    // Not all file systems leave out what was never written.
    let length = if cfg!(unix) { 1 << 40 } else { 1 << 20 };
    not_a_lock("a great length", |path| File::create(path).unwrap().set_len(length).unwrap());
    not_a_lock("a pid, as other programs' lock files have it", |path| fs::write(path, "4711\n").unwrap());
    not_a_lock("the lock of another path", |path| {
        fs::write(path, named("/var/lock/other|host.example|4711|815")).unwrap()
    });
    not_a_lock("a file from long ago", |path| {
        fs::write(path, "precious\n").unwrap();
        File::options().write(true).open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    });
}

/// So a lock of flufl.lock looks for a moment, if its holder calls lock() again; and so do other programs' lock files.
#[test]
fn an_empty_file_with_two_links_of_which_none_is_a_claim_is_left_alone_unless_an_operator_says_that_it_is_a_lock() {
    for protocol in BOTH {
        let ground = Ground::new();
        let other = ground.dir().join("other");
        fs::write(&other, "").unwrap();
        fs::hard_link(&other, ground.lock()).unwrap();
        std::thread::sleep(Duration::from_millis(40));
        let before = snapshot::of(ground.dir());
        let lock = Lock::builder(ground.lock()).protocol(protocol).grace(Duration::ZERO).build().unwrap();
        for error in [
            lock.acquire_with(&Wait::never()).map(drop).unwrap_err(),
            lock.break_lock(&Which::Expired).map(drop).unwrap_err(),
            lock.break_lock(&Which::Claim(Token::new(named("lock|host|1|2")))).map(drop).unwrap_err(),
            lock.wait_until_free(&Wait::up_to(SHORT)).unwrap_err(),
        ] {
            let kinds = [ErrorKind::CannotBreak, ErrorKind::Timeout, ErrorKind::NotHeld];
            assert!(kinds.contains(&error.kind()), "{protocol}: {error}");
            assert_eq!(snapshot::of(ground.dir()), before, "{protocol}: {error}");
        }
        lock.break_lock(&Which::Any).unwrap().unwrap();
        assert_eq!(ground.names(), ["other"], "{protocol}");
    }
}

/// The bug: names and inodes are journalled, and content is not, so a power failure leaves a lock of which nothing tells whose
/// it is. The consequence: it was never broken, nor did `break --force` work. The mend: the claim's own name tells.
#[test]
fn a_lock_that_a_power_failure_emptied_is_held_up_to_its_expiry_and_then_broken() {
    for (protocol, other) in BOTH.into_iter().flat_map(|protocol| BOTH.map(|other| (protocol, other))) {
        for lost in ["", "\0\0\0\0"] {
            let at = format!("{protocol}, by {other}, holds {lost:?}");
            let ground = Ground::new();
            let lock = Lock::builder(ground.lock()).protocol(other).grace(Duration::ZERO);
            let lock = lock.lifetime(Duration::from_millis(10)).build().unwrap();
            let token = plant(protocol, &ground.lock(), SystemTime::now() + LONG);
            lose_content(protocol, &ground.lock(), &token, lost);
            let error = lock.acquire_with(&Wait::never()).map(drop).unwrap_err();
            assert!(error.is_timeout(), "{at}: {error}");
            assert_eq!(error.holder().map(|holder| &holder.token), Some(&token), "{at}: its holder is named");
            lock.break_lock(&Which::Expired).unwrap_err();
            lock.break_lock(&Which::Any).unwrap().unwrap();
            assert_eq!(ground.names(), [""; 0], "{at}: by force");

            let token = plant(protocol, &ground.lock(), long_ago());
            lose_content(protocol, &ground.lock(), &token, lost);
            std::thread::sleep(Duration::from_millis(80));
            match protocol {
                // Its entry does not tell its lifetime any more.
                Protocol::Dir => drop(lock.break_lock(&Which::Expired).unwrap_or_else(|e| panic!("{at}: {e}"))),
                _ => {
                    let patient = Lock::builder(ground.lock()).protocol(other).grace(Duration::ZERO).build().unwrap();
                    patient.acquire_with(&Wait::never()).unwrap_or_else(|e| panic!("{at}: {e}")).release().unwrap();
                }
            }
            assert_eq!(ground.names(), [""; 0], "{at}: once it is over");
        }
    }
}

/// Of a lock that was planted, and leaves the times as they are.
fn lose_content(protocol: Protocol, lock: &Path, token: &Token, lost: &str) {
    let file = if protocol == Protocol::Dir { lock.join(token.as_os_str()) } else { lock.into() };
    let mtime = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, lost).unwrap();
    File::options().write(true).open(&file).unwrap().set_modified(mtime).unwrap();
}

#[test]
fn a_directory_at_the_lock_path_is_left_alone() {
    not_a_lock("a directory with a file", |path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("file"), "precious").unwrap();
    });
    not_a_lock("a directory with an empty directory", |path| fs::create_dir_all(path.join("empty")).unwrap());
    not_a_lock("a directory with the claims of two", |path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join(named("lock|host|1|2")), "").unwrap();
        fs::write(path.join(named("lock|host|1|3")), "").unwrap();
    });
}

#[test]
fn an_empty_directory_that_a_dir_lock_left_is_a_free_lock() {
    for protocol in BOTH {
        let ground = Ground::new();
        make_lock_directory(&ground.lock());
        let lock = Lock::builder(ground.lock()).protocol(protocol).build().unwrap();
        assert_eq!(lock.inspect().unwrap().state, State::Free, "{protocol}");
        lock.acquire_with(&Wait::never()).unwrap_or_else(|e| panic!("{protocol}: {e}")).release().unwrap();
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

/// The bug: a contender reads the entry while its holder, on the same NFS client, releases the lock; so the client renames
/// the entry to `.nfs...` for as long as it is open. The consequence: every contender took the directory for something that
/// is not a lock, and gave up with an error. The mend: such names count as gone, and a client that died with one does not
/// keep the lock.
#[test]
fn a_directory_with_an_entry_that_was_removed_while_it_was_read_is_a_free_lock() {
    for protocol in BOTH {
        let ground = Ground::new();
        make_lock_directory(&ground.lock());
        let removed = ground.dir().join("removed");
        let name = name_of_removed(&File::create(&removed).unwrap());
        fs::rename(&removed, ground.lock().join(name)).unwrap();
        let lock = Lock::builder(ground.lock()).protocol(protocol).build().unwrap();
        assert_eq!(lock.inspect().unwrap().state, State::Free, "{protocol}");
        lock.acquire_with(&Wait::never()).unwrap_or_else(|e| panic!("{protocol}: {e}")).release().unwrap();
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

/// A file that only has such a name is somebody's.
#[test]
fn a_directory_with_a_file_that_no_client_has_named_so_is_left_as_it_is() {
    for protocol in BOTH {
        let ground = Ground::new();
        make_lock_directory(&ground.lock());
        let notes = ground.lock().join(".nfs000000000000000000000000");
        fs::write(&notes, "precious").unwrap();
        let lock = Lock::builder(ground.lock()).protocol(protocol).build().unwrap();
        assert_eq!(lock.inspect().unwrap().state, State::NotALock, "{protocol}");
        assert_eq!(lock.acquire_with(&Wait::never()).unwrap_err().kind(), ErrorKind::NotALock, "{protocol}");
        assert_eq!(fs::read(&notes).unwrap(), b"precious", "{protocol}");
        assert_eq!(ground.names(), ["lock"], "{protocol}");
    }
}

/// What Linux' client names a file that is removed while it is open; on Windows, where no number can be known here, FreeBSD's.
fn name_of_removed(file: &File) -> String {
    #[cfg(unix)]
    return format!(".nfs{:016x}0000000b", std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap()));
    #[cfg(not(unix))]
    return format!(".nfs.{:08x}.00004.4", file.metadata().unwrap().len());
}
