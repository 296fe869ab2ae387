//! The standard streams as the caller gave them to linklock.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether standard output was closed when linklock began. Rust's runtime then opens /dev/null in its place, where all output
/// seems to be written.
pub(crate) fn stdout_is_closed() -> bool {
    STDOUT_IS_CLOSED.load(Ordering::Relaxed)
}

static STDOUT_IS_CLOSED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_stdout() {
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: the call only asks about a number, which need not be a descriptor.
    let is_closed = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) } == -1;
    STDOUT_IS_CLOSED.store(is_closed, Ordering::Relaxed);
}

#[used]
#[expect(unsafe_code, reason = "the compiler cannot check what runs before main()")]
// SAFETY: the C runtime calls each function of this section once, on the only thread there is. This one makes a system call
// and stores an atomic: it needs nothing that Rust's runtime sets up.
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
static NOTE_STDOUT: extern "C" fn() = note_stdout;
