//! linklock's protocols on a simulated file server.
//!
//! The source files of the library's protocols, and of the loop that waits, run here against a simulated NFS server and its
//! clients. Shuttle draws the schedules and the faults. `--seed N` repeats one run and prints its story.
//!
//! To read the modules bottom up, see ARCHITECTURE.md.

#[cfg(test)]
mod flaws;
#[cfg(test)]
mod regressions;
#[cfg(test)]
#[expect(clippy::print_stdout, reason = "the figures of a proof are for people to read")]
mod tests;

macro_rules! library {
    ($($path:literal $name:ident),* $(,)?) => {
        $(
            #[path = $path]
            #[allow(dead_code, unreachable_pub, unused_imports, reason = "the library's own source: not all of it is used here")]
            mod $name;
        )*
    };
}

library! {
    "../../linklock/src/acquire/mod.rs" acquire,
    "../../linklock/src/claim.rs" claim,
    "../../linklock/src/doctor/conformance/mod.rs" conformance,
    "../../linklock/src/env/mod.rs" env,
    "../../linklock/src/error.rs" error,
    "../../linklock/src/file_system.rs" file_system,
    "../../linklock/src/fingerprint.rs" fingerprint,
    "../../linklock/src/guard.rs" guard,
    "../../linklock/src/hint.rs" hint,
    "../../linklock/src/holder.rs" holder,
    "../../linklock/src/keepalive.rs" keepalive,
    "../../linklock/src/lease.rs" lease,
    "../../linklock/src/lifetime.rs" lifetime,
    "../../linklock/src/lock_path.rs" lock_path,
    "../../linklock/src/names/mod.rs" names,
    "../../linklock/src/options.rs" options,
    "../../linklock/src/printable.rs" printable,
    "../../linklock/src/protocol/mod.rs" protocol,
    "../../linklock/src/tenure.rs" tenure,
    "../../linklock/src/time.rs" time,
    "../../linklock/src/token.rs" token,
    "../../linklock/src/wait.rs" wait,
}

mod believed;
mod cache;
mod calls;
mod chance;
mod checks;
mod client;
mod config;
mod conform;
mod delegations;
mod explore;
mod fate;
mod flufl;
mod network;
mod open_files;
mod run;
mod server;
mod settings;
mod sim;
mod soak;
mod stamps;
#[allow(dead_code, reason = "only tests keep locks alive")]
mod sync;
mod world;
mod worlds;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use config::Config;
use explore::Summary;
use options::Protocol;
use soak::Soak;
use worlds::{Protocols, WORLDS, World};

const USAGE: &str = "\
usage: linklock-sim [--protocol link|dir|mixed] [--world WORLD] --seed N     run one seed and print its story
       linklock-sim [--protocol link|dir|mixed] [--world WORLD] --runs N     run seeds 0 to N-1, up to the first violation
       linklock-sim [--protocol link|dir|mixed] [--world WORLD] --pct N      the same, scheduled by PCT
       linklock-sim [--protocol link|dir|mixed] [--world WORLD] --pct-seed N print the story of a PCT seed
       linklock-sim [--protocol link|dir] --every N    run every schedule of the smallest world, at most N
       linklock-sim soak --hours N [--file F]          run new seeds of all main worlds in turn, for N hours; F keeps the progress
       linklock-sim conformance [DIR_A [DIR_B]]        run the scenarios for file servers on the simulation, or on a real file
                                                       system: in DIR_A, with DIR_B as the same directory on another mount
WORLD is one of these (default: the first):
";

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    let result = match Job::parse(std::env::args().skip(1)) {
        Some(job) => job.run(&mut out),
        None => print_usage(&mut out).map(|()| ExitCode::from(64)),
    };
    result.unwrap_or(ExitCode::from(74))
}

fn print_usage(out: &mut impl Write) -> std::io::Result<()> {
    write!(out, "{USAGE}")?;
    WORLDS.iter().try_for_each(|world| {
        let main = if world.is_main { " (main)" } else { "" };
        writeln!(out, "  {:20}{}{main}", world.name, world.what)
    })
}

enum Job {
    Runs {
        config: Config,
        search: Search,
    },
    Soak(Soak),
    /// In these directories; if there are none, on the simulation.
    Conformance(Vec<PathBuf>),
}

enum Search {
    Story(u64),
    PctStory(u64),
    Random(u64),
    Pct(u64),
    Every(usize),
}

impl Job {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let (mut protocols, mut world, mut search) = (Protocols::All(Protocol::Link), WORLDS[0], None);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--protocol" => protocols = Protocols::named(&args.next()?)?,
                "--world" => world = World::named(&args.next()?)?,
                "--pct-seed" => search = Some(Search::PctStory(args.next()?.parse().ok()?)),
                "--seed" => search = Some(Search::Story(args.next()?.parse().ok()?)),
                "--runs" => search = Some(Search::Random(args.next()?.parse().ok()?)),
                "--pct" => search = Some(Search::Pct(args.next()?.parse().ok()?)),
                "--every" => search = Some(Search::Every(args.next()?.parse().ok()?)),
                "conformance" => return Some(Self::Conformance(args.map(PathBuf::from).collect())),
                "soak" => return Soak::parse(args).map(Self::Soak),
                _ => return None,
            }
        }
        let search = search?;
        let config = match (&search, protocols) {
            (Search::Every(_), Protocols::All(protocol)) => Config::smallest(protocol),
            _ => world.config(protocols),
        };
        Some(Self::Runs { config, search })
    }

    fn run(self, out: &mut impl Write) -> std::io::Result<ExitCode> {
        let (config, search) = match self {
            Self::Runs { config, search } => (config, search),
            Self::Soak(soak) => return soak.run(out),
            Self::Conformance(directories) => return conform::tell(&directories, out),
        };
        let summary = match search {
            Search::Story(seed) | Search::PctStory(seed) => {
                let config = Config { story: true, ..config };
                let outcome = match search {
                    Search::PctStory(_) => explore::one_pct(&config, seed),
                    _ => Some(explore::one(&config, seed)),
                };
                let Some(outcome) = outcome else { return Ok(ExitCode::FAILURE) };
                for line in &outcome.story {
                    writeln!(out, "{line}")?;
                }
                Summary {
                    runs: 1,
                    holds: outcome.holds.into(),
                    lost_by_delay: outcome.lost_by_delay.into(),
                    violation: outcome.violation.map(|what| (seed, what)),
                }
            }
            Search::Random(runs) => explore::random(&config, 0, runs),
            Search::Pct(runs) => explore::pct(&config, 0, runs),
            Search::Every(most) => explore::exhaustive(&config, most).0,
        };
        writeln!(out, "{} runs, {} holds", summary.runs, summary.holds)?;
        if summary.lost_by_delay > 0 {
            writeln!(out, "{} locks lost because a delegation delayed their refresh", summary.lost_by_delay)?;
        }
        match summary.violation {
            Some((seed, what)) => writeln!(out, "seed {seed}: {what}").map(|()| ExitCode::FAILURE),
            None => writeln!(out, "no violation").map(|()| ExitCode::SUCCESS),
        }
    }
}
