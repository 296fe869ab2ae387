//! `clean`: the files that killed contenders left beside one lock path, or beside all of a directory.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use linklock::{Error, Leftover, LeftoverVerdict, Lock, Printable, State};
use serde::Serialize;

use crate::args::CleanArgs;
use crate::console::{Console, Versioned, json, printable};
use crate::duration::short;
use crate::exit::{Exit, Failure};
use crate::status::{ago, describe};

/// An error does not stop it from cleaning the rest. The first error decides the exit status.
pub(crate) fn clean(args: &CleanArgs, console: Console) -> Result<Exit, Failure> {
    let mut cleaner = Cleaner { args, console, exit: Exit::Done, removable: 0 };
    if let Some(lock) = lock_at(args)? {
        cleaner.clean(&lock)?;
    } else {
        let paths = Lock::paths_in(&args.path, args.separator)?;
        if paths.is_empty() && !args.json {
            console.note(&format!("{}: no lock has claims in this directory", Printable::new(&args.path)))?;
        }
        for path in paths {
            cleaner.clean(&build(args, &path)?)?;
        }
    }
    if cleaner.removable > 0 && !args.yes && !args.json {
        console.note("nothing was removed; with --yes linklock removes the files listed with \"remove\"")?;
    }
    Ok(cleaner.exit)
}

/// The lock at the path; `None` if the path is a directory of locks. A lock may be a directory too.
fn lock_at(args: &CleanArgs) -> Result<Option<Lock>, Failure> {
    // The user named the path, so a symbolic link to a directory may be followed.
    let is_directory = fs::metadata(&args.path).is_ok_and(|data| data.is_dir());
    match build(args, &args.path) {
        Ok(lock) if is_directory && lock.inspect()?.state == State::NotALock => Ok(None),
        // Such as "/", which ends in no name.
        Err(_) if is_directory => Ok(None),
        lock => Ok(Some(lock?)),
    }
}

fn build(args: &CleanArgs, path: &Path) -> Result<Lock, Error> {
    Lock::builder(path).separator(args.separator).recover_dead(!args.no_recover_dead).build()
}

struct Cleaner<'a> {
    args: &'a CleanArgs,
    console: Console,
    exit: Exit,
    /// How many of the listed leftovers may be removed.
    removable: usize,
}

impl Cleaner<'_> {
    fn clean(&mut self, lock: &Lock) -> io::Result<()> {
        let found = lock.leftovers().and_then(|found| if self.args.yes { lock.clean(found) } else { Ok(found) });
        let (found, state) = match found.and_then(|found| Ok((found, lock.inspect()?))) {
            Ok(found) => found,
            Err(e) => {
                self.fail(&e.into());
                return Ok(());
            }
        };
        let in_words = !(self.args.json || self.args.yes && self.console.quiet);
        if in_words {
            let nothing = if found.is_empty() { "; no leftovers" } else { "" };
            say(&format!("{}: {}{nothing}", Printable::new(lock.path()), describe(&state)))?;
        }
        let dir = lock.path().parent().unwrap_or(lock.path());
        for leftover in found {
            self.removable += usize::from(leftover.verdict.is_removable());
            if self.args.json {
                say(&to_json(lock, &leftover)?)?;
            } else if in_words {
                say(&line(dir, &leftover))?;
            }
            if let LeftoverVerdict::Failed(e) = leftover.verdict {
                self.fail(&e.into());
            }
        }
        Ok(())
    }

    fn fail(&mut self, failure: &Failure) {
        let exit = failure.report(self.console);
        self.exit = if self.exit == Exit::Done { exit } else { self.exit };
    }
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", printable(text))
}

/// What happens to the leftover, in a word.
fn action(verdict: &LeftoverVerdict) -> &'static str {
    match verdict {
        LeftoverVerdict::Removed => "removed",
        LeftoverVerdict::Failed(_) => "failed",
        verdict if verdict.is_removable() => "remove",
        _ => "keep",
    }
}

fn line(dir: &Path, leftover: &Leftover) -> String {
    let name = Printable::new(leftover.path.strip_prefix(dir).unwrap_or(&leftover.path));
    let whose = match (&leftover.host, leftover.pid) {
        (Some(host), Some(pid)) => format!(" of process {pid} on {}", Printable::word(host)),
        _ => String::new(),
    };
    let expiry = leftover.expires_at.map(|at| format!(", {}", when(at))).unwrap_or_default();
    let why = match &leftover.verdict {
        // The action says it, or the error.
        LeftoverVerdict::Removed | LeftoverVerdict::Failed(_) => String::new(),
        LeftoverVerdict::Recent { until } => {
            let until = until.duration_since(SystemTime::now()).unwrap_or_default();
            format!(": {}; it may be removed in {}", leftover.verdict, short(until))
        }
        verdict => format!(": {verdict}"),
    };
    format!("  {:<7}  {name} ({}{whose}{expiry}){why}", action(&leftover.verdict), leftover.kind)
}

fn when(expiry: SystemTime) -> String {
    match expiry.duration_since(SystemTime::now()) {
        Ok(left) => format!("expires in {}", short(left)),
        Err(_) => format!("expired {}", ago(Some(expiry))),
    }
}

/// One line for programs. The names are part of the program's interface.
#[derive(Serialize)]
struct Line<'a> {
    lock: String,
    #[serde(flatten)]
    leftover: &'a Leftover,
    action: &'a str,
    reason: String,
}

fn to_json(lock: &Lock, leftover: &Leftover) -> io::Result<String> {
    let line = Line {
        lock: lock.path().to_string_lossy().into_owned(),
        leftover,
        action: action(&leftover.verdict),
        reason: leftover.verdict.to_string(),
    };
    json(&Versioned::new(line))
}
