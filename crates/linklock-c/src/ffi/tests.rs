//! Calls that touch no file system. They also run under Miri.

use std::ffi::{CStr, CString};
use std::ptr;

use super::*;
use crate::error::{LINKLOCK_INVALID, LINKLOCK_MESSAGE_SIZE};

fn message(error: &Error) -> String {
    let bytes: Vec<u8> = error.message.iter().map(|c| *c as u8).collect();
    CStr::from_bytes_until_nul(&bytes).unwrap().to_str().unwrap().to_owned()
}

/// What a call that must fail tells.
fn failure(call: impl FnOnce(&mut MaybeUninit<Error>) -> i32) -> String {
    // What is there before must not matter.
    let mut error = MaybeUninit::new(Error { code: 77, os_error: 77, message: [7; LINKLOCK_MESSAGE_SIZE] });
    let code = call(&mut error);
    // SAFETY: it was initialised.
    let error = unsafe { error.assume_init() };
    assert_eq!((code, error.code, error.os_error), (LINKLOCK_INVALID, LINKLOCK_INVALID, 0));
    message(&error)
}

fn new_lock(path: &CStr, options: Option<&Options>) -> (i32, Error, *mut Lock) {
    let (mut lock, mut error) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: a text of C; and the call writes both, whatever becomes of it.
    unsafe {
        let code = linklock_lock_new(path.as_ptr(), options, Some(&mut lock), Some(&mut error));
        (code, error.assume_init(), lock.assume_init())
    }
}

#[test]
fn null_is_an_error_with_the_name_of_the_argument() {
    let mut lock = MaybeUninit::uninit();
    let mut guard = MaybeUninit::uninit();
    // SAFETY: NULL may be passed everywhere.
    unsafe {
        assert_eq!(failure(|e| linklock_lock_new(ptr::null(), None, Some(&mut lock), Some(e))), "path is NULL");
        assert!(lock.assume_init().is_null());
        assert_eq!(failure(|e| linklock_lock_new(c"a".as_ptr(), None, None, Some(e))), "lock is NULL");
        assert_eq!(failure(|e| linklock_acquire(None, 0, Some(&mut guard), Some(e))), "lock is NULL");
        assert!(guard.assume_init().is_null());
        assert_eq!(failure(|e| linklock_acquire(None, 0, None, Some(e))), "guard is NULL");
        assert_eq!(failure(|e| linklock_adopt(None, ptr::null(), None, Some(e))), "guard is NULL");
        assert_eq!(failure(|e| linklock_inspect(None, ptr::null_mut(), 0, Some(e))), "status is NULL");
        for call in [linklock_refresh, linklock_keep_alive, linklock_release, linklock_leave] {
            assert_eq!(failure(|e| call(ptr::null_mut(), Some(e))), "guard is NULL");
            assert_eq!(call(ptr::null_mut(), None), LINKLOCK_INVALID);
        }
        assert_eq!(linklock_options_set_command(None, c"a".as_ptr()), LINKLOCK_INVALID);
        #[cfg(not(windows))]
        assert_eq!(linklock_loss_fd(ptr::null_mut(), None), -1);
    }
    assert_eq!((linklock_is_lost(None), linklock_remaining_ms(None), linklock_fencing_token(None)), (1, 0, 0));
    assert!(linklock_token(None).is_null());
    assert_eq!(linklock_options_set_lifetime_ms(None, 1), LINKLOCK_INVALID);
    linklock_options_free(None);
    linklock_lock_free(None);
    linklock_guard_free(None);
}

#[test]
fn a_flawed_setting_is_reported_by_its_setter_and_by_the_lock() {
    let mut options = linklock_options_new().unwrap();
    assert_eq!(linklock_options_set_protocol(Some(&mut options), 0), LINKLOCK_INVALID);
    // SAFETY: a text of C.
    assert_eq!(unsafe { linklock_options_set_host(Some(&mut options), c"\xff".as_ptr()) }, LINKLOCK_INVALID);
    let (code, error, lock) = new_lock(c"/a/b", Some(&options));
    assert_eq!((code, lock), (LINKLOCK_INVALID, ptr::null_mut()));
    assert_eq!(message(&error), "protocol 0: must be LINKLOCK_PROTOCOL_LINK or LINKLOCK_PROTOCOL_DIR");
    linklock_options_free(Some(options));
}

#[cfg(unix)]
#[test]
fn a_long_message_is_cut_and_ends() {
    let name = CString::new(format!("/{}", "é".repeat(3000))).unwrap();
    let mut options = linklock_options_new().unwrap();
    // Miri cannot ask the system for this machine's name.
    // SAFETY: a text of C.
    assert_eq!(unsafe { linklock_options_set_host(Some(&mut options), c"here".as_ptr()) }, 0);
    let (code, error, lock) = new_lock(&name, Some(&options));
    linklock_options_free(Some(options));
    assert_eq!((code, lock), (LINKLOCK_INVALID, ptr::null_mut()));
    let message = message(&error);
    assert!(message.len() >= LINKLOCK_MESSAGE_SIZE - 2 && message.contains("éé"), "{}", message.len());
}

#[test]
fn a_wrong_size_writes_nothing() {
    let mut status = MaybeUninit::<[u8; 2 * size_of::<Status>()]>::new([7; 2 * size_of::<Status>()]);
    let at = status.as_mut_ptr().cast();
    for size in [0, 1, size_of::<Status>() - 1, usize::MAX] {
        // SAFETY: the pointer's bytes are there, as far as the size is not refused.
        let said = failure(|e| unsafe { linklock_inspect(None, at, size, Some(e)) });
        assert_eq!(said, format!("size {size}: must be sizeof(linklock_status)"));
    }
    // SAFETY: all of it is initialised.
    assert!(unsafe { status.assume_init_ref() }.iter().all(|byte| *byte == 7));
    // SAFETY: so many bytes are there.
    failure(|e| unsafe { linklock_inspect(None, at, size_of::<Status>() + 8, Some(e)) });
    // SAFETY: all of it is initialised.
    let (zeroed, kept) = unsafe { status.assume_init_ref() }.split_at(size_of::<Status>() + 8);
    assert!(zeroed.iter().all(|byte| *byte == 0) && kept.iter().all(|byte| *byte == 7));
}

#[test]
fn the_header_has_the_version_of_the_package() {
    let header = format!("{LINKLOCK_VERSION_MAJOR}.{LINKLOCK_VERSION_MINOR}.{LINKLOCK_VERSION_PATCH}");
    assert_eq!(header, env!("CARGO_PKG_VERSION"));
}
