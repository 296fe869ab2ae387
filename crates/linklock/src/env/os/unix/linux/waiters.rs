//! What all waiters of a process share: one inotify instance, and one pidfd for each holder.
//!
//! A user has no more than 128 inotify instances by default, other programs' included, and a process often no more than 1024
//! descriptors. So of the waiters that sleep one, the leader, polls the instance for all, and sets the eventfds of those that an
//! event is for. A waiter by itself leads, and has no eventfd.

use std::collections::BTreeMap;
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec as Timeout, poll};
use rustix::fs::OFlags;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::{read, retry_on_intr};
use rustix::process::{PidfdFlags, Resource, getrlimit};

use super::super::clock;
use super::super::convert::to_pid;
use super::super::kept::Kept;
use super::super::own::generation;
use super::super::reach::reach;
use super::basics::as_path;
use super::event::{new_eventfd, set, unset};
use crate::env::location::Location;
use crate::env::per_process::PerProcess;
use crate::hint;
use crate::time::LocalTime;

/// On the file itself, not on the directory, where every other contender's claim would wake us. A link removed or a new
/// mtime is ATTRIB; below a directory, an entry's are meant too. A downgrade renames an entry in its directory: MOVED_FROM, by which
/// those who wait to share the lock join. The entry of a reader that joins is only MOVED_TO.
const CHANGES: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DONT_FOLLOW);

/// Nobody else appends to what can only be read.
const INOTIFY_MARK: OFlags = OFlags::APPEND.union(OFlags::NONBLOCK);

/// A socket has an inode number of its own.
const EAR_MARK: OFlags = OFlags::NONBLOCK;

/// So often a watch is asked for if others are removed meanwhile.
const TRIES: u32 = 8;

/// The waiters of a process. A forked child has waiters of its own: the mutex may be locked there for ever.
#[derive(Debug)]
pub(super) struct Waiters {
    process: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Kept when nobody waits: to close it makes the kernel wait for all readers of its list of marks, 5 to 20 ms.
    inotify: Option<Arc<Kept>>,
    /// How many watches were removed.
    removed: u64,
    /// Where hints come in, and at which port. Kept as the inotify instance is.
    ear: Option<(Arc<Kept>, u16)>,
    joined: u64,
    waiters: BTreeMap<u64, Waiter>,
    leader: Option<u64>,
    processes: BTreeMap<u32, Weak<Kept>>,
}

#[derive(Debug, Default)]
struct Waiter {
    watches: Vec<i32>,
    /// Something has changed since it was last told.
    is_woken: bool,
    hints: Option<Hints>,
    /// Its eventfd, while it sleeps and another leads.
    asleep: Option<Arc<Kept>>,
}

/// The hints that a waiter listens for.
#[derive(Debug)]
struct Hints {
    nonce: u64,
    /// How many came in a row without one that was said to be true.
    in_vain: u32,
    last: Option<LocalTime>,
}

/// So many hints in a row that turn out to be wrong are heard, and no more: others may send any number.
const IN_VAIN_MOST: u32 = 3;

/// Of two hints within that time, the second is not heard.
const NOT_WITHIN: Duration = Duration::from_millis(5);

/// Whether a waiter is woken by changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    Yes,
    /// There is no room for another watch, or no descriptor.
    No,
    /// Only who may read a file may watch it. Its directory could be watched in its place; but there, whatever anybody does to any
    /// file would wake us, and in a directory such as /tmp that is more than a look now and then.
    Refused,
}

/// What a waiter sleeps with.
#[derive(Debug)]
pub(super) enum Sleep {
    /// With nothing: something has changed already.
    Woken,
    /// With the inotify instance, and with the socket for hints if there is one; wakes the others.
    Leading(Arc<Kept>, Option<Arc<Kept>>),
    /// With its own eventfd.
    Following(Arc<Kept>),
    /// Without hearing of changes: there is no watch, or no descriptor to spare for an eventfd.
    Deaf,
}

impl Waiters {
    pub(super) fn of_process() -> &'static Self {
        static WAITERS: PerProcess<Waiters> = PerProcess::new();
        let process = generation();
        WAITERS.get(process, || Self { process, state: Mutex::default() })
    }

    /// `None` in a forked child.
    fn lock(&self) -> Option<MutexGuard<'_, State>> {
        (self.process == generation()).then(|| self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives the number of a new waiter.
    pub(super) fn join(&self) -> u64 {
        self.lock().map_or(0, |mut state| {
            state.joined += 1;
            let number = state.joined;
            state.waiters.insert(number, Waiter::default());
            number
        })
    }

    pub(super) fn leave(&self, number: u64) {
        let Some(mut state) = self.lock() else { return };
        let watches = state.waiters.remove(&number).map(|waiter| waiter.watches);
        state.unwatch(watches.unwrap_or_default());
        state.hand_over(number);
    }

    /// Wakes this waiter when what is there changes; and, unless `also`, for nothing else any more.
    pub(super) fn watch(&self, number: u64, at: &Location, also: bool) -> Watched {
        for attempt in 1..=TRIES {
            let Some((inotify, removed)) = self.lock().and_then(|mut s| Some((s.inotify_or_new()?, s.removed))) else {
                return Watched::No;
            };
            // Not under the mutex: a file server that does not answer must not keep those who wait for other locks.
            let added = inotify.unchecked().map(|fd| add_watch(fd, at));
            let mut is_refused = false;
            let watch = match added {
                Some(Ok(watch)) => Some(watch),
                // Nothing there: whoever looks next will see that it is free.
                Some(Err(e)) if e.kind() == io::ErrorKind::NotFound => return Watched::Yes,
                Some(Err(e)) if e.kind() == io::ErrorKind::PermissionDenied => {
                    is_refused = true;
                    None
                }
                _ => None,
            };
            let Some(mut state) = self.lock() else { return Watched::No };
            let is_current = state.inotify.as_ref().is_some_and(|current| Arc::ptr_eq(current, &inotify));
            // One that another waiter has too is not removed; else it may have been, before we could say that we have it.
            let is_sure = state.removed == removed || watch.is_none_or(|watch| state.is_watched(watch));
            if is_current && is_sure {
                state.set_watch(number, watch, also);
                return match watch {
                    Some(_) => Watched::Yes,
                    None if is_refused => Watched::Refused,
                    None => Watched::No,
                };
            }
            if is_current && attempt == TRIES {
                state.unwatch(watch.into_iter().collect());
            }
        }
        Watched::No
    }

    /// The port at which this process hears hints.
    pub(super) fn ear(&self) -> Option<u16> {
        let mut state = self.lock()?;
        if state.ear().is_none() {
            state.ear = new_ear().ok();
        }
        state.ear.as_ref().map(|(_, port)| *port)
    }

    /// Wakes this waiter on a hint with this number. To be called anew once one has shown to be true.
    pub(super) fn listen(&self, number: u64, nonce: u64) {
        let Some(mut state) = self.lock() else { return };
        let Some(waiter) = state.waiters.get_mut(&number) else { return };
        let last = waiter.hints.take().and_then(|hints| hints.last);
        waiter.hints = Some(Hints { nonce, in_vain: 0, last });
    }

    /// `own` is the waiter's eventfd, which is made when it is needed.
    pub(super) fn fall_asleep(&self, number: u64, own: &mut Option<Arc<Kept>>) -> Sleep {
        let Some(mut state) = self.lock() else { return Sleep::Deaf };
        let inotify = state.inotify();
        let leads = state.leader.is_none_or(|leader| leader == number);
        let Some(waiter) = state.waiters.get_mut(&number) else { return Sleep::Deaf };
        if mem::take(&mut waiter.is_woken) {
            state.hand_over(number);
            return Sleep::Woken;
        }
        match inotify {
            Some(inotify) if leads => {
                state.leader = Some(number);
                Sleep::Leading(inotify, state.ear())
            }
            Some(_) if !waiter.watches.is_empty() || waiter.hints.is_some() => {
                if own.as_ref().is_none_or(|own| own.get().is_none()) {
                    *own = new_eventfd().ok().filter(is_affordable).map(Arc::new);
                }
                waiter.asleep.clone_from(own);
                own.clone().map_or(Sleep::Deaf, Sleep::Following)
            }
            _ => Sleep::Deaf,
        }
    }

    /// After a sleep. `changed`: what it slept with is set. `has_ended`: it does not sleep on, whatever this says, which is
    /// whether there was a change for it.
    pub(super) fn wake_up(&self, number: u64, changed: bool, has_ended: bool) -> bool {
        let Some(mut state) = self.lock() else { return true };
        if changed && state.leader == Some(number) {
            state.read();
            state.hear();
        }
        let Some(waiter) = state.waiters.get_mut(&number) else { return true };
        if let Some(own) = waiter.asleep.take() {
            unset(&own);
        }
        let is_woken = mem::take(&mut waiter.is_woken);
        if is_woken || has_ended {
            state.hand_over(number);
        }
        is_woken
    }

    /// Becomes readable when the process ends. `None` if there is no such process, or no descriptor for it.
    pub(super) fn process(&self, pid: u32) -> Option<Arc<Kept>> {
        let mut state = self.lock()?;
        let known = state.processes.get(&pid).and_then(Weak::upgrade);
        // The pid of one that has ended may be another's by now.
        if let Some(process) = known.filter(|process| runs(process)) {
            return Some(process);
        }
        let fd = rustix::process::pidfd_open(to_pid(pid)?, PidfdFlags::empty()).ok()?;
        let process = Arc::new(Kept::new(fd, OFlags::APPEND).ok().filter(is_affordable)?);
        state.processes.retain(|_, process| process.strong_count() > 0);
        state.processes.insert(pid, Arc::downgrade(&process));
        Some(process)
    }
}

fn add_watch(inotify: BorrowedFd<'_>, at: &Location) -> io::Result<i32> {
    // The call takes a path alone. The directory in between has one that nobody else can change.
    let is_inside = at.between().is_some();
    reach(at, |dir, name| {
        let path = if is_inside { &as_path(dir).join(name) } else { name };
        Ok(inotify::add_watch(inotify, path, CHANGES)?)
    })
}

impl State {
    /// If it is there and still ours.
    fn inotify(&mut self) -> Option<Arc<Kept>> {
        let inotify = self.inotify.clone()?;
        if inotify.get().is_some() {
            return Some(inotify);
        }
        // All watches went with it. Those who had one look, and then poll until they are armed again.
        (self.inotify, self.leader) = (None, None);
        for waiter in self.waiters.values_mut().filter(|waiter| !waiter.watches.is_empty()) {
            waiter.watches.clear();
            waiter.wake();
        }
        None
    }

    fn inotify_or_new(&mut self) -> Option<Arc<Kept>> {
        if let Some(inotify) = self.inotify() {
            return Some(inotify);
        }
        let new = || -> io::Result<Kept> {
            Kept::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?, INOTIFY_MARK)
        };
        self.inotify = new().ok().map(Arc::new);
        self.inotify.clone()
    }

    fn is_watched(&self, watch: i32) -> bool {
        self.waiters.values().any(|waiter| waiter.watches.contains(&watch))
    }

    fn set_watch(&mut self, number: u64, watch: Option<i32>, also: bool) {
        let Some(waiter) = self.waiters.get_mut(&number) else { return };
        if also {
            waiter.watches.extend(watch.filter(|watch| !waiter.watches.contains(watch)));
            return;
        }
        // It looks next, and sees what has changed so far.
        waiter.is_woken = false;
        let last = mem::replace(&mut waiter.watches, watch.into_iter().collect());
        // No more than it is armed for, however many holders a long wait sees.
        self.unwatch(last);
    }

    /// Removes watches that nobody has any more.
    fn unwatch(&mut self, watches: Vec<i32>) {
        for watch in watches {
            if !self.is_watched(watch)
                && let Some(inotify) = self.inotify()
            {
                self.removed += 1;
                // One whose file is gone is gone already.
                let _ = inotify.unchecked().map(|fd| inotify::remove_watch(fd, watch));
            }
        }
    }

    /// Takes what the kernel has to tell, and wakes those that it is for.
    fn read(&mut self) {
        let inotify = self.inotify();
        let Some(fd) = inotify.as_ref().and_then(|inotify| inotify.unchecked()) else { return };
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(fd, &mut space);
        while let Ok(event) = events.next() {
            let (watch, flags) = (event.wd(), event.events());
            let is_for = |waiter: &Waiter| waiter.watches.contains(&watch) || flags.contains(ReadFlags::QUEUE_OVERFLOW);
            for waiter in self.waiters.values_mut().filter(|waiter| is_for(waiter)) {
                waiter.wake();
                if flags.contains(ReadFlags::IGNORED) {
                    // Its file is gone.
                    waiter.watches.retain(|other| *other != watch);
                }
            }
            // What came since keeps the instance readable.
            if events.is_buffer_empty() {
                break;
            }
        }
    }

    /// The socket for hints, if it is there and still ours.
    fn ear(&mut self) -> Option<Arc<Kept>> {
        let ear = self.ear.as_ref().map(|(ear, _)| Arc::clone(ear)).filter(|ear| ear.get().is_some());
        if ear.is_none() {
            // What was said on disk of the old one is wrong now. Those who listened there poll.
            self.ear = None;
        }
        ear
    }

    /// Takes the hints that have come, and wakes those that they are for.
    fn hear(&mut self) {
        let Some(ear) = self.ear() else { return };
        let mut packet = [0; hint::PACKET + 1];
        for _ in 0..HEARD_AT_ONCE {
            let Some(Ok(len)) = ear.unchecked().map(|fd| retry_on_intr(|| read(fd, &mut packet))) else { return };
            let Some(nonce) = hint::nonce_of(&packet[..len]) else { continue };
            let now = clock::now();
            for waiter in self.waiters.values_mut() {
                if let Some(hints) = waiter.hints.as_mut().filter(|hints| hints.nonce == nonce)
                    && hints.in_vain < IN_VAIN_MOST
                    && hints.last.is_none_or(|last| now.since(last) >= NOT_WITHIN)
                {
                    (hints.in_vain, hints.last) = (hints.in_vain + 1, Some(now));
                    waiter.wake();
                }
            }
        }
    }

    /// If this waiter leads, another one that sleeps does so from now on.
    fn hand_over(&mut self, number: u64) {
        if self.leader != Some(number) {
            return;
        }
        let mut others = self.waiters.iter().filter(|(other, waiter)| **other != number && !waiter.is_woken);
        let next = others.find(|(_, waiter)| waiter.asleep.as_ref().is_some_and(|own| set(own)));
        self.leader = next.map(|(number, _)| *number);
    }
}

impl Waiter {
    fn wake(&mut self) {
        if !mem::replace(&mut self.is_woken, true)
            && let Some(own) = &self.asleep
        {
            set(own);
        }
    }
}

/// The last eighth of what a process may have is left for the application, and to look at locks with. The lowest free number is
/// given, so it tells how many there are.
fn is_affordable(kept: &Kept) -> bool {
    let number = kept.unchecked().map_or(0, |fd| fd.as_raw_fd() as u64);
    getrlimit(Resource::Nofile).current.is_none_or(|most| number < most - most / 8)
}

/// What others send faster than this waits until the leader sleeps again, or is dropped by the kernel.
const HEARD_AT_ONCE: u32 = 64;

/// A socket for hints on any free port, for both families where there is IPv6.
fn new_ear() -> io::Result<(Arc<Kept>, u16)> {
    let socket =
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    let port = socket.local_addr()?.port();
    let kept = Kept::new(socket.into(), EAR_MARK)?;
    if is_affordable(&kept) { Ok((Arc::new(kept), port)) } else { Err(io::ErrorKind::Other.into()) }
}

/// Whether the process of this pidfd has not ended.
pub(super) fn runs(process: &Kept) -> bool {
    let Some(fd) = process.get() else { return false };
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timeout { tv_sec: 0, tv_nsec: 0 })), Ok(0))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::ptr;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use rustix::process::{Pid, Signal, getpid, kill_process};

    use super::*;
    use crate::hint::Ear;

    #[test]
    fn a_hint_wakes_the_waiter_that_it_is_for_and_after_three_in_vain_none_does() {
        let waiters = Waiters { process: generation(), state: Mutex::default() };
        let (first, second) = (waiters.join(), waiters.join());
        let root = Location::beside("/".as_ref(), ".".as_ref());
        assert_eq!(waiters.watch(first, &root, false), Watched::Yes);
        let port = waiters.ear().unwrap();
        waiters.listen(first, 1);
        waiters.listen(second, 2);
        let (mut none, mut own) = (None, None);
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // Whether the leader, and whether the other, has a reason to look.
        let mut hears = |packet: &[u8]| {
            let Sleep::Leading(_, Some(ear)) = waiters.fall_asleep(first, &mut none) else { panic!("it leads") };
            let Sleep::Following(_) = waiters.fall_asleep(second, &mut own) else { panic!("it follows") };
            sender.send_to(packet, (Ipv4Addr::LOCALHOST, port)).unwrap();
            poll(&mut [PollFd::from_borrowed_fd(ear.get().unwrap(), PollFlags::IN)], None).unwrap();
            // Of two hints in a row, the second is not heard.
            let rest = NOT_WITHIN + Duration::from_millis(1);
            poll(&mut [], Some(&Timeout { tv_sec: 0, tv_nsec: rest.subsec_nanos().into() })).unwrap();
            let leader = waiters.wake_up(first, true, false);
            (leader, waiters.wake_up(second, false, true))
        };
        let hint = |nonce| Ear::new((Ipv4Addr::LOCALHOST, port).into(), nonce).packet();
        assert_eq!(hears(b"linklock"), (false, false), "no hint");
        assert_eq!(hears(&hint(3)), (false, false), "a hint for nobody");
        assert_eq!(hears(&hint(2)), (false, true));
        for _ in 0..IN_VAIN_MOST {
            assert_eq!(hears(&hint(1)), (true, false));
        }
        assert_eq!(hears(&hint(1)), (false, false), "three in a row were in vain");
        waiters.listen(first, 1);
        assert_eq!(hears(&hint(1)), (true, false), "the last was true");
        waiters.leave(second);
        waiters.leave(first);
    }

    #[test]
    fn a_forked_child_has_waiters_of_its_own_and_takes_no_lock_of_its_parent() {
        let parents = Waiters::of_process();
        let number = parents.join();
        let mut command = Command::new("true");
        let (mut whose, mut ours) = io::pipe().unwrap();
        let root = Location::beside("/".as_ref(), ".".as_ref());
        let in_child = move || {
            ours.write_all(&getpid().as_raw_pid().to_ne_bytes())?;
            parents.leave(number);
            assert!(parents.watch(number, &root, false) == Watched::No && parents.process(1).is_none());
            assert!(parents.wake_up(number, true, true), "a look for nothing");
            let own = Waiters::of_process();
            let new = own.join();
            let is_own = !ptr::eq(own, parents) && own.watch(new, &root, false) == Watched::Yes;
            own.leave(new);
            if is_own && ptr::eq(own, Waiters::of_process()) { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
        };
        // As another thread may have it locked at a fork.
        let locked = parents.state.lock().unwrap_or_else(PoisonError::into_inner);
        #[expect(unsafe_code, reason = "what runs between fork and exec cannot be checked")]
        // SAFETY: of what other threads may have locked at the fork, the child touches the allocator alone, and the C library
        // sees to it that a forked child can use that.
        unsafe {
            command.pre_exec(in_child);
        }
        let (ended, end) = channel();
        thread::spawn(move || ended.send(command.status()));
        let mut pid = [0; 4];
        whose.read_exact(&mut pid).unwrap();
        let status = end.recv_timeout(Duration::from_secs(60)).or_else(|_| {
            // A lock keeps it.
            kill_process(Pid::from_raw(i32::from_ne_bytes(pid)).unwrap(), Signal::KILL).unwrap();
            end.recv()
        });
        drop(locked);
        parents.leave(number);
        assert!(status.unwrap().unwrap().success());
    }
}
