//! linklock's protocols on a simulated file server.
//!
//! The very source of the library's protocols, and of the loop that waits, runs here against a simulated NFS server and its
//! clients, under schedules and faults drawn by shuttle. `--seed N` runs one again and tells its story.

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
    "../../linklock/src/acquire.rs" acquire,
    "../../linklock/src/claim.rs" claim,
    "../../linklock/src/env/mod.rs" env,
    "../../linklock/src/error.rs" error,
    "../../linklock/src/inspect.rs" inspect,
    "../../linklock/src/lease.rs" lease,
    "../../linklock/src/protocol/mod.rs" protocol,
    "../../linklock/src/wait.rs" wait,
}

mod checks;
mod client;
mod config;
mod explore;
mod fate;
mod flufl;
mod run;
mod server;
mod world;

use std::io::Write;
use std::process::ExitCode;

use config::Config;
use explore::Summary;
use protocol::Protocol;

/// Where the lock is.
const DIR: &str = "/shared";
/// The lock's name there.
const LOCK: &str = "L";

const USAGE: &str = "\
usage: linklock-sim [--protocol link|dir] [WORLD] --seed N     run one seed and tell its story
       linklock-sim [--protocol link|dir] [WORLD] --runs N     run seeds 0 to N-1 until one shows a violation
       linklock-sim [--protocol link|dir] [WORLD] --pct N      the same, scheduled by PCT
       linklock-sim [--protocol link|dir] [WORLD] --pct-seed N tell the story of a PCT seed
       linklock-sim [--protocol link|dir] --every N                     every schedule of the smallest world, at most N
WORLD: --beyond-limit     with what link cannot bear
       --failing-clocks   with clocks that have live locks broken: only fencing is left
";

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    let told = match Job::parse(std::env::args().skip(1)) {
        Some(job) => job.run(&mut out),
        None => write!(out, "{USAGE}").map(|()| ExitCode::from(64)),
    };
    told.unwrap_or(ExitCode::from(74))
}

struct Job {
    config: Config,
    search: Search,
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
        let (mut protocol, mut beyond_limit, mut failing_clocks, mut search) = (Protocol::Link, false, false, None);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--protocol" => {
                    protocol = match args.next()?.as_str() {
                        "link" => Protocol::Link,
                        "dir" => Protocol::Dir,
                        _ => return None,
                    };
                }
                "--beyond-limit" => beyond_limit = true,
                "--failing-clocks" => failing_clocks = true,
                "--pct-seed" => search = Some(Search::PctStory(args.next()?.parse().ok()?)),
                "--seed" => search = Some(Search::Story(args.next()?.parse().ok()?)),
                "--runs" => search = Some(Search::Random(args.next()?.parse().ok()?)),
                "--pct" => search = Some(Search::Pct(args.next()?.parse().ok()?)),
                "--every" => search = Some(Search::Every(args.next()?.parse().ok()?)),
                _ => return None,
            }
        }
        let search = search?;
        let mut config = match search {
            Search::Every(_) => Config::smallest(protocol),
            _ => Config::new(protocol),
        };
        if beyond_limit {
            config = config.beyond_the_limit();
        }
        if failing_clocks {
            config = config.with_failing_clocks();
        }
        Some(Self { config, search })
    }

    fn run(self, out: &mut impl Write) -> std::io::Result<ExitCode> {
        let summary = match self.search {
            Search::Story(seed) | Search::PctStory(seed) => {
                let config = Config { story: true, ..self.config };
                let outcome = match self.search {
                    Search::PctStory(_) => explore::one_pct(&config, seed),
                    _ => Some(explore::one(&config, seed)),
                };
                let Some(outcome) = outcome else { return Ok(ExitCode::FAILURE) };
                for line in &outcome.story {
                    writeln!(out, "{line}")?;
                }
                Summary { runs: 1, holds: outcome.holds.into(), violation: outcome.violation.map(|what| (seed, what)) }
            }
            Search::Random(runs) => explore::random(&self.config, 0, runs),
            Search::Pct(runs) => explore::pct(&self.config, 0, runs),
            Search::Every(most) => explore::exhaustive(&self.config, most).0,
        };
        writeln!(out, "{} runs, {} holds", summary.runs, summary.holds)?;
        match summary.violation {
            Some((seed, what)) => writeln!(out, "seed {seed}: {what}").map(|()| ExitCode::FAILURE),
            None => writeln!(out, "no violation").map(|()| ExitCode::SUCCESS),
        }
    }
}
