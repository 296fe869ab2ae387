//! Turns the kernel's protections against other users' links on or off. They are those of the whole machine, so only on request.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::common::say;

/// `0` or `1`: their setting during attacks. Without it they stay as they are. A killed test does not restore them.
const PROTECTED: &str = "LINKLOCK_ATTACKS_PROTECTED";
const ALL: [&str; 2] = ["/proc/sys/fs/protected_symlinks", "/proc/sys/fs/protected_hardlinks"];

/// How many attacks run now, and the settings before the first of them.
static BEFORE: Mutex<(usize, Vec<String>)> = Mutex::new((0, Vec::new()));

/// They have the requested setting as long as one of these lives.
pub(super) struct Protections(());

impl Protections {
    pub(super) fn as_asked() -> Option<Self> {
        let wanted = std::env::var(PROTECTED).ok()?;
        let mut before = before();
        if before.0 == 0 {
            before.1 = ALL.map(|path| fs::read_to_string(path).unwrap()).into();
            say(&format!("{ALL:?} are {wanted} for now; they were {:?}", before.1));
            ALL.iter().for_each(|path| fs::write(path, &wanted).unwrap());
        }
        before.0 += 1;
        Some(Self(()))
    }
}

impl Drop for Protections {
    fn drop(&mut self) {
        let mut before = before();
        before.0 -= 1;
        if before.0 == 0 {
            ALL.iter().zip(&before.1).for_each(|(path, was)| fs::write(path, was).unwrap());
        }
    }
}

fn before() -> MutexGuard<'static, (usize, Vec<String>)> {
    // A panic of another test leaves the value complete.
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}
