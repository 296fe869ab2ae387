//! Waking up: for changes of a lock, for the end of its holder, and for a cancellation.

use std::cell::UnsafeCell;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::rc::Rc;
#[cfg(feature = "tokio")]
use std::time::Duration;

use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, HANDLE, WAIT_OBJECT_0};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_NOTIFY_CHANGE_DIR_NAME, FILE_NOTIFY_CHANGE_FILE_NAME, FILE_REMOTE_PROTOCOL_INFO, ReadDirectoryChangesW,
};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Threading::WaitForMultipleObjects;

use super::event::Event;
use super::handles::{get, succeeded};
#[cfg(feature = "tokio")]
use super::wakes;
use super::{files, identity, processes, records};
use crate::env::location::Location;
use crate::env::world::{Reach, Watcher};
use crate::names::{bytes_of, is_same_name};
use crate::time::LocalTime;

/// The lock's directory, and a handle of each holder.
#[derive(Debug)]
pub(super) struct OsWatcher {
    changes: Option<Changes>,
    /// Those whose end is to wake it; without a handle once it has.
    processes: Vec<(u32, Option<OwnedHandle>)>,
    /// Whether other machines can change the file system; `None` until a path is known.
    shared: Option<bool>,
    /// Nothing but a poll and a cancellation wakes it.
    is_deaf: bool,
    /// Until when it sleeps, and does not only ask for a cancellation.
    #[cfg(feature = "tokio")]
    until: LocalTime,
}

/// So often the thread that waits for tasks asks for a cancellation.
#[cfg(feature = "tokio")]
const CANCEL_EVERY: Duration = Duration::from_millis(100);

/// MAXIMUM_WAIT_OBJECTS. Of processes beyond, the poll finds the end.
const HANDLES_MOST: usize = 64;

impl OsWatcher {
    pub(super) fn new() -> Self {
        Self {
            changes: None,
            processes: Vec::new(),
            shared: None,
            is_deaf: false,
            #[cfg(feature = "tokio")]
            until: LocalTime::from_nanos(0),
        }
    }

    fn hear_end_of(&mut self, pid: Option<u32>) {
        if let Some(pid) = pid.filter(|pid| !self.is_deaf && self.processes.iter().all(|(known, _)| known != pid)) {
            self.processes.push((pid, processes::open_for_wait(pid)));
        }
    }

    /// For tasks, see wakes.rs.
    #[cfg(feature = "tokio")]
    pub(super) fn deaf() -> Self {
        Self { is_deaf: true, ..Self::new() }
    }
}

impl Watcher for OsWatcher {
    fn arm(&mut self, at: &Location, pid: Option<u32>) {
        // Once, for the same path all along: from then on the system keeps what changes between two waits.
        if self.shared.is_none() {
            let dir = files::open_to_watch(at);
            self.shared = Some(dir.as_ref().map_or(true, is_shared));
            let name = at.name().to_owned();
            // Where a directory cannot be watched, a waiter polls.
            self.changes = dir.ok().filter(|_| !self.is_deaf).and_then(|dir| Changes::watch(dir, name).ok());
        }
        self.processes.retain(|(known, _)| Some(*known) == pid);
        self.hear_end_of(pid);
    }

    fn also_arm(&mut self, at: &Location, pid: Option<u32>) {
        if let Some(changes) = &mut self.changes
            && !changes.names.iter().any(|name| name == at.name())
        {
            changes.names.push(at.name().to_owned());
        }
        self.hear_end_of(pid);
    }

    fn reach(&self) -> Reach {
        match (self.changes.is_some(), self.shared.unwrap_or(true)) {
            (true, false) => Reach::All,
            (true, true) => Reach::ThisMachine,
            (false, false) => Reach::NoneLocal,
            (false, true) => Reach::NoneShared,
        }
    }

    fn sees_end(&self) -> bool {
        matches!(self.processes.as_slice(), [(_, Some(_))])
    }

    fn wait(&mut self, until: LocalTime, cancel: Option<&Event>) {
        loop {
            let left = until.since(identity::now());
            let of_processes = self.processes.iter().enumerate();
            let of_processes = of_processes.filter_map(|(n, (_, handle))| Some((Woken::Process(n), handle.as_ref()?)));
            let changed = self.changes.as_ref().map(|changes| (Woken::Changes, &changes.event.handle));
            let cancelled = cancel.map(|cancel| (Woken::Cancelled, &cancel.handle));
            let handles = cancelled.into_iter().chain(changed).chain(of_processes);
            // Rounded up, so that the last round does not wait for nothing again and again.
            match wait_for(handles, left.as_nanos().div_ceil(1_000_000)) {
                // Told once; a process that has ended would wake us again and again.
                Some(Woken::Process(n)) => {
                    self.processes[n].1 = None;
                    return;
                }
                Some(Woken::Changes) => match self.changes.as_mut().map_or(Ok(true), Changes::take) {
                    Ok(false) => {}
                    Ok(true) => return,
                    Err(_) => {
                        self.changes = None;
                        return;
                    }
                },
                Some(Woken::Cancelled) | None => return,
            }
        }
    }

    #[cfg(feature = "tokio")]
    fn fall_asleep(&mut self, until: LocalTime, cancel: Option<&Event>) -> Option<wakes::Wakes> {
        self.until = until;
        match cancel {
            Some(cancel) if cancel.is_set() => None,
            Some(_) => Some(wakes::Wakes(until.min(identity::now() + CANCEL_EVERY))),
            None => Some(wakes::Wakes(until)),
        }
    }

    #[cfg(feature = "tokio")]
    fn wake_up(&mut self, _: wakes::Woken, cancel: Option<&Event>) -> bool {
        identity::now() >= self.until || cancel.is_some_and(Event::is_set)
    }
}

enum Woken {
    Cancelled,
    Changes,
    /// The one with this index.
    Process(usize),
}

/// Waits for the first of these; `None` after `most_ms`, or if it failed. The system takes no more than 64.
fn wait_for<'a>(handles: impl Iterator<Item = (Woken, &'a OwnedHandle)>, most_ms: u128) -> Option<Woken> {
    let of_handle = |(woken, handle): (Woken, &OwnedHandle)| (handle.as_raw_handle(), woken);
    let (raw, mut which): (Vec<HANDLE>, Vec<Woken>) = handles.take(HANDLES_MOST).map(of_handle).unzip();
    // One less than what means: for ever.
    let most_ms = most_ms.min(u128::from(u32::MAX - 1)) as u32;
    if raw.is_empty() {
        sleep(most_ms);
        return None;
    }
    // SAFETY: the handles are open while they are borrowed, and there are as many as is said.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let woken = unsafe { WaitForMultipleObjects(raw.len() as u32, raw.as_ptr(), 0, most_ms) };
    let index = woken.wrapping_sub(WAIT_OBJECT_0) as usize;
    if index < which.len() {
        return Some(which.swap_remove(index));
    }
    None
}

#[expect(clippy::disallowed_methods, reason = "this is the place for it")]
fn sleep(ms: u32) {
    std::thread::sleep(std::time::Duration::from_millis(ms.into()));
}

/// A file system of this machine's own knows no protocol by which to reach it; what cannot be told counts as shared.
fn is_shared(dir: &File) -> bool {
    let own = get::<FILE_REMOTE_PROTOCOL_INFO>(dir).err().and_then(|e| e.raw_os_error());
    own != Some(ERROR_INVALID_PARAMETER as i32)
}

/// The changes of names in a directory, as the system writes them down.
struct Changes {
    dir: File,
    names: Vec<OsString>,
    event: Event,
    request: Rc<Request>,
    is_pending: bool,
}

/// The system writes to it as long as it is pending: it stays where it is, and is dropped only then; see `Drop`.
struct Request {
    overlapped: UnsafeCell<OVERLAPPED>,
    notes: UnsafeCell<records::Buffer>,
}

// SAFETY: a `Changes` has its request alone, as the `Rc` is never cloned, so both move together. The system writes to the request
// from wherever it likes, and any thread may wait for its end; if the thread that made it ends first, it ends with an error, and
// `finished` tells.
#[expect(unsafe_code, reason = "the cells and the `Rc` are for the system's sake, and no other thread's")]
unsafe impl Send for Changes {}

impl Changes {
    fn watch(dir: File, name: OsString) -> io::Result<Self> {
        let request = Request { overlapped: UnsafeCell::default(), notes: UnsafeCell::new(records::EMPTY) };
        let mut changes =
            Self { dir, names: vec![name], event: Event::new()?, request: Rc::new(request), is_pending: false };
        changes.request()?;
        Ok(changes)
    }

    /// Asks for the next changes; the request must not be pending.
    fn request(&mut self) -> io::Result<()> {
        let overlapped = OVERLAPPED { hEvent: self.event.handle.as_raw_handle(), ..OVERLAPPED::default() };
        assert!(!self.is_pending, "the system may be writing to it");
        // SAFETY: it is not pending, so nobody else uses either of the two cells; both stay where they are until `drop` has
        // waited for the end of this request. The buffer is as long as is said.
        #[expect(unsafe_code, reason = "no safe form of this call exists")]
        let done = unsafe {
            *self.request.overlapped.get() = overlapped;
            ReadDirectoryChangesW(
                self.dir.as_raw_handle(),
                self.request.notes.get().cast(),
                size_of::<records::Buffer>() as u32,
                0,
                FILE_NOTIFY_CHANGE_FILE_NAME | FILE_NOTIFY_CHANGE_DIR_NAME,
                std::ptr::null_mut(),
                self.request.overlapped.get(),
                None,
            )
        };
        self.is_pending = done != 0;
        succeeded(done)
    }

    /// Takes note of what has come, and asks for more. Says whether a lock's name was concerned.
    fn take(&mut self) -> io::Result<bool> {
        let len = self.finished()?;
        // SAFETY: the request has ended, so the system does not use the buffer any more, and `self` is ours alone.
        #[expect(unsafe_code, reason = "the system has written it")]
        let notes = unsafe { &*self.request.notes.get() };
        // None at all: there were too many.
        let concerned = len == 0
            || records::names(notes, records::CHANGES)
                .iter()
                .any(|name| self.names.iter().any(|lock| is_same_name(bytes_of(name), bytes_of(lock))));
        self.request()?;
        Ok(concerned)
    }

    /// Waits for the end of the request; how many bytes were written.
    fn finished(&mut self) -> io::Result<u32> {
        let mut len = 0;
        // SAFETY: the directory is open, and this is the request that was made with it, where it was then.
        #[expect(unsafe_code, reason = "no safe form of this call exists")]
        let done =
            unsafe { GetOverlappedResult(self.dir.as_raw_handle(), self.request.overlapped.get(), &raw mut len, 1) };
        self.is_pending = false;
        succeeded(done).map(|()| len)
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        if !self.is_pending {
            return;
        }
        // SAFETY: the directory is open, and the request is the one made with it. If it has ended, nothing is cancelled.
        #[expect(unsafe_code, reason = "no safe form of this call exists")]
        unsafe {
            CancelIoEx(self.dir.as_raw_handle(), self.request.overlapped.get());
        }
        // Only then may it go.
        let _ = self.finished();
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("dir", &self.dir).field("names", &self.names).finish_non_exhaustive()
    }
}
