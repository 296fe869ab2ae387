//! Writes the journal in a thread of its own: a file system that does not answer must not keep the lock from being refreshed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use linklock::Printable;

use super::appender::Appender;
use crate::console::Console;

/// So many lines wait for a file system that is slow; more are dropped.
const WAITING_MOST: usize = 1024;

/// How long linklock waits in the end for the last lines to be written.
const WRITES_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Order {
    Append(String),
    End,
}

/// Takes lines, and waits for nothing until it is to finish.
#[derive(Debug)]
pub(crate) struct Writer {
    orders: SyncSender<Order>,
    ended: Mutex<Receiver<()>>,
    /// Where the system had no thread for it, what it would do is done in the end.
    late: Mutex<Option<Work>>,
    has_dropped: AtomicBool,
    path: String,
    console: Console,
}

impl Writer {
    /// The error says why the file cannot be the journal.
    pub(crate) fn open(path: &Path, console: Console) -> Result<Self, String> {
        let appender = Appender::open(path)?;
        let path = Printable::new(path).to_string();
        let (orders, taken) = mpsc::sync_channel(WAITING_MOST);
        let (sender, ended) = mpsc::channel();
        let work = Work { appender, taken, path: path.clone(), console };
        // The thread gets its work by this channel, so that nothing is lost if there is no thread.
        let (hand_over, handed) = mpsc::sync_channel::<Work>(1);
        let act = move || {
            if let Ok(work) = handed.recv() {
                work.run();
                let _ = sender.send(());
            }
        };
        let late = match Builder::new().name("linklock-journal".into()).spawn(act) {
            Ok(_) => hand_over.send(work).err().map(|e| e.0),
            Err(_) => Some(work),
        };
        let (ended, late) = (Mutex::new(ended), Mutex::new(late));
        Ok(Self { orders, ended, late, has_dropped: AtomicBool::new(false), path, console })
    }

    pub(crate) fn append(&self, line: String) {
        if self.orders.try_send(Order::Append(line)).is_err() {
            self.has_dropped.store(true, Ordering::Relaxed);
        }
    }

    /// Waits until all is written, but not for ever.
    pub(crate) fn finish(&self) {
        let is_asked = self.orders.try_send(Order::End).is_ok();
        if let Some(work) = self.late.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return work.run();
        }
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_asked || ended.recv_timeout(WRITES_WITHIN).is_err() || self.has_dropped.load(Ordering::Relaxed) {
            let message = "the journal lacks lines, because its file system was too slow";
            self.console.error(&format!("{}: {message}", self.path));
        }
    }
}

#[derive(Debug)]
struct Work {
    appender: Appender,
    taken: Receiver<Order>,
    path: String,
    console: Console,
}

impl Work {
    fn run(mut self) {
        let mut has_complained = false;
        while let Ok(Order::Append(line)) = self.taken.recv() {
            if let Err(e) = self.appender.append(&line)
                && !has_complained
            {
                has_complained = true;
                let message = format!(
                    "{}: cannot write the journal: {e}; linklock goes on, and the journal lacks lines",
                    self.path
                );
                self.console.error(&message);
            }
        }
    }
}
