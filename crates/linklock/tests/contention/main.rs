//! Many real processes contend for real locks: they count, are killed or stopped, hold the lock too long, fork, and adopt
//! each other's locks.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test reports a failure by a panic, and is not bound by what the library may ask of the system"
)]

#[path = "../common/mod.rs"]
mod common;

mod counter;
mod deaths;
mod diary;
#[cfg(target_os = "linux")] // It needs ptrace(2).
mod every_call;
#[cfg(unix)] // Windows has no fork.
mod fork;
mod keep_alive;
#[cfg(target_os = "linux")] // Others have no pid namespaces.
mod namespaces;
#[path = "../common/processes.rs"]
mod processes;
#[path = "../common/puppet.rs"]
#[allow(dead_code, reason = "here a puppet that dies is a failure")]
mod puppet;
mod queue;
#[path = "../common/settings.rs"]
mod settings;
mod system;
mod threads;
mod tokens;
#[cfg(target_os = "linux")] // It needs ptrace(2) of Linux.
#[path = "../common/trace.rs"]
#[allow(dead_code, reason = "here the kind of a call is asked for, not its name")]
mod trace;
mod turmoil;
mod waiting;

/// A process that the other tests start: this program, with this test alone and a role in its environment.
#[test]
#[ignore = "a worker process: the other tests start it"]
fn worker() {
    match std::env::var("WORKER_ROLE").as_deref() {
        Ok("count") => counter::count(),
        Ok("puppet") => puppet::perform(),
        Ok("turmoil") => turmoil::take_part(),
        Ok(role) => panic!("no such role: {role}"),
        // Somebody ran all ignored tests by hand.
        Err(_) => {}
    }
}
