//! What an examination has found.

use std::path::PathBuf;

use crate::file_system::Mount;
use crate::options::Protocol;

/// What [`examine`](super::examine) has found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Examination {
    /// The directory.
    pub directory: PathBuf,
    /// The kind of file system, if linklock knows it.
    pub kind: Option<&'static str>,
    /// How it is mounted. `None` where the system does not tell.
    pub mount: Option<Mount>,
    /// The separator that names can hold there.
    pub separator: char,
    /// What is known to help on this kind of file system.
    pub advice: Option<&'static str>,
    /// One by one.
    pub findings: Vec<Finding>,
}

/// One thing that was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// What was tried, in a word or two.
    pub about: &'static str,
    /// What follows from it.
    pub level: Level,
    /// The protocol that it matters to; `None` for both.
    pub protocol: Option<Protocol>,
    /// What was found.
    pub text: String,
}

/// What follows from a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// As it should be.
    Good,
    /// Worth to know; locks work.
    Note,
    /// Locks may work.
    Warning,
    /// Locks do not work.
    Fault,
}

/// Whether a protocol can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fit {
    /// It can.
    Fit,
    /// It may work.
    WithWarnings,
    /// It does not work.
    Unfit,
}

impl Examination {
    /// Whether this protocol can be used.
    pub fn fit(&self, protocol: Protocol) -> Fit {
        fit(&self.findings, protocol)
    }

    /// The protocol to choose: `dir` unless it is less fit, since there no late request removes another's lock. `None`: neither.
    pub fn advised(&self) -> Option<Protocol> {
        let best = [Protocol::Dir, Protocol::Link].into_iter().min_by_key(|protocol| self.fit(*protocol));
        best.filter(|protocol| self.fit(*protocol) != Fit::Unfit)
    }
}

pub(super) fn fit(findings: &[Finding], protocol: Protocol) -> Fit {
    let levels = findings.iter().filter(|f| f.protocol.is_none_or(|p| p == protocol)).map(|f| f.level);
    match levels.max() {
        Some(Level::Fault) => Fit::Unfit,
        Some(Level::Warning) => Fit::WithWarnings,
        _ => Fit::Fit,
    }
}

/// For both protocols.
pub(super) fn finding(about: &'static str, level: Level, text: impl Into<String>) -> Finding {
    Finding { about, level, protocol: None, text: text.into() }
}

/// For one protocol.
pub(super) fn of(protocol: Protocol, about: &'static str, level: Level, text: impl Into<String>) -> Finding {
    Finding { about, level, protocol: Some(protocol), text: text.into() }
}
