//! A judge of what processes believed, apart from the programs and tests that record it.
//!
//! # The model
//!
//! A lock is a lease. A holder trusts it from the return of its acquisition until it calls release, until its deadline, or until
//! it is killed, whatever comes first. So a hold is not one operation but two:
//!
//! - `acquire`, somewhere between its call and its return;
//! - `cease`, at that end or any time later: nobody has to notice an expired lock at once, so this operation never returns.
//!
//! The sequential lock allows `acquire` if nobody excludes it: an exclusive holder excludes all, a shared one all but shared
//! holders. A history is correct if it is linearizable: if each operation can be given one moment within its interval so that
//! the sequential lock allows them all.
//!
//! The latest moment is the best for an `acquire`, and the earliest for a `cease`, since both only remove exclusions. So a
//! history is linearizable exactly if no two holds that exclude each other overlap as intervals from the *return* to the *end*.
//! [`holds`] checks this in one sorted pass, so an hour of a lock takes seconds. A test compares the pass with the general
//! search of [`linear`] on random small histories.
//!
//! Two more things must hold:
//!
//! - Fencing tokens grow: if an acquisition was asked for after another had returned, its token is greater.
//! - A lock is not lost before the deadline that its holder was given.
//!
//! A register behind fencing tokens ([`register`]) takes a read or write only with a token that is at least the greatest it has
//! seen, reads included. Its history has to be linearizable too. There intervals say too little, so [`linear`] searches, by the
//! algorithm of Wing and Gong with Lowe's cache of visited states. The operation of a killed process took effect before the
//! process was gone, or never.
//!
//! # Time
//!
//! All times of one history are nanoseconds of one clock that is never set: of one kernel. A recorder reads it *after* an
//! acquisition returned and *before* it calls release. A deadline is a reading of the clock plus what then was left, in this
//! order. So a recorded hold is never longer than the real one, and an overlap is never a false alarm. A hold whose process was
//! killed before it could record it is missing.

pub mod event;
pub mod history;
pub mod hold;
pub mod holds;
pub mod linear;
pub mod register;
pub mod verdict;

pub use event::Event;
pub use history::History;
pub use hold::Hold;
pub use verdict::{Broken, Tally};
