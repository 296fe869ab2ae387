//! The operating system as an [`Env`](super::Env). Each platform has the same types and functions.

mod hints;
#[cfg(feature = "tokio")]
pub(crate) mod sleepers;
#[cfg(unix)]
pub(super) mod unix;
#[cfg(windows)]
pub(super) mod windows;

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

#[cfg(not(any(unix, windows)))]
compile_error!("linklock runs on Unix and Windows: this system needs a module of its own in src/env/os");

#[cfg(all(test, feature = "tokio"))]
pub(crate) use platform::wakes::{Wakes, Woken};
pub(crate) use platform::{Event, OsEnv};

#[cfg(test)]
mod tests {
    use super::OsEnv;
    use crate::env::world::Env;

    /// A wrong answer would let two hold the lock: a pid means nothing to a peer in another world, such as Wine beside
    /// Linux.
    #[cfg(any(target_os = "linux", windows))] // Elsewhere no process is known.
    #[test]
    fn a_fingerprint_from_another_world_tells_nothing_of_a_process() {
        use crate::env::world::Liveness;
        use crate::fingerprint::Fingerprint;
        let here = OsEnv.fingerprint(OsEnv.process_id()).unwrap();
        assert_eq!(OsEnv.liveness(OsEnv.process_id(), here), Liveness::Alive);
        let elsewhere = Fingerprint::new(b"another boot", 77);
        for pid in [OsEnv.process_id(), 4_000_000] {
            assert_eq!(OsEnv.liveness(pid, elsewhere), Liveness::Unknown, "process {pid}");
            assert_eq!(OsEnv.liveness(pid, here.with_start(77)), Liveness::Dead, "process {pid}, another start");
        }
    }

    #[test]
    fn what_is_unique_does_not_repeat() {
        let mut seen = std::collections::HashSet::new();
        assert!((0..10_000).all(|_| seen.insert(OsEnv.unique())));
    }
}
