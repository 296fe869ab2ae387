//! This machine, this boot, this user; and the clock that deadlines are kept on.

use std::ffi::c_void;
use std::sync::OnceLock;
use std::time::Instant;

use windows_sys::Wdk::System::SystemInformation::{NtQuerySystemInformation, SystemTimeOfDayInformation};
use windows_sys::Win32::Security::Cryptography::ProcessPrng;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleA, GetProcAddress};
use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_SZ, RRF_SUBKEY_WOW6464KEY, RegGetValueW};
use windows_sys::Win32::System::SystemInformation::{ComputerNamePhysicalDnsHostname, GetComputerNameExW};
use windows_sys::Win32::System::WindowsProgramming::GetUserNameW;
use windows_sys::core::{s, w};

use super::handles::succeeded;
use crate::time::LocalTime;

/// From the system's random source.
pub(super) fn random() -> u32 {
    let mut bytes = [0; 4];
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    // SAFETY: the buffer is as long as is said. By its documentation it never fails.
    unsafe {
        ProcessPrng(bytes.as_mut_ptr(), bytes.len());
    }
    u32::from_ne_bytes(bytes)
}

/// A name's longest, in UTF-16: user names have 256 at most, host names less.
const NAME_MOST: usize = 1024;

/// The name that Python's socket.gethostname() gives, which flufl.lock's begins with.
pub(super) fn host_name() -> Option<String> {
    text(|buffer, len| {
        // SAFETY: the buffer is as long as is said.
        #[expect(unsafe_code, reason = "no safe form of this call exists")]
        let done = unsafe { GetComputerNameExW(ComputerNamePhysicalDnsHostname, buffer, len) };
        succeeded(done).is_ok()
    })
}

pub(super) fn user() -> Option<String> {
    text(|buffer, len| {
        // SAFETY: the buffer is as long as is said.
        #[expect(unsafe_code, reason = "no safe form of this call exists")]
        let done = unsafe { GetUserNameW(buffer, len) };
        succeeded(done).is_ok()
    })
}

/// What a call has written into a buffer whose length it is told, up to the zero.
fn text(write: impl FnOnce(*mut u16, *mut u32) -> bool) -> Option<String> {
    let mut buffer = [0; NAME_MOST];
    let mut len = buffer.len() as u32;
    if !write(buffer.as_mut_ptr(), &raw mut len) {
        return None;
    }
    let text = buffer.split(|unit| *unit == 0).next()?;
    (!text.is_empty()).then(|| String::from_utf16_lossy(text))
}

/// What tells this boot of this machine from all others; `None` where the system does not say.
///
/// The system notes when it was booted, and by how much it has moved that note whenever the clock was set: the difference
/// stays the same for a boot. Two machines may be booted within one tick of it, so the machine's own number is added.
pub(super) fn boot() -> Option<&'static [u8]> {
    static BOOT: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let ask = || {
        let mut identity = b"windows ".to_vec();
        identity.extend(boot_time()?.to_le_bytes());
        identity.extend(machine().unwrap_or_default().into_bytes());
        Some(identity)
    };
    BOOT.get_or_init(ask).as_deref()
}

/// What the system says of its time, up to the last field of use to us.
#[derive(Default)]
#[repr(C)]
struct TimeOfDay {
    boot: i64,
    now: i64,
    zone_bias: i64,
    zone: u32,
    reserved: u32,
    boot_bias: i64,
    sleep_bias: i64,
}

fn boot_time() -> Option<i64> {
    let mut told = TimeOfDay::default();
    let len = size_of::<TimeOfDay>() as u32;
    // SAFETY: the buffer is as long as is said, and any bits that are written to it are integers.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let status = unsafe {
        NtQuerySystemInformation(
            SystemTimeOfDayInformation,
            (&raw mut told).cast::<c_void>(),
            len,
            std::ptr::null_mut(),
        )
    };
    (status >= 0 && told.boot != 0).then(|| told.boot.wrapping_sub(told.boot_bias))
}

/// The number that a machine is given when Windows is installed.
fn machine() -> Option<String> {
    text(|buffer, units| {
        let mut len = (NAME_MOST * size_of::<u16>()) as u32;
        let flags = RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY;
        // SAFETY: both names end in a zero, no type is asked for, and the buffer has as many bytes as are said.
        #[expect(unsafe_code, reason = "no safe form of this call exists")]
        let status = unsafe {
            RegGetValueW(
                HKEY_LOCAL_MACHINE,
                w!("SOFTWARE\\Microsoft\\Cryptography"),
                w!("MachineGuid"),
                flags,
                std::ptr::null_mut(),
                buffer.cast::<c_void>(),
                &raw mut len,
            )
        };
        let _ = units;
        status == 0
    })
}

type QueryInterruptTime = unsafe extern "system" fn(*mut u64);

/// The clock that deadlines are kept on.
pub(super) fn now() -> LocalTime {
    LocalTime::from_nanos(uptime_nanos())
}

/// The interrupt time: it counts in sleep, and is never set. GetTickCount64 counts the same in steps of 16 ms, by which a
/// holder would trust its lock for too long. Wine 8 lacks the call: there it is the performance counter.
fn uptime_nanos() -> u64 {
    static QUERY: OnceLock<Option<QueryInterruptTime>> = OnceLock::new();
    let Some(query) = *QUERY.get_or_init(query_interrupt_time) else { return performance_nanos() };
    let mut ticks = 0;
    // SAFETY: it was found under the name of the function that has this signature; it writes one number.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    unsafe {
        query(&raw mut ticks);
    }
    ticks.saturating_mul(100)
}

fn query_interrupt_time() -> Option<QueryInterruptTime> {
    // SAFETY: both names end in a zero. The library is in every process and is never unloaded, so the function stays; what
    // is found has the signature that is documented for QueryInterruptTimePrecise.
    #[expect(unsafe_code, reason = "to link to it would keep the program from starting under Wine 8")]
    unsafe {
        let library = GetModuleHandleA(s!("kernelbase.dll"));
        let found = GetProcAddress(library, s!("QueryInterruptTimePrecise"))?;
        Some(std::mem::transmute::<unsafe extern "system" fn() -> isize, QueryInterruptTime>(found))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place for it")]
fn performance_nanos() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // Not zero at first: what is subtracted from it shall not stop at zero.
    const AT_START: u64 = 1 << 60;
    AT_START + START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
