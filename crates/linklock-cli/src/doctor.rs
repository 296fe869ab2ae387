//! `doctor`: whether a directory is fit for locks.

use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use linklock::doctor::{Examination, Finding, Fit, Level, Meeting, conforms, examine, meet};
use linklock::{Cancel, Error, Lock, Printable, Protocol, SEPARATOR};
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::console::{Console, Versioned, json, printable};
use crate::exit::{Exit, Failure};
use crate::os::Signals;

const PROTOCOLS: [Protocol; 2] = [Protocol::Link, Protocol::Dir];

/// Two mounts of one machine need less.
const CONTEND_MOUNTS: Duration = Duration::from_secs(5);
const CONTEND_HOSTS: Duration = Duration::from_secs(15);

pub(crate) fn doctor(args: &DoctorArgs, console: Console) -> Result<Exit, Failure> {
    let signals = Signals::catch()?;
    examine_all(args, console, signals.cancel()).map_err(|failure| match (failure, signals.any()) {
        (Failure::Lock(e), Some(signal)) if e.is_cancelled() => Failure::Signal(signal),
        (failure, _) => failure,
    })
}

fn examine_all(args: &DoctorArgs, console: Console, cancel: &Cancel) -> Result<Exit, Failure> {
    if !args.json && (args.with.is_some() || args.again.is_some()) {
        console.note("this takes about a minute")?;
    }
    let mut found = examine(&args.dir, args.separator, cancel)?;
    // With what does not work alone there is nothing to measure.
    let protocols = PROTOCOLS.into_iter().filter(|protocol| found.fit(*protocol) != Fit::Unfit).collect();
    if let Some(again) = &args.again {
        found.findings.push(conforms(&args.dir, again)?);
        found.findings.extend(meet_itself(args, again, found.separator, protocols, cancel)?);
    } else if let Some(other) = &args.with {
        let here =
            args.host.clone().map_or_else(|| Lock::new(args.dir.join("any")).map(|lock| lock.host().to_owned()), Ok)?;
        let meeting = Meeting::of(here, other).contend_for(args.contend.unwrap_or(CONTEND_HOSTS));
        let meeting = meeting.patience(args.patience).separator(found.separator).protocols(protocols);
        found.findings.extend(meet(&args.dir, &meeting, cancel)?);
    }
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json(&Versioned::new(Report::of(&found)))?)?;
    } else {
        tell(&found, &mut out)?;
    }
    let best = PROTOCOLS.into_iter().map(|protocol| found.fit(protocol)).min();
    Ok(match best.unwrap_or(Fit::Unfit) {
        Fit::Fit => Exit::Done,
        Fit::WithWarnings => Exit::State(1),
        _ => Exit::State(2),
    })
}

/// As two hosts would, each in a thread.
fn meet_itself(
    args: &DoctorArgs,
    again: &Path,
    separator: char,
    protocols: Vec<Protocol>,
    cancel: &Cancel,
) -> Result<Vec<Finding>, Error> {
    let meeting = |this: &str, other: &str| {
        let meeting = Meeting::of(this, other).contend_for(args.contend.unwrap_or(CONTEND_MOUNTS));
        meeting.patience(args.patience).separator(separator).protocols(protocols.clone())
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| meet(again, &meeting("DIR2", "DIR"), cancel));
        let ours = meet(&args.dir, &meeting("DIR", "DIR2"), cancel);
        // An error of the other side is seen on this one too, and says less there.
        match other.join() {
            Ok(Err(e)) if ours.is_err() => Err(e),
            _ => ours,
        }
    })
}

fn word(fit: Fit) -> &'static str {
    match fit {
        Fit::Fit => "fit",
        Fit::WithWarnings => "fit with warnings",
        _ => "unfit",
    }
}

fn mark(level: Level) -> &'static str {
    match level {
        Level::Good => "ok",
        Level::Note => "note",
        Level::Warning => "WARNING",
        _ => "FAULT",
    }
}

fn tell(found: &Examination, out: &mut impl Write) -> io::Result<()> {
    let mut say = |text: String| writeln!(out, "{}", printable(&text));
    say(format!(
        "{}: {}",
        Printable::new(&found.directory),
        found.kind.unwrap_or("a kind of file system that linklock does not know")
    ))?;
    if let Some(mount) = &found.mount {
        say(format!("  {} from {} ({})", mount.kind, mount.source, mount.options))?;
    }
    for finding in &found.findings {
        let whose = finding.protocol.map_or(String::new(), |protocol| format!("{protocol}: "));
        say(format!("  {:<8} {whose}{}: {}", mark(finding.level), finding.about, finding.text))?;
    }
    for protocol in PROTOCOLS {
        say(format!("{protocol}: {}", word(found.fit(protocol))))?;
    }
    if let Some(advice) = found.advice {
        say(format!("here: {advice}"))?;
    }
    say(match command_line(found) {
        Some(line) => format!("use: {line}"),
        None => "keep locks on another file system".into(),
    })
}

/// What to run there.
fn command_line(found: &Examination) -> Option<String> {
    let protocol = found.advised()?;
    let separator =
        if found.separator == SEPARATOR { String::new() } else { format!(" --separator {}", found.separator) };
    let path = found.directory.join("NAME.lock");
    Some(format!(
        "linklock run --protocol {protocol}{separator} {} -- COMMAND",
        Printable::word(&path.to_string_lossy())
    ))
}

/// For programs. The names are part of the program's interface.
#[derive(Serialize)]
struct Report<'a> {
    directory: String,
    file_system: Option<&'a str>,
    mount: Option<MountReport<'a>>,
    link: &'a str,
    dir: &'a str,
    advised: Option<String>,
    separator: char,
    command_line: Option<String>,
    advice: Option<&'a str>,
    findings: Vec<FindingReport<'a>>,
}

#[derive(Serialize)]
struct MountReport<'a> {
    magic: String,
    kind: &'a str,
    source: &'a str,
    options: &'a str,
}

#[derive(Serialize)]
struct FindingReport<'a> {
    about: &'a str,
    level: &'a str,
    protocol: Option<String>,
    text: &'a str,
}

impl<'a> Report<'a> {
    fn of(found: &'a Examination) -> Self {
        let mount = found.mount.as_ref().map(|mount| MountReport {
            magic: format!("{:#x}", mount.magic),
            kind: &mount.kind,
            source: &mount.source,
            options: &mount.options,
        });
        let findings = found.findings.iter().map(|finding| FindingReport {
            about: finding.about,
            level: match finding.level {
                Level::Good => "good",
                Level::Note => "note",
                Level::Warning => "warning",
                _ => "fault",
            },
            protocol: finding.protocol.map(|protocol| protocol.to_string()),
            text: &finding.text,
        });
        Self {
            directory: found.directory.to_string_lossy().into_owned(),
            file_system: found.kind,
            mount,
            link: word(found.fit(Protocol::Link)),
            dir: word(found.fit(Protocol::Dir)),
            advised: found.advised().map(|protocol| protocol.to_string()),
            separator: found.separator,
            command_line: command_line(found),
            advice: found.advice,
            findings: findings.collect(),
        }
    }
}
