//! Places where no lock can be acquired, or only with care. Each ends in a clear error, and nothing on disk is harmed.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test reports a failure by a panic, and is not bound by what the library may ask of the system"
)]

#[path = "../common/mod.rs"]
mod common;

#[cfg(target_os = "linux")] // ptrace(2), and users that differ between threads.
mod attacker;
#[cfg(target_os = "linux")] // Modes, mounts, and seccomp(2), which makes calls fail.
mod directories;
#[cfg(target_os = "linux")] // Names of arbitrary bytes.
mod forged;
#[cfg(target_os = "linux")] // Users that differ between threads, and seccomp(2).
mod kernel;
#[cfg(target_os = "linux")] // F_SETLEASE.
mod leases;
#[cfg(target_os = "linux")] // Two modules for Linux use it.
mod log;
mod names;
mod no_directory;
#[cfg(target_os = "linux")] // seccomp(2), which makes calls fail.
mod no_hard_links;
#[cfg(target_os = "linux")] // Symbolic links, the sticky bit, mknod(2).
mod not_a_file;
mod not_a_lock;
#[cfg(target_os = "linux")] // Users that differ between threads.
mod other_users;
#[cfg(target_os = "linux")] // Names of arbitrary bytes, symbolic links, and a working directory for one thread.
mod paths;
#[cfg(target_os = "linux")] // Users, the sticky bit.
mod private;
#[cfg(target_os = "linux")]
#[path = "../common/processes.rs"]
mod processes;
#[cfg(target_os = "linux")]
#[path = "../common/puppet.rs"]
#[allow(dead_code, reason = "the attacker's victim does less than a puppet can do")]
mod puppet;
#[cfg(target_os = "linux")]
#[path = "../common/settings.rs"]
#[allow(dead_code, reason = "the attacker's victim uses only some of the settings")]
mod settings;
mod snapshot;
#[cfg(target_os = "linux")] // Names of arbitrary bytes, FIFOs, users.
mod survey;
#[cfg(target_os = "linux")]
#[path = "../common/trace.rs"]
#[allow(dead_code, reason = "the attacker needs less of a call")]
mod trace;
#[cfg(windows)]
mod windows;

/// A process that other tests start: this program, with this test alone and a role in its environment.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "a victim's process: the attacker's tests start it"]
fn worker() {
    // The role is missing if somebody runs all ignored tests by hand.
    if std::env::var_os("WORKER_ROLE").is_some() {
        attacker::victim();
    }
}
