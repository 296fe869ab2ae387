//! Opening what has a name in a directory that is open. Nothing is followed on the way: it is asked for by the directory's
//! handle and one name.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::AsRawHandle;

use windows_sys::Wdk::Foundation::OBJECT_ATTRIBUTES;
use windows_sys::Wdk::Storage::FileSystem::{
    FILE_CREATE, FILE_DIRECTORY_FILE, FILE_NON_DIRECTORY_FILE, FILE_OPEN, FILE_OPEN_REPARSE_POINT,
    FILE_SYNCHRONOUS_IO_NONALERT, NTCREATEFILE_CREATE_DISPOSITION, NTCREATEFILE_CREATE_OPTIONS, NtCreateFile,
};
use windows_sys::Win32::Foundation::{
    ERROR_DELETE_PENDING, ERROR_DIRECTORY, ERROR_INVALID_NAME, NTSTATUS, OBJ_CASE_INSENSITIVE, RtlNtStatusToDosError,
    STATUS_DELETE_PENDING, STATUS_DIRECTORY_IS_A_REPARSE_POINT, STATUS_FILE_DELETED, UNICODE_STRING, WIN32_ERROR,
};
use windows_sys::Win32::Storage::FileSystem::{FILE_ATTRIBUTE_NORMAL, FILE_READ_ATTRIBUTES, SYNCHRONIZE};
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;

use super::files::SHARE_ALL;
use super::handles::owned;
use super::names::NOT_IN_NAMES;

/// What is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Whatever has the name.
    Any,
    /// No directory.
    File,
    NewFile,
    NewDirectory,
}

impl Wanted {
    fn disposition(self) -> NTCREATEFILE_CREATE_DISPOSITION {
        match self {
            Self::Any | Self::File => FILE_OPEN,
            Self::NewFile | Self::NewDirectory => FILE_CREATE,
        }
    }

    fn kind(self) -> NTCREATEFILE_CREATE_OPTIONS {
        match self {
            Self::Any => 0,
            Self::File | Self::NewFile => FILE_NON_DIRECTORY_FILE,
            Self::NewDirectory => FILE_DIRECTORY_FILE,
        }
    }
}

pub(super) fn open(dir: &File, name: &OsStr, access: u32, wanted: Wanted) -> io::Result<File> {
    let mut units = units_of(name)?;
    let len = u16::try_from(size_of_val(&*units)).map_err(|_| error_from(ERROR_INVALID_NAME))?;
    let name = UNICODE_STRING { Length: len, MaximumLength: len, Buffer: units.as_mut_ptr() };
    let object = OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
        RootDirectory: dir.as_raw_handle(),
        ObjectName: &raw const name,
        Attributes: OBJ_CASE_INSENSITIVE,
        ..OBJECT_ATTRIBUTES::default()
    };
    // The same access and the same manner of waiting as CreateFileW asks for.
    let access = access | SYNCHRONIZE | FILE_READ_ATTRIBUTES;
    let options = wanted.kind() | FILE_OPEN_REPARSE_POINT | FILE_SYNCHRONOUS_IO_NONALERT;
    let (mut handle, mut told) = (std::ptr::null_mut(), IO_STATUS_BLOCK::default());
    // SAFETY: the directory is open for as long as it is borrowed. `object` holds a pointer to `name`, and that one to `units`, of
    // which it tells the length: all three live until the call has returned, which it does once it is done, since the handle is
    // a synchronous one. The handle and what is told are written to places for them. There are no extended attributes.
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    let status = unsafe {
        NtCreateFile(
            &raw mut handle,
            access,
            &raw const object,
            &raw mut told,
            std::ptr::null(),
            FILE_ATTRIBUTE_NORMAL,
            SHARE_ALL,
            wanted.disposition(),
            options,
            std::ptr::null(),
            0,
        )
    };
    if status < 0 {
        return Err(error_of(status));
    }
    // SAFETY: the call has succeeded, so this is a new handle, and nobody else knows it.
    #[expect(unsafe_code, reason = "no safe form of this exists")]
    let file = unsafe { owned(handle) };
    file.map(File::from)
}

/// Of one name alone: a backslash would lead elsewhere, and a colon to a stream.
fn units_of(name: &OsStr) -> io::Result<Vec<u16>> {
    let units: Vec<u16> = name.encode_wide().collect();
    let is_not_in_names = |unit: &u16| NOT_IN_NAMES.iter().any(|c| u32::from(*c) == u32::from(*unit));
    if ["", ".", ".."].iter().any(|other| name == *other) || units.iter().any(is_not_in_names) {
        return Err(error_from(ERROR_INVALID_NAME));
    }
    Ok(units)
}

/// As the calls of Windows proper tell it, but for two.
fn error_of(status: NTSTATUS) -> io::Error {
    let code = match status {
        // Those calls would say that access is denied.
        STATUS_DELETE_PENDING | STATUS_FILE_DELETED => ERROR_DELETE_PENDING,
        // The directory has become a junction since it was opened.
        STATUS_DIRECTORY_IS_A_REPARSE_POINT => ERROR_DIRECTORY,
        // SAFETY: it takes a number and gives one.
        #[expect(unsafe_code, reason = "no safe form of this call exists")]
        _ => unsafe { RtlNtStatusToDosError(status) },
    };
    error_from(code)
}

fn error_from(code: WIN32_ERROR) -> io::Error {
    io::Error::from_raw_os_error(code as i32)
}

#[cfg(test)]
mod tests {
    use windows_sys::Win32::Foundation::{
        STATUS_ACCESS_DENIED, STATUS_DIRECTORY_NOT_EMPTY, STATUS_DISK_FULL, STATUS_FILE_IS_A_DIRECTORY,
        STATUS_NOT_A_DIRECTORY, STATUS_OBJECT_NAME_COLLISION, STATUS_OBJECT_NAME_INVALID, STATUS_OBJECT_NAME_NOT_FOUND,
        STATUS_OBJECT_PATH_NOT_FOUND,
    };

    use super::*;

    #[test]
    fn what_the_kernel_says_is_told_as_the_kind_that_it_is_elsewhere() {
        use io::ErrorKind::*;
        for (status, kind) in [
            (STATUS_OBJECT_NAME_NOT_FOUND, NotFound),
            (STATUS_OBJECT_PATH_NOT_FOUND, NotFound),
            (STATUS_OBJECT_NAME_COLLISION, AlreadyExists),
            (STATUS_NOT_A_DIRECTORY, NotADirectory),
            (STATUS_DIRECTORY_IS_A_REPARSE_POINT, NotADirectory),
            (STATUS_DIRECTORY_NOT_EMPTY, DirectoryNotEmpty),
            (STATUS_ACCESS_DENIED, PermissionDenied),
            (STATUS_FILE_IS_A_DIRECTORY, PermissionDenied),
            (STATUS_OBJECT_NAME_INVALID, InvalidFilename),
            (STATUS_DISK_FULL, StorageFull),
        ] {
            assert_eq!(error_of(status).kind(), kind, "{status:x}");
        }
        for status in [STATUS_DELETE_PENDING, STATUS_FILE_DELETED] {
            assert_eq!(error_of(status).raw_os_error(), Some(ERROR_DELETE_PENDING as i32));
        }
    }

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for name in ["", ".", "..", r"a\b", "a/b", "a:b", "a\0", r"\", "C:"] {
            assert_eq!(units_of(OsStr::new(name)).unwrap_err().kind(), io::ErrorKind::InvalidFilename, "{name:?}");
        }
        assert_eq!(units_of(OsStr::new("a.b")).unwrap(), [97, 46, 98]);
    }
}
