//! Memory that the kernel wipes at a fork.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use super::super::numbers::Own;

/// A forked child finds all of it zero, whoever forked it and by which function: see MADV_WIPEONFORK in madvise(2). `None`
/// where the kernel has no such memory, and then always.
pub(crate) fn wiped_at_fork() -> Option<&'static Own> {
    // Not a lock, which a fork could leave locked.
    static PAGE: AtomicPtr<Own> = AtomicPtr::new(ptr::null_mut());
    // What PAGE points to where there is none: whether there is one must not change while generations are compared.
    static NONE: Own = Own::nothing();
    let none = (&raw const NONE).cast_mut();
    let mut page = PAGE.load(Ordering::Acquire);
    if page.is_null() {
        let new = map().unwrap_or(none);
        page = match PAGE.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => new,
            Err(first) => {
                if new != none {
                    unmap(new);
                }
                first
            }
        };
    }
    if page == none {
        return None;
    }
    #[expect(unsafe_code, reason = "memory that no Rust type stands for")]
    // SAFETY: whatever else was stored there came from `map`, and is never unmapped: it is readable and writable, aligned to a
    // page, and zero is a value of the type.
    unsafe {
        page.as_ref()
    }
}

/// Less than a page, which is what there is.
const SIZE: usize = size_of::<Own>();

fn map() -> Option<*mut Own> {
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

fn unmap(page: *mut Own) {
    #[expect(unsafe_code, reason = "munmap(2) has no safe function")]
    // SAFETY: `map` made it, and nobody has seen it.
    unsafe {
        let _ = munmap(page.cast(), SIZE);
    }
}
