//! Smoke.
#![allow(clippy::all, reason="smoke")]
use std::time::Instant;
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let lock = linklock::Lock::new(&path).unwrap();
    let n = 20000;
    for _ in 0..3 {
        let t = Instant::now();
        for _ in 0..n { lock.acquire().unwrap().release().unwrap(); }
        let a = t.elapsed().as_nanos() as f64 / n as f64 / 1000.0;
        let t = Instant::now();
        for i in 0..n {
            use std::io::Write;
            let claim = format!("{path}|vm|{}|{i:020}", 4711);
            let mut f = std::fs::OpenOptions::new().write(true).create_new(true).open(&claim).unwrap();
            f.write_all(claim.as_bytes()).unwrap();
            drop(f);
            std::fs::hard_link(&claim, &path).unwrap();
            std::fs::remove_file(&path).unwrap();
            std::fs::remove_file(&claim).unwrap();
        }
        let b = t.elapsed().as_nanos() as f64 / n as f64 / 1000.0;
        println!("linklock {a:.2} us floor {b:.2} us ratio {:.2}", a / b);
    }
}
