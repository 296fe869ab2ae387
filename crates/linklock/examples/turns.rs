//! Two processes take turns under one lock: `cargo run --example turns`.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "an example that prints what it does, and when")]

use std::error::Error;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use linklock::Lock;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    if let [_, name, path] = args.as_slice() {
        return take_turns(name, path);
    }
    let path = std::env::temp_dir().join(format!("linklock-turns-{}.lock", std::process::id()));
    println!("two processes contend for {}", path.display());
    let me = std::env::current_exe()?;
    let mut children = Vec::new();
    for name in ["A", "B"] {
        children.push(Command::new(&me).arg(name).arg(&path).spawn()?);
    }
    for mut child in children {
        if !child.wait()?.success() {
            return Err("a process failed".into());
        }
    }
    println!("done; the lock path is free: {}", !path.exists());
    Ok(())
}

fn take_turns(name: &str, path: &str) -> Result<(), Box<dyn Error>> {
    let lock = Lock::new(path)?;
    for turn in 1..=3 {
        let asked = Instant::now();
        let guard = lock.acquire()?;
        println!("{name} has the lock, turn {turn}, after {:4} ms", asked.elapsed().as_millis());
        sleep(Duration::from_millis(300));
        println!("{name} releases it");
        guard.release()?;
        sleep(Duration::from_millis(20));
    }
    Ok(())
}
