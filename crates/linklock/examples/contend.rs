//! A contender that does what its standard input says: the library's part in tests and benchmarks with other programs.
//!
//! ```text
//! contend LOCKPATH [LIFETIME_MS GRACE_MS]
//! ```
//!
//! Each line holds one command, its words separated by tabs, and gets one line in answer. Times are nanoseconds of the
//! wall clock, on which expiries are written on a local file system.
//!
//! | command | answer |
//! | --- | --- |
//! | `acquire` | `acquired`, when |
//! | `refresh`, lifetime in ms | `refreshed` |
//! | `release` | `released`, when the release began |
//! | `details` | `details`, state, host, pid, token, expiry; `details`, state without a holder |
//! | `count`, file, n | `counted`, after n increments of the file's number, each under the lock |
//! | `count-unlocked`, file, n | the same without the lock, to show that the lock is what keeps them apart |
//!
//! What fails is answered with `error`, the error's kind, its message. At the end of its input it releases what it
//! holds.
#![allow(clippy::disallowed_methods, reason = "this is a program, not the library: it asks the system itself")]

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::{Duration, SystemTime};
use std::{env, fs, thread};

use linklock::{Guard, Lock};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1);
    let path = args.next().ok_or("usage: contend LOCKPATH [LIFETIME_MS GRACE_MS]")?;
    let mut lock = Lock::builder(path);
    if let (Some(lifetime), Some(grace)) = (args.next(), args.next()) {
        lock = lock.lifetime(millis(&lifetime.to_string_lossy())?).grace(millis(&grace.to_string_lossy())?);
    }
    let mut contender = Contender { lock: lock.build()?, guard: None };
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split('\t').collect();
        let answer = contender.obey(&words).unwrap_or_else(|e| match e.downcast_ref::<linklock::Error>() {
            Some(e) => format!("error\t{:?}\t{e}", e.kind()),
            None => format!("error\tOther\t{e}"),
        });
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

struct Contender {
    lock: Lock,
    guard: Option<Guard>,
}

impl Contender {
    fn obey(&mut self, words: &[&str]) -> Result<String, Box<dyn Error>> {
        match words {
            ["acquire"] => {
                self.guard = Some(self.lock.acquire()?);
                Ok(format!("acquired\t{}", now_ns()?))
            }
            ["refresh", lifetime] => {
                self.guard.as_ref().ok_or("nothing is held")?.refresh_for(millis(lifetime)?)?;
                Ok("refreshed".into())
            }
            ["release"] => {
                let guard = self.guard.take().ok_or("nothing is held")?;
                let began = now_ns()?;
                guard.release().map_err(linklock::Error::from)?;
                Ok(format!("released\t{began}"))
            }
            ["details"] => self.details(),
            ["count", file, rounds] => {
                for _ in 0..rounds.parse()? {
                    let guard = self.lock.acquire()?;
                    increment(file)?;
                    guard.release().map_err(linklock::Error::from)?;
                    pause();
                }
                Ok("counted".into())
            }
            ["count-unlocked", file, rounds] => {
                for _ in 0..rounds.parse()? {
                    increment(file)?;
                    pause();
                }
                Ok("counted".into())
            }
            _ => Err(format!("not a command: {words:?}").into()),
        }
    }

    fn details(&self) -> Result<String, Box<dyn Error>> {
        let status = self.lock.inspect()?;
        Ok(match status.holder {
            Some(holder) => format!(
                "details\t{}\t{}\t{}\t{}\t{}",
                status.state,
                holder.host,
                holder.pid,
                holder.token,
                nanos(holder.expires_at)?
            ),
            None => format!("details\t{}", status.state),
        })
    }
}

/// The file holds how many increments there were, how often one came from another program than the one before it, and
/// from which the last one came. It is read and written like any file: the time between is for others to do harm.
fn increment(file: &str) -> Result<(), Box<dyn Error>> {
    const PROGRAM: &str = "linklock";
    let text = fs::read_to_string(file)?;
    let (count, turns, last) = match *text.split(' ').collect::<Vec<_>>() {
        [count, turns, last] => (count.parse()?, turns.parse()?, last),
        // Another writes it at this moment: only without the lock can that be seen.
        _ => (0, 0, PROGRAM),
    };
    thread::sleep(Duration::from_micros(500));
    let (count, turns): (u64, u64) = (count + 1, turns + u64::from(last != PROGRAM));
    fs::write(file, format!("{count} {turns} {PROGRAM}"))?;
    Ok(())
}

/// Lets others have a turn.
fn pause() {
    thread::sleep(Duration::from_micros(fastrand::u64(0..4000)));
}

fn millis(text: &str) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::from_millis(text.parse()?))
}

fn now_ns() -> Result<u128, Box<dyn Error>> {
    nanos(SystemTime::now())
}

fn nanos(time: SystemTime) -> Result<u128, Box<dyn Error>> {
    Ok(time.duration_since(SystemTime::UNIX_EPOCH)?.as_nanos())
}
