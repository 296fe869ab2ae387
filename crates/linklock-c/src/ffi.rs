//! The functions of the C library.
//!
//! References in their signatures stand for C's pointers: a C program passes NULL (`None`), or a pointer to what the type says.

#![expect(unsafe_code, reason = "C calls these functions, by their names and with pointers")]
#![expect(clippy::missing_safety_doc, reason = "include/linklock.h says for all of them what their pointers must be")]

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::ptr;

use rust_linklock::{Token, Wait};

use crate::error::{Error, Failure, LINKLOCK_OK, caught};
use crate::guard::Guard;
use crate::options::{Options, Setting, duration, protocol_of};
use crate::status::{Status, milliseconds};
use crate::text::{os_text, utf8};

/// The version of this header; linklock_version is that of the library.
pub const LINKLOCK_VERSION_MAJOR: u32 = 0;
/// The version of this header.
pub const LINKLOCK_VERSION_MINOR: u32 = 1;
/// The version of this header.
pub const LINKLOCK_VERSION_PATCH: u32 = 0;

/// Waits for the lock for ever.
pub const LINKLOCK_FOREVER: i64 = -1;

/// A lock path with its options: linklock_lock_new. It does not hold the lock. Threads may share it.
///
/// It remembers what it has found out about the file system and, where no clocks can be compared, for how long it has seen the
/// lock unchanged. So use one for several attempts.
#[derive(Debug)]
pub struct Lock(rust_linklock::Lock);

/// The version of the library: major * 1000000 + minor * 1000 + patch.
///
/// A program runs with each later library of the same soname, which has the same ABI. Before version 1.0, the soname may change
/// with each minor version.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_version() -> u32 {
    LINKLOCK_VERSION_MAJOR * 1_000_000 + LINKLOCK_VERSION_MINOR * 1000 + LINKLOCK_VERSION_PATCH
}

/// Options with their defaults, to be freed by linklock_options_free.
///
/// The setters return LINKLOCK_OK or LINKLOCK_INVALID. linklock_lock_new reports the first setting that was not valid, so a
/// program need not look at what each setter returns.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_options_new() -> Option<Box<Options>> {
    caught(|| Ok(Box::default())).ok()
}

/// Frees options. Locks that were made with them do not need them any more.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_options_free(options: Option<Box<Options>>) {
    free(options);
}

/// LINKLOCK_PROTOCOL_LINK, the default, or LINKLOCK_PROTOCOL_DIR. All contenders of a path must use the same.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_options_set_protocol(options: Option<&mut Options>, protocol: i32) -> i32 {
    set(options, || protocol_of(protocol).map(Setting::Protocol))
}

/// How long the lock lasts without a refresh: 15 s unless set; 10 ms to ten years.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_options_set_lifetime_ms(options: Option<&mut Options>, lifetime_ms: i64) -> i32 {
    set(options, || duration(lifetime_ms, "lifetime").map(Setting::Lifetime))
}

/// How long after its expiry a lock is broken: 10 s unless set; ten years at most.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_options_set_grace_ms(options: Option<&mut Options>, grace_ms: i64) -> i32 {
    set(options, || duration(grace_ms, "grace").map(Setting::Grace))
}

/// Whether a background thread refreshes the lock while it is held. Off (0) unless set; any other number is on.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_options_set_keep_alive(options: Option<&mut Options>, on: i32) -> i32 {
    set(options, || Ok(Setting::KeepAlive(on != 0)))
}

/// Whether each acquisition gets a fencing token: linklock_fencing_token. Off unless set. All contenders should have it on.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_options_set_fence(options: Option<&mut Options>, on: i32) -> i32 {
    set(options, || Ok(Setting::Fence(on != 0)))
}

/// Whether contenders take the lock in the order in which they came. Off unless set.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_options_set_queue(options: Option<&mut Options>, on: i32) -> i32 {
    set(options, || Ok(Setting::Queue(on != 0)))
}

/// Whether the lock is shared with others that acquire it so. Off unless set. Needs LINKLOCK_PROTOCOL_DIR; not on Windows.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_options_set_shared(options: Option<&mut Options>, on: i32) -> i32 {
    set(options, || Ok(Setting::Shared(on != 0)))
}

/// Whether the lock is refused in a directory that others may write to. Off unless set. Not on Windows.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_options_set_require_private(options: Option<&mut Options>, on: i32) -> i32 {
    set(options, || Ok(Setting::RequirePrivate(on != 0)))
}

/// Whether the lock may be on a file system where the protocol is known to fail. Off unless set.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_options_set_allow_unsafe_file_system(options: Option<&mut Options>, on: i32) -> i32 {
    set(options, || Ok(Setting::AllowUnsafeFileSystem(on != 0)))
}

/// What others are told that the holder runs, with LINKLOCK_PROTOCOL_DIR: the name of its process unless set. All who may read
/// the lock can read it, so it must hold no secret.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linklock_options_set_command(options: Option<&mut Options>, command: *const c_char) -> i32 {
    // SAFETY: as this function's, which are `text`'s.
    set(options, || Ok(Setting::Command(utf8(unsafe { text(command, "command") }?, "command")?.into())))
}

/// The name that others see for this machine: its host name unless set. It must differ between machines.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linklock_options_set_host(options: Option<&mut Options>, host: *const c_char) -> i32 {
    // SAFETY: as this function's, which are `text`'s.
    set(options, || Ok(Setting::Host(utf8(unsafe { text(host, "host") }?, "host")?.into())))
}

/// A lock at this path, to be freed by linklock_lock_free. Touches nothing on disk. A relative path starts at the directory that is
/// the current one now. `options` may be NULL, for the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linklock_lock_new(
    path: *const c_char,
    options: Option<&Options>,
    lock: Option<&mut MaybeUninit<*mut Lock>>,
    error: Option<&mut MaybeUninit<Error>>,
) -> i32 {
    give(lock, "lock", error, || {
        // SAFETY: as this function's, which are `text`'s.
        let path = os_text(unsafe { text(path, "path") }?, "path")?;
        let builder = rust_linklock::Lock::builder(path);
        let builder = if let Some(options) = options { options.apply(builder)? } else { builder };
        Ok(Lock(builder.build()?))
    })
}

/// Frees a lock. Guards that were acquired with it stay as they are.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_lock_free(lock: Option<Box<Lock>>) {
    free(lock);
}

/// Acquires the lock, and waits for it for `timeout_ms` at most: 0 is one try without waiting, LINKLOCK_FOREVER no limit. Every
/// try also breaks a lock that has expired. The guard is to be freed by linklock_guard_free.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_acquire(
    lock: Option<&Lock>,
    timeout_ms: i64,
    guard: Option<&mut MaybeUninit<*mut Guard>>,
    error: Option<&mut MaybeUninit<Error>>,
) -> i32 {
    give(guard, "guard", error, || {
        let lock = lock.ok_or_else(|| Failure::null("lock"))?;
        let wait = match timeout_ms {
            LINKLOCK_FOREVER => Wait::forever(),
            ms => Wait::up_to(duration(ms, "time-out")?),
        };
        Ok(Guard::new(lock.0.acquire_with(&wait)?))
    })
}

/// Takes over a lock that another process of this user acquired and left (linklock_leave), by its token. The guard is to be freed
/// by linklock_guard_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linklock_adopt(
    lock: Option<&Lock>,
    token: *const c_char,
    guard: Option<&mut MaybeUninit<*mut Guard>>,
    error: Option<&mut MaybeUninit<Error>>,
) -> i32 {
    give(guard, "guard", error, || {
        let lock = lock.ok_or_else(|| Failure::null("lock"))?;
        // SAFETY: as this function's, which are `text`'s.
        let token = Token::new(os_text(unsafe { text(token, "token") }?, "token")?);
        Ok(Guard::new(lock.0.adopt(&token)?))
    })
}

/// Looks at the lock path, and changes nothing. `size` is sizeof(linklock_status) in the program; the library writes no more than
/// that, and zeroes what it does not know. After a failure `status` is all zeroes; with a `size` that no version of the type has,
/// nothing is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linklock_inspect(
    lock: Option<&Lock>,
    status: *mut Status,
    size: usize,
    error: Option<&mut MaybeUninit<Error>>,
) -> i32 {
    answer(error, || {
        if status.is_null() {
            return Err(Failure::null("status"));
        }
        if !(size_of::<Status>()..=SIZE_MOST).contains(&size) {
            return Err(Failure::invalid(format!("size {size}: must be sizeof(linklock_status)")));
        }
        // SAFETY: the caller says that so many bytes are there, and any bytes are a Status.
        unsafe { status.cast::<u8>().write_bytes(0, size) };
        let found = lock.ok_or_else(|| Failure::null("lock"))?.0.inspect()?;
        // SAFETY: as above. They are at least as many as a Status has, and the pointer is aligned, as the caller's type is.
        unsafe { status.write(Status::new(&found)) };
        Ok(())
    })
}

/// No later version of [`Status`] is larger.
const SIZE_MOST: usize = 1 << 16;

/// Moves the expiry on by the lifetime, counted from now. LINKLOCK_LOST: a lost lock is not revived. After any other failure the
/// refresh may be tried again until the deadline.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linklock_refresh(guard: *mut Guard, error: Option<&mut MaybeUninit<Error>>) -> i32 {
    // SAFETY: as this function's, which are `of`'s.
    answer(error, || unsafe { of(guard) }?.refresh())
}

/// Keeps the lock alive from now on, as linklock_options_set_keep_alive does from the beginning.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linklock_keep_alive(guard: *mut Guard, error: Option<&mut MaybeUninit<Error>>) -> i32 {
    // SAFETY: as this function's, which are `of`'s.
    answer(error, || unsafe { of(guard) }?.keep_alive())
}

/// Releases the lock. The guard must still be freed. LINKLOCK_LOST: what was done under the lock may have been done by another
/// holder too. After a failure of the file system the release may be tried again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linklock_release(guard: *mut Guard, error: Option<&mut MaybeUninit<Error>>) -> i32 {
    // SAFETY: as this function's, which are `of`'s.
    answer(error, || unsafe { of(guard) }?.release())
}

/// Leaves the lock held, for another process to adopt, refresh or release by its token. It is not kept alive any more. The guard
/// must still be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linklock_leave(guard: *mut Guard, error: Option<&mut MaybeUninit<Error>>) -> i32 {
    // SAFETY: as this function's, which are `of`'s.
    answer(error, || unsafe { of(guard) }?.leave())
}

/// Frees a guard, with its token and its descriptor. A lock that it still holds is released; only linklock_release says whether
/// that went well.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_guard_free(guard: Option<Box<Guard>>) {
    free(guard);
}

/// 1 if the lock is lost: its deadline has passed, or it was found broken; also in a forked child, and for NULL. Else 0, also once
/// it was released in time. Ask before each step that must happen under the lock: it costs a look at the clock.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_is_lost(guard: Option<&Guard>) -> i32 {
    caught(|| Ok(guard.is_none_or(Guard::is_lost))).unwrap_or(true).into()
}

/// How much longer the lock can be trusted, rounded down; 0 if it is lost, was released or left, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_remaining_ms(guard: Option<&Guard>) -> i64 {
    caught(|| Ok(guard.map_or(0, |guard| milliseconds(guard.remaining())))).unwrap_or(0)
}

/// The lock's token, by which another process can adopt the lock, and `linklock release PATH TOKEN` releases it. It belongs to the
/// guard and is valid until that is freed. NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_token(guard: Option<&Guard>) -> *const c_char {
    guard.map_or(ptr::null(), |guard| guard.token().as_ptr())
}

/// A number that grows with each acquisition of the path, for the protected resource to check. 0, which is never such a number,
/// without linklock_options_set_fence, for an adopted lock, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn linklock_fencing_token(guard: Option<&Guard>) -> u64 {
    guard.and_then(Guard::fencing_token).unwrap_or(0)
}

/// A descriptor that becomes readable (POLLIN, at its end of file) once the lock is lost, for poll, select or an event loop; -1
/// after a failure. It stays readable; it never becomes so after a release in time.
///
/// Each call gives the same descriptor, one end of a pair of sockets, with close-on-exec. It belongs to the guard, which closes it
/// when it is freed: do not close it. A copy by dup(2) is readable from then on. In a forked child a copy tells of the parent's lock.
/// The first call starts a thread, which ends with the lock. A lock that is kept alive is reported lost a sixth of its lifetime
/// before its deadline, so that there is time to stop; a broken one when a refresh finds it.
///
/// Not on Windows: ask linklock_is_lost there.
#[cfg(not(windows))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linklock_loss_fd(guard: *mut Guard, error: Option<&mut MaybeUninit<Error>>) -> i32 {
    let mut fd = -1;
    answer(error, || {
        // SAFETY: as this function's, which are `of`'s.
        fd = unsafe { of(guard) }?.loss_fd()?;
        Ok(())
    });
    fd
}

// --- What they share ---

/// Runs `act`, and tells what came of it.
fn answer(error: Option<&mut MaybeUninit<Error>>, act: impl FnOnce() -> Result<(), Failure>) -> i32 {
    let told = caught(act).err().map_or_else(Error::none, |failure| failure.told());
    let code = told.code;
    if let Some(error) = error {
        error.write(told);
    }
    code
}

/// Gives C what `make` makes, or NULL.
fn give<T>(
    to: Option<&mut MaybeUninit<*mut T>>,
    argument: &str,
    error: Option<&mut MaybeUninit<Error>>,
    make: impl FnOnce() -> Result<T, Failure>,
) -> i32 {
    answer(error, || {
        let to = to.ok_or_else(|| Failure::null(argument))?.write(ptr::null_mut());
        *to = Box::into_raw(Box::new(make()?));
        Ok(())
    })
}

fn set(options: Option<&mut Options>, setting: impl FnOnce() -> Result<Setting, Failure>) -> i32 {
    let Some(options) = options else { return Failure::null("options").code };
    caught(|| options.set(setting())).map_or_else(|failure| failure.code, |()| LINKLOCK_OK)
}

/// Frees what [`give`] gave.
fn free<T>(given: Option<Box<T>>) {
    // A failure was reported by the panic hook; C cannot do anything about it.
    let _ = caught(|| {
        drop(given);
        Ok(())
    });
}

/// # Safety
/// `guard` is NULL, or comes from [`give`] and is not freed while the reference is used.
unsafe fn of<'a>(guard: *mut Guard) -> Result<&'a Guard, Failure> {
    // SAFETY: as this function's. C never writes into a Guard, whose type it does not know.
    unsafe { guard.as_ref() }.ok_or_else(|| Failure::null("guard"))
}

/// # Safety
/// `text` is NULL, or it ends in a NUL and does not change while the reference is used.
unsafe fn text<'a>(text: *const c_char, argument: &str) -> Result<&'a CStr, Failure> {
    if text.is_null() {
        return Err(Failure::null(argument));
    }
    // SAFETY: as this function's.
    Ok(unsafe { CStr::from_ptr(text) })
}

#[cfg(test)]
mod tests;
