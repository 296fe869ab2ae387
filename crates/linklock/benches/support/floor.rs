//! The floor: the file-system calls without which nothing can be claimed and linked, and nothing else.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

pub(crate) struct Floor {
    lock: PathBuf,
    claim: String,
    stem: usize,
    nonce: u64,
}

impl Floor {
    /// In this directory, with names as long as those of linklock's claims, and as much used once.
    pub(crate) fn new(dir: &str) -> Self {
        let lock = format!("{dir}/floor");
        let claim = format!("{lock}|host|{}|", std::process::id());
        Self { lock: lock.into(), stem: claim.len(), claim, nonce: 0 }
    }

    /// Create, write, close, link, unlink, unlink.
    pub(crate) fn cycle(&mut self) -> io::Result<()> {
        self.nonce += 1;
        self.claim.truncate(self.stem);
        write!(self.claim, "{:020}", self.nonce).map_err(io::Error::other)?;
        let mut file = fs::File::create_new(&self.claim)?;
        file.write_all(self.claim.as_bytes())?;
        drop(file);
        fs::hard_link(&self.claim, &self.lock)?;
        fs::remove_file(&self.lock)?;
        fs::remove_file(&self.claim)
    }
}
