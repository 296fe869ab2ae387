//! A manifest in cases/ says what a version has left on disk; here it is laid out. Git stores neither times nor sticky bits nor
//! empty directories.
//!
//! In a manifest `{word}` stands for its text in `words`, `|` for this system's separator, and `%FF` for a byte. Built-in words:
//! `{lock}`, the lock's name, and `{soon-us}`, the microseconds since 1970 in an hour. A file is a directory if its name ends with
//! a slash, a link of the file that it `is`, or a symbolic link `to` a text. Its `mode` is what the umask leaves of it, but for one
//! with `=`; its `mtime` is relative to now.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

/// The separator that each system has by default.
const SEPARATOR: char = if cfg!(windows) { '^' } else { '|' };

/// What was on disk at some moment.
pub(crate) struct Case {
    /// The name of its manifest.
    pub(crate) name: String,
    pub(crate) separator: char,
    /// The only systems that can have it, and why.
    needs: Option<(String, String)>,
    /// What a later version must answer.
    pub(crate) expect: Value,
    words: Vec<(String, String)>,
    files: Vec<Value>,
}

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let entries = fs::read_dir(directory()).expect("the cases");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a case").path()).collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::read(&directory().join(format!("{name}.json")))
    }

    fn read(path: &Path) -> Self {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let texts = |key: &str| value[key].as_object().unwrap_or_else(|| panic!("{name}: {key}")).clone();
        let mut words: Vec<_> = texts("words").iter().map(|(word, text)| (word.clone(), string(text))).collect();
        // Those that others contain come last.
        let soon = SystemTime::now() + Duration::from_secs(3600);
        let soon = soon.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_micros();
        words.push(("soon-us".into(), soon.to_string()));
        words.push(("lock".into(), "job.lock".into()));
        Self {
            separator: value["separator"].as_str().map_or(SEPARATOR, |text| text.chars().next().expect("a character")),
            needs: value["needs"].as_array().map(|needs| (string(&needs[0]), string(&needs[1]))),
            expect: value["expect"].clone(),
            files: value["files"].as_array().expect("files").clone(),
            words,
            name,
        }
    }

    /// Why this system cannot have it.
    pub(crate) fn cannot_be_here(&self) -> Option<String> {
        let (system, why) = self.needs.as_ref()?;
        let is_here = match system.as_str() {
            "linux" => std::env::consts::OS == "linux",
            _ => std::env::consts::FAMILY == system,
        };
        (!is_here).then(|| format!("{}: {why}", self.name))
    }

    /// Gives a word a text.
    pub(crate) fn with(mut self, word: &str, text: &str) -> Self {
        self.words.retain(|(known, _)| known != word);
        self.words.push((word.into(), text.into()));
        self
    }

    /// A text of the manifest, as it is on disk.
    pub(crate) fn text(&self, text: &str) -> OsString {
        let mut text = text.to_owned();
        while text.contains('{') && self.words.iter().any(|(word, _)| text.contains(&format!("{{{word}}}"))) {
            for (word, meaning) in &self.words {
                text = text.replace(&format!("{{{word}}}"), meaning);
            }
        }
        os_string(unescaped(&text.replace('|', &self.separator.to_string())))
    }

    /// Puts the files into this directory.
    pub(crate) fn lay_out(&self, dir: &Path) {
        let (now, umask) = (SystemTime::now(), umask(dir));
        for file in &self.files {
            let name = string(&file["name"]);
            let path = dir.join(self.text(name.trim_end_matches('/')));
            let done = if name.ends_with('/') {
                fs::create_dir(&path)
            } else if let Some(other) = file["is"].as_str() {
                fs::hard_link(dir.join(self.text(other)), &path)
            } else if let Some(text) = file["to"].as_str() {
                symlink(&self.text(text), &path)
            } else {
                // A JSON text is written as it is: its braces are no words.
                let content = self.text(&string(&file["content"]));
                fs::write(&path, content.as_encoded_bytes())
            };
            done.unwrap_or_else(|e| panic!("{}: {name}: {e}", self.name));
            if let Some(mode) = file["mode"].as_str() {
                set_mode(&path, mode, umask);
            }
            if let Some(mtime) = file["mtime"].as_str() {
                let opened = File::options().write(true).open(&path).expect("the file");
                opened.set_modified(relative(now, mtime)).expect("its time");
            }
        }
    }
}

fn directory() -> PathBuf {
    // For this crate and the program's.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../linklock/tests/corpus/cases")
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).into()
}

/// Puts bytes in place of their escapes.
fn unescaped(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut bytes: Vec<u8> = parts.next().unwrap_or_default().into();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
        bytes.extend(rest.as_bytes());
    }
    bytes
}

#[cfg(unix)]
fn os_string(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

#[cfg(windows)]
fn os_string(bytes: Vec<u8>) -> OsString {
    String::from_utf8(bytes).expect("UTF-8").into()
}

/// Such as `+1h` or `-2d`.
fn relative(now: SystemTime, text: &str) -> SystemTime {
    let (number, unit) = text[1..].split_at(text.len() - 2);
    let seconds = match unit {
        "s" => 1,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => panic!("{text} is no time"),
    };
    let distance = Duration::from_secs(seconds * number.parse::<u64>().expect("a number"));
    if text.starts_with('-') { now - distance } else { now + distance }
}

#[cfg(unix)]
fn symlink(text: &OsString, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(text, path)
}

#[cfg(windows)]
fn symlink(_: &OsString, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// The bits that this process's umask takes away. To ask for it would change it for a moment.
#[cfg(unix)]
fn umask(dir: &Path) -> u32 {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let probe = dir.join("probe");
    fs::DirBuilder::new().mode(0o777).create(&probe).expect("a directory");
    let mode = fs::metadata(&probe).expect("a directory").permissions().mode();
    fs::remove_dir(&probe).expect("a directory");
    !mode & 0o777
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: &str, umask: u32) {
    use std::os::unix::fs::PermissionsExt;
    let (digits, umask) = mode.strip_prefix('=').map_or((mode, umask), |digits| (digits, 0));
    let mode = u32::from_str_radix(digits, 8).expect("an octal number") & !umask;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
}

#[cfg(windows)]
fn umask(_: &Path) -> u32 {
    0
}

#[cfg(windows)]
fn set_mode(_: &Path, _: &str, _: u32) {}
