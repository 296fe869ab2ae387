//! Files that a client has open while it reads them, and their `.nfs*` names. NFS has no open files. To remove a file that one
//! of its processes has open, a client renames the file, and removes it once it is closed.

use std::ffi::{OsStr, OsString};

use crate::server::Handle;

/// A file that a process is reading.
#[derive(Clone, Debug)]
struct OpenFile {
    process: usize,
    dir: Handle,
    name: OsString,
    /// It was removed, and has a `.nfs*` name until it is closed.
    is_removed: bool,
}

/// The files that the processes of one machine have open.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles(Vec<OpenFile>);

impl OpenFiles {
    pub(crate) fn open(&mut self, process: usize, dir: Handle, name: OsString) {
        self.0.push(OpenFile { process, dir, name, is_removed: false });
    }

    pub(crate) fn is_open(&self, dir: Handle, name: &OsStr) -> bool {
        self.0.iter().any(|open| open.is(dir, name))
    }

    pub(crate) fn is_removed(&self, dir: Handle, name: &OsStr) -> bool {
        self.0.iter().any(|open| open.is(dir, name) && open.is_removed)
    }

    /// Notes that a removed file now has the name `aside`. Returns whether it is still open.
    pub(crate) fn remove(&mut self, dir: Handle, name: &OsStr, aside: &OsStr) -> bool {
        let mut is_open = false;
        for open in self.0.iter_mut().filter(|open| open.is(dir, name)) {
            (open.name, open.is_removed, is_open) = (aside.to_owned(), true, true);
        }
        is_open
    }

    /// Notes the new name of an open file.
    pub(crate) fn rename(&mut self, (dir, old): (Handle, &OsStr), (to_dir, new): (Handle, &OsStr)) {
        for open in self.0.iter_mut().filter(|open| open.is(dir, old)) {
            (open.dir, open.name) = (to_dir, new.to_owned());
        }
    }

    /// Closes the files of a process. Returns the names that its client must remove now.
    pub(crate) fn close(&mut self, process: usize) -> Vec<(Handle, OsString)> {
        let closed: Vec<_> = self.0.extract_if(.., |open| open.process == process).collect();
        let is_last = |closed: &OpenFile| !self.is_open(closed.dir, &closed.name);
        closed
            .into_iter()
            .filter(|closed| closed.is_removed && is_last(closed))
            .map(|closed| (closed.dir, closed.name))
            .collect()
    }
}

impl OpenFile {
    fn is(&self, dir: Handle, name: &OsStr) -> bool {
        self.dir == dir && self.name == name
    }
}
