//! Helpers that the integration tests share.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use linklock::{Error, Guard, Protocol, SEPARATOR, Token};
use tempfile::TempDir;

/// A test of one protocol runs for the other too.
pub(crate) const BOTH: [Protocol; 2] = [Protocol::Link, Protocol::Dir];

/// A time-out for waits that end at once if all is well.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A lifetime that does not end during a test.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A directory of a test's own, with a lock path in it.
pub(crate) struct Ground {
    dir: TempDir,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.path().join("lock")
    }

    /// The names in the directory, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir()).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

/// Creates a lock of another machine by either protocol, and returns its claim's token. If `expiry` has passed, a
/// contender without a grace may break it.
pub(crate) fn plant(protocol: Protocol, lock: &Path, expiry: SystemTime) -> Token {
    let claim = format!("{}{}", lock.display(), named("|elsewhere.example|4711|815"));
    let token = Token::new(&claim);
    let left = expiry.duration_since(SystemTime::now()).unwrap_or_default();
    let (file, content) = match protocol {
        Protocol::Dir => {
            make_lock_directory(lock);
            (lock.join(token.as_os_str()), format!(r#"{{"version":1,"lifetime_ms":{}}}"#, left.as_millis()))
        }
        _ => (PathBuf::from(&claim), claim),
    };
    fs::write(&file, content).unwrap();
    File::options().write(true).open(&file).unwrap().set_modified(expiry).unwrap();
    if protocol == Protocol::Link {
        fs::hard_link(&file, lock).unwrap();
    }
    if left.is_zero() {
        // A dir lock lasts at least from its last change, plus the resolution of a ctime.
        std::thread::sleep(Duration::from_millis(40));
    }
    token
}

/// Puts this system's separator in place of each `|`.
pub(crate) fn named(name: &str) -> String {
    name.replace('|', &SEPARATOR.to_string())
}

/// The directory of a dir lock. The sticky bit, where there is one, distinguishes it from other directories.
pub(crate) fn make_lock_directory(path: &Path) {
    fs::create_dir(path).unwrap();
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o1755)).unwrap();
}

/// An expiry that has passed.
pub(crate) fn long_ago() -> SystemTime {
    SystemTime::now() - 24 * HOUR
}

/// Prints a line that the test harness does not capture: why a part cannot run here, or which seed repeats a run.
#[cfg_attr(not(any(target_os = "linux", windows)), allow(dead_code, reason = "fewer tests are for other systems"))]
pub(crate) fn say(what: &str) {
    // If nobody reads it, nothing can be done about it.
    let _ = writeln!(io::stderr(), "{what}");
}

/// Asserts that the error names the holder.
#[cfg_attr(not(any(target_os = "linux", windows)), allow(dead_code, reason = "fewer tests are for other systems"))]
pub(crate) fn assert_names_holder(error: &Error, holder: &Guard) {
    assert_eq!(error.holder().map(|h| &h.token), Some(holder.token()), "the holder is named: {error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "by its pid: {error}");
}
