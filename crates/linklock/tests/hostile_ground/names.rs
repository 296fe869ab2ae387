//! Lock paths that are too long, or ambiguous.

use std::fs;
use std::path::Path;
use std::time::Duration;

use linklock::{ErrorKind, Lock, Protocol, Wait};

use crate::common::{BOTH, Ground, long_ago, named, plant};
use crate::snapshot;

#[test]
fn a_name_that_leaves_no_room_for_a_claim_is_refused() {
    for protocol in BOTH {
        for length in [255, 256, 5000] {
            let ground = Ground::new();
            let path = ground.dir().join("x".repeat(length));
            let error = Lock::builder(&path).protocol(protocol).build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{protocol}: {length} bytes: {error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{protocol}: {error}");
            assert_eq!(ground.names(), [""; 0], "{protocol}");
        }
    }
}

/// Breakers of the link protocol make claims whose names are longer than a holder's, and those who queue up make tickets.
#[test]
fn a_lock_with_the_longest_name_that_can_be_built_can_be_waited_for_and_broken_too() {
    for protocol in BOTH {
        let ground = Ground::new();
        let lock_at = |path: &Path| {
            let builder = Lock::builder(path).protocol(protocol).grace(Duration::ZERO).queue(true);
            builder.host("host.example").build()
        };
        let longest = (1..=255).rev().find_map(|length| {
            let path = ground.dir().join("x".repeat(length));
            lock_at(&path).is_ok().then_some(path)
        });
        let path = longest.expect("some name is short enough");
        plant(protocol, &path, long_ago());
        let bytes = path.file_name().unwrap().len();
        let lock = lock_at(&path).unwrap();
        let held = lock.acquire_with(&Wait::never()).unwrap_or_else(|e| panic!("{protocol}: {bytes} bytes: {e}"));
        let e = lock.acquire_with(&Wait::up_to(Duration::from_millis(50))).unwrap_err();
        assert!(e.is_timeout(), "{protocol}: {bytes} bytes: {e}");
        held.release().unwrap();
    }
}

#[test]
fn a_path_that_holds_the_separator_is_refused_and_another_separator_helps() {
    for protocol in BOTH {
        for name in ["lo|ck", "a|b/lock"] {
            let ground = Ground::new();
            fs::create_dir(ground.dir().join(named("a|b"))).unwrap();
            let path = ground.dir().join(named(name));
            let error = Lock::builder(&path).protocol(protocol).build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{protocol}: {error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{protocol}: {error}");
            let before = snapshot::of(ground.dir());
            let lock = Lock::builder(&path).protocol(protocol).separator('~').build().unwrap();
            let guard = lock.acquire().unwrap();
            assert_eq!(&lock.inspect().unwrap().holder.unwrap().token, guard.token(), "{protocol}");
            guard.release().unwrap();
            assert_eq!(snapshot::of(ground.dir()), before, "{protocol}");
        }
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
