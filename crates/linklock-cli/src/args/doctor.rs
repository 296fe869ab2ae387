//! The arguments of `doctor`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use linklock::SEPARATOR;

use super::shared::LAST;
use crate::duration::parse as duration;

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The directory where locks are to be
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Another path of the same directory, such as a second mount. linklock then also measures what each sees of the other
    #[arg(value_name = "DIR2", value_hint = ValueHint::DirPath, conflicts_with = "with")]
    pub(crate) again: Option<PathBuf>,
    /// Meet the linklock doctor that runs on OTHERHOST, with --with and this host's name, at about the same time: both find each
    /// other through DIR, and measure what each sees of the other
    #[arg(long, value_name = "OTHERHOST")]
    pub(crate) with: Option<String>,
    /// The name of this host, for --with
    #[arg(long, value_name = "NAME", requires = "with")]
    pub(crate) host: Option<String>,
    /// How long to contend for a lock of each protocol, with DIR2 or --with [default: 5s, with --with 15s]
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) contend: Option<Duration>,
    /// How long to wait for the other, with DIR2 or --with
    #[arg(long, value_name = "D", value_parser = duration, default_value = "60s")]
    pub(crate) patience: Duration,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// The character between the parts of a claim's name
    #[arg(long, value_name = "C", default_value_t = SEPARATOR, display_order = LAST)]
    pub(crate) separator: char,
}
