//! A lock path, and how to contend for it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use linklock::{Lock, Protocol, Wait};
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
        let acquired = py.detach(|| self.lock.try_acquire());
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

    /// The claim that holds the lock, as a path, and when it expires, in seconds since the epoch. None if nobody holds it
    /// or who does cannot be told.
    fn holder(&self, py: Python<'_>) -> PyResult<Option<(OsString, f64)>> {
        let status = py.detach(|| self.lock.inspect()).map_err(|e| to_python(&e))?;
        let holder = status.holder.map(|holder| {
            let expires_at = match holder.expires_at.duration_since(UNIX_EPOCH) {
                Ok(after) => after.as_secs_f64(),
                Err(before) => -before.duration().as_secs_f64(),
            };
            (self.lock.path().with_file_name(holder.token.as_os_str()).into(), expires_at)
        });
        Ok(holder)
    }
}
