//! Signals: they end a wait, and linklock passes them on to COMMAND.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use linklock::Cancel;

const CAUGHT: [i32; 6] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// These are caught only while COMMAND runs. Before, the first stops linklock as it stops any program.
const OF_CHILDREN: [i32; 2] = [libc::SIGTSTP, libc::SIGCHLD];

/// Whoever sends one of these wants the work to end.
const ENDING: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

/// From here on linklock keeps signals that would have ended it, to act upon them. Signals that were ignored stay ignored: the
/// user wants them to have no effect, and COMMAND inherits that.
pub(crate) struct Signals {
    inbox: Arc<Inbox>,
    wake: OwnedFd,
}

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        let (wake, waker) = wake_pipe()?;
        let inbox = Arc::new(Inbox { sent: 0.into(), typed: 0.into(), ever: 0.into(), cancel: Cancel::new()?, waker });
        for signal in CAUGHT.into_iter().filter(|signal| !is_ignored(*signal)) {
            catch(signal, Arc::clone(&inbox))?;
        }
        Ok(Self { inbox, wake })
    }

    /// From here on linklock also hears of a Ctrl-Z, before it stops, and of the end of its children.
    pub(super) fn catch_those_of_children(&self) -> io::Result<()> {
        for signal in OF_CHILDREN.into_iter().filter(|signal| !is_ignored(*signal)) {
            catch(signal, Arc::clone(&self.inbox))?;
        }
        Ok(())
    }

    /// Whether this signal asks the work to end.
    pub(super) fn ends(signal: i32) -> bool {
        ENDING.contains(&signal)
    }

    /// Whether linklock is to end by the signal that ended COMMAND: if it has come to linklock too. An INT of the terminal may end COMMAND
    /// a moment before it comes here; to end by one that did not come is no harm, since shells go on with their loops unless it has
    /// come to them.
    pub(crate) fn concern_us(&self, signal: i32) -> bool {
        signal == libc::SIGINT || self.inbox.ever.load(Ordering::Acquire) & bit(signal) != 0
    }

    /// The first signal cancels this.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.inbox.cancel
    }

    /// A signal that has come, if any.
    pub(crate) fn any(&self) -> Option<i32> {
        let come = self.inbox.sent.load(Ordering::Acquire) | self.inbox.typed.load(Ordering::Acquire);
        CAUGHT.into_iter().find(|signal| come & bit(*signal) != 0)
    }

    /// Whether a signal has come that asks linklock to end, even if it was passed on since.
    pub(crate) fn asked_to_end(&self) -> bool {
        let come = self.inbox.ever.load(Ordering::Acquire);
        ENDING.into_iter().any(|signal| come & bit(signal) != 0)
    }

    /// The signals that have come since the last call, and whether each was typed: then the kernel has sent it to the terminal's
    /// whole foreground process group.
    pub(super) fn take(&self) -> impl Iterator<Item = (i32, bool)> + use<> {
        let mut drained = [0; 64];
        while rustix::io::read(&self.wake, &mut drained).is_ok_and(|n| n > 0) {}
        let sent = self.inbox.sent.swap(0, Ordering::AcqRel);
        let typed = self.inbox.typed.swap(0, Ordering::AcqRel);
        let come = |come: u64| CAUGHT.into_iter().chain([libc::SIGTSTP]).filter(move |signal| come & bit(*signal) != 0);
        come(sent).map(|signal| (signal, false)).chain(come(typed).map(|signal| (signal, true)))
    }
}

impl AsFd for Signals {
    /// Readable when a signal has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// Ends linklock by this signal, so that its caller sees it: a shell ends its loop only if Ctrl-C ended what ran in it.
pub(crate) fn die_by(signal: i32) {
    // No core is left of linklock, which did nothing wrong.
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    set(signal, libc::SIG_DFL);
    if let Some(signal) = rustix::process::Signal::from_named_raw(signal) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
    }
}

/// The exit status by which a shell reports that this signal ended a process.
pub(crate) fn number_of(signal: i32) -> u32 {
    128 + signal as u32
}

/// Where the signal handler leaves signals: one bit for each.
struct Inbox {
    sent: AtomicU64,
    /// By a key of the terminal.
    typed: AtomicU64,
    /// All that have ever come.
    ever: AtomicU64,
    cancel: Cancel,
    waker: OwnedFd,
}

impl Inbox {
    /// A signal handler may call this: it stores atomics and makes system calls, and neither locks nor allocates.
    fn put(&self, signal: i32, by_kernel: bool) {
        // A hang-up comes from the kernel too, but may reach the leader of a session alone.
        let typed = by_kernel && matches!(signal, libc::SIGINT | libc::SIGQUIT);
        let inbox = if typed { &self.typed } else { &self.sent };
        if signal != libc::SIGCHLD {
            inbox.fetch_or(bit(signal), Ordering::AcqRel);
            self.ever.fetch_or(bit(signal), Ordering::AcqRel);
            self.cancel.cancel();
        }
        // Fails only if the pipe is full: then its reader wakes anyway.
        let _ = rustix::io::write(&self.waker, &[0]);
    }
}

fn bit(signal: i32) -> u64 {
    1 << signal
}

/// Neither end blocks, and COMMAND inherits neither end.
#[cfg(not(target_vendor = "apple"))]
fn wake_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pipe::{PipeFlags, pipe_with};
    Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

/// macOS has no pipe2(2).
#[cfg(target_vendor = "apple")]
fn wake_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
    rustix::io::ioctl_fionbio(&reader, true)?;
    rustix::io::ioctl_fionbio(&writer, true)?;
    Ok((reader, writer))
}

/// Whether a signal was ignored when this process began, for example by nohup(1). Not for SIGPIPE, which Rust's runtime
/// ignores.
pub(super) fn is_ignored(signal: i32) -> bool {
    disposition(signal) == libc::SIG_IGN
}

/// Whether our caller ignores SIGPIPE.
static CALLER_IGNORES_PIPE: AtomicBool = AtomicBool::new(false);

extern "C" fn note_sigpipe() {
    CALLER_IGNORES_PIPE.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
}

/// Rust's runtime ignores SIGPIPE before it calls main(), so the question comes before that.
#[used]
#[expect(unsafe_code, reason = "the compiler cannot check what runs before main()")]
// SAFETY: the C runtime calls each function of this section once, on the only thread there is. This one makes a system call
// and stores an atomic: it needs nothing that Rust's runtime sets up.
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
static NOTE_SIGPIPE: extern "C" fn() = note_sigpipe;

/// In a child before it becomes COMMAND: gives it the signals as our caller gave them to us. Async-signal-safe.
pub(super) fn hand_over(mask: &libc::sigset_t) {
    // Ours, and those by which Rust's runtime detects a stack overflow.
    for signal in CAUGHT.into_iter().chain(OF_CHILDREN).chain([libc::SIGSEGV, libc::SIGBUS]) {
        if !is_ignored(signal) {
            set(signal, libc::SIG_DFL);
        }
    }
    // `Command` has set it to the default by now, since Rust's runtime ignores it.
    if CALLER_IGNORES_PIPE.load(Ordering::Relaxed) {
        set(libc::SIGPIPE, libc::SIG_IGN);
    }
    // Last: a signal that was pending now meets COMMAND's dispositions.
    set_mask(mask);
}

/// Blocks all signals, and gives the mask as it was.
pub(super) fn block_all() -> libc::sigset_t {
    let mut all = MaybeUninit::uninit();
    #[expect(unsafe_code, reason = "sigfillset(3) has no safe wrapper")]
    // SAFETY: it initialises the set.
    let all = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        all.assume_init()
    };
    set_mask(&all)
}

/// Blocks these signals and no others, and gives the mask as it was.
pub(super) fn set_mask(blocked: &libc::sigset_t) -> libc::sigset_t {
    let mut before = *blocked;
    #[expect(unsafe_code, reason = "sigprocmask(2) has no safe wrapper")]
    // SAFETY: both are initialised sets.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, blocked, &raw mut before);
    }
    before
}

fn disposition(signal: i32) -> libc::sighandler_t {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    #[expect(unsafe_code, reason = "sigaction(2) has no safe wrapper")]
    // SAFETY: with a null new action sigaction(2) only writes the present one to `action`, which has room for it. All of
    // its fields may be zero, so it is initialised even if the call fails.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction
    }
}

/// Keeps the status of an ended child until we ask for it. Our caller may ignore SIGCHLD; we inherit that, and it would throw
/// the status away.
pub(super) fn keep_statuses_of_children() {
    if is_ignored(libc::SIGCHLD) {
        set(libc::SIGCHLD, libc::SIG_DFL);
    }
}

/// Gives a signal a disposition that is not a handler. Async-signal-safe.
fn set(signal: i32, disposition: libc::sighandler_t) {
    #[expect(unsafe_code, reason = "signal(2) has no safe wrapper")]
    // SAFETY: the callers give SIG_DFL or SIG_IGN, so no code of ours runs by it.
    unsafe {
        libc::signal(signal, disposition);
    }
}

/// From here on puts a signal into the inbox.
fn catch(signal: i32, inbox: Arc<Inbox>) -> io::Result<()> {
    #[expect(unsafe_code, reason = "the compiler cannot check what a signal handler does")]
    // SAFETY: the action must be async-signal-safe and must not panic. Reading the siginfo is no more than that, and put()
    // stores atomics and writes to an eventfd and a pipe by bare system calls: it neither locks nor allocates. The action
    // owns the inbox and is never unregistered, so a handler cannot be the one to free it.
    unsafe {
        signal_hook_registry::register_sigaction(signal, move |info| inbox.put(signal, is_by_kernel(info)))?;
    }
    Ok(())
}

/// Where the user limits the size of files (`ulimit -f`), a write beyond that becomes an error, after which nothing is left on disk.
/// By default the signal would end linklock. COMMAND gets it as before: what is caught here is not caught there.
pub(crate) fn survive_file_size_limit() {
    if !is_ignored(libc::SIGXFSZ) {
        #[expect(unsafe_code, reason = "the compiler cannot check what a signal handler does")]
        // SAFETY: it does nothing. If it cannot be registered, the signal ends linklock.
        let _ = unsafe { signal_hook_registry::register_sigaction(libc::SIGXFSZ, |_| ()) };
    }
}

#[cfg(target_os = "linux")]
fn is_by_kernel(info: &libc::siginfo_t) -> bool {
    info.si_code == libc::SI_KERNEL
}

/// Other systems do not say, so a typed signal may reach COMMAND twice.
#[cfg(not(target_os = "linux"))]
fn is_by_kernel(_info: &libc::siginfo_t) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_the_number_that_a_shell_reports() {
        assert_eq!(number_of(15), 143);
        // Real-time signals go up to 64.
        assert_eq!(number_of(64), 192);
    }
}
