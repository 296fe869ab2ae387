//! The two protocols, in layers: a module uses only those above it in this list.

mod io_error;
pub(crate) mod seen;
pub(crate) mod unchanged;

pub(crate) mod checked;
pub(crate) mod place;
pub(crate) mod stake;

pub(crate) mod bell;
mod claims;
pub(crate) mod expiry;
pub(crate) mod identify;
pub(crate) mod silly_names;
mod warned;

pub(crate) mod judge;
pub(crate) mod look;

pub(crate) mod clear;
mod dir;
mod downgrade;
mod entry;
pub(crate) mod fitness;
mod link;
pub(crate) mod steps;
mod turn;

pub(crate) mod fence;
pub(crate) mod leftovers;
pub(crate) mod private;
pub(crate) mod queue;
mod shared;

pub(crate) use io_error::is_gone;
