//! The runtime on which all waits of this process run. A wait has no thread of its own: see `Lock::acquire_async`.

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::fork::Generation;

/// Locked only together with the interpreter's lock, so that no other thread has it locked at a fork.
static RUNTIME: Mutex<Option<(Generation, Runtime)>> = Mutex::new(None);

/// So many calls of a file system that hangs do not keep the waits for locks elsewhere from going on.
const THREADS_MOST: usize = 64;

/// The runtime's handle. Call it with the interpreter's lock.
pub(crate) fn handle() -> io::Result<Handle> {
    let mut running = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((generation, runtime)) = running.as_ref()
        && generation.is_current()
    {
        return Ok(runtime.handle().clone());
    }
    let new = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(THREADS_MOST)
        .thread_name("linklock-wait")
        .enable_time()
        .build()?;
    let handle = new.handle().clone();
    // A forked child has none of its parent's threads, so nothing there may wait for their end.
    std::mem::forget(running.replace((Generation::current(), new)));
    Ok(handle)
}
