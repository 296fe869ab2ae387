//! What the integration tests share.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use linklock::{Error, Guard, Protocol, SEPARATOR, Token};
use tempfile::TempDir;

/// Whatever holds for one protocol must hold for the other.
pub(crate) const BOTH: [Protocol; 2] = [Protocol::Link, Protocol::Dir];

/// A safety net under waits that end at once if all is well.
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

/// Puts a lock of another machine there, by either protocol, and gives its claim's token. If its expiry is over, a
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
        // A dir lock lasts from its last change at least: be later than that by more than a tick of the clock.
        std::thread::sleep(Duration::from_millis(20));
    }
    token
}

/// With this system's separator in the place of each `|`.
pub(crate) fn named(name: &str) -> String {
    name.replace('|', &SEPARATOR.to_string())
}

/// What the dir protocol has at the lock path: the sticky bit tells it from other directories, where there is one.
pub(crate) fn make_lock_directory(path: &Path) {
    fs::create_dir(path).unwrap();
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o1755)).unwrap();
}

/// An expiry that is over.
pub(crate) fn long_ago() -> SystemTime {
    SystemTime::now() - 24 * HOUR
}

/// Says past the test harness's capture what has to be seen: why a part cannot run here, or by which seed it can be
/// repeated.
#[cfg_attr(not(any(target_os = "linux", windows)), allow(dead_code, reason = "fewer tests are for other systems"))]
pub(crate) fn say(what: &str) {
    // Nobody listens: nothing to do about it.
    let _ = writeln!(io::stderr(), "{what}");
}

/// The error says whose the lock is.
#[cfg_attr(not(any(target_os = "linux", windows)), allow(dead_code, reason = "fewer tests are for other systems"))]
pub(crate) fn assert_names_holder(error: &Error, holder: &Guard) {
    assert_eq!(error.holder().map(|h| &h.token), Some(holder.token()), "the holder is named: {error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "by its pid: {error}");
}
