//! The Unix arm.

pub(crate) mod process;
pub(crate) mod shell;
pub(crate) mod signals;
pub(crate) mod terminal;
