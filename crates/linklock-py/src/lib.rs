//! `linklock._core`: the parts of the library that the Python package `linklock` needs. The API for Python is in the package's
//! own modules, under `python/linklock`.
//!
//! No function here keeps the interpreter's lock while it asks the file system or waits.

mod contender;
mod errors;
mod fork;
mod hold;
mod log;
mod runtime;
mod waiting;

#[pyo3::pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::contender::{Contender, Found};
    #[pymodule_export]
    use crate::errors::{AlreadyLockedError, LockError, NotALockError, NotLockedError, TimeOutError};
    #[pymodule_export]
    use crate::fork::forked;
    #[pymodule_export]
    use crate::hold::{Hold, Notice, Slot};
    #[pymodule_export]
    use crate::log::printable;
    #[pymodule_export]
    use crate::waiting::Bell;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::log::listen();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
