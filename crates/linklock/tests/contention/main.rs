//! Many real processes contend for real locks: they count, are killed, stopped, overstay, fork, and take over from each
//! other.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says by a panic what went wrong, and stands outside of what the library asks of the world"
)]

#[path = "../common/mod.rs"]
mod common;

mod counter;
mod deaths;
mod diary;
#[cfg(target_os = "linux")] // It takes ptrace(2).
mod every_call;
#[cfg(unix)] // Windows has no fork.
mod fork;
mod keep_alive;
#[cfg(target_os = "linux")] // Others have no pid namespaces.
mod namespaces;
#[path = "../common/puppet.rs"]
#[allow(dead_code, reason = "here a puppet that dies is a failure")]
mod puppet;
mod queue;
#[path = "../common/settings.rs"]
mod settings;
mod system;
mod threads;
mod tokens;
#[cfg(target_os = "linux")] // ptrace(2) as Linux has it.
#[path = "../common/trace.rs"]
#[allow(dead_code, reason = "here the kind of a call is asked for, not its name")]
mod trace;
mod turmoil;
mod waiting;

/// What the other tests start as processes of their own: this program, with this test alone, told its role.
#[test]
#[ignore = "a worker process: the other tests start it"]
fn worker() {
    match std::env::var("WORKER_ROLE").as_deref() {
        Ok("count") => counter::count(),
        Ok("puppet") => puppet::perform(),
        Ok("turmoil") => turmoil::take_part(),
        Ok(role) => panic!("no such role: {role}"),
        // Started by hand, with all ignored tests.
        Err(_) => {}
    }
}
