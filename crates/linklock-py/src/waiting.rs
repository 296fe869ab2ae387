//! Waiting for a lock, as a task of the runtime.
//!
//! Python itself meanwhile waits for a file descriptor, which it does well: signal handlers run, an event loop continues, and
//! the interpreter may end while a daemon thread waits.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SendError, channel};
use std::time::Duration;

use linklock::{Cancel, Error, Guard, Lock, Slot, Slots, Wait};
use pyo3::prelude::*;

use crate::runtime;

/// Rings when waits have ended. All waits of an event loop share one.
#[pyclass(frozen, module = "linklock._core")]
#[derive(Debug)]
pub(crate) struct Bell {
    ears: PipeReader,
    rope: Arc<PipeWriter>,
}

#[pymethods]
impl Bell {
    #[new]
    fn new() -> PyResult<Self> {
        let (ears, rope) = io::pipe()?;
        // A full pipe rings anyway.
        rustix::io::ioctl_fionbio(&rope, true).map_err(io::Error::from)?;
        rustix::io::ioctl_fionbio(&ears, true).map_err(io::Error::from)?;
        Ok(Self { ears, rope: Arc::new(rope) })
    }

    /// A descriptor that is readable when it has rung.
    fn fileno(&self) -> i32 {
        self.ears.as_raw_fd()
    }

    /// Makes it silent until it rings again.
    fn hush(&self) {
        let mut rung = [0; 256];
        while (&self.ears).read(&mut rung).is_ok_and(|n| n > 0) {}
    }
}

/// The guard, and the number of the slot if the lock has some.
pub(crate) type Acquired = Result<(Guard, Option<usize>), Error>;

pub(crate) fn of_slot(slot: Slot) -> (Guard, Option<usize>) {
    let number = slot.number();
    (slot.into_guard(), Some(number))
}

/// How long an interrupted wait is given to remove its claim: the process may end next.
const PATIENCE: Duration = Duration::from_millis(40);

/// An acquisition in progress. To drop it ends it; a lock that is acquired at the same moment is released.
#[derive(Debug)]
pub(crate) struct Waiting {
    cancel: Cancel,
    has_ended: Arc<AtomicBool>,
    result: Receiver<Acquired>,
}

impl Waiting {
    /// Call it with the interpreter's lock.
    pub(crate) fn begin(lock: &Lock, slots: Option<&Slots>, wait: Wait, bell: &Bell) -> io::Result<Self> {
        let (cancel, (sender, result)) = (Cancel::new()?, channel());
        let wait = wait.cancelled_by(&cancel);
        let (lock, rope, has_ended) = (lock.clone(), Arc::clone(&bell.rope), Arc::new(AtomicBool::new(false)));
        let (slots, ended) = (slots.cloned(), Arc::clone(&has_ended));
        runtime::handle()?.spawn(async move {
            let acquired = match slots {
                None => lock.acquire_async(&wait).await.map(|guard| (guard, None)),
                Some(slots) => slots.acquire_async(&wait).await.map(of_slot),
            };
            // Nobody waits for it any longer.
            if let Err(SendError(Ok((guard, _)))) = sender.send(acquired) {
                let _ = guard.release_async().await;
            }
            ended.store(true, Ordering::Release);
            // Fails if nobody listens, or if the pipe is full.
            let _ = (&*rope).write(b".");
        });
        Ok(Self { cancel, has_ended, result })
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Ends it, and waits for its end, but not for a file system that hangs.
    pub(crate) fn end(self) {
        self.cancel.cancel();
        drop(self.result.recv_timeout(PATIENCE));
    }

    /// The result, once.
    pub(crate) fn take(&self) -> Option<Acquired> {
        self.result.try_recv().ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
