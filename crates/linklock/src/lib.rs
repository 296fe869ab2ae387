//! Lock files for shared file systems.
//!
//! linklock lets processes on one or many machines take turns, with a lock that is only a path on a file system that they
//! share, such as NFS. It needs no daemon, no lock manager and no synchronised clocks. The default protocol,
//! [`Protocol::Link`], is compatible on disk with Python's [flufl.lock](https://flufllock.readthedocs.io).
//!
//! # Guarantees
//!
//! * **One holder.** At most one contender holds a lock path at a time. A contender holds it while it has a [`Guard`] that
//!   is not lost. A holder that is slow, paused or cut off learns by its own clock that it lost the lock, before any other
//!   contender may acquire it.
//! * **No lock is stuck for ever.** If a holder's process ends, contenders on the same machine acquire the lock
//!   immediately (on Linux and Windows). Contenders on other machines acquire it after its lifetime and a grace.
//! * **The disk decides.** linklock looks at the disk after a call, whatever the call returned. A reply that the network
//!   loses makes no difference.
//! * **No machine's wall clock decides.** A holder keeps its deadline on a clock that is never set and that counts while
//!   the machine sleeps. Others compare the expiry with the file server's clock, where one clock stamps all files (local
//!   file systems, NFS). Elsewhere, and on file systems that linklock does not know, they compare no times: a lock has
//!   expired when a contender has seen it unchanged for its own lifetime and the grace.
//! * **Your files are safe.** linklock never deletes or overwrites a file that is not a lock.
//!
//! # Limitations
//!
//! * A lock with a lifetime is a lease. It does not protect work that goes on after [`Guard::is_lost`] returned true.
//!   Choose a lifetime that is longer than the longest pause of the work, or keep the lock alive
//!   ([`Builder::keep_alive`]) and wait on [`Guard::loss`] in another thread.
//! * [`Protocol::Link`] removes a name that all contenders share, and no file system can do that on a condition. A process
//!   that is stopped right before that call, or an NFS client that repeats it after minutes of being cut off, can remove the
//!   next holder's lock. [`Protocol::Dir`] has no such step.
//! * flufl.lock peers bring flufl.lock's own races with them.
//! * The grace must be longer than any step of the file server's clock, and longer than the drift between that clock and
//!   the holder's within one lifetime.
//! * [`Protocol::Link`] returns an error on a file system that does not keep the times that it is given.
//! * [`Guard::refresh_for`] can give the lock a longer lifetime. If an NFS client repeats an older request late, the lock
//!   can get its older, shorter expiry back.
//! * The lock is advisory: it does not stop a process that does not ask for it.
//! * It runs on Linux. On Windows it was tested only with Wine. On macOS and FreeBSD it was only compiled.
//!
//! # Sharing
//!
//! * [`Lock::shared`]: many readers beside no writer. [`Guard::downgrade`] lets others read what one has written.
//! * [`Lock::slots`]: at most so many holders at a time, on all machines together.
//! * [`acquire_all`]: several locks, all or none, without deadlock.
//!
//! # Examples
//!
//! Hold a lock, keep it alive, and check it before each step:
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
//! Give up after a time-out, and report who holds the lock:
//!
//! ```
//! # use std::time::Duration;
//! # use linklock::{Lock, Wait};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let lock = Lock::new(dir.path().join("nightly.lock"))?;
//! # let held = lock.acquire()?;
//! match lock.acquire_with(&Wait::up_to(Duration::from_millis(50))) {
//!     Err(e) if e.is_timeout() => match e.holder() {
//!         Some(holder) => println!("{holder} holds the lock"),
//!         None => println!("the lock is held, but its holder cannot be read"),
//!     },
//!     other => panic!("the lock is held: {other:?}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! End the wait from another thread, with a [`Cancel`]:
//!
//! ```
//! # use std::thread;
//! # use linklock::{Cancel, Lock, Wait};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let lock = Lock::new(dir.path().join("nightly.lock"))?;
//! # let held = lock.acquire()?;
//! let cancel = Cancel::new()?;
//! let wait = Wait::forever().cancelled_by(&cancel);
//! let waiter = thread::spawn(move || lock.acquire_with(&wait));
//! cancel.cancel();
//! let error = waiter.join().unwrap().unwrap_err();
//! assert!(error.is_cancelled());
//! # Ok(())
//! # }
//! ```
//!
//! Stop the work when the lock is lost ([`Guard::loss`]):
//!
//! ```
//! # use std::thread;
//! # use linklock::Lock;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let lock = Lock::builder(dir.path().join("nightly.lock")).keep_alive(true).build()?;
//! let guard = lock.acquire()?;
//! let loss = guard.loss();
//! let watcher = thread::spawn(move || {
//!     // True: the lock is lost. False: it was released.
//!     if loss.wait() {
//!         std::process::abort();
//!     }
//! });
//! println!("work that takes long");
//! guard.release()?;
//! watcher.join().unwrap();
//! # Ok(())
//! # }
//! ```
//!
//! Hand a lock to another process of the same user, by its [`Token`]:
//!
//! ```
//! # use linklock::{Lock, Token};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let lock = Lock::new(dir.path().join("nightly.lock"))?;
//! // One process acquires the lock and leaves it held.
//! let token: Token = lock.acquire()?.leave();
//!
//! // The other adopts it, within its lifetime.
//! let guard = lock.adopt(&token)?;
//! guard.release()?;
//! # Ok(())
//! # }
//! ```
//!
//! Let the protected resource refuse a holder that is late, by a fencing token ([`Guard::fencing_token`]):
//!
//! ```
//! # use linklock::Lock;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("nightly.lock");
//! let lock = Lock::builder(path).fence(true).build()?;
//!
//! let guard = lock.acquire()?;
//! let first = guard.fencing_token();
//! guard.release()?;
//!
//! let guard = lock.acquire()?;
//! assert!(guard.fencing_token() > first);
//! guard.release()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Events
//!
//! linklock reports what it does by [`tracing`]. These events have targets that stay, for a program that counts or stores them. All of
//! them have the fields `lock` and `claim` (a [`Token`]), as [`Printable`] prints them. A break lock has events too.
//!
//! | target | what has happened | other fields |
//! | --- | --- | --- |
//! | `linklock::acquired` | the lock was acquired | `fence`, `waited_ms` |
//! | `linklock::broken` | another holder's lock was broken; `claim` is that holder's, if it could be read | `holder`; `why`: `its holder has ended`, `its lifetime and the grace have passed` or `an operator ordered it` |
//! | `linklock::refresh` | a refresh of the keep-alive failed, and will be tried again | `error` |
//! | `linklock::lost` | an operation on the lock found it lost; nothing reports a deadline that passes meanwhile but the [`Guard`] | `why` (a [`Lost`], as `Debug` prints it), `error` |
//! | `linklock::released` | the lock was released | |
//!
//! For operators, see [`Which`] (break a lock) and [`Leftover`] (clean up after killed processes).

// In layers: a module uses only those above it in this list.
mod fingerprint;
mod hint;
mod lifetime;
mod names;
mod printable;
mod sync;
mod time;
mod token;

mod error;
mod holder;
mod options;

#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "elsewhere the system does not tell the kind"))]
mod file_system;

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
mod several;
mod slots;
mod survey;
mod tenure;

#[cfg(all(unix, feature = "doctor"))]
pub mod doctor;

#[cfg(test)]
mod tests;

pub use error::{Error, ErrorKind, Lost};
#[cfg(all(unix, feature = "doctor"))]
pub use file_system::Mount;
pub use guard::{DowngradeError, Guard, Loss, ReleaseError};
pub use holder::{About, Holder, Owner};
pub use inspect::{State, Status};
pub use lock::{Builder, DEFAULT_GRACE, DEFAULT_LIFETIME, Lock, SEPARATOR};
pub use operator::Which;
pub use options::{OnBehalfOf, Protocol, Wake};
pub use printable::Printable;
pub use protocol::leftovers::{Leftover, LeftoverKind, LeftoverVerdict};
pub use several::{Guards, acquire_all};
pub use slots::{SLOTS_MOST, Slot, Slots};
pub use survey::{Directory, SafeToBreak, Survey, Surveyed, Waiter};
pub use token::Token;
pub use wait::{Cancel, Wait, Waiting};

/// The Rust examples in the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
