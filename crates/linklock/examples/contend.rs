//! A contender that obeys its standard input: the library's part in tests and benchmarks with other programs.
//!
//! ```text
//! contend LOCKPATH [LIFETIME_MS GRACE_MS [PROTOCOL [DIARY]]]
//! ```
//!
//! Each line is one command, with tabs between its words, and gets one line as its answer. Times are nanoseconds of the wall
//! clock, the clock of expiries on a local file system.
//!
//! DIARY is a file to which all contenders of a test append: a line `since TOKEN WHEN ASKED` when one begins to trust its
//! lock (it asked for the lock at ASKED), and a line `until TOKEN WHEN` when it stops trusting it, for whatever reason. The
//! diary must not be on the tested file system.
//!
//! The environment variable CONTEND_SEPARATOR sets the separator in claims' names. With CONTEND_QUEUE it waits in the
//! queue. With CONTEND_SHARED it shares the lock. With CONTEND_SLOTS it contends for that many slots. CONTEND_WAKE is `poll` or `udp`.
//!
//! | command | answer |
//! | --- | --- |
//! | `acquire`; `acquire`, time-out in ms | `acquired`, when, token |
//! | `keep-alive` | `kept alive`, from now on |
//! | `refresh`, lifetime in ms | `refreshed` |
//! | `release` | `released`, when the release began |
//! | `details` | `details`, state, host, pid, token, expiry; `details`, state without a holder |
//! | `count`, file, n | `counted`, after n increments of the file's number, each under the lock |
//! | `count-while`, file, tally | `counted`, once the file `tally` was removed; it gets a line with our pid for each increment |
//! | `watch-while`, file, tally, hold in ms | `watched`, like `count-while`, but the number must stay the same for `hold` under the lock |
//! | `count-unlocked`, file, n | like `count` without the lock, to show that updates are then lost |
//! | `cycles`, n | `cycled`, after n cycles of acquire and release |
//! | `take-turns`, hold, pause and how long, all in ms | `took`, number of turns, the longest wait in ms |
//!
//! If a command fails, the answer is `error`, the error's kind, its message. At the end of its input it releases its lock.
#![allow(clippy::disallowed_methods, reason = "this is a program, not the library, and uses the system directly")]

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, thread};

use linklock::{Guard, Lock, Protocol, Slot, Slots, Token, Wait};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1);
    let path = args.next().ok_or("usage: contend LOCKPATH [LIFETIME_MS GRACE_MS [PROTOCOL [DIARY]]]")?;
    let mut lock = Lock::builder(path);
    if let (Some(lifetime), Some(grace)) = (args.next(), args.next()) {
        lock = lock.lifetime(millis(&lifetime.to_string_lossy())?).grace(millis(&grace.to_string_lossy())?);
    }
    if args.next().is_some_and(|protocol| protocol == "dir") {
        lock = lock.protocol(Protocol::Dir);
    }
    if let Some(separator) = env::var("CONTEND_SEPARATOR").ok().and_then(|s| s.chars().next()) {
        lock = lock.separator(separator);
    }
    lock = lock.queue(env::var_os("CONTEND_QUEUE").is_some()).shared(env::var_os("CONTEND_SHARED").is_some());
    if let Ok(wake) = env::var("CONTEND_WAKE") {
        lock = lock.wake(wake.parse()?);
    }
    let diary = Diary(args.next().map(PathBuf::from));
    let lock = lock.build()?;
    let number = env::var("CONTEND_SLOTS").ok().map(|number| number.parse()).transpose()?;
    let slots = number.map(|number| lock.slots(number)).transpose()?;
    let mut contender = Contender { lock, slots, guard: None, diary };
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
    /// If it contends for one of them.
    slots: Option<Slots>,
    guard: Option<Guard>,
    diary: Diary,
}

impl Contender {
    fn obey(&mut self, words: &[&str]) -> Result<String, Box<dyn Error>> {
        match words {
            ["acquire"] => self.hold(&Wait::forever()),
            ["acquire", limit] => self.hold(&Wait::up_to(millis(limit)?)),
            ["keep-alive"] => {
                self.guard.as_ref().ok_or("no lock is held")?.keep_alive()?;
                Ok("kept alive".into())
            }
            ["refresh", lifetime] => {
                self.guard.as_ref().ok_or("no lock is held")?.refresh_for(millis(lifetime)?)?;
                Ok("refreshed".into())
            }
            ["release"] => {
                let guard = self.guard.take().ok_or("no lock is held")?;
                let began = now_ns()?;
                self.release(guard)?;
                Ok(format!("released\t{began}"))
            }
            ["details"] => self.details(),
            ["count", file, rounds] => {
                for _ in 0..rounds.parse()? {
                    self.count(file)?;
                }
                Ok("counted".into())
            }
            ["count-while", file, tally] => {
                while_there(tally, || self.count(file))?;
                Ok("counted".into())
            }
            ["watch-while", file, tally, hold] => {
                let hold = millis(hold)?;
                while_there(tally, || self.watch(file, hold))?;
                Ok("watched".into())
            }
            ["count-unlocked", file, rounds] => {
                for _ in 0..rounds.parse()? {
                    increment(file)?;
                    pause();
                }
                Ok("counted".into())
            }
            ["cycles", rounds] => {
                for _ in 0..rounds.parse()? {
                    let guard = self.acquire(&Wait::forever())?;
                    self.release(guard)?;
                }
                Ok("cycled".into())
            }
            ["take-turns", hold, pause, how_long] => self.take_turns(millis(hold)?, millis(pause)?, millis(how_long)?),
            _ => Err(format!("not a command: {words:?}").into()),
        }
    }

    fn count(&self, file: &str) -> Result<(), Box<dyn Error>> {
        let guard = self.acquire(&Wait::forever())?;
        increment(file)?;
        self.release(guard)?;
        pause();
        Ok(())
    }

    fn watch(&self, file: &str, hold: Duration) -> Result<(), Box<dyn Error>> {
        let guard = self.acquire(&Wait::forever())?;
        let before = fs::read_to_string(file)?;
        thread::sleep(hold);
        let after = fs::read_to_string(file)?;
        if before != after && !guard.is_lost() {
            return Err(format!("a writer beside a reader: {before:?} became {after:?}").into());
        }
        self.release(guard)?;
        pause();
        Ok(())
    }

    /// A turn that begins when the time is up does not count, but its wait does.
    fn take_turns(&self, hold: Duration, pause: Duration, how_long: Duration) -> Result<String, Box<dyn Error>> {
        let (began, mut turns, mut longest) = (Instant::now(), 0, Duration::ZERO);
        while began.elapsed() < how_long {
            let asked = Instant::now();
            let guard = self.acquire(&Wait::forever())?;
            longest = longest.max(asked.elapsed());
            turns += u32::from(began.elapsed() < how_long);
            thread::sleep(hold);
            self.release(guard)?;
            thread::sleep(pause);
        }
        Ok(format!("took\t{turns}\t{}", longest.as_millis()))
    }

    fn hold(&mut self, wait: &Wait) -> Result<String, Box<dyn Error>> {
        let guard = self.acquire(wait)?;
        let answer = format!("acquired\t{}\t{}", now_ns()?, guard.token());
        self.guard = Some(guard);
        Ok(answer)
    }

    fn acquire(&self, wait: &Wait) -> Result<Guard, Box<dyn Error>> {
        let asked = now_ns()?;
        let guard = match &self.slots {
            None => self.lock.acquire_with(wait)?,
            Some(slots) => slots.acquire_with(wait).map(Slot::into_guard)?,
        };
        self.diary.since(&guard, asked)?;
        Ok(guard)
    }

    fn release(&self, guard: Guard) -> Result<(), Box<dyn Error>> {
        self.diary.until(guard.token())?;
        Ok(guard.release().map_err(linklock::Error::from)?)
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

/// When a contender trusted its lock.
#[derive(Clone)]
struct Diary(Option<PathBuf>);

impl Diary {
    fn since(&self, guard: &Guard, asked: u128) -> Result<(), Box<dyn Error>> {
        if self.0.is_none() {
            return Ok(());
        }
        self.write(&format!("since {} {} {asked}\n", guard.token(), now_ns()?))?;
        let (diary, loss, token) = (self.clone(), guard.loss(), guard.token().clone());
        // A separate thread, so that a lost lock is noted even while the main thread is blocked.
        thread::spawn(move || {
            if loss.wait() {
                diary.until(&token).expect("the diary can be written");
            }
        });
        Ok(())
    }

    fn until(&self, token: &Token) -> Result<(), Box<dyn Error>> {
        self.write(&format!("until {token} {}\n", now_ns()?))
    }

    /// Writes a line by one call, since others write too.
    fn write(&self, line: &str) -> Result<(), Box<dyn Error>> {
        if let Some(file) = &self.0 {
            fs::OpenOptions::new().append(true).create(true).open(file)?.write_all(line.as_bytes())?;
        }
        Ok(())
    }
}

/// Repeats it until the tally is removed, which gets a line with our pid for each time.
fn while_there(tally: &str, mut act: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    while let Ok(mut tally) = fs::OpenOptions::new().append(true).open(tally) {
        act()?;
        tally.write_all(format!("{}\n", std::process::id()).as_bytes())?;
    }
    Ok(())
}

/// The file contains the number of increments, how often an increment came from another program than the one before, and
/// the program of the last one. It is read and written like any file; in between, others can do harm.
fn increment(file: &str) -> Result<(), Box<dyn Error>> {
    const PROGRAM: &str = "linklock";
    let text = fs::read_to_string(file)?;
    let (count, turns, last) = match *text.split(' ').collect::<Vec<_>>() {
        [count, turns, last] => (count.parse()?, turns.parse()?, last),
        // Another process writes it at this moment. That is only possible without the lock.
        _ => (0, 0, PROGRAM),
    };
    thread::sleep(Duration::from_micros(500));
    let (count, turns): (u64, u64) = (count + 1, turns + u64::from(last != PROGRAM));
    fs::write(file, format!("{count} {turns} {PROGRAM}"))?;
    Ok(())
}

/// Gives others a chance to acquire the lock.
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
