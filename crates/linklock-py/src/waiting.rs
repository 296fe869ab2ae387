//! Waiting for a lock, in a thread that is not Python's.
//!
//! Python itself then waits for a file descriptor, which it does well: signal handlers run, an event loop continues, and the
//! interpreter may end while a daemon thread waits.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use linklock::{Cancel, Error, Guard, Lock, Wait};
use pyo3::prelude::*;

use crate::errors::{LockError, to_python};
use crate::held::Held;
use crate::log;

/// How long `cancel` waits for the thread to remove its claim.
const PATIENCE: Duration = Duration::from_millis(40);

type Acquired = Result<Guard, Error>;

/// An acquisition in progress.
#[pyclass(frozen, module = "linklock._core")]
#[derive(Debug)]
pub(crate) struct Waiting {
    lock: Arc<Lock>,
    cancel: Cancel,
    ended: PipeReader,
    /// If nobody takes the result, the drop of its guard releases the lock.
    result: Mutex<Receiver<Acquired>>,
}

impl Waiting {
    pub(crate) fn begin(lock: &Arc<Lock>, wait: Wait) -> io::Result<Self> {
        let cancel = Cancel::new()?;
        let (ended, ending) = io::pipe()?;
        let (sender, result) = channel();
        let (for_thread, wait) = (Arc::clone(lock), wait.cancelled_by(&cancel));
        thread::Builder::new()
            .name("linklock-wait".into())
            .spawn(move || acquire(&for_thread, &wait, &sender, ending))?;
        Ok(Self { lock: Arc::clone(lock), cancel, ended, result: Mutex::new(result) })
    }

    fn receive(&self, py: Python<'_>, patience: Duration) -> Option<Acquired> {
        let received =
            py.detach(|| self.result.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience).ok());
        log::hand_over(py);
        received
    }
}

fn acquire(lock: &Lock, wait: &Wait, result: &Sender<Acquired>, mut ending: PipeWriter) {
    // These fail if nobody waits for the result any longer.
    let _ = result.send(lock.acquire_with(wait));
    let _ = ending.write_all(b".");
}

#[pymethods]
impl Waiting {
    /// A descriptor that becomes readable when the wait has ended.
    fn fileno(&self) -> i32 {
        self.ended.as_raw_fd()
    }

    /// The result of the wait, once it has ended.
    fn result(&self, py: Python<'_>) -> PyResult<Held> {
        match self.receive(py, Duration::ZERO) {
            Some(Ok(guard)) => Ok(Held::new(&self.lock, guard)),
            Some(Err(e)) => Err(to_python(&e)),
            None => Err(LockError::new_err("the wait has not ended, or its result was taken")),
        }
    }

    /// Ends the wait. A lock that was acquired at the same moment is released.
    fn cancel(&self, py: Python<'_>) {
        self.cancel.cancel();
        let acquired = self.receive(py, PATIENCE);
        py.detach(|| drop(acquired));
    }
}
