//! Safe forms of the calls that ask or change something by a handle.

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{HANDLE, NTSTATUS};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_BASIC_INFO, FILE_DISPOSITION_INFO, FILE_DISPOSITION_INFO_EX, FILE_ID_INFO, FILE_INFO_BY_HANDLE_CLASS,
    FILE_REMOTE_PROTOCOL_INFO, FILE_RENAME_INFO, FILE_STANDARD_INFO, FileBasicInfo, FileDispositionInfo,
    FileDispositionInfoEx, FileIdBothDirectoryInfo, FileIdInfo, FileRemoteProtocolInfo, FileRenameInfo,
    FileStandardInfo, GetFileInformationByHandleEx, SetFileInformationByHandle,
};

use super::records;

/// A structure that the system fills in, or reads, for its class.
///
/// # Safety
/// `CLASS` must be the one whose structure this is; every pattern of bits must be a value of it.
#[expect(unsafe_code, reason = "the system is told the structure's class, and must be told the right one")]
pub(super) unsafe trait Info: Copy {
    const CLASS: FILE_INFO_BY_HANDLE_CLASS;
}

macro_rules! infos {
    ($($info:ty = $class:expr),* $(,)?) => { $(
        // SAFETY: the documentation of FILE_INFO_BY_HANDLE_CLASS pairs them, and all fields are integers, or bytes that are
        // zero or one.
        #[expect(unsafe_code, reason = "see the trait")]
        unsafe impl Info for $info {
            const CLASS: FILE_INFO_BY_HANDLE_CLASS = $class;
        }
    )* };
}

infos! {
    FILE_BASIC_INFO = FileBasicInfo,
    FILE_DISPOSITION_INFO = FileDispositionInfo,
    FILE_DISPOSITION_INFO_EX = FileDispositionInfoEx,
    FILE_ID_INFO = FileIdInfo,
    FILE_REMOTE_PROTOCOL_INFO = FileRemoteProtocolInfo,
    FILE_STANDARD_INFO = FileStandardInfo,
}

pub(super) fn get<I: Info>(file: &File) -> io::Result<I> {
    let mut info = std::mem::MaybeUninit::<I>::zeroed();
    // SAFETY: the handle is open for as long as `file` is borrowed; the buffer is as long as is said, and `Info` promises
    // that it is of the class.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let done = unsafe {
        GetFileInformationByHandleEx(file.as_raw_handle(), I::CLASS, info.as_mut_ptr().cast(), size_of::<I>() as u32)
    };
    succeeded(done)?;
    // SAFETY: it was filled in, and `Info` promises that whatever that was is a value.
    #[expect(unsafe_code, reason = "the system has filled it in")]
    Ok(unsafe { info.assume_init() })
}

/// The next of a directory's entries, as they fit into the buffer; an error once there are none.
pub(super) fn next_entries(dir: &File, buffer: &mut records::Buffer) -> io::Result<()> {
    *buffer = records::EMPTY;
    // SAFETY: the handle is open for as long as `dir` is borrowed; the buffer is as long as is said, and is aligned for these
    // records.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let done = unsafe {
        GetFileInformationByHandleEx(
            dir.as_raw_handle(),
            FileIdBothDirectoryInfo,
            buffer.as_mut_ptr().cast(),
            size_of::<records::Buffer>() as u32,
        )
    };
    succeeded(done)
}

pub(super) fn set<I: Info>(file: &File, info: &I) -> io::Result<()> {
    // SAFETY: as in `get`; the system only reads the buffer.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let done = unsafe {
        SetFileInformationByHandle(
            file.as_raw_handle(),
            I::CLASS,
            std::ptr::from_ref(info).cast(),
            size_of::<I>() as u32,
        )
    };
    succeeded(done)
}

/// Gives what was opened another name, which nothing may have yet. `to` is a path that ends in a zero.
pub(super) fn rename(file: &File, to: &[u16]) -> io::Result<()> {
    const LEN: usize = offset_of!(FILE_RENAME_INFO, FileNameLength) / 2;
    const NAME: usize = offset_of!(FILE_RENAME_INFO, FileName) / 2;
    // All else is zero: it replaces nothing, and the path does not begin at another directory.
    let mut units = vec![0; NAME];
    let len = size_of_val(to).saturating_sub(size_of::<u16>()) as u32;
    units[LEN] = len as u16;
    units[LEN + 1] = (len >> 16) as u16;
    units.extend_from_slice(to);
    let info = records::packed(&units);
    // SAFETY: the handle is open for as long as `file` is borrowed. The buffer is aligned as the structure is, as long as is
    // said, and holds a name as long as is told in it, with the zero behind it; the system only reads it.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let done = unsafe {
        SetFileInformationByHandle(
            file.as_raw_handle(),
            FileRenameInfo,
            info.as_ptr().cast(),
            size_of_val(&*info) as u32,
        )
    };
    succeeded(done)
}

/// The error of a call that says by zero that it failed.
pub(super) fn succeeded(done: windows_sys::core::BOOL) -> io::Result<()> {
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A new handle, from a call that gives a null one when it fails.
///
/// # Safety
/// Nobody else may own or close it.
#[expect(unsafe_code, reason = "who owns the handle is the caller's to know")]
pub(super) unsafe fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: not null, and the caller's alone.
    #[expect(unsafe_code, reason = "no safe form of this exists")]
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// What the kernel said of this thread's last call. The error that Windows makes of it does not tell a name that is being
/// deleted from one that may not be opened.
pub(super) fn last_status() -> NTSTATUS {
    windows_link::link!("ntdll.dll" "system" fn RtlGetLastNtStatus() -> NTSTATUS);
    // SAFETY: it takes nothing, and reads a field of the thread's own block.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    unsafe {
        RtlGetLastNtStatus()
    }
}
