//! linklock's protocols on a simulated file server.
//!
//! The very source of the library's protocols, and of the loop that waits, runs here against a simulated NFS server and its
//! clients, under schedules and faults drawn by shuttle. `--seed N` runs one again and tells its story.

#[cfg(test)]
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
mod flufl;
mod run;
mod server;
mod world;

use std::io::Write;
use std::process::ExitCode;

use config::Config;
use protocol::Protocol;

/// Where the lock is.
const DIR: &str = "/shared";
/// The lock's name there.
const LOCK: &str = "L";

const USAGE: &str = "\
usage: linklock-sim [--protocol link|dir] [--beyond-limit] --seed N     run one seed and tell its story
       linklock-sim [--protocol link|dir] [--beyond-limit] --runs N     run seeds 0 to N-1 until one shows a violation
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
    seed: Option<u64>,
    runs: Option<u64>,
}

impl Job {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let mut job = Self { config: Config::new(Protocol::Link), seed: None, runs: None };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--protocol" => {
                    job.config = Config::new(match args.next()?.as_str() {
                        "link" => Protocol::Link,
                        "dir" => Protocol::Dir,
                        _ => return None,
                    });
                }
                "--beyond-limit" => job.config = job.config.beyond_the_limit(),
                "--seed" => job.seed = Some(args.next()?.parse().ok()?),
                "--runs" => job.runs = Some(args.next()?.parse().ok()?),
                _ => return None,
            }
        }
        (job.seed.is_some() != job.runs.is_some()).then_some(job)
    }

    fn run(self, out: &mut impl Write) -> std::io::Result<ExitCode> {
        let violation = if let Some(seed) = self.seed {
            let outcome = explore::one(&Config { story: true, ..self.config }, seed);
            for line in &outcome.story {
                writeln!(out, "{line}")?;
            }
            outcome.violation.map(|what| (seed, what))
        } else {
            let summary = explore::random(&self.config, 0, self.runs.unwrap_or_default());
            writeln!(out, "{} runs, {} holds", summary.runs, summary.holds)?;
            summary.violation
        };
        match violation {
            Some((seed, what)) => writeln!(out, "seed {seed}: {what}").map(|()| ExitCode::FAILURE),
            None => writeln!(out, "no violation").map(|()| ExitCode::SUCCESS),
        }
    }
}
