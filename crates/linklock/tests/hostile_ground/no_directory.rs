//! Directories that are not there.

use std::fs;
use std::path::Path;

use linklock::{Error, ErrorKind, Lock, Protocol, Wait};

use crate::common::{BOTH, Ground};
use crate::snapshot;

pub(crate) fn try_acquire(protocol: Protocol, path: &Path) -> Result<(), Error> {
    Lock::builder(path).protocol(protocol).build().unwrap().acquire_with(&Wait::never()).map(drop)
}

pub(crate) fn assert_clear(error: &Error, kind: ErrorKind, path: &Path, hint: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(error.path(), Some(path), "{error}");
    for part in [path.to_str().unwrap(), hint] {
        assert!(error.to_string().contains(part), "no {part:?} in: {error}");
    }
}

#[test]
fn a_missing_directory_is_named_and_not_made() {
    for protocol in BOTH {
        let ground = Ground::new();
        let path = ground.dir().join("missing").join("lock");
        let error = try_acquire(protocol, &path).unwrap_err();
        assert_clear(&error, ErrorKind::CannotCreate, &path, "make the directory first");
        assert_eq!(ground.names(), [""; 0], "{protocol}");
    }
}

#[test]
fn a_file_where_the_directory_should_be_is_named_and_left_alone() {
    for protocol in BOTH {
        let ground = Ground::new();
        fs::write(ground.dir().join("file"), "precious").unwrap();
        let before = snapshot::of(ground.dir());
        let path = ground.dir().join("file").join("lock");
        let error = try_acquire(protocol, &path).unwrap_err();
        assert_clear(&error, ErrorKind::CannotCreate, &path, "make a claim");
        assert_eq!(snapshot::of(ground.dir()), before, "{protocol}");
    }
}
