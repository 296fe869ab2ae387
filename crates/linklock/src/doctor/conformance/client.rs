//! One client of a scenario, and its answers.

use std::ffi::OsString;
use std::fmt::{self, Debug};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::env::{Attr, DirMode, Each, Env, FileId, Location, Meant};
use crate::time::ServerTime;

/// A step with a wrong answer.
#[derive(Debug)]
pub(crate) struct Difference {
    step: String,
    expected: String,
    got: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.step, self.expected, self.got)
    }
}

pub(crate) type Checked = Result<(), Difference>;

/// The mtime of a file, if the scenario gives no other.
const MTIME: i64 = 1_800_000_000;

/// The calls of the environment, on names in the scenario's directory.
pub(crate) struct Client<'a> {
    name: &'static str,
    env: &'a dyn Env,
    dir: PathBuf,
}

impl<'a> Client<'a> {
    pub(crate) fn new(name: &'static str, env: &'a dyn Env, dir: PathBuf) -> Self {
        Self { name, env, dir }
    }

    /// For a step that compares what the clients see.
    pub(crate) fn sees(&self, what: &str) -> String {
        format!("{what}, as {} sees it", self.name)
    }

    fn at(&self, name: &str) -> Location {
        match name.split_once('/') {
            None => Location::beside(&self.dir, name.as_ref()),
            Some((dir, name)) => Location::beside(&self.dir, dir.as_ref()).inside(name.as_ref()),
        }
    }

    fn answer<T>(&self, step: String, result: io::Result<T>) -> Answer<T> {
        Answer { step: format!("{}: {step}", self.name), result }
    }

    fn on<T>(&self, call: &str, name: &str, ask: impl FnOnce(&dyn Env, &Location) -> io::Result<T>) -> Answer<T> {
        self.answer(format!("{call} {name}"), ask(self.env, &self.at(name)))
    }

    /// The file's content is its name.
    pub(crate) fn create(&self, name: &str) -> Answer<()> {
        self.create_with(name, name.as_bytes(), ServerTime::from_parts(MTIME, 0))
    }

    pub(crate) fn create_with(&self, name: &str, content: &[u8], mtime: ServerTime) -> Answer<()> {
        self.on("create", name, |env, at| env.create(at, content, 0o644, &mut |_| Some(mtime)).map(drop))
    }

    /// Returns the attributes of the new file before anything is written.
    pub(crate) fn create_and_look(&self, name: &str) -> Answer<Option<Attr>> {
        self.on("create", name, |env, at| {
            let mut first = None;
            let mut look = |attr: &Attr| {
                first = Some(*attr);
                Some(ServerTime::from_parts(MTIME, 0))
            };
            env.create(at, b"content", 0o644, &mut look).map(|_| first)
        })
    }

    pub(crate) fn mkdir(&self, name: &str) -> Answer<()> {
        self.mkdir_with(name, 0o755)
    }

    pub(crate) fn mkdir_with(&self, name: &str, mode: u32) -> Answer<()> {
        self.on("mkdir", name, |env, at| env.mkdir(at, mode))
    }

    pub(crate) fn link(&self, from: &str, to: &str) -> Answer<()> {
        self.answer(format!("link {from} to {to}"), self.env.link(&self.at(from), &self.at(to)))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Answer<()> {
        self.answer(format!("rename {from} to {to}"), self.env.rename(&self.at(from), &self.at(to)))
    }

    pub(crate) fn rename_noreplace(&self, from: &str, to: &str) -> Answer<()> {
        let renamed = self.env.rename_noreplace(&self.at(from), &self.at(to));
        self.answer(format!("rename {from} to {to} and replace nothing"), renamed)
    }

    pub(crate) fn unlink(&self, name: &str) -> Answer<()> {
        self.on("unlink", name, |env, at| env.unlink(at))
    }

    pub(crate) fn rmdir(&self, name: &str) -> Answer<()> {
        self.on("rmdir", name, |env, at| env.rmdir(at))
    }

    /// With exactly this mode.
    pub(crate) fn make_dir(&self, name: &str, mode: u32) -> Answer<()> {
        self.on("make directory", name, |env, at| env.make_dir(at, DirMode::Exactly(mode)).map(drop))
    }

    pub(crate) fn stat(&self, name: &str) -> Answer<Attr> {
        self.on("stat", name, |env, at| if name == "." { env.stat_dir(&self.dir) } else { env.stat(at) })
    }

    pub(crate) fn stat_as_known(&self, name: &str) -> Answer<Attr> {
        self.on("stat as known", name, |env, at| env.stat_as_known(at))
    }

    pub(crate) fn id_as_known(&self, name: &str) -> Answer<FileId> {
        self.on("number as known", name, |env, at| env.id_as_known(at))
    }

    pub(crate) fn read(&self, name: &str) -> Answer<(Attr, Vec<u8>)> {
        self.read_up_to(name, 8192)
    }

    pub(crate) fn read_up_to(&self, name: &str, limit: usize) -> Answer<(Attr, Vec<u8>)> {
        self.on("read", name, |env, at| env.read(at, limit))
    }

    pub(crate) fn list(&self, name: &str) -> Answer<Vec<OsString>> {
        self.on("list", name, |env, at| {
            let mut names = match name {
                "." => all_names(|each| env.list_dir(&self.dir, each))?,
                _ => all_names(|each| env.list(at, each))?,
            };
            names.sort();
            Ok(names)
        })
    }

    pub(crate) fn set_expiry(&self, name: &str, expiry: ServerTime) -> Answer<Attr> {
        self.on("set the expiry of", name, |env, at| env.set_expiry(at, believed(env, at)?, expiry))
    }

    pub(crate) fn touch(&self, name: &str) -> Answer<Attr> {
        self.on("touch", name, |env, at| env.touch(at, believed(env, at)?))
    }

    pub(crate) fn append(&self, name: &str, content: &[u8]) -> Answer<()> {
        self.on("append to", name, |env, at| env.append(at, believed(env, at)?, content))
    }

    /// Makes a directory with one file in it.
    pub(crate) fn make_full(&self, dir: &str, file: &str) -> Checked {
        self.mkdir(dir).ok()?;
        self.create(&format!("{dir}/{file}")).ok()
    }

    /// Fills the client's cache for a name, whether it exists or not.
    pub(crate) fn has_seen(&self, name: &str) {
        let _ = self.stat(name);
    }

    /// Gets fresh names in the same way as the library: it asks for the directory's attributes.
    pub(crate) fn refresh(&self, dir: &str) -> Checked {
        self.stat(dir).ok().map(drop)
    }

    /// The content of a file made by [`create`](Self::create), which is the name that it had first.
    pub(crate) fn shows(&self, name: &str, made_as: &str) -> Checked {
        let read = self.read(name);
        let step = read.step.clone();
        let (_, content) = read.ok()?;
        same(&step, &made_as, &String::from_utf8_lossy(&content).as_ref())
    }

    /// The names in a directory.
    pub(crate) fn lists(&self, dir: &str, expected: &[&str]) -> Checked {
        let list = self.list(dir);
        let step = list.step.clone();
        let names: Vec<_> = list.ok()?.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        same(&step, &expected, &names.iter().map(String::as_str).collect::<Vec<_>>().as_slice())
    }

    /// The file's number of links, as the server reports it.
    pub(crate) fn counts(&self, name: &str, links: u64) -> Checked {
        let stat = self.stat(name);
        let step = format!("{}: links", stat.step);
        same(&step, &links, &stat.ok()?.nlink)
    }
}

/// The result of a step.
#[must_use]
pub(crate) struct Answer<T> {
    step: String,
    result: io::Result<T>,
}

impl<T> Answer<T> {
    pub(crate) fn ok(self) -> Result<T, Difference> {
        self.result.map_err(|e| Difference { step: self.step, expected: "ok".into(), got: describe(&e) })
    }

    pub(crate) fn fails(self, expected: Errno) -> Checked {
        self.fails_with_one_of(&[expected]).map(drop)
    }

    /// Which of them it was.
    pub(crate) fn fails_with_one_of(self, expected: &[Errno]) -> Result<Errno, Difference> {
        // rmdir(2) and rename(2) allow both, and xfs says the one.
        let is_expected =
            |e: &Errno| expected.contains(e) || (*e == Errno::EXIST && expected.contains(&Errno::NOTEMPTY));
        match self.result.as_ref().err().and_then(errno).filter(is_expected) {
            Some(errno) => Ok(errno),
            None => Err(unexpected(self.step, any_of(expected), &self.result)),
        }
    }

    /// `Some` on success, `None` if it failed with one of these.
    pub(crate) fn or_fails(self, expected: &[Errno]) -> Result<Option<T>, Difference> {
        match self.result {
            Ok(value) => Ok(Some(value)),
            Err(e) if errno(&e).is_some_and(|e| expected.contains(&e)) => Ok(None),
            result => Err(unexpected(self.step, format!("ok or {}", any_of(expected)), &result)),
        }
    }
}

fn unexpected<T>(step: String, expected: String, result: &io::Result<T>) -> Difference {
    let got = result.as_ref().err().map_or("ok".into(), describe);
    Difference { step, expected, got }
}

/// Compares two values.
pub(crate) fn same<T: PartialEq + Debug + ?Sized>(step: &str, expected: &T, got: &T) -> Checked {
    holds(step, expected == got, || (format!("{expected:?}"), format!("{got:?}")))
}

/// `words` are the expected value and the actual one.
pub(crate) fn holds(step: &str, holds: bool, words: impl FnOnce() -> (String, String)) -> Checked {
    if holds {
        return Ok(());
    }
    let (expected, got) = words();
    Err(Difference { step: step.into(), expected, got })
}

fn any_of(expected: &[Errno]) -> String {
    expected.iter().map(Errno::to_string).collect::<Vec<_>>().join(" or ")
}

fn describe(e: &io::Error) -> String {
    errno(e).map_or_else(|| e.to_string(), |errno| errno.to_string())
}

/// The simulation has only kinds of errors, which is all that the library looks at. Each stands for one errno.
fn errno(e: &io::Error) -> Option<Errno> {
    Errno::from_io_error(e).or(match e.kind() {
        ErrorKind::AlreadyExists => Some(Errno::EXIST),
        ErrorKind::DirectoryNotEmpty => Some(Errno::NOTEMPTY),
        ErrorKind::InvalidInput => Some(Errno::INVAL),
        ErrorKind::IsADirectory => Some(Errno::ISDIR),
        ErrorKind::NotADirectory => Some(Errno::NOTDIR),
        ErrorKind::NotFound => Some(Errno::NOENT),
        ErrorKind::StaleNetworkFileHandle => Some(Errno::STALE),
        // For link(2), EPERM.
        ErrorKind::Unsupported => Some(Errno::PERM),
        _ => None,
    })
}

/// For directories with few names.
pub(crate) fn all_names(list: impl FnOnce(&mut Each<'_>) -> io::Result<()>) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    list(&mut |name, _| {
        names.push(name.to_owned());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

/// The file that this client believes to be there.
fn believed(env: &dyn Env, at: &Location) -> io::Result<Meant> {
    env.stat_as_known(at).map(|attr| Meant { id: Some(attr.id), owner: attr.owner, is_alone: false })
}
