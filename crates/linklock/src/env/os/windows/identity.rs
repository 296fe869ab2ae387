//! This machine, this boot, this user, and the clock for deadlines.

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
    // SAFETY: the length is that of the buffer. By its documentation, the call never fails.
    unsafe {
        ProcessPrng(bytes.as_mut_ptr(), bytes.len());
    }
    u32::from_ne_bytes(bytes)
}

/// The longest name, in UTF-16 units: user names have at most 256, host names fewer.
const NAME_MOST: usize = 1024;

/// The name that Python's socket.gethostname() returns. flufl.lock's host names begin with it.
pub(super) fn host_name() -> Option<String> {
    text(|buffer, len| {
        // SAFETY: the length is that of the buffer.
        #[expect(unsafe_code, reason = "no safe form of this call exists")]
        let done = unsafe { GetComputerNameExW(ComputerNamePhysicalDnsHostname, buffer, len) };
        succeeded(done).is_ok()
    })
}

pub(super) fn user() -> Option<String> {
    text(|buffer, len| {
        // SAFETY: the length is that of the buffer.
        #[expect(unsafe_code, reason = "no safe form of this call exists")]
        let done = unsafe { GetUserNameW(buffer, len) };
        succeeded(done).is_ok()
    })
}

/// The text, up to the zero, that `write` puts into a buffer of the given length.
fn text(write: impl FnOnce(*mut u16, *mut u32) -> bool) -> Option<String> {
    let mut buffer = [0; NAME_MOST];
    let mut len = buffer.len() as u32;
    if !write(buffer.as_mut_ptr(), &raw mut len) {
        return None;
    }
    let text = buffer.split(|unit| *unit == 0).next()?;
    (!text.is_empty()).then(|| String::from_utf16_lossy(text))
}

/// Identifies this boot of this machine. `None` if the system does not say.
///
/// The system notes when it was booted, and by how much it has moved that note when the clock was set. The difference
/// is constant during a boot. Two machines may boot within one tick of each other, so the machine's own number is
/// added.
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

/// What the system says about its time, up to the last field that we need.
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
    let mut time = TimeOfDay::default();
    let len = size_of::<TimeOfDay>() as u32;
    // SAFETY: the length is that of the buffer, and any bits are valid integers.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let status = unsafe {
        NtQuerySystemInformation(
            SystemTimeOfDayInformation,
            (&raw mut time).cast::<c_void>(),
            len,
            std::ptr::null_mut(),
        )
    };
    (status >= 0 && time.boot != 0).then(|| time.boot.wrapping_sub(time.boot_bias))
}

/// The number that a machine gets when Windows is installed.
fn machine() -> Option<String> {
    text(|buffer, units| {
        let mut len = (NAME_MOST * size_of::<u16>()) as u32;
        let flags = RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY;
        // SAFETY: both names end in a zero, no type is requested, and the length is that of the buffer in bytes.
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

/// The clock for deadlines.
pub(super) fn now() -> LocalTime {
    LocalTime::from_nanos(uptime_nanos())
}

/// The interrupt time: it counts in sleep, and is never set. GetTickCount64 counts the same in steps of 16 ms, so a
/// holder would trust its lock for too long. Wine 8 lacks the call: there the performance counter is used.
fn uptime_nanos() -> u64 {
    static QUERY: OnceLock<Option<QueryInterruptTime>> = OnceLock::new();
    let Some(query) = *QUERY.get_or_init(query_interrupt_time) else { return performance_nanos() };
    let mut ticks = 0;
    // SAFETY: it was found under the name of the function with this signature. It writes one number.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    unsafe {
        query(&raw mut ticks);
    }
    ticks.saturating_mul(100)
}

fn query_interrupt_time() -> Option<QueryInterruptTime> {
    // SAFETY: both names end in a zero. The library is in every process and is never unloaded, so the function stays.
    // Its signature is the documented one of QueryInterruptTimePrecise.
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
    // Not zero at first, since durations are subtracted from it and must not stop at zero.
    const AT_START: u64 = 1 << 60;
    AT_START + START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
