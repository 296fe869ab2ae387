//! What may be asked of the world, and what answers.
//!
//! [`os::OsEnv`] answers with the operating system; a simulated file server can answer too, and runs the same protocol
//! code. Nothing outside this module makes a system call.

mod attr;
pub(crate) mod location;
pub(crate) mod os;
mod per_process;
mod world;

pub(crate) use attr::{Attr, FileId, FileKind, Meant};
pub(crate) use location::Location;
pub(crate) use os::Event;
pub(crate) use per_process::PerProcess;
#[allow(unused_imports, reason = "only other implementations of Env name them: tests, and the simulation")]
pub(crate) use world::NewDir;
pub(crate) use world::{DirMode, Each, Env, Expiry, Liveness, Reach, Step, Watcher};
