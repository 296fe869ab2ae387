//! The C library linklock. include/linklock.h, which cbindgen makes of these sources, documents it for C programs.
//!
//! All that is `unsafe` is in [`ffi`], which turns pointers into references and calls the other modules. These are plain Rust.

pub mod error;
pub mod ffi;
pub mod guard;
#[cfg(not(windows))]
mod loss_fd;
pub mod options;
pub mod status;
mod text;
