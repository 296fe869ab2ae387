//! The Unix arm.

pub(crate) mod process;
pub(crate) mod shell;
pub(crate) mod signals;
#[cfg(target_os = "linux")]
mod spawn;
pub(crate) mod terminal;
