//! Memory that the kernel wipes at a fork.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use super::super::numbers::Own;

/// Memory that is zero in a forked child, whichever function forked it: see MADV_WIPEONFORK in madvise(2). `None` if
/// the kernel has no such memory, and then always.
pub(crate) fn wiped_at_fork() -> Option<&'static Own> {
    // Not a mutex, which a fork could leave locked.
    static PAGE: AtomicPtr<Own> = AtomicPtr::new(ptr::null_mut());
    // PAGE points here if there is no such memory. That must not change while generations are compared.
    static NONE: Own = Own::zeroed();
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
    // SAFETY: any other pointer in PAGE came from `map` and is never unmapped. It is readable and writable, aligned to
    // a page, and all zeros are a valid value of the type.
    unsafe {
        page.as_ref()
    }
}

/// Smaller than a page. The kernel maps a whole one.
const SIZE: usize = size_of::<Own>();

fn map() -> Option<*mut Own> {
    #[expect(unsafe_code, reason = "mmap(2) and madvise(2) have no safe functions")]
    // SAFETY: no address is requested, so no other mapping is replaced. The advice concerns only this mapping.
    unsafe {
        let page = mmap_anonymous(ptr::null_mut(), SIZE, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE).ok()?;
        // Linux refuses this advice for memory without a file. An emulator that ignores advice, as older QEMU does,
        // accepts it.
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
    // SAFETY: `map` made it, and it was not published.
    unsafe {
        let _ = munmap(page.cast(), SIZE);
    }
}
