//! Starts and kills processes. Wine was seen to answer with an internal error (ERROR_INTERNAL_ERROR) to either, once in thousands of
//! times, and to do it when it was asked again. A process that was not started had ended before its first step.

use std::io;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

/// Starts a process.
pub(crate) fn start(command: &mut Command) -> Child {
    insist(|| command.spawn()).unwrap_or_else(|e| panic!("{command:?} cannot be started: {e}"))
}

/// Kills a child that nobody has waited for.
pub(crate) fn kill(child: &mut Child) {
    insist(|| child.kill()).unwrap_or_else(|e| panic!("process {} cannot be killed: {e}", child.id()));
}

fn insist<T>(mut ask: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut again = if cfg!(windows) { 100 } else { 0 };
    loop {
        match ask() {
            Err(_) if again > 0 => again -= 1,
            answer => return answer,
        }
        sleep(Duration::from_millis(20));
    }
}
