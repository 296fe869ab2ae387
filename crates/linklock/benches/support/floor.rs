//! The floors: only the file-system calls without which no protocol of this kind can work. Names are as long as those of
//! linklock's claims, and each is used once too.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

/// Create, write, close, link; unlink, unlink.
pub(crate) struct LinkFloor {
    lock: PathBuf,
    claim: Name,
}

impl LinkFloor {
    pub(crate) fn new(lock: &str) -> Self {
        Self { lock: lock.into(), claim: Name::new(lock) }
    }

    pub(crate) fn claim(&mut self) -> io::Result<()> {
        let claim = self.claim.next()?;
        let mut file = fs::File::create_new(claim)?;
        file.write_all(claim.as_bytes())?;
        drop(file);
        fs::hard_link(claim, &self.lock)
    }

    pub(crate) fn free(&mut self) -> io::Result<()> {
        fs::remove_file(&self.lock)?;
        fs::remove_file(&self.claim.text)
    }
}

/// Mkdir, create, close, rename; unlink, rmdir.
pub(crate) struct DirFloor {
    lock: PathBuf,
    claim: Name,
    entry: PathBuf,
}

impl DirFloor {
    pub(crate) fn new(lock: &str) -> Self {
        Self { lock: lock.into(), claim: Name::new(lock), entry: PathBuf::new() }
    }

    pub(crate) fn claim(&mut self) -> io::Result<()> {
        let claim = PathBuf::from(self.claim.next()?);
        let name = claim.file_name().unwrap_or_default();
        fs::create_dir(&claim)?;
        fs::File::create_new(claim.join(name))?;
        self.entry = self.lock.join(name);
        fs::rename(&claim, &self.lock)
    }

    pub(crate) fn free(&mut self) -> io::Result<()> {
        fs::remove_file(&self.entry)?;
        fs::remove_dir(&self.lock)
    }
}

struct Name {
    text: String,
    stem: usize,
    nonce: u64,
}

impl Name {
    fn new(lock: &str) -> Self {
        let text = format!("{lock}|host|{}|", std::process::id());
        Self { stem: text.len(), text, nonce: 0 }
    }

    fn next(&mut self) -> io::Result<&str> {
        self.nonce += 1;
        self.text.truncate(self.stem);
        write!(self.text, "{:020}", self.nonce).map_err(io::Error::other)?;
        Ok(&self.text)
    }
}
