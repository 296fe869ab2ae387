//! What the tests need from the system, which each system does in its own way.

use std::fs::File;
use std::process::Child;
use std::time::Duration;

/// Now, on the clock by which guards trust their locks. It is the same for all processes.
pub(crate) fn now() -> Duration {
    platform::now()
}

/// Writes all bytes in one call.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) {
    assert_eq!(platform::write_at(file, bytes, offset).unwrap(), bytes.len());
}

/// Stops a process, and returns when it has stopped. Does nothing to a process that has ended.
pub(crate) fn stop(child: &Child) {
    platform::stop(child);
}

/// Lets a stopped process continue.
pub(crate) fn go_on(child: &Child) {
    platform::go_on(child);
}

#[cfg(unix)]
mod platform {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;
    use std::process::Child;
    use std::time::Duration;

    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
    use rustix::time::{ClockId, clock_gettime};

    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;

    pub(super) fn now() -> Duration {
        let now = clock_gettime(CLOCK);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }

    pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(bytes, offset)
    }

    pub(super) fn stop(child: &Child) {
        kill_process(Pid::from_child(child), Signal::STOP).unwrap();
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(child)), stopped).unwrap();
    }

    pub(super) fn go_on(child: &Child) {
        kill_process(Pid::from_child(child), Signal::CONT).unwrap();
    }
}

#[cfg(windows)]
mod platform {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::FileExt;
    use std::os::windows::io::AsRawHandle;
    use std::process::Child;
    use std::time::Duration;

    use windows_sys::Win32::Foundation::{HANDLE, NTSTATUS};
    use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};

    windows_link::link!("ntdll.dll" "system" fn NtSuspendProcess(process: HANDLE) -> NTSTATUS);
    windows_link::link!("ntdll.dll" "system" fn NtResumeProcess(process: HANDLE) -> NTSTATUS);

    pub(super) fn now() -> Duration {
        let (mut count, mut frequency) = (0, 0);
        // SAFETY: each call writes one number.
        #[expect(unsafe_code, reason = "the library's own clock is not public")]
        unsafe {
            QueryPerformanceCounter(&raw mut count);
            QueryPerformanceFrequency(&raw mut frequency);
        }
        Duration::from_nanos((i128::from(count) * 1_000_000_000 / i128::from(frequency)) as u64)
    }

    pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        file.seek_write(bytes, offset)
    }

    pub(super) fn stop(child: &Child) {
        // SAFETY: the handle is open for as long as the child is borrowed, and has all rights.
        #[expect(unsafe_code, reason = "no safe form of this call exists")]
        let status = unsafe { NtSuspendProcess(child.as_raw_handle()) };
        assert!(status >= 0, "process {} was stopped: {status:x}", child.id());
    }

    pub(super) fn go_on(child: &Child) {
        // SAFETY: as above.
        #[expect(unsafe_code, reason = "no safe form of this call exists")]
        let status = unsafe { NtResumeProcess(child.as_raw_handle()) };
        assert!(status >= 0, "process {} went on: {status:x}", child.id());
    }
}
