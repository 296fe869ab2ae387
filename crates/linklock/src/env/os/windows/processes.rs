//! Whether a process exists, and since when.

use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::path::Path;

use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, FILETIME, WAIT_TIMEOUT};
use windows_sys::Win32::System::Threading::{
    GetProcessTimes, OpenProcess, PROCESS_NAME_WIN32, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE,
    QueryFullProcessImageNameW, WaitForSingleObject,
};

use super::handles::{owned, succeeded};

/// What a look at a process found.
pub(super) enum Look {
    Runs {
        start: u64,
    },
    Ended,
    /// It is another user's, and this user may not look at it.
    Refused,
}

pub(super) fn look(pid: u32) -> Look {
    match open(pid, PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION) {
        Ok(process) if has_ended(&process) => Look::Ended,
        Ok(process) => start(&process).map_or(Look::Refused, |start| Look::Runs { start }),
        // This is how OpenProcess reports that there is no such process.
        Err(e) if e.raw_os_error() == Some(ERROR_INVALID_PARAMETER as i32) => Look::Ended,
        Err(_) => Look::Refused,
    }
}

/// When it started, in the system's ticks. The system notes that once, so setting the clock does not change it.
pub(super) fn start_of(pid: u32) -> Option<u64> {
    match look(pid) {
        Look::Runs { start } => Some(start),
        Look::Ended | Look::Refused => None,
    }
}

/// A handle to wait on. It is signalled when the process has ended.
pub(super) fn open_for_wait(pid: u32) -> Option<OwnedHandle> {
    open(pid, PROCESS_SYNCHRONIZE).ok()
}

/// The file name of its program.
pub(super) fn name_of(pid: u32) -> Option<String> {
    let process = open(pid, PROCESS_QUERY_LIMITED_INFORMATION).ok()?;
    let mut path = [0; 1024];
    let mut len = path.len() as u32;
    // SAFETY: the handle is open, and the length is that of the buffer. Afterwards it is the length of the part that
    // was written.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let done = unsafe {
        QueryFullProcessImageNameW(process.as_raw_handle(), PROCESS_NAME_WIN32, path.as_mut_ptr(), &raw mut len)
    };
    succeeded(done).ok()?;
    let path = String::from_utf16_lossy(path.get(..len as usize)?);
    Some(Path::new(&path).file_name()?.to_str()?.to_owned())
}

fn open(pid: u32, access: u32) -> io::Result<OwnedHandle> {
    // SAFETY: it takes only numbers, and only we own the handle that it returns.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    unsafe {
        owned(OpenProcess(access, 0, pid))
    }
}

/// A process that has ended can still be opened while anybody has a handle of it.
fn has_ended(process: &OwnedHandle) -> bool {
    // SAFETY: the handle is open while `process` is borrowed. With a time-out of 0 it does not wait.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let waited = unsafe { WaitForSingleObject(process.as_raw_handle(), 0) };
    waited != WAIT_TIMEOUT
}

fn start(process: &OwnedHandle) -> Option<u64> {
    let [mut created, mut exited, mut kernel, mut user] = [FILETIME::default(); 4];
    // SAFETY: the handle is open, and each of the four pointers is to a place for a time.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let done = unsafe {
        GetProcessTimes(process.as_raw_handle(), &raw mut created, &raw mut exited, &raw mut kernel, &raw mut user)
    };
    succeeded(done).ok()?;
    Some(u64::from(created.dwHighDateTime) << u32::BITS | u64::from(created.dwLowDateTime))
}
