//! A file that several processes append to.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_OPEN_REPARSE_POINT;

/// Opens the file to append to it and to read it. A link is opened itself, and is then [no file](is_no_file).
pub(crate) fn open_to_append(path: &Path, is_new: bool) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create_new(is_new).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(path)
}

/// Whether the error says that a symbolic link is there. Here no error does.
pub(crate) fn is_link(_: &io::Error) -> bool {
    false
}

/// Whether it is something else than a file, to which linklock has no business to write.
pub(crate) fn is_no_file(data: &Metadata) -> bool {
    !data.is_file()
}

/// Whether it has more than one name. Rust's library does not say; only who may write to the file can give it another name.
pub(crate) fn has_other_names(_: &Metadata) -> bool {
    false
}
