//! Text that others wrote must not harm a terminal: wherever the library shows it, it contains no terminal command, starts no new
//! line and does not change the direction of text.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use linklock::{ErrorKind, Lock, Protocol, Token, Wait, Which};

use crate::common::{BOTH, Ground, HOUR, long_ago, make_lock_directory};
use crate::log;

/// A line end, an escape sequence of seven bits and one of eight, a direction override, and other separators.
const FORGED: &str = "a\nb\x1b[2J\u{9b}31m\u{202e}c\u{2066}\u{2028}\u{200b}\u{feff}\x7fd";

#[track_caller]
pub(crate) fn assert_harmless(text: &str) {
    let harms = |c: char| {
        c.is_control()
            || ('\u{200b}'..='\u{200f}').contains(&c)
            || ('\u{2028}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
            || c == '\u{feff}'
    };
    assert!(!text.contains(harms), "{text:?}");
}

/// A lock path in a directory with a forged name.
fn lock_path(ground: &Ground) -> PathBuf {
    let dir = ground.dir().join(FORGED);
    fs::create_dir_all(&dir).unwrap();
    dir.join("lock")
}

/// A lock with a forged host, and a forged command and user if the protocol stores them.
fn plant(protocol: Protocol, lock: &Path, expiry: SystemTime) -> Token {
    let claim = format!("{}|{FORGED}|4711|815", lock.to_str().unwrap());
    let token = Token::new(&claim);
    let (file, content) = match protocol {
        Protocol::Dir => {
            make_lock_directory(lock);
            let text: String = FORGED.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
            let ms = expiry.duration_since(SystemTime::now()).unwrap_or_default().as_millis();
            let about = format!(r#"{{"version":1,"lifetime_ms":{ms},"command":"{text}","user":"{text}"}}"#);
            (lock.join(token.as_os_str()), about)
        }
        _ => (PathBuf::from(&claim), claim),
    };
    fs::write(&file, content).unwrap();
    File::options().write(true).open(&file).unwrap().set_modified(expiry).unwrap();
    if protocol == Protocol::Link {
        fs::hard_link(&file, lock).unwrap();
    }
    token
}

fn lock_at(path: &Path, protocol: Protocol) -> Lock {
    Lock::builder(path).protocol(protocol).grace(Duration::ZERO).build().unwrap()
}

#[test]
fn errors_and_events_show_a_forged_holder_without_harm() {
    for protocol in BOTH {
        let ground = Ground::new();
        let path = lock_path(&ground);
        let token = plant(protocol, &path, SystemTime::now() + HOUR);
        let lock = lock_at(&path, protocol);

        let holder = lock.inspect().unwrap().holder.unwrap();
        assert_eq!(
            (holder.host.as_str(), &holder.token),
            (FORGED, &token),
            "{protocol}: the fields keep the bytes on disk"
        );
        if protocol == Protocol::Dir {
            let about = holder.about.clone().unwrap();
            assert_eq!([about.command, about.user], [Some(FORGED.into()), Some(FORGED.into())]);
        }
        let other = Token::new(format!("lock|{FORGED}|4711|816"));
        let (errors, events) = log::of(|| {
            [
                lock.acquire_with(&Wait::up_to(Duration::from_millis(20))).map(drop).unwrap_err(),
                lock.adopt(&other).map(drop).unwrap_err(),
                lock.adopt(&Token::new(FORGED)).map(drop).unwrap_err(),
                lock.break_lock(&Which::Expired).map(drop).unwrap_err(),
                lock.break_lock(&Which::Claim(other.clone())).map(drop).unwrap_err(),
                Lock::builder(path.join(format!("{FORGED}|"))).build().map(drop).unwrap_err(),
                Lock::builder(path.join(FORGED.repeat(8))).build().map(drop).unwrap_err(),
            ]
        });
        assert_eq!(errors[0].kind(), ErrorKind::Timeout, "{protocol}: {}", errors[0]);
        for error in &errors {
            assert_harmless(&error.to_string());
            assert!(error.to_string().contains("\\u{1b}[2J\\u{9b}31m\\u{202e}c"), "{protocol}: {error}");
        }
        assert_harmless(&holder.to_string());
        assert_harmless(&holder.token.to_string());
        assert!(events.iter().any(|event| event.contains("waiting")), "{protocol}: {events:?}");
        events.iter().for_each(|event| assert_harmless(event));
    }
}

#[test]
fn events_show_a_removed_forged_lock_and_its_leftovers_without_harm() {
    for protocol in BOTH {
        let ground = Ground::new();
        let path = lock_path(&ground);
        plant(protocol, &path, long_ago());
        let left = format!("{}|{FORGED}|1|00000000000000000000000000000001", path.to_str().unwrap());
        fs::write(&left, &left).unwrap();
        File::options().write(true).open(&left).unwrap().set_modified(long_ago() - 24 * HOUR).unwrap();
        let not_a_claim = format!("{}|{FORGED}|1|2", path.to_str().unwrap());
        std::os::unix::fs::symlink("/", &not_a_claim).unwrap();
        // A dir lock lasts from its last change, which is now.
        std::thread::sleep(Duration::from_millis(40));

        let lock = lock_at(&path, protocol);
        let ((), events) = log::of(|| {
            lock.acquire_with(&Wait::up_to(HOUR)).unwrap().release().unwrap();
            for leftover in lock.leftovers().unwrap() {
                assert_harmless(&format!("{} {}", leftover.kind, leftover.verdict));
            }
        });
        for event in ["broke the lock", "swept a leftover", "acquired", "released"] {
            assert!(events.iter().any(|line| line.contains(event)), "{protocol}: {event} is not in {events:?}");
        }
        events.iter().for_each(|event| assert_harmless(event));
    }
}

/// `acquire` prints the token for a script, so it is not escaped.
#[test]
fn a_token_keeps_the_bytes_of_its_locks_name() {
    use std::os::unix::ffi::OsStrExt;
    let ground = Ground::new();
    let path = ground.dir().join(std::ffi::OsStr::from_bytes(b"lock\xff\x1b\n\xe2\x80\xae"));
    for protocol in BOTH {
        let lock = lock_at(&path, protocol);
        let token = lock.acquire().unwrap().leave();
        assert!(token.as_os_str().as_bytes().starts_with(b"lock\xff\x1b\n\xe2\x80\xae|"));
        assert!(token.to_string().starts_with("lock\\xff\\u{1b}\\n\\u{202e}|"), "{token}");
        lock.adopt(&Token::new(token.as_os_str())).unwrap().release().unwrap();
    }
}
