//! The arguments of `ls`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use linklock::SEPARATOR;

use super::shared::{JournalArg, Judgement, LAST};
use crate::duration::parse as duration;

#[derive(Clone, Debug, Args)]
pub(crate) struct LsArgs {
    /// Directories, for all locks in them; or lock paths
    #[arg(value_name = "DIR|LOCKPATH", default_value = ".")]
    pub(crate) paths: Vec<PathBuf>,
    /// Also list the locks in the directories below each DIR. Symbolic links are not followed
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// List only locks that have been held for longer than this, or may have been. The exit status is 1 if one has been, and 2 if
    /// it is only known that one may have been
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) older_than: Option<Duration>,
    /// Print one JSON document. docs/schema/linklock.json describes it
    #[arg(long)]
    pub(crate) json: bool,
    /// Print metrics in the text format of Prometheus, for the textfile collector of its node exporter
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    pub(crate) prometheus: bool,
    /// List again every D. On a terminal, show a table that fills it, with keys to sort, to filter and to break a lock: ? lists them
    #[arg(long, value_name = "D", value_parser = interval, num_args = 0..=1, require_equals = true, default_missing_value = "2s")]
    pub(crate) watch: Option<Duration>,
    /// The character between the parts of a claim's name
    #[arg(long, value_name = "C", default_value_t = SEPARATOR, display_order = LAST)]
    pub(crate) separator: char,
    #[command(flatten)]
    pub(crate) judgement: Judgement,
    #[command(flatten)]
    pub(crate) journal: JournalArg,
}

/// Each listing is work for the file server.
const INTERVAL_LEAST: Duration = Duration::from_millis(100);

fn interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time < INTERVAL_LEAST => Err("100ms is the shortest interval".into()),
        time => Ok(time),
    }
}
