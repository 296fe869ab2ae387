//! The arguments of the subcommands for scripts and operators.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{ArgGroup, Args, ValueHint};
use linklock::{OnBehalfOf, SEPARATOR};

use super::shared::{Contest, JournalArg, Judgement, LAST, LIFETIME, Patience, Place, Waking, slots};
use crate::duration::parse as duration;
use crate::timestamp::moment;

#[derive(Debug, Args)]
pub(crate) struct AcquireArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    /// How long the lock lasts without a refresh
    #[arg(short, long, value_name = "D", value_parser = duration, default_value = "15s", env = LIFETIME, hide_env_values = true)]
    pub(crate) lifetime: Duration,
    /// The process that holds the lock: once it has ended, contenders on this machine take the lock at once. none: the
    /// lock lasts until its release or its expiry. The default is the shell that reads the token, as in TOKEN=$(linklock
    /// acquire ...). If no such shell is known, no process holds the lock, and a note on stderr reports it
    #[arg(long, value_name = "PID|none", value_parser = on_behalf_of)]
    pub(crate) pid: Option<OnBehalfOf>,
    #[command(flatten)]
    pub(crate) contest: Contest,
    /// Print a fencing token in a second line: a number that grows with every acquisition. The file LOCKPATH|fence (on
    /// Windows with ^ for |) counts them and stays
    #[arg(long)]
    pub(crate) fence: bool,
    #[command(flatten)]
    pub(crate) journal: JournalArg,
}

#[derive(Debug, Args)]
pub(crate) struct RefreshArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    /// The token that `acquire` printed
    pub(crate) token: OsString,
    /// How long the lock lasts from now. The default is the lock's own lifetime: that of `acquire`, or a longer one that a
    /// refresh has set. 15s for a lock of flufl.lock, which names none
    #[arg(short, long, value_name = "D", value_parser = duration)]
    pub(crate) lifetime: Option<Duration>,
    #[command(flatten)]
    pub(crate) journal: JournalArg,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    /// The token that `acquire` printed
    pub(crate) token: OsString,
    #[command(flatten)]
    pub(crate) waking: Waking,
    #[command(flatten)]
    pub(crate) journal: JournalArg,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The lock paths
    #[arg(required = true, value_name = "LOCKPATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Print one JSON object per line: path, protocol, state (free, held, expired, abandoned, not-a-lock), host, pid, token,
    /// command, user, owner_uid, owner, since, expires_at, expires_in_ms, readers (all who share it). Unknown values are null; pid is null if no
    /// process holds the lock. The file system supplies the owner of the lock's file; the holder itself wrote host and pid,
    /// and for --protocol dir command, user and since. For link these come from the process, if it runs on this machine
    #[arg(long)]
    pub(crate) json: bool,
    /// Show the first N slots of each LOCKPATH, which are the locks LOCKPATH.1 and so on
    #[arg(long, value_name = "N", value_parser = slots())]
    pub(crate) slots: Option<usize>,
    /// Exit with the state: 0 free, 1 held, 2 expired, 3 abandoned, 4 not a lock. Of several paths the greatest counts.
    /// An error still has its own exit status
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// The character between the parts of a claim's name
    #[arg(long, value_name = "C", default_value_t = SEPARATOR, display_order = LAST)]
    pub(crate) separator: char,
    #[command(flatten)]
    pub(crate) judgement: Judgement,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub(crate) struct BreakArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    /// Break the lock that this token holds, even if its holder is alive, and no other lock
    #[arg(long, group = "which")]
    pub(crate) token: Option<OsString>,
    /// Break the lock if its lifetime and the grace have passed, or if its holder has died
    #[arg(long, group = "which")]
    pub(crate) expired: bool,
    /// Break any lock. This is the last resort: the holder may be working
    #[arg(long, group = "which")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) judgement: Judgement,
    #[command(flatten)]
    pub(crate) journal: JournalArg,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    pub(crate) at: Place,
    #[command(flatten)]
    pub(crate) patience: Patience,
    #[command(flatten)]
    pub(crate) judgement: Judgement,
}

#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    /// The lock path; or a directory, for all locks that have claims in it
    #[arg(value_name = "LOCKPATH|DIR")]
    pub(crate) path: PathBuf,
    /// Remove the files. Without this option linklock lists what it would remove, and changes nothing
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Print one JSON object per line: lock, path, kind (claim, broken-claim, break-claim, break-lock, ticket, queue, bell,
    /// free-lock), host, pid, expires_at, action (remove, keep, removed, failed), reason. Unknown values are null
    #[arg(long)]
    pub(crate) json: bool,
    /// The character between the parts of a claim's name
    #[arg(long, value_name = "C", default_value_t = SEPARATOR, display_order = LAST)]
    pub(crate) separator: char,
    /// Keep the claim of a process of this machine that has ended, until the claim has expired long ago
    #[arg(long)]
    pub(crate) no_recover_dead: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The journals, such as one of each host. /dev/stdin is standard input
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// Leave out what happened before this time: as 2026-01-31T12:00:00Z, or as 24h, which is so long ago. A hold that ended since
    /// then counts with its whole length
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<SystemTime>,
    /// Leave out what happened at this time or later
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<SystemTime>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn on_behalf_of(text: &str) -> Result<OnBehalfOf, String> {
    match text.parse() {
        _ if text == "none" => Ok(OnBehalfOf::Nobody),
        Ok(pid) if pid > 0 => Ok(OnBehalfOf::Process(pid)),
        _ => Err("expected a process ID, or none".into()),
    }
}
