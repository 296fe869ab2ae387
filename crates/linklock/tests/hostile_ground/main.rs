//! Ground on which no lock can be had, or only with care: each ends in a clear error, and nothing on disk is harmed.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says by a panic what went wrong, and stands outside of what the library asks of the world"
)]

#[path = "../common/mod.rs"]
mod common;

mod directories;
mod kernel;
mod names;
mod no_hard_links;
mod not_a_lock;
mod other_users;
mod snapshot;
