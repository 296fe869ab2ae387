//! A contestant in `benches/compare`: it obeys its standard input, like contestant.py and contestant.js.
//!
//! ```text
//! contestant KIND PATH [HOST]
//! ```
//!
//! KIND is `link`, `dir`, `dir-shared`, `flock` (the call of the standard library's `File::lock`), `flock-shared`, `slots`, whose HOST
//! is the number of slots of a `link` lock, or one of the floors `link-floor` and `dir-floor`, which only run cycles. HOST is another name for this machine, so that its holders look like those of another
//! machine. Each line is one command, with tabs between its words, and gets one line as its answer.
//!
//! | command | answer |
//! | --- | --- |
//! | `cycles`, n | the nanoseconds that one of n cycles of acquire and release took |
//! | `lifetime`, s | `set`, for later acquisitions, if this kind has a lifetime |
//! | `acquire` | `acquired`, when, in nanoseconds of the wall clock |
//! | `release` | `released`, when the release began |
//! | `turns`, n, µs, file | `done`, when, after n turns: acquire, increment the file's number, hold the lock for that time, release |
//! | `holds`, n, µs | `done`, when, after n turns: acquire, hold the lock for that time, release |
//! | `keep`, n | `kept`, once n locks are kept alive, at PATH followed by a number |
#![allow(clippy::disallowed_methods, reason = "this is a program, not the library, and uses the system directly")]

#[path = "../benches/support/floor.rs"]
mod floor;

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, thread};

use floor::{DirFloor, LinkFloor};
use linklock::{Guard, Lock, Protocol, Slot, Slots};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [kind, path, host @ ..] = args.as_slice() else { return Err("usage: contestant KIND PATH [HOST]".into()) };
    let mut contestant: Box<dyn Contestant> = match kind.as_str() {
        "link" => Box::new(Linklock::new(Protocol::Link, path, host)?),
        "dir" => Box::new(Linklock::new(Protocol::Dir, path, host)?),
        "dir-shared" => Box::new(Linklock::new(Protocol::Dir, path, host)?.shared()?),
        "slots" => Box::new(Slotted::new(path, host)?),
        "link-floor" => Box::new(LinkFloor::new(path)),
        "dir-floor" => Box::new(DirFloor::new(path)),
        #[cfg(unix)]
        "flock" => Box::new(Flock::new(path, rustix::fs::FlockOperation::LockExclusive)?),
        #[cfg(unix)]
        "flock-shared" => Box::new(Flock::new(path, rustix::fs::FlockOperation::LockShared)?),
        _ => return Err(format!("{kind}: there is no such kind").into()),
    };
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split('\t').collect();
        writeln!(io::stdout(), "{}", obey(contestant.as_mut(), &words)?)?;
    }
    Ok(())
}

fn obey(contestant: &mut dyn Contestant, words: &[&str]) -> Outcome<String> {
    Ok(match words {
        ["cycles", number] => {
            let number: u32 = number.parse()?;
            let started = Instant::now();
            for _ in 0..number {
                contestant.acquire()?;
                contestant.release()?;
            }
            (started.elapsed().as_nanos() / u128::from(number)).to_string()
        }
        ["lifetime", seconds] => {
            contestant.set_lifetime(Duration::from_secs(seconds.parse()?))?;
            "set".into()
        }
        ["acquire"] => {
            contestant.acquire()?;
            format!("acquired\t{}", now_ns()?)
        }
        ["release"] => {
            let began = now_ns()?;
            contestant.release()?;
            format!("released\t{began}")
        }
        ["turns", number, hold_us, file] => {
            let hold = Duration::from_micros(hold_us.parse()?);
            for _ in 0..number.parse()? {
                contestant.acquire()?;
                let count: u64 = fs::read_to_string(file)?.parse()?;
                fs::write(file, (count + 1).to_string())?;
                if !hold.is_zero() {
                    thread::sleep(hold);
                }
                contestant.release()?;
            }
            format!("done\t{}", now_ns()?)
        }
        ["holds", number, hold_us] => {
            let hold = Duration::from_micros(hold_us.parse()?);
            for _ in 0..number.parse()? {
                contestant.acquire()?;
                thread::sleep(hold);
                contestant.release()?;
            }
            format!("done\t{}", now_ns()?)
        }
        ["keep", number] => {
            contestant.keep(number.parse()?)?;
            "kept".into()
        }
        _ => return Err(format!("not a command: {words:?}").into()),
    })
}

trait Contestant {
    fn acquire(&mut self) -> Outcome<()>;
    fn release(&mut self) -> Outcome<()>;
    fn set_lifetime(&mut self, _: Duration) -> Outcome<()> {
        Ok(())
    }
    fn keep(&mut self, _: u32) -> Outcome<()> {
        Err("this kind has no keep-alive".into())
    }
}

struct Linklock {
    lock: Lock,
    protocol: Protocol,
    guard: Option<Guard>,
    kept: Vec<Guard>,
}

impl Linklock {
    fn new(protocol: Protocol, path: &str, host: &[String]) -> Outcome<Self> {
        let builder = Lock::builder(path).protocol(protocol);
        let lock = host.iter().fold(builder, |builder, host| builder.host(host)).build()?;
        Ok(Self { lock, protocol, guard: None, kept: Vec::new() })
    }

    fn shared(self) -> Outcome<Self> {
        Ok(Self { lock: self.lock.shared()?, ..self })
    }
}

struct Slotted {
    slots: Slots,
    held: Option<Slot>,
}

impl Slotted {
    fn new(path: &str, number: &[String]) -> Outcome<Self> {
        let number = number.first().ok_or("how many slots?")?.parse()?;
        Ok(Self { slots: Lock::new(path)?.slots(number)?, held: None })
    }
}

impl Contestant for Slotted {
    fn acquire(&mut self) -> Outcome<()> {
        self.held = Some(self.slots.acquire()?);
        Ok(())
    }

    fn release(&mut self) -> Outcome<()> {
        Ok(self.held.take().ok_or("no slot is held")?.release()?)
    }
}

impl Contestant for Linklock {
    fn acquire(&mut self) -> Outcome<()> {
        self.guard = Some(self.lock.acquire()?);
        Ok(())
    }

    fn release(&mut self) -> Outcome<()> {
        Ok(self.guard.take().ok_or("no lock is held")?.release()?)
    }

    fn set_lifetime(&mut self, lifetime: Duration) -> Outcome<()> {
        self.lock = Lock::builder(self.lock.path()).protocol(self.protocol).lifetime(lifetime).build()?;
        Ok(())
    }

    fn keep(&mut self, number: u32) -> Outcome<()> {
        for n in 0..number {
            let path = format!("{}{n}", self.lock.path().display());
            let lock = Lock::builder(path).protocol(self.protocol).keep_alive(true).build()?;
            self.kept.push(lock.acquire()?);
        }
        Ok(())
    }
}

impl Contestant for LinkFloor {
    fn acquire(&mut self) -> Outcome<()> {
        Ok(self.claim()?)
    }

    fn release(&mut self) -> Outcome<()> {
        Ok(self.free()?)
    }
}

impl Contestant for DirFloor {
    fn acquire(&mut self) -> Outcome<()> {
        Ok(self.claim()?)
    }

    fn release(&mut self) -> Outcome<()> {
        Ok(self.free()?)
    }
}

#[cfg(unix)]
struct Flock(fs::File, rustix::fs::FlockOperation);

#[cfg(unix)]
impl Flock {
    fn new(path: &str, how: rustix::fs::FlockOperation) -> Outcome<Self> {
        Ok(Self(fs::File::create(path)?, how))
    }
}

#[cfg(unix)]
impl Contestant for Flock {
    fn acquire(&mut self) -> Outcome<()> {
        Ok(rustix::fs::flock(&self.0, self.1)?)
    }

    fn release(&mut self) -> Outcome<()> {
        Ok(rustix::fs::flock(&self.0, rustix::fs::FlockOperation::Unlock)?)
    }
}

fn now_ns() -> Outcome<u128> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos())
}
