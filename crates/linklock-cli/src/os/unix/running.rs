//! What the system says of a process that runs.

use std::fs;
use std::time::{Duration, SystemTime};

use super::clock::uptime;
use super::proc::Stat;

/// A process that runs on this machine.
#[derive(Debug)]
pub(crate) struct Running {
    /// The name of its program.
    pub(crate) command: String,
    /// The number of its user.
    pub(crate) uid: Option<u32>,
    /// When it started, by this machine's clock.
    pub(crate) since: Option<SystemTime>,
}

impl Running {
    /// From proc(5); `None` on systems without it. The pid must be one of this namespace.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
        let command = String::from_utf8_lossy(&read("comm")?).trim_end().to_owned();
        let status = read("status").map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
        // The second number is the effective user's.
        let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        let uid = uids.and_then(|uids| uids.split_ascii_whitespace().nth(1)?.parse().ok());
        Some(Self { command, uid, since: Stat::read(pid).and_then(|stat| started(stat.start)) })
    }
}

/// The start, which /proc/PID/stat counts in hundredths of a second since the boot.
fn started(ticks: u64) -> Option<SystemTime> {
    SystemTime::now().checked_sub(uptime().saturating_sub(Duration::from_millis(ticks.checked_mul(10)?)))
}
