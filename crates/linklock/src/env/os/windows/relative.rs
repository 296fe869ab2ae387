//! Calls on a name in an open directory, which Windows has below its usual interface.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::ptr;

use windows_sys::Wdk::Foundation::OBJECT_ATTRIBUTES;
use windows_sys::Wdk::Storage::FileSystem::{
    FILE_CREATE, FILE_DIRECTORY_FILE, FILE_NON_DIRECTORY_FILE, FILE_OPEN, FILE_OPEN_FOR_BACKUP_INTENT,
    FILE_OPEN_REPARSE_POINT, FILE_SYNCHRONOUS_IO_NONALERT, NTCREATEFILE_CREATE_DISPOSITION,
    NTCREATEFILE_CREATE_OPTIONS, NtCreateFile,
};
use windows_sys::Win32::Foundation::{
    GENERIC_READ, GENERIC_WRITE, NTSTATUS, OBJ_CASE_INSENSITIVE, RtlNtStatusToDosError,
    STATUS_DIRECTORY_IS_A_REPARSE_POINT, STATUS_SUCCESS, UNICODE_STRING,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_ATTRIBUTE_NORMAL, FILE_READ_ATTRIBUTES, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
    FILE_TRAVERSE, SYNCHRONIZE,
};
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;

use crate::names::NOT_IN_NAMES;

/// A directory, in order to work in it by its handle.
pub(super) const TO_REACH: u32 = FILE_READ_ATTRIBUTES | FILE_TRAVERSE;

/// Whatever it is, if `any`; else no directory. It is not followed.
pub(super) fn open(dir: &File, name: &OsStr, access: u32, any: bool) -> io::Result<File> {
    let options = if any { FILE_OPEN_FOR_BACKUP_INTENT } else { FILE_NON_DIRECTORY_FILE };
    call(dir, name, access, FILE_OPEN, options | FILE_OPEN_REPARSE_POINT)
}

/// A new file.
pub(super) fn create(dir: &File, name: &OsStr) -> io::Result<File> {
    call(
        dir,
        name,
        GENERIC_READ | GENERIC_WRITE | DELETE,
        FILE_CREATE,
        FILE_NON_DIRECTORY_FILE | FILE_OPEN_REPARSE_POINT,
    )
}

/// A new directory.
pub(super) fn make_dir(dir: &File, name: &OsStr) -> io::Result<File> {
    call(dir, name, TO_REACH, FILE_CREATE, FILE_DIRECTORY_FILE | FILE_OPEN_REPARSE_POINT)
}

/// With what CreateFileW adds for its callers: each call waits, and names are taken in upper or lower case.
fn call(
    dir: &File,
    name: &OsStr,
    access: u32,
    disposition: NTCREATEFILE_CREATE_DISPOSITION,
    options: NTCREATEFILE_CREATE_OPTIONS,
) -> io::Result<File> {
    let mut name = units_of(name)?;
    let bytes = u16::try_from(2 * name.len()).map_err(|_| io::ErrorKind::InvalidFilename)?;
    let name = UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: name.as_mut_ptr() };
    let attributes = OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
        RootDirectory: dir.as_raw_handle(),
        ObjectName: &raw const name,
        Attributes: OBJ_CASE_INSENSITIVE,
        SecurityDescriptor: ptr::null(),
        SecurityQualityOfService: ptr::null(),
    };
    let (mut handle, mut done) = (ptr::null_mut(), IO_STATUS_BLOCK::default());
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    // SAFETY: all that is pointed to lives until the call returns, which waits for its end; the lengths are those of what they
    // are said of. A handle that it gives is ours alone.
    unsafe {
        let status = NtCreateFile(
            &raw mut handle,
            access | SYNCHRONIZE | FILE_READ_ATTRIBUTES,
            &raw const attributes,
            &raw mut done,
            ptr::null(),
            FILE_ATTRIBUTE_NORMAL,
            FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
            disposition,
            options | FILE_SYNCHRONOUS_IO_NONALERT,
            ptr::null(),
            0,
        );
        match status {
            STATUS_SUCCESS => Ok(File::from_raw_handle(handle)),
            failed => Err(error_of(failed)),
        }
    }
}

/// As the usual interface says it.
pub(super) fn error_of(status: NTSTATUS) -> io::Error {
    // The directory has become a junction since it was opened.
    if status == STATUS_DIRECTORY_IS_A_REPARSE_POINT {
        return io::ErrorKind::NotADirectory.into();
    }
    #[expect(unsafe_code, reason = "no safe form of this call exists")]
    // SAFETY: it takes a number and gives one. It notes the status too, for `last_status`.
    let code = unsafe { RtlNtStatusToDosError(status) };
    io::Error::from_raw_os_error(code as i32)
}

/// Of one name alone: a backslash would lead elsewhere, through whatever is there, and a colon to a stream.
fn units_of(name: &OsStr) -> io::Result<Vec<u16>> {
    let units: Vec<u16> = name.encode_wide().collect();
    let is_not_in_names = |unit: &u16| NOT_IN_NAMES.iter().any(|c| u32::from(*c) == u32::from(*unit));
    if ["", ".", ".."].iter().any(|other| name == *other) || units.iter().any(is_not_in_names) {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use windows_sys::Win32::Foundation::{
        STATUS_ACCESS_DENIED, STATUS_DELETE_PENDING, STATUS_DIRECTORY_NOT_EMPTY, STATUS_DISK_FULL, STATUS_FILE_DELETED,
        STATUS_FILE_IS_A_DIRECTORY, STATUS_NOT_A_DIRECTORY, STATUS_OBJECT_NAME_COLLISION, STATUS_OBJECT_NAME_INVALID,
        STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_PATH_NOT_FOUND,
    };

    use super::super::handles::last_status;
    use super::*;

    #[test]
    fn what_the_kernel_says_is_told_as_the_kind_that_it_is_elsewhere() {
        use io::ErrorKind::*;
        for (status, kind) in [
            (STATUS_OBJECT_NAME_NOT_FOUND, NotFound),
            (STATUS_OBJECT_PATH_NOT_FOUND, NotFound),
            (STATUS_OBJECT_NAME_COLLISION, AlreadyExists),
            (STATUS_NOT_A_DIRECTORY, NotADirectory),
            (STATUS_DIRECTORY_NOT_EMPTY, DirectoryNotEmpty),
            (STATUS_ACCESS_DENIED, PermissionDenied),
            (STATUS_FILE_IS_A_DIRECTORY, PermissionDenied),
            (STATUS_DELETE_PENDING, PermissionDenied),
            (STATUS_FILE_DELETED, PermissionDenied),
            (STATUS_OBJECT_NAME_INVALID, InvalidFilename),
            (STATUS_DISK_FULL, StorageFull),
        ] {
            assert_eq!(error_of(status).kind(), kind, "{status:x}");
            assert_eq!(last_status(), status);
        }
        assert_eq!(error_of(STATUS_DIRECTORY_IS_A_REPARSE_POINT).kind(), NotADirectory);
    }

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        for name in ["", ".", "..", r"a\b", "a/b", "a:b", "a\0", r"\", "C:"] {
            assert_eq!(units_of(OsStr::new(name)).unwrap_err().kind(), io::ErrorKind::InvalidFilename, "{name:?}");
        }
        assert_eq!(units_of(OsStr::new("a.b")).unwrap(), [97, 46, 98]);
    }
}
