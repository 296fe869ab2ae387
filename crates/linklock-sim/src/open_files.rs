//! Files that a client has open while it reads them, and their `.nfs*` names: NFS knows no open files, so a client that is
//! to remove a file which one of its processes has open renames it, and removes it once it is closed.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::client::SimEnv;
use crate::env::Attr;
use crate::server::{Handle, Request};
use crate::world::{World, error};

/// A file that a process is reading, by the name by which it opened it.
#[derive(Clone, Debug)]
pub(crate) struct OpenFile {
    process: usize,
    dir: Handle,
    name: OsString,
    /// It was removed, and has a name of the client's own until it is closed.
    is_removed: bool,
}

impl SimEnv {
    /// Opens a file, reads it and closes it; in one step where nobody cares that it is open.
    pub(crate) fn open_and_read(&self, path: &Path, delegation: bool) -> io::Result<(Attr, Vec<u8>)> {
        let read = |file| Request::Read { file, delegation };
        if !self.sim.with(|world| world.config.silly_renames) {
            return self.ask(path, read).map(|(attr, answer)| (attr, answer.content));
        }
        let (file, is_dir, (dir, name)) = self.afresh(&[path], || {
            let known = self.resolve(path)?;
            self.call(&Request::GetAttr { file: known.handle })?;
            Ok((known.handle, known.is_dir, self.split(path)?))
        })?;
        let (number, host) = (self.number, self.host());
        if !is_dir {
            let open = OpenFile { process: number, dir, name, is_removed: false };
            self.sim.with(|world| world.hosts[host].open.push(open));
        }
        let answer = self.call(&read(file));
        for (dir, name) in self.sim.with(|world| world.close(number)) {
            self.forget(dir, &name);
            self.forget_listing(dir);
            let removed = self.call(&Request::Remove { dir, name: name.clone() });
            self.sim.with(|world| world.tell(&format!("h{host}"), || format!("removes {name:?}: {removed:?}")));
        }
        let answer = answer?;
        let (_, attr) = answer.file.ok_or(error(ErrorKind::NotFound))?;
        Ok((attr, answer.content))
    }

    pub(crate) fn is_open(&self, dir: Handle, name: &OsStr) -> bool {
        let host = self.host();
        self.sim.with(|world| world.hosts[host].open.iter().any(|open| open.dir == dir && open.name == name))
    }

    /// Removes a name of a file that a process of this machine has open by it.
    pub(crate) fn remove_open(&self, dir: Handle, name: &OsStr, file: Handle) -> io::Result<()> {
        let host = self.host();
        let ours = |open: &OpenFile| open.dir == dir && open.name == name;
        if self.sim.with(|world| world.hosts[host].open.iter().any(|open| ours(open) && open.is_removed)) {
            return Err(error(ErrorKind::ResourceBusy));
        }
        let aside = self.sim.with(|world| {
            let attr = world.hosts[host].attrs.get(&file).copied();
            let inode = attr.map_or(0, |attr| attr.id.inode);
            OsString::from(format!(".nfs{inode:016x}{:08x}", world.next_serial()))
        });
        self.call(&Request::Rename { dir, from: name.to_owned(), to_dir: dir, to: aside.clone() })?;
        let left = self.sim.with(|world| {
            let mut readers = 0;
            for open in world.hosts[host].open.iter_mut().filter(|open| ours(open)) {
                (open.name, open.is_removed, readers) = (aside.clone(), true, readers + 1);
            }
            readers == 0
        });
        // Closed while it was renamed.
        if left {
            self.call(&Request::Remove { dir, name: aside })?;
        }
        Ok(())
    }

    /// An open file is known by its new name.
    pub(crate) fn renamed(&self, (dir, old): (Handle, &OsStr), (to_dir, new): (Handle, &OsStr)) {
        let host = self.host();
        self.sim.with(|world| {
            for open in world.hosts[host].open.iter_mut().filter(|open| open.dir == dir && open.name == old) {
                (open.dir, open.name) = (to_dir, new.to_owned());
            }
        });
    }
}

impl World {
    /// Closes what a process has open. Gives the names that its client is to remove now.
    pub(crate) fn close(&mut self, process: usize) -> Vec<(Handle, OsString)> {
        let open = &mut self.hosts[self.processes[process].host].open;
        let closed: Vec<_> = open.extract_if(.., |open| open.process == process).collect();
        let is_last = |closed: &OpenFile| !open.iter().any(|open| open.dir == closed.dir && open.name == closed.name);
        closed
            .into_iter()
            .filter(|closed| closed.is_removed && is_last(closed))
            .map(|closed| (closed.dir, closed.name))
            .collect()
    }

    /// The kernel closes what a process had open that is no more.
    pub(crate) fn close_for_good(&mut self, process: usize) {
        for (dir, name) in self.close(process) {
            let sent = self.send(process, &Request::Remove { dir, name });
            // If it can't be sent, it may come late, or never if the machine dies too.
            if self.hosts[self.processes[process].host].cut_off {
                self.late.push(sent);
            } else {
                drop(self.carry_out(&sent));
            }
        }
    }
}
