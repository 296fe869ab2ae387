//! A file that several processes append to.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens the file to append to it and to read it. A symbolic link is not followed, and a FIFO does not wait for its other end.
pub(crate) fn open_to_append(path: &Path, is_new: bool) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).append(true).create_new(is_new).mode(0o644).custom_flags(flags).open(path)
}

/// Whether the error says that a symbolic link is there.
pub(crate) fn is_link(e: &io::Error) -> bool {
    // FreeBSD has EMLINK.
    matches!(e.raw_os_error(), Some(libc::ELOOP | libc::EMLINK))
}

/// Whether it is something else than a file, to which linklock has no business to write. A terminal or /dev/null is welcome.
pub(crate) fn is_no_file(data: &Metadata) -> bool {
    !data.is_file() && !data.file_type().is_char_device()
}

/// Whether it has more than one name.
pub(crate) fn has_other_names(data: &Metadata) -> bool {
    data.is_file() && data.nlink() != 1
}
