//! `linklock._core`: what the Python package `linklock` needs of the library, and no more. Python's habits are in the
//! package's own modules, under `python/linklock`.
//!
//! Nothing here keeps the interpreter while it asks the file system or waits.

mod contender;
mod errors;
mod held;
mod log;
mod waiting;

#[pyo3::pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::contender::{Contender, Found};
    #[pymodule_export]
    use crate::errors::{AlreadyLockedError, LockError, NotALockError, NotLockedError, TimeOutError};
    #[pymodule_export]
    use crate::held::{Held, forked};
    #[pymodule_export]
    use crate::log::printable;
    #[pymodule_export]
    use crate::waiting::Waiting;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::log::listen();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
