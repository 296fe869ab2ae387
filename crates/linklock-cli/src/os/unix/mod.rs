//! The Unix arm.

pub(crate) mod activation;
pub(crate) mod append;
pub(crate) mod clock;
mod descendants;
mod group;
mod proc;
pub(crate) mod process;
pub(crate) mod running;
pub(crate) mod shell;
pub(crate) mod signals;
mod spawn;
pub(crate) mod stops;
pub(crate) mod streams;
pub(crate) mod terminal;
