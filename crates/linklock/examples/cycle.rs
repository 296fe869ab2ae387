//! Measures cycles of acquire and release, and of the floor below them, as its standard input says.
//!
//! ```text
//! cycle DIRECTORY
//! ```
//!
//! A line `linklock N` runs N cycles of the library in the directory, `floor N` as many of the calls that no such lock
//! can do without. The answer to each is the nanoseconds that one cycle took. Whoever compares, asks for both in turn.
#![allow(clippy::disallowed_methods, reason = "this is a program, not the library: it asks the system itself")]

#[path = "../benches/support/floor.rs"]
mod floor;

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::Instant;

use linklock::Lock;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("usage: cycle DIRECTORY")?;
    let lock = Lock::new(format!("{dir}/lock"))?;
    let mut floor = floor::Floor::new(&dir);
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (what, cycles) = line.split_once(' ').ok_or("a line holds a word and a number")?;
        let cycles: u32 = cycles.parse()?;
        let started = Instant::now();
        for _ in 0..cycles {
            match what {
                "linklock" => lock.acquire()?.release()?,
                "floor" => floor.cycle()?,
                _ => return Err(format!("{what}: neither linklock nor floor").into()),
            }
        }
        writeln!(io::stdout(), "{}", started.elapsed().as_nanos() / u128::from(cycles))?;
    }
    Ok(())
}
