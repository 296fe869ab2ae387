//! New seeds of every main world, for hours.
//!
//! A file keeps the progress of each world, so that the next soak continues there, and the violations.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::env::os::OsEnv;
use crate::env::{Env, Location};
use crate::explore::{self, RUNS_A_SEED, Summary};
use crate::time::LocalTime;
use crate::worlds::{Protocols, WORLDS, World};

/// The tests use smaller seeds.
const FIRST_SEED: u64 = 1_000_000;
/// The number of runs of one world before the next world's turn.
const RUNS_AT_ONCE: u64 = 500;
const THREADS: usize = 2;
const FILE_MOST: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Soak {
    pub(crate) time: Duration,
    pub(crate) file: Option<PathBuf>,
}

/// One world under one scheduler.
#[derive(Clone, Copy, Debug)]
struct Row {
    world: World,
    protocols: Protocols,
    pct: bool,
    next_seed: u64,
    /// By this soak and by earlier ones.
    runs: u64,
    runs_before: u64,
}

impl Row {
    fn name(&self) -> String {
        let scheduler = if self.pct { "PCT" } else { "random" };
        format!("{} {} {scheduler}", self.world.name, self.protocols.name())
    }

    fn run(&mut self) -> Summary {
        let (config, first) = (self.world.config(self.protocols), self.next_seed);
        let summary = if self.pct {
            explore::pct(&config, first, RUNS_AT_ONCE)
        } else {
            explore::random(&config, first, RUNS_AT_ONCE)
        };
        self.next_seed += if self.pct { RUNS_AT_ONCE.div_ceil(RUNS_A_SEED) } else { RUNS_AT_ONCE };
        self.runs += summary.runs;
        summary
    }
}

/// The state that the threads share.
#[derive(Debug)]
struct Progress {
    /// The rows that no thread runs now.
    waiting: VecDeque<Row>,
    /// The progress of each row, by name.
    done: Map<String, Value>,
    found: Vec<Value>,
    over: bool,
}

impl Soak {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let (mut time, mut file) = (None, None);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--hours" => time = Duration::try_from_secs_f64(args.next()?.parse::<f64>().ok()? * 3600.0).ok(),
                "--file" => file = Some(args.next()?.into()),
                _ => return None,
            }
        }
        Some(Self { time: time?, file })
    }

    /// Runs until the time is up, or until the first violation.
    pub(crate) fn run(&self, out: &mut impl Write) -> io::Result<ExitCode> {
        let until = OsEnv.now() + self.time;
        let progress = Mutex::new(self.load()?);
        let threads = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| self.work(&progress, until))).collect();
            threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
        });
        for ended in threads {
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        let progress = progress.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut rows: Vec<_> = progress.waiting.into_iter().collect();
        rows.sort_by_key(Row::name);
        for row in rows {
            let now = row.runs - row.runs_before;
            writeln!(out, "{:30}{now:9} runs, {:9} in all, next seed {}", row.name(), row.runs, row.next_seed)?;
        }
        for found in &progress.found {
            writeln!(out, "VIOLATION {found}")?;
        }
        Ok(if progress.over { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn work(&self, progress: &Mutex<Progress>, until: LocalTime) -> io::Result<()> {
        let lock = || progress.lock().unwrap_or_else(PoisonError::into_inner);
        while OsEnv.now() < until {
            let mut shared = lock();
            if shared.over {
                break;
            }
            let Some(mut row) = shared.waiting.pop_front() else { break };
            drop(shared);
            let summary = row.run();
            let mut shared = lock();
            shared.done.insert(row.name(), json!({ "next_seed": row.next_seed, "runs": row.runs }));
            shared.waiting.push_back(row);
            if let Some((seed, what)) = summary.violation {
                shared.found.push(json!({ "world": row.name(), "seed": seed, "what": what }));
                shared.over = true;
            }
            self.save(&shared)?;
        }
        Ok(())
    }

    fn load(&self) -> io::Result<Progress> {
        let known = match self.file.as_deref().map(|file| OsEnv.read(&at(file), FILE_MOST)) {
            Some(Ok((_, content))) => serde_json::from_slice(&content)?,
            Some(Err(e)) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => json!({}),
        };
        let done = known["worlds"].as_object().cloned().unwrap_or_default();
        let mut waiting = Vec::new();
        for world in WORLDS.iter().filter(|world| world.is_main) {
            for (protocols, pct) in Protocols::ALL.into_iter().flat_map(|all| [(all, false), (all, true)]) {
                let mut row = Row { world: *world, protocols, pct, next_seed: FIRST_SEED, runs: 0, runs_before: 0 };
                if let Some(done) = done.get(&row.name()) {
                    row.next_seed = done["next_seed"].as_u64().unwrap_or(FIRST_SEED);
                    row.runs = done["runs"].as_u64().unwrap_or(0);
                    row.runs_before = row.runs;
                }
                waiting.push(row);
            }
        }
        // Short soaks too reach all of them.
        waiting.sort_by_key(|row| row.runs);
        let found = known["found"].as_array().cloned().unwrap_or_default();
        Ok(Progress { waiting: waiting.into(), done, found, over: false })
    }

    /// Replaces the file in one step.
    fn save(&self, progress: &Progress) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let content = json!({ "worlds": progress.done, "found": progress.found }).to_string();
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{}.{}", OsEnv.process_id(), OsEnv.unique()));
        let beside = at(Path::new(&name));
        OsEnv.create(&beside, content.as_bytes(), 0o644, &mut |_| None)?;
        OsEnv.rename(&beside, &at(file))
    }
}

fn at(file: &Path) -> Location {
    Location::beside(file.parent().unwrap_or(file), file.file_name().unwrap_or_default())
}
