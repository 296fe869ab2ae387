//! The only loops that wait: for a lock, for one of several, or until a lock is free.

mod contender;
mod line;
mod lining_up;
mod lookout;
mod pace;
mod slots;
mod until_free;
mod waiter;

pub(crate) use contender::acquire;
#[cfg(feature = "tokio")]
pub(crate) use contender::contend;
#[cfg(feature = "tokio")]
pub(crate) use pace::Pace;
#[cfg(feature = "tokio")]
pub(crate) use slots::contend_for_any;
pub(crate) use slots::{Group, acquire_any};
pub(crate) use until_free::wait_until_free;
