//! A lock path, and how to contend for it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use linklock::{Error, Lock, OnBehalfOf, Protocol, Slots, Status, Token, Wake, Which};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::{duration, to_python};
use crate::log;

/// The checked settings of a lock. It does not hold the lock.
#[pyclass(frozen, module = "linklock._core")]
#[derive(Debug)]
pub(crate) struct Contender {
    lock: Arc<Lock>,
    /// If the lock has some.
    slots: Option<Slots>,
}

impl Contender {
    pub(crate) fn lock(&self) -> &Arc<Lock> {
        &self.lock
    }

    fn inspect(&self, slot: Option<usize>) -> Result<Status, Error> {
        let Some(slots) = &self.slots else { return self.lock.inspect() };
        let of_slots = slots.locks();
        if let Some(lock) = slot.and_then(|slot| of_slots.get(slot.checked_sub(1)?)) {
            return lock.inspect();
        }
        let (last, others) = of_slots.split_last().unwrap_or((&self.lock, &[]));
        for lock in others {
            let status = lock.inspect()?;
            if status.available {
                return Ok(status);
            }
        }
        last.inspect()
    }

    pub(crate) fn slots(&self) -> Option<&Slots> {
        self.slots.as_ref()
    }
}

#[pymethods]
impl Contender {
    /// `host`: None for this machine's name. `on_behalf_of`: None for this process, 0 for nobody, or a pid.
    #[new]
    #[pyo3(signature = (path, *, lifetime, grace, separator, host, protocol, keep_alive, fence, queue, shared, slots, wake, require_private, unsafe_filesystem, on_behalf_of, mode))]
    #[expect(clippy::too_many_arguments, reason = "in Python they are keyword arguments")]
    fn new(
        path: PathBuf,
        lifetime: f64,
        grace: f64,
        separator: char,
        host: Option<String>,
        protocol: &str,
        keep_alive: bool,
        fence: bool,
        queue: bool,
        shared: bool,
        slots: Option<usize>,
        wake: &str,
        require_private: bool,
        unsafe_filesystem: bool,
        on_behalf_of: Option<u32>,
        mode: u32,
    ) -> PyResult<Self> {
        let protocol = match protocol {
            "link" => Protocol::Link,
            "dir" => Protocol::Dir,
            other => return Err(PyValueError::new_err(format!("protocol {other:?}: 'link' or 'dir'"))),
        };
        let wake = match wake {
            "poll" => Wake::Poll,
            "udp" => Wake::Udp,
            other => return Err(PyValueError::new_err(format!("wake {other:?}: 'poll' or 'udp'"))),
        };
        let on_behalf_of = match on_behalf_of {
            None => OnBehalfOf::ThisProcess,
            Some(0) => OnBehalfOf::Nobody,
            Some(pid) => OnBehalfOf::Process(pid),
        };
        let mut builder = Lock::builder(path)
            .lifetime(duration(lifetime)?)
            .grace(duration(grace)?)
            .separator(separator)
            .protocol(protocol)
            .keep_alive(keep_alive)
            .fence(fence)
            .queue(queue)
            .shared(shared)
            .wake(wake)
            .require_private(require_private)
            .allow_unsafe_file_system(unsafe_filesystem)
            .on_behalf_of(on_behalf_of)
            .mode(mode);
        if let Some(host) = host {
            builder = builder.host(host);
        }
        let lock = builder.build().map_err(|e| to_python(&e))?;
        let slots = slots.map(|number| lock.slots(number)).transpose().map_err(|e| to_python(&e))?;
        Ok(Self { lock: Arc::new(lock), slots })
    }

    /// The lock path, absolute.
    #[getter]
    fn path(&self) -> OsString {
        self.lock.path().into()
    }

    /// The name that others see as this machine's.
    #[getter]
    fn host(&self) -> String {
        self.lock.host().into()
    }

    /// What is at the lock path; of a lock with slots, at the path of this one, or else of the first that is free, or of the last. The
    /// library reads it safely: it follows no symbolic link, waits for no writer of a FIFO, reads no more than a lock's greatest length,
    /// and leaves no delegation with this machine.
    #[pyo3(signature = (slot=None))]
    fn look(&self, py: Python<'_>, slot: Option<usize>) -> PyResult<Found> {
        let status = py.detach(|| self.inspect(slot));
        log::hand_over(py)?;
        Ok(Found::new(status.map_err(|e| to_python(&e))?))
    }

    /// Breaks the lock of this claim, or an expired or abandoned one, or any. Gives what was there; None if the lock was free.
    fn break_lock(&self, py: Python<'_>, token: Option<OsString>, force: bool) -> PyResult<Option<Found>> {
        let which = match token {
            Some(token) => Which::Claim(Token::new(token)),
            None if force => Which::Any,
            None => Which::Expired,
        };
        let broken = py.detach(|| self.lock.break_lock(&which));
        log::hand_over(py)?;
        Ok(broken.map_err(|e| to_python(&e))?.map(Found::new))
    }
}

/// What is at a lock path. What others wrote, the names of host, command and user, is as they wrote it; `text` is safe to show.
#[pyclass(frozen, get_all, module = "linklock._core")]
#[derive(Debug)]
pub(crate) struct Found {
    /// The word that the program uses too.
    state: String,
    protocol: Option<String>,
    /// None if it is not a lock, or if its holder cannot be read.
    host: Option<String>,
    pid: Option<u32>,
    /// Whether the claim names that process.
    has_process: bool,
    token: Option<OsString>,
    command: Option<String>,
    user: Option<String>,
    owner_uid: Option<u32>,
    /// In seconds since the epoch.
    since: Option<f64>,
    expires_at: Option<f64>,
    available: bool,
    text: String,
}

impl Found {
    fn new(status: Status) -> Self {
        let text = match (&status.what, &status.holder) {
            (Some(what), _) => format!("{what} is at the lock path, not a lock"),
            (None, Some(holder)) => format!("it is held by {holder}"),
            (None, None) if status.protocol.is_none() => "nobody holds it".into(),
            (None, None) => "the holder cannot be read".into(),
        };
        let holder = status.holder.as_ref();
        let about = holder.and_then(|holder| holder.about.as_ref());
        Self {
            state: status.state.to_string(),
            protocol: status.protocol.map(|protocol| protocol.to_string()),
            host: holder.map(|holder| holder.host.clone()),
            pid: holder.map(|holder| holder.pid),
            has_process: holder.is_some_and(|holder| holder.has_process),
            token: holder.map(|holder| holder.token.as_os_str().to_owned()),
            command: about.and_then(|about| about.command.clone()),
            user: about.and_then(|about| about.user.clone()),
            owner_uid: status.owner.as_ref().map(|owner| owner.uid),
            since: about.and_then(|about| about.since).map(seconds),
            expires_at: status.expires_at.map(seconds),
            available: status.available,
            text,
        }
    }
}

/// Since the epoch.
fn seconds(time: SystemTime) -> f64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}
