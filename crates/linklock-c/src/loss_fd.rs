//! A descriptor that tells of a lock's loss.

use std::io;
use std::mem;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rust_linklock::Loss;

use crate::error::Failure;

/// One end of a pair of sockets: it is at its end of file once the lock is lost. Unlike a byte in a pipe or a count in an
/// eventfd, nobody can read that away, and unlike a write to a pipe, it raises no SIGPIPE if the program has closed its end.
#[derive(Debug)]
pub(crate) struct LossFd {
    theirs: UnixStream,
    /// Open for as long as `theirs` is: to close it would look like a loss.
    _ours: Arc<UnixStream>,
    watcher: JoinHandle<()>,
}

/// The thread only waits.
const STACK_SIZE: usize = 64 * 1024;

impl LossFd {
    pub(crate) fn new(loss: &Loss) -> Result<Self, Failure> {
        Self::watch(loss.clone()).map_err(|e| Failure::io("make a descriptor that tells of the lock's loss", &e))
    }

    fn watch(loss: Loss) -> io::Result<Self> {
        let (theirs, ours) = UnixStream::pair()?;
        // A program that reads from it all the same must not hang.
        theirs.set_nonblocking(true)?;
        let ours = Arc::new(ours);
        let end = Arc::clone(&ours);
        let watcher = thread::Builder::new().name("linklock-loss".into()).stack_size(STACK_SIZE).spawn(move || {
            if loss.wait() {
                // Cannot fail: the sockets are connected.
                let _ = end.shutdown(Shutdown::Write);
            }
        })?;
        Ok(Self { theirs, _ours: ours, watcher })
    }

    pub(crate) fn number(&self) -> i32 {
        self.theirs.as_raw_fd()
    }

    /// Closes it. The lock must have ended.
    pub(crate) fn end(self, loss: &Loss) {
        if loss.is_inherited() {
            // A forked child does not have the thread.
            mem::forget(self.watcher);
        } else {
            // A panic in it was reported by the panic hook.
            let _ = self.watcher.join();
        }
    }
}
