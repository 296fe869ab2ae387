//! What a process stores about its own identity. A forked child does not find it.
//!
//! The pid alone does not distinguish a process from the one that it was forked from: the parent may end, and a child
//! of the child may get its pid.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::time::{ClockId, clock_gettime};

use super::numbers::Own;
use super::system::basics::{CLOCK, random};
use super::system::page::wiped_at_fork;
use crate::fingerprint::Fingerprint;

/// Same as getpid(2), which a cycle of acquire and release would call four times. That would be a tenth of the cycle on
/// tmpfs, where a system call takes 0.2 us.
pub(super) fn process_id() -> u32 {
    let Some(own) = wiped_at_fork() else { return getpid() };
    match own.pid.load(Ordering::Relaxed) {
        0 => {
            let id = getpid();
            own.pid.store(id, Ordering::Relaxed);
            id
        }
        id => id,
    }
}

fn kept_generation(own: &Own) -> u64 {
    let kept = own.generation.load(Ordering::Relaxed);
    if kept != 0 {
        return kept;
    }
    let drawn = draw();
    // If two threads come here, the second takes what the first has drawn.
    match own.generation.compare_exchange(0, drawn, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => drawn,
        Err(first) => first,
    }
}

/// See `Env::generation`.
pub(super) fn generation() -> u64 {
    wiped_at_fork().map_or_else(|| generation_in(forgotten_at_fork(), getpid()), kept_generation)
}

/// See `Env::unique`.
pub(super) fn unique() -> u64 {
    let own = wiped_at_fork().unwrap_or_else(forgotten_at_fork);
    let count = generation().wrapping_add(own.claims.fetch_add(1, Ordering::Relaxed));
    // The random bits: an attacker who knew the next name could create something there first.
    draw() << 32 | count & u64::from(u32::MAX)
}

/// This process's fingerprint, which does not change while it lives. Calls `read` only if it is not known yet.
pub(super) fn fingerprint(read: impl FnOnce() -> Option<Fingerprint>) -> Option<Fingerprint> {
    // Stored only where every fork forgets it. A child that claimed with its parent's fingerprint would be taken for
    // dead.
    let Some(own) = wiped_at_fork() else { return read() };
    let kept = Fingerprint::from_bits(own.fingerprint.load(Ordering::Relaxed));
    kept.or_else(|| {
        let print = read()?;
        own.fingerprint.store(print.to_bits(), Ordering::Relaxed);
        Some(print)
    })
}

fn getpid() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get() as u32
}

/// For systems that cannot wipe memory at a fork. A child that was forked by the C library finds zeros here. A child
/// that was made by the system call alone finds its parent's numbers, so the pid counts too.
fn forgotten_at_fork() -> &'static Own {
    static OWN: Own = Own::zeroed();
    static IS_WATCHED: AtomicBool = AtomicBool::new(false);
    extern "C" fn forget() {
        for number in [&OWN.generation, &OWN.claims] {
            number.store(0, Ordering::Relaxed);
        }
    }
    if !IS_WATCHED.swap(true, Ordering::Relaxed) {
        on_fork_in_child(forget);
    }
    &OWN
}

/// A number that differs for each pid and each generation.
fn generation_in(own: &Own, pid: u32) -> u64 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    kept_generation(own).wrapping_add(u64::from(pid).wrapping_mul(SPREAD))
}

fn on_fork_in_child(act: extern "C" fn()) {
    type Act = Option<extern "C" fn()>;
    #[expect(unsafe_code, reason = "pthread_atfork(3) has no safe function")]
    // SAFETY: this is the function's signature. `act` only stores to static atomics, which the forked child of a
    // process with many threads may do.
    unsafe {
        unsafe extern "C" {
            fn pthread_atfork(prepare: Act, parent: Act, child: Act) -> std::ffi::c_int;
        }
        // If it fails for lack of memory, a fork is still detected by its pid.
        pthread_atfork(None, None, Some(act));
    }
}

/// From the system's random source; never 0.
fn draw() -> u64 {
    random().unwrap_or_else(guess).max(1)
}

/// Without a random source: values that differ between processes, and between two processes with one pid.
fn guess() -> u64 {
    let [wall, local] = [ClockId::Realtime, CLOCK].map(clock_gettime);
    let times = (wall.tv_sec as u64).rotate_left(32) ^ (wall.tv_nsec as u64) ^ (local.tv_nsec as u64).rotate_left(20);
    fastrand::Rng::with_seed(times ^ u64::from(getpid()).rotate_left(40)).u64(..) ^ fastrand::u64(..)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;
    use crate::env::os::OsEnv;
    use crate::env::world::Env;

    /// Runs `holds` in a forked child, and returns whether it was true there.
    fn in_forked_child(holds: impl Fn() -> bool + Send + Sync + 'static) -> bool {
        let mut command = Command::new("true");
        let in_child = move || if holds() { Ok(()) } else { Err(io::ErrorKind::Other.into()) };
        #[expect(unsafe_code, reason = "what runs between fork and exec cannot be checked")]
        // SAFETY: it uses only system calls and atomics.
        unsafe {
            command.pre_exec(in_child);
        }
        command.status().is_ok_and(|status| status.success())
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_forked_child_does_not_find_what_its_parent_kept() {
        assert_eq!((process_id(), process_id()), (getpid(), getpid()));
        assert!(wiped_at_fork().is_some(), "this kernel has such memory");
        let (generation_of_parent, unique_of_parent) = (generation(), unique());
        assert_eq!(generation(), generation_of_parent);
        // The real fingerprint: all tests of this process share what is stored.
        let print = OsEnv.fingerprint(process_id());
        assert!(print.is_some() && fingerprint(|| None) == print, "it is kept");
        assert!(in_forked_child(move || {
            let own = getpid();
            (process_id(), process_id()) == (own, own)
                && generation() != generation_of_parent
                && generation() == generation()
                && unique().abs_diff(unique_of_parent) > 1000
                && fingerprint(|| None).is_none()
        }));
    }

    #[test]
    fn where_no_memory_is_wiped_a_forked_child_has_another_generation_even_with_its_parents_pid() {
        let pid = getpid();
        let generation_of_parent = generation_in(forgotten_at_fork(), pid);
        assert_eq!(generation_in(forgotten_at_fork(), pid), generation_of_parent);
        assert_ne!(generation_in(forgotten_at_fork(), pid + 1), generation_of_parent);
        assert!(in_forked_child(move || generation_in(forgotten_at_fork(), pid) != generation_of_parent));
    }

    #[test]
    fn no_number_is_unique_twice() {
        let many = || (0..1000).map(|_| unique()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(many)).collect();
        let mut all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4000);
        // With 32 random bits, two of a few thousand may be equal.
        let guesses: std::collections::HashSet<_> = all.iter().map(|number| number >> 32).collect();
        assert!(guesses.len() > 3990, "the next one can be guessed: {}", guesses.len());
    }
}
