//! The kernel's protections against the links of others, on or off: for the whole machine, so only if somebody asks for it.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::common::say;

/// `0` or `1`: what they are set to while there are attacks. Without it they stay as they are. A test that is killed leaves
/// them so.
const PROTECTED: &str = "LINKLOCK_ATTACKS_PROTECTED";
const ALL: [&str; 2] = ["/proc/sys/fs/protected_symlinks", "/proc/sys/fs/protected_hardlinks"];

/// How many attack now, and what was set before the first of them.
static BEFORE: Mutex<(usize, Vec<String>)> = Mutex::new((0, Vec::new()));

/// They are set as asked for as long as one of these lives.
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
    // After a panic of another test it holds what it held.
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}
