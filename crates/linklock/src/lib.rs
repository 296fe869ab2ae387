//! Lock files that people on shared file systems can trust.

mod acquire;
mod claim;
mod env;
mod error;
mod guard;
mod inspect;
mod keepalive;
mod lease;
mod lock;
mod protocol;
#[cfg(test)]
mod tests;
mod wait;

pub use claim::Token;
pub use error::{Error, ErrorKind};
pub use guard::{Guard, Loss, ReleaseError};
pub use inspect::{Holder, State, Status};
pub use lock::{Builder, DEFAULT_GRACE, DEFAULT_LIFETIME, Lock, SEPARATOR, Which};
pub use protocol::{OnBehalfOf, Protocol};
pub use wait::{Cancel, Wait, Waiting};
