//! Who else may write to the lock's directory: when it is asked, and what it costs.

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
fn the_directory_is_looked_at_once_by_root_and_else_only_if_it_must_be_private() {
    assert_eq!([looks(SOMEBODY, false), looks(ROOT, false)], [0, 1]);
    // Of the temporary directory's owner, whoever that is, or of root.
    let here = u64::from(crate::env::Env::user_id(&crate::env::os::OsEnv).unwrap_or_default());
    if cfg!(unix) {
        assert_eq!(looks(here, true), 3);
    }
}

#[test]
fn where_users_have_no_numbers_no_directory_can_be_required_to_be_private() {
    for protocol in BOTH {
        let arena = Arena::new();
        let error = arena.builder(protocol).require_private(true).build_in(arena.env.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("not known on this system"), "{error}");
    }
}
