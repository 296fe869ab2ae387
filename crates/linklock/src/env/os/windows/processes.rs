//! Whether a process is there, and since when.

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
    /// It is another user's, and may not be looked at.
    Refused,
}

pub(super) fn look(pid: u32) -> Look {
    match open(pid, PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION) {
        Ok(process) if has_ended(&process) => Look::Ended,
        Ok(process) => start(&process).map_or(Look::Refused, |start| Look::Runs { start }),
        // So it says that there is none.
        Err(e) if e.raw_os_error() == Some(ERROR_INVALID_PARAMETER as i32) => Look::Ended,
        Err(_) => Look::Refused,
    }
}

/// When it began, in the system's ticks: they are noted once, so a clock that is set later makes no difference.
pub(super) fn start_of(pid: u32) -> Option<u64> {
    match look(pid) {
        Look::Runs { start } => Some(start),
        Look::Ended | Look::Refused => None,
    }
}

/// To wait on: signalled once the process has ended.
pub(super) fn open_for_wait(pid: u32) -> Option<OwnedHandle> {
    open(pid, PROCESS_SYNCHRONIZE).ok()
}

/// The file's name of what it runs.
pub(super) fn name_of(pid: u32) -> Option<String> {
    let process = open(pid, PROCESS_QUERY_LIMITED_INFORMATION).ok()?;
    let mut path = [0; 1024];
    let mut len = path.len() as u32;
    // SAFETY: the handle is open, and the buffer as long as is said; what is told back is the part that was filled in.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let done = unsafe {
        QueryFullProcessImageNameW(process.as_raw_handle(), PROCESS_NAME_WIN32, path.as_mut_ptr(), &raw mut len)
    };
    succeeded(done).ok()?;
    let path = String::from_utf16_lossy(path.get(..len as usize)?);
    Some(Path::new(&path).file_name()?.to_str()?.to_owned())
}

fn open(pid: u32, access: u32) -> io::Result<OwnedHandle> {
    // SAFETY: it takes numbers only, and a handle that it gives is ours alone.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    unsafe {
        owned(OpenProcess(access, 0, pid))
    }
}

/// A process that has ended may still be opened, as long as anybody has a handle of it.
fn has_ended(process: &OwnedHandle) -> bool {
    // SAFETY: the handle is open while `process` is borrowed. The wait is none.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let waited = unsafe { WaitForSingleObject(process.as_raw_handle(), 0) };
    waited != WAIT_TIMEOUT
}

fn start(process: &OwnedHandle) -> Option<u64> {
    let [mut created, mut exited, mut kernel, mut user] = [FILETIME::default(); 4];
    // SAFETY: the handle is open, and all four are places for a time.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let done = unsafe {
        GetProcessTimes(process.as_raw_handle(), &raw mut created, &raw mut exited, &raw mut kernel, &raw mut user)
    };
    succeeded(done).ok()?;
    Some(u64::from(created.dwHighDateTime) << u32::BITS | u64::from(created.dwLowDateTime))
}
