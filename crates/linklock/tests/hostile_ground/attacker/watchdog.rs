//! No attack makes a victim hang for ever.

use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::LONG;
use crate::puppet::Puppet;

/// Kills a victim that hangs.
pub(super) struct Watchdog {
    done: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Watchdog {
    pub(super) fn over(puppet: &Puppet) -> Self {
        let (done, is_done) = mpsc::channel();
        let pid = Pid::from_raw(puppet.pid() as i32).unwrap();
        let watch = move || {
            let hangs = is_done.recv_timeout(LONG) == Err(mpsc::RecvTimeoutError::Timeout);
            // It is not reaped before this thread is joined.
            hangs && kill_process(pid, Signal::KILL).is_ok()
        };
        Self { done, thread: std::thread::spawn(watch) }
    }

    pub(super) fn has_bitten(self) -> bool {
        drop(self.done);
        self.thread.join().unwrap()
    }
}
