//! Ground on which no lock can be had, or only with care: each ends in a clear error, and nothing on disk is harmed.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says by a panic what went wrong, and stands outside of what the library asks of the world"
)]

#[path = "../common/mod.rs"]
mod common;

#[cfg(target_os = "linux")] // ptrace(2) and credentials of threads.
mod attacker;
#[cfg(target_os = "linux")] // Modes, mounts, and calls that seccomp(2) makes fail.
mod directories;
#[cfg(target_os = "linux")] // Names in any bytes.
mod forged;
#[cfg(target_os = "linux")] // Credentials and seccomp(2).
mod kernel;
#[cfg(target_os = "linux")] // F_SETLEASE.
mod leases;
#[cfg(target_os = "linux")] // Two that only run there need it.
mod log;
mod names;
mod no_directory;
#[cfg(target_os = "linux")] // Calls that seccomp(2) makes fail.
mod no_hard_links;
#[cfg(target_os = "linux")] // Symbolic links, the sticky bit, mknod(2).
mod not_a_file;
mod not_a_lock;
#[cfg(target_os = "linux")] // Credentials of threads.
mod other_users;
#[cfg(target_os = "linux")] // Names in any bytes, symbolic links, a working directory for a thread.
mod paths;
#[cfg(target_os = "linux")] // Users, the sticky bit.
mod private;
#[cfg(target_os = "linux")]
#[path = "../common/puppet.rs"]
#[allow(dead_code, reason = "an attacker's victim does not do all that a puppet can")]
mod puppet;
#[cfg(target_os = "linux")]
#[path = "../common/settings.rs"]
#[allow(dead_code, reason = "an attacker's victim is not told all that can be set")]
mod settings;
mod snapshot;
#[cfg(target_os = "linux")]
#[path = "../common/trace.rs"]
#[allow(dead_code, reason = "an attacker asks less of a call")]
mod trace;
#[cfg(windows)]
mod windows;

/// What other tests start as a process of its own: this program, with this test alone, told its role.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "a victim's process: the attacker's tests start it"]
fn worker() {
    // Not so if it is started by hand, with all ignored tests.
    if std::env::var_os("WORKER_ROLE").is_some() {
        attacker::victim();
    }
}
