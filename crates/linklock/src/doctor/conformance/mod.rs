//! Scenarios for the behaviour of a file server that the protocols rely on. They run on the simulation, on the real local file
//! system, and on two real mounts: each must give the same answers and errnos.
//!
//! The two clients A and B use one directory. Locally that is one path. On NFS there is one path for each of two mounts, whose
//! caches are separate. Where a cache may give an outdated answer, a scenario accepts both answers and notes which one it got.
//! Then it refreshes the cache in the same way as the library.

mod caches;
pub(crate) mod client;
mod moves;
mod names;
pub(crate) mod stage;
mod times;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::env::os::OsEnv;
use crate::env::{Env, Location};
use client::{Client, Difference};
use stage::{Scenario, Stage};

/// All scenarios.
pub(crate) fn scenarios() -> impl Iterator<Item = Scenario> {
    [names::SCENARIOS, caches::SCENARIOS, moves::SCENARIOS, times::SCENARIOS].into_iter().flatten().copied()
}

/// The result of a scenario.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) name: &'static str,
    /// The answers where more than one is right.
    pub(crate) noted: Vec<&'static str>,
    pub(crate) difference: Option<Difference>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.difference {
            Some(difference) => write!(f, "FAILED {}: {difference}", self.name),
            None if self.noted.is_empty() => write!(f, "ok {}", self.name),
            None => write!(f, "ok {} (seen: {})", self.name, self.noted.join("; ")),
        }
    }
}

/// Plays one scenario. Each client's directory must exist and be empty.
pub(crate) fn play(scenario: Scenario, a: Client<'_>, b: Client<'_>, sleep: &dyn Fn(Duration)) -> Verdict {
    let stage = Stage { a, b, sleep, noted: RefCell::default() };
    let difference = (scenario.steps)(&stage).err();
    Verdict { name: scenario.name, noted: stage.noted.into_inner(), difference }
}

/// Plays the scenarios on the real file system, in a fresh directory below both `a` and `b`, and removes it.
pub(crate) fn on_real_directories(
    a: &Path,
    b: &Path,
    scenarios: impl Iterator<Item = Scenario>,
    mut tell: impl FnMut(Verdict) -> io::Result<()>,
) -> io::Result<()> {
    let env = OsEnv;
    let fresh = PathBuf::from(format!("conformance.{}.{}", env.process_id(), env.random()));
    let there = Location::beside(a, fresh.as_os_str());
    env.mkdir(&there, 0o755)?;
    let played = scenarios.enumerate().try_for_each(|(number, scenario)| {
        let stage = fresh.join(number.to_string());
        env.mkdir(&there.inside(number.to_string().as_ref()), 0o755)?;
        let (a, b) = (Client::new("A", &env, a.join(&stage)), Client::new("B", &env, b.join(&stage)));
        tell(play(scenario, a, b, &|time| env.rest(time, None)))
    });
    // Whatever a failed scenario left must be removed too.
    remove_all(&env, &there).and(played)
}

fn remove_all(env: &OsEnv, dir: &Location) -> io::Result<()> {
    // Fresh attributes make the client ask again for the names in it.
    env.stat(dir)?;
    for name in client::all_names(|each| env.list(dir, each))? {
        let at = Location::beside(dir.as_path(), &name);
        env.unlink(&at).or_else(|_| remove_all(env, &at))?;
    }
    env.rmdir(dir)
}
