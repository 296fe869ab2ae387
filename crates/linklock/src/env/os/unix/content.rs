//! Reading files of the system whole.

use std::fs;
use std::io::Read;

#[expect(clippy::disallowed_methods, reason = "this is the place for it")]
pub(crate) fn fs_read(path: &str) -> Option<Vec<u8>> {
    fs::File::open(path).ok().and_then(read_all)
}

pub(crate) fn read_all(file: fs::File) -> Option<Vec<u8>> {
    // Room for all that /proc has to say at once, and no question for a size, which its files do not have.
    let mut content = Vec::with_capacity(4096);
    file.take(u64::MAX).read_to_end(&mut content).ok()?;
    Some(content)
}
