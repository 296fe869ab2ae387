//! A lock path, and how to contend for it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use linklock::{Lock, Protocol, State, Status, Wait};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::{duration, to_python};
use crate::held::Held;
use crate::log;
use crate::waiting::Waiting;

/// The settings of a lock, checked. Holds nothing.
#[pyclass(frozen, module = "linklock._core")]
#[derive(Debug)]
pub(crate) struct Contender {
    lock: Arc<Lock>,
}

#[pymethods]
impl Contender {
    #[new]
    #[pyo3(signature = (path, *, lifetime, grace, separator, host, protocol, keep_alive, fence, queue, require_private))]
    #[expect(clippy::too_many_arguments, reason = "in Python each is given by its name")]
    fn new(
        path: PathBuf,
        lifetime: f64,
        grace: f64,
        separator: char,
        host: String,
        protocol: &str,
        keep_alive: bool,
        fence: bool,
        queue: bool,
        require_private: bool,
    ) -> PyResult<Self> {
        let protocol = match protocol {
            "link" => Protocol::Link,
            "dir" => Protocol::Dir,
            other => return Err(PyValueError::new_err(format!("protocol {other:?}: 'link' or 'dir'"))),
        };
        let builder = Lock::builder(path)
            .lifetime(duration(lifetime)?)
            .grace(duration(grace)?)
            .separator(separator)
            .host(host)
            .protocol(protocol)
            .keep_alive(keep_alive)
            .fence(fence)
            .queue(queue)
            .require_private(require_private);
        Ok(Self { lock: Arc::new(builder.build().map_err(|e| to_python(&e))?) })
    }

    /// The lock path, absolute.
    #[getter]
    fn path(&self) -> OsString {
        self.lock.path().into()
    }

    /// One full try, which also breaks a lock that is over.
    fn try_acquire(&self, py: Python<'_>) -> PyResult<Held> {
        let acquired = py.detach(|| self.lock.acquire_with(&Wait::never()));
        log::hand_over(py);
        Ok(Held::new(&self.lock, acquired.map_err(|e| to_python(&e))?))
    }

    /// Begins to wait for the lock, for so many seconds or for ever.
    fn wait(&self, limit: Option<f64>) -> PyResult<Waiting> {
        let wait = match limit {
            Some(limit) => Wait::up_to(duration(limit)?),
            None => Wait::forever(),
        };
        Ok(Waiting::begin(&self.lock, wait)?)
    }

    /// What stands at the lock path; None if the lock is free. The library reads it: it follows no symbolic link, waits for no
    /// FIFO's writer, reads no more than a lock can hold, and leaves no delegation with this machine.
    fn look(&self, py: Python<'_>) -> PyResult<Option<Found>> {
        let status = py.detach(|| self.lock.inspect());
        log::hand_over(py);
        Ok(Found::new(status.map_err(|e| to_python(&e))?))
    }
}

/// A lock, or what is not a lock, as the lock path shows it. What others wrote is in `holder` alone; `text` is fit to be shown.
#[pyclass(frozen, get_all, module = "linklock._core")]
#[derive(Debug)]
pub(crate) struct Found {
    /// Host and pid; None if it is not a lock, or if its holder cannot be read.
    holder: Option<(String, u32)>,
    /// In seconds since the epoch; None if it is not a lock.
    expires_at: Option<f64>,
    text: String,
}

impl Found {
    fn new(status: Status) -> Option<Self> {
        let text = match (status.state, &status.what, &status.holder) {
            (State::Free, ..) => return None,
            (_, Some(what), _) => format!("what is there is {what}, not a lock"),
            (_, _, Some(holder)) => format!("it is held by {holder}"),
            _ => "who holds it cannot be read".into(),
        };
        let expires_at = status.expires_at.map(|at| match at.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_secs_f64(),
            Err(before) => -before.duration().as_secs_f64(),
        });
        Some(Self { holder: status.holder.map(|holder| (holder.host, holder.pid)), expires_at, text })
    }
}
