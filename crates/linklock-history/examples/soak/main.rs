//! A contender of tests/soak: it takes turns under a lock until a file says stop, and records what it believes.
//!
//! ```text
//! soak LOCKPATH KEY=VALUE...
//! ```
//!
//! | key | value |
//! | --- | --- |
//! | `name` | the process in the history: no other has it |
//! | `history` | the file for the events, to which all processes of a lock append: linklock-history tells the format |
//! | `doing` | the file that tells the driver its pid and what it is doing: see `Doing` |
//! | `stop` | it ends once this file exists |
//! | `protocol`, `lifetime_ms`, `grace_ms`, `queue`, `shared`, `recover`, `keep_alive`, `fence`, `host` | of the lock |
//! | `slots` | it contends for one of so many |
//! | `register` | a register behind fencing tokens, to read and write under the lock |
//! | `counter` | a file on the tested file system, to increment under the lock, by a read and a write |
//! | `tally` | gets a line with each number that was written there |
//! | `turns` | it ends after so many |
//! | `calm` | all its turns are short, and end with a release |
//! | `think_ms` | the mean pause between turns |
//! | `ahead_ns` | how far this process's clock is ahead of that of the history, by a time namespace |
//! | `careless` | at this turn it does as if it held the lock, and as if the register took any token, to show that this is caught |

#[cfg(unix)]
mod record;
#[cfg(unix)]
mod settings;
#[cfg(unix)]
mod turns;
#[cfg(unix)]
mod work;

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = settings::Settings::parse(std::env::args().skip(1))?;
    turns::Contender::new(&settings)?.take_turns()
}

#[cfg(not(unix))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    Err("the soak needs Unix".into())
}
