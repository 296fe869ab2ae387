//! Lock files that people on shared file systems can trust.
//!
//! A lock is nothing but a path on a file system that the contenders share: NFS, any POSIX file system. No daemon, no lock
//! manager, no clock that must be right. The default protocol is compatible on disk with Python's flufl.lock.
//!
//! # Guarantees
//!
//! * At most one contender holds a lock path at a time, where *holds* means: has a [`Guard`] that is not lost. A holder
//!   that is slow, paused or cut off is told that it lost the lock by its own clock, before anybody else may take it.
//! * No lock is held for ever by a holder that is gone. One that ended on this machine is recovered at once; one on another
//!   machine once its lifetime and a grace are over.
//! * What is on disk decides, not what a call returned: a reply lost on the network makes no difference.
//! * No machine's wall clock decides anything. Deadlines are kept on a clock that is never set and counts while the machine is
//!   suspended. Expiries are compared with the file server's clock, which a contender learns from the server, where one clock
//!   stamps all files: on local file systems and NFS. Elsewhere, and where that is not known, no times are compared: a lock expires
//!   once a contender has seen it unchanged for the lock's own lifetime and the grace.
//! * A file that is not a lock is never removed or written to.
//!
//! # Limitations
//!
//! * A lock with a lifetime is a lease. Work that goes on after [`Guard::is_lost`] says so is not protected. Choose a
//!   lifetime longer than the worst pause of the work, or keep the lock alive ([`Builder::keep_alive`]) and listen to
//!   [`Guard::loss`].
//! * [`Protocol::Link`] removes a name that all contenders share, and no file system can do that on a condition. A process
//!   that is stopped between its last check and that one call, or an NFS client that sends it again after minutes of being
//!   cut off, can remove a successor's lock. [`Protocol::Dir`] has no such step.
//! * Peers that are flufl.lock bring flufl.lock's own races with them.
//! * The grace must cover how far the holder's clock and the server's can drift apart within a lifetime, and any step of
//!   the server's clock.
//! * On a file system that does not keep the times it is given, [`Protocol::Link`] is refused.
//! * A lifetime that was made longer after the acquisition ([`Guard::refresh_for`]) can be taken back by a request from before it
//!   that an NFS client repeats late.
//! * It is advisory: whoever does not ask for the lock is not kept out.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use linklock::Lock;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("nightly.lock");
//! let lock = Lock::builder(path).lifetime(Duration::from_secs(60)).keep_alive(true).build()?;
//!
//! let guard = lock.acquire()?;
//! for step in 0..3 {
//!     if guard.is_lost() {
//!         return Err("the lock was lost".into());
//!     }
//!     println!("step {step}, under the lock of {}", guard.token());
//! }
//! guard.release()?;
//! # Ok(())
//! # }
//! ```
//!
//! To give up after a while, and say who is in the way:
//!
//! ```
//! # use std::time::Duration;
//! # use linklock::{Lock, Wait};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let lock = Lock::new(dir.path().join("nightly.lock"))?;
//! # let held = lock.acquire()?;
//! match lock.acquire_with(&Wait::up_to(Duration::from_millis(50))) {
//!     Err(e) if e.is_timeout() => {
//!         let holder = e.holder().expect("it can be read");
//!         println!("{holder} has it");
//!     }
//!     other => panic!("it is held: {other:?}"),
//! }
//! # Ok(())
//! # }
//! ```

// From the ground up: a module names only those that stand above it in this list.
mod fingerprint;
mod lifetime;
mod names;
mod printable;
mod time;
mod token;

mod error;
mod holder;
mod options;

mod env;

mod claim;
mod lease;
mod lock_path;
mod wait;

mod protocol;

mod acquire;
mod inspect;
#[cfg(feature = "serde")]
mod serialize;

#[cfg(feature = "tokio")]
mod asynchronous;
mod guard;
mod keepalive;
mod lock;
mod operator;
mod tenure;

#[cfg(test)]
mod tests;

pub use error::{Error, ErrorKind};
pub use guard::{Guard, Loss, ReleaseError};
pub use holder::{About, Holder, Owner};
pub use inspect::{State, Status};
pub use lock::{Builder, DEFAULT_GRACE, DEFAULT_LIFETIME, Lock, SEPARATOR};
pub use operator::Which;
pub use options::{OnBehalfOf, Protocol};
pub use printable::Printable;
pub use protocol::leftovers::{Leftover, LeftoverKind, LeftoverVerdict};
pub use token::Token;
pub use wait::{Cancel, Wait, Waiting};

/// The Rust examples in the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
