//! What the threads of a process share and wait with. The simulation has a module of this name too, so that it decides there which
//! thread runs next.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use std::thread::Builder;
