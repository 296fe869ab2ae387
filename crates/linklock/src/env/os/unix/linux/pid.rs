//! This process's id, kept where a forked child does not find its parent's.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// As getpid(2), which a cycle of acquire and release would ask four times. That is a tenth of the cycle on tmpfs, where a
/// system call takes 0.2 us.
pub(in super::super) fn process_id() -> u32 {
    let Some(kept) = kept() else { return ask() };
    match kept.load(Ordering::Relaxed) {
        0 => {
            let id = ask();
            kept.store(id, Ordering::Relaxed);
            id
        }
        id => id,
    }
}

fn ask() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get() as u32
}

/// A word that a forked child finds zero, whoever forked it and by which function: see MADV_WIPEONFORK in madvise(2). `None`
/// where the kernel has no such memory.
fn kept() -> Option<&'static AtomicU32> {
    // Not a lock, which a fork could leave locked.
    static WORD: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
    let mut word = WORD.load(Ordering::Acquire);
    if word.is_null() {
        let new = map()?;
        word = match WORD.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => new,
            Err(first) => {
                unmap(new);
                first
            }
        };
    }
    #[expect(unsafe_code, reason = "memory that no Rust type stands for")]
    // SAFETY: whatever was stored there came from `map`, and is never unmapped: it is readable and writable, aligned to a page,
    // and zero is a value of the type.
    unsafe {
        word.as_ref()
    }
}

/// Less than a page, which is what there is.
const SIZE: usize = size_of::<AtomicU32>();

fn map() -> Option<*mut AtomicU32> {
    #[expect(unsafe_code, reason = "mmap(2) and madvise(2) have no safe functions")]
    // SAFETY: where nothing is asked for, nothing that is mapped already is replaced; the advice is about this mapping alone.
    unsafe {
        let page = mmap_anonymous(ptr::null_mut(), SIZE, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE).ok()?;
        // An emulator that heeds no advice, as older QEMU does, takes this too, which is refused of memory that is no file's.
        let heeds = madvise(page, SIZE, Advice::LinuxRemove).is_err();
        if heeds && madvise(page, SIZE, Advice::LinuxWipeOnFork).is_ok() {
            return Some(page.cast());
        }
        unmap(page.cast());
        None
    }
}

fn unmap(page: *mut AtomicU32) {
    #[expect(unsafe_code, reason = "munmap(2) has no safe function")]
    // SAFETY: `map` made it, and nobody has seen it.
    unsafe {
        let _ = munmap(page.cast(), SIZE);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_forked_child_does_not_find_its_parents_id() {
        assert_eq!((process_id(), process_id()), (ask(), ask()));
        assert!(kept().is_some(), "this kernel has such memory, and nothing else is tested here");
        let mut command = Command::new("true");
        let in_child = || {
            let own = ask();
            if (process_id(), process_id()) == (own, own) { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
        };
        #[expect(unsafe_code, reason = "what runs between fork and exec cannot be checked")]
        // SAFETY: system calls and atomics are all that it makes use of.
        unsafe {
            command.pre_exec(in_child);
        }
        assert!(command.status().unwrap().success());
    }
}
