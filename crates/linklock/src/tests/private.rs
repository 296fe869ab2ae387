//! Other users who can write the lock's directory: when the library checks for them, and what the check costs.

use std::sync::atomic::Ordering;

use super::faults::{Arena, BOTH, Call};
use crate::ErrorKind;

const ROOT: u64 = 0;
const SOMEBODY: u64 = 1000;
const NO_NUMBERS: u64 = u64::MAX;

/// How often the server is asked for the directory's attributes in three cycles of one lock.
fn looks(user: u64, require_private: bool) -> usize {
    let count = |user| {
        let arena = Arena::new();
        arena.env.user_id.store(user, Ordering::SeqCst);
        let builder = arena.builder(crate::Protocol::Link).require_private(require_private && user != NO_NUMBERS);
        let lock = builder.build_in(arena.env.clone()).unwrap();
        for _ in 0..3 {
            lock.acquire().unwrap().release().unwrap();
        }
        arena.env.calls(Call::Stat).iter().filter(|path| path.starts_with(arena.dir.path())).count()
    };
    count(user) - count(NO_NUMBERS)
}

#[test]
fn root_checks_the_directory_once_and_others_only_if_it_must_be_private() {
    assert_eq!([looks(SOMEBODY, false), looks(ROOT, false)], [0, 1]);
    // As the temporary directory's owner, whoever that is, or as root.
    let here = u64::from(crate::env::Env::user_id(&crate::env::os::OsEnv).unwrap_or_default());
    if cfg!(unix) {
        assert_eq!(looks(here, true), 3);
    }
}

#[test]
fn without_user_numbers_no_directory_can_be_required_to_be_private() {
    for protocol in BOTH {
        let arena = Arena::new();
        let error = arena.builder(protocol).require_private(true).build_in(arena.env.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("not known on this system"), "{error}");
    }
}
