//! Safe forms of the calls that read or change something by a handle.

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
///
/// `CLASS` must be the class of this structure. Every bit pattern must be a valid value of it.
#[expect(unsafe_code, reason = "the system trusts the structure's class, so it must be the right one")]
pub(super) unsafe trait Info: Copy {
    const CLASS: FILE_INFO_BY_HANDLE_CLASS;
}

macro_rules! infos {
    ($($info:ty = $class:expr),* $(,)?) => { $(
        // SAFETY: the documentation of FILE_INFO_BY_HANDLE_CLASS pairs them. All fields are integers, or bytes that are
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
    // SAFETY: the handle is open while `file` is borrowed. The length is that of the buffer, and `Info` promises that
    // the buffer fits the class.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let done = unsafe {
        GetFileInformationByHandleEx(file.as_raw_handle(), I::CLASS, info.as_mut_ptr().cast(), size_of::<I>() as u32)
    };
    succeeded(done)?;
    // SAFETY: it was filled in, and `Info` promises that any bits are a valid value.
    #[expect(unsafe_code, reason = "the system has filled it in")]
    Ok(unsafe { info.assume_init() })
}

/// The next entries of a directory, as many as fit into the buffer. An error if there are no more.
pub(super) fn next_entries(dir: &File, buffer: &mut records::Buffer) -> io::Result<()> {
    *buffer = records::EMPTY;
    // SAFETY: the handle is open while `dir` is borrowed. The length is that of the buffer, which is aligned for these
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

/// Renames what was opened. Fails if the new name exists. `to` is a path that ends in a zero.
pub(super) fn rename(file: &File, to: &[u16]) -> io::Result<()> {
    const LEN: usize = offset_of!(FILE_RENAME_INFO, FileNameLength) / 2;
    const NAME: usize = offset_of!(FILE_RENAME_INFO, FileName) / 2;
    // All other fields are zero: it replaces nothing, and the path is not relative to another directory.
    let mut units = vec![0; NAME];
    let len = size_of_val(to).saturating_sub(size_of::<u16>()) as u32;
    units[LEN] = len as u16;
    units[LEN + 1] = (len >> 16) as u16;
    units.extend_from_slice(to);
    let info = records::packed(&units);
    // SAFETY: the handle is open while `file` is borrowed. The buffer is aligned like the structure, and the length is
    // that of the buffer. It contains a name of the length that it states, and a zero after it. The system only reads
    // it.
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

/// The error of a call that returns zero on failure.
pub(super) fn succeeded(done: windows_sys::core::BOOL) -> io::Result<()> {
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A new handle, from a call that returns a null handle on failure.
///
/// # Safety
///
/// Nobody else may own or close it.
#[expect(unsafe_code, reason = "who owns the handle is the caller's to know")]
pub(super) unsafe fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is not null, and only the caller owns it.
    #[expect(unsafe_code, reason = "no safe form of this exists")]
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// The kernel's status of this thread's last call. Windows' error does not distinguish a name that is being deleted
/// from one that may not be opened.
pub(super) fn last_status() -> NTSTATUS {
    windows_link::link!("ntdll.dll" "system" fn RtlGetLastNtStatus() -> NTSTATUS);
    // SAFETY: it takes nothing, and reads a field of the thread's own block.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    unsafe {
        RtlGetLastNtStatus()
    }
}
