//! The simulated file server: inodes, names, link counts, directories, and times by its own clock.
//!
//! The rules are those of link(2), rename(2), unlink(2), rmdir(2) and utimensat(2) in POSIX, as measured on real NFS
//! servers. It reuses inode numbers as soon as they are free, to be as unkind as a server may be.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;

use crate::config::Config;
use crate::env::{Attr, FileId, FileKind};
use crate::stamps::Times;
use crate::time::ServerTime;

/// Identifies a file for good, as an NFS file handle does. Unlike an inode number, the server never reuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Handle(u64);

/// One request as it goes over the wire. The server may carry it out twice, or late.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Lookup {
        dir: Handle,
        name: OsString,
    },
    GetAttr {
        file: Handle,
    },
    Read {
        file: Handle,
        /// Whether the client gets a read delegation.
        delegation: bool,
    },
    ReadDir {
        dir: Handle,
    },
    /// Exclusive. The verifier distinguishes a repeated request from another client's.
    Create {
        dir: Handle,
        name: OsString,
        mode: u32,
        verifier: u64,
    },
    /// Never makes the file shorter.
    Write {
        file: Handle,
        at: usize,
        content: Vec<u8>,
    },
    SetMtime {
        file: Handle,
        mtime: Option<ServerTime>,
    },
    SetMode {
        file: Handle,
        mode: u32,
    },
    Link {
        file: Handle,
        dir: Handle,
        name: OsString,
    },
    Rename {
        dir: Handle,
        from: OsString,
        to_dir: Handle,
        to: OsString,
    },
    Remove {
        dir: Handle,
        name: OsString,
    },
    Symlink {
        dir: Handle,
        name: OsString,
        target: OsString,
    },
    ReadLink {
        file: Handle,
    },
    MkDir {
        dir: Handle,
        name: OsString,
        mode: u32,
    },
    RmDir {
        dir: Handle,
        name: OsString,
    },
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) file: Option<(Handle, Attr)>,
    pub(crate) content: Vec<u8>,
    pub(crate) names: Vec<OsString>,
    /// The inode numbers of the files with these names.
    pub(crate) inodes: Vec<u64>,
}

pub(crate) type Reply = Result<Answer, ErrorKind>;

/// Something that the server does wrong before it carries out a request, or instead, if it returns a reply.
#[cfg(test)]
pub(crate) type Flaw = fn(&mut Server, &Request, ServerTime) -> Option<Reply>;

#[derive(Debug)]
enum Body {
    File(Vec<u8>),
    Symlink(OsString),
    Dir(BTreeMap<OsString, Handle>),
}

#[derive(Debug)]
struct Node {
    inode: u64,
    body: Body,
    nlink: u64,
    mtime: ServerTime,
    ctime: ServerTime,
    mode: u32,
    verifier: u64,
}

#[derive(Debug)]
pub(crate) struct Server {
    nodes: BTreeMap<Handle, Node>,
    free_inodes: Vec<u64>,
    next: u64,
    /// Whether one request removes files and empty directories alike, as in NFS 4.
    one_remove: bool,
    knows_the_dead: bool,
    times: Times,
}

pub(crate) const ROOT: Handle = Handle(1);

impl Server {
    pub(crate) fn new(now: ServerTime, config: &Config) -> Self {
        let Config { one_remove, knows_the_dead, times, sticky, .. } = *config;
        let (nodes, free_inodes) = (BTreeMap::new(), Vec::new());
        let mut server = Self { nodes, free_inodes, next: 1, one_remove, knows_the_dead, times };
        server.add(Body::Dir(BTreeMap::new()), if sticky { 0o1755 } else { 0o755 }, now, 0);
        server
    }

    pub(crate) fn carry_out(&mut self, request: &Request, now: ServerTime) -> Reply {
        match request {
            Request::Lookup { dir, name } => self.child(*dir, name).and_then(|file| self.with_attr(file)),
            Request::GetAttr { file } => self.with_attr(*file),
            Request::Read { file, .. } => {
                let mut answer = self.with_attr(*file)?;
                if let Body::File(content) = &self.node(*file)?.body {
                    answer.content.clone_from(content);
                }
                Ok(answer)
            }
            Request::ReadDir { dir } => {
                let entries = self.entries(*dir)?;
                let inodes = entries.values().filter_map(|file| self.nodes.get(file)).map(|node| node.inode).collect();
                Ok(Answer { names: entries.keys().cloned().collect(), inodes, ..Answer::default() })
            }
            Request::Create { dir, name, mode, verifier } => self.create((*dir, name), *mode, *verifier, now),
            Request::Write { file, at, content } => {
                let node = self.node_mut(*file)?;
                if let Body::File(old) = &mut node.body {
                    let end = at + content.len();
                    old.resize(old.len().max(end), 0);
                    old[*at..end].copy_from_slice(content);
                }
                (node.mtime, node.ctime) = (now, now);
                self.with_attr(*file)
            }
            Request::SetMtime { file, mtime } => {
                if !self.times.ignores_times {
                    let mtime = mtime.map(|mtime| self.times.kept(mtime));
                    let node = self.node_mut(*file)?;
                    node.mtime = mtime.unwrap_or(node.mtime);
                    self.change(*file, now)?;
                }
                self.with_attr(*file)
            }
            Request::SetMode { file, mode } => {
                self.node_mut(*file)?.mode = *mode;
                self.change(*file, now)?;
                self.with_attr(*file)
            }
            Request::Link { file, dir, name } => {
                self.node(*file)?;
                self.must_be_absent(*dir, name)?;
                if self.is_dir(*file)? {
                    return Err(ErrorKind::Unsupported);
                }
                self.entries_mut(*dir, now)?.insert(name.clone(), *file);
                self.node_mut(*file)?.nlink += 1;
                self.change(*file, now)?;
                self.with_attr(*file)
            }
            Request::Rename { dir, from, to_dir, to } => self.rename((*dir, from), (*to_dir, to), now),
            Request::Remove { dir, name } => self.remove((*dir, name), false, now),
            Request::MkDir { dir, name, mode } => {
                self.must_be_absent(*dir, name)?;
                self.entries(*dir)?;
                let made = self.add(Body::Dir(BTreeMap::new()), *mode, now, 0);
                self.entries_mut(*dir, now)?.insert(name.clone(), made);
                self.with_attr(made)
            }
            Request::Symlink { dir, name, target } => {
                self.must_be_absent(*dir, name)?;
                self.entries(*dir)?;
                let made = self.add(Body::Symlink(target.clone()), 0o777, now, 0);
                self.entries_mut(*dir, now)?.insert(name.clone(), made);
                self.with_attr(made)
            }
            Request::ReadLink { file } => match &self.node(*file)?.body {
                Body::Symlink(target) => Ok(Answer { names: vec![target.clone()], ..self.with_attr(*file)? }),
                Body::File(_) | Body::Dir(_) => Err(ErrorKind::InvalidInput),
            },
            Request::RmDir { dir, name } => self.remove((*dir, name), true, now),
        }
    }

    fn remove(&mut self, (dir, name): (Handle, &OsString), wants_dir: bool, now: ServerTime) -> Reply {
        let file = self.child(dir, name)?;
        match &self.node(file)?.body {
            Body::Dir(_) if !wants_dir && !self.one_remove => return Err(ErrorKind::IsADirectory),
            Body::File(_) | Body::Symlink(_) if wants_dir && !self.one_remove => return Err(ErrorKind::NotADirectory),
            Body::Dir(entries) if !entries.is_empty() => return Err(ErrorKind::DirectoryNotEmpty),
            _ => {}
        }
        self.entries_mut(dir, now)?.remove(name);
        self.drop_link(file, now)
    }

    fn create(&mut self, (dir, name): (Handle, &OsString), mode: u32, verifier: u64, now: ServerTime) -> Reply {
        match self.child(dir, name) {
            // The same request again.
            Ok(file) if self.node(file)?.verifier == verifier => return self.with_attr(file),
            Ok(_) => return Err(ErrorKind::AlreadyExists),
            Err(ErrorKind::NotFound) => {}
            Err(e) => return Err(e),
        }
        let made = self.add(Body::File(Vec::new()), mode, now, verifier);
        self.entries_mut(dir, now)?.insert(name.clone(), made);
        self.with_attr(made)
    }

    fn rename(&mut self, from: (Handle, &OsString), to: (Handle, &OsString), now: ServerTime) -> Reply {
        let moved = self.child(from.0, from.1)?;
        let moved_is_dir = self.is_dir(moved)?;
        if self.knows_the_dead && !self.nodes.contains_key(&to.0) {
            return Err(ErrorKind::NotFound);
        }
        self.entries(to.0)?;
        if let Ok(replaced) = self.child(to.0, to.1) {
            // Two links of one file: a success that does nothing.
            if replaced == moved {
                return Ok(Answer::default());
            }
            match (&self.node(replaced)?.body, moved_is_dir) {
                (Body::Dir(entries), true) if !entries.is_empty() => return Err(ErrorKind::DirectoryNotEmpty),
                (Body::File(_) | Body::Symlink(_), true) => return Err(ErrorKind::NotADirectory),
                (Body::Dir(_), false) => return Err(ErrorKind::IsADirectory),
                _ => {}
            }
            self.entries_mut(to.0, now)?.remove(to.1);
            self.drop_link(replaced, now)?;
        }
        self.entries_mut(from.0, now)?.remove(from.1);
        self.entries_mut(to.0, now)?.insert(to.1.clone(), moved);
        self.change(moved, now)?;
        Ok(Answer::default())
    }

    fn add(&mut self, body: Body, mode: u32, now: ServerTime, verifier: u64) -> Handle {
        let handle = Handle(self.next);
        self.next += 1;
        let inode = self.free_inodes.pop().unwrap_or(self.next);
        self.nodes.insert(handle, Node { inode, body, nlink: 1, mtime: now, ctime: now, mode, verifier });
        handle
    }

    fn drop_link(&mut self, file: Handle, now: ServerTime) -> Reply {
        self.change(file, now)?;
        let node = self.node_mut(file)?;
        node.nlink -= 1;
        if node.nlink == 0 {
            let inode = node.inode;
            self.free_inodes.push(inode);
            self.nodes.remove(&file);
        }
        Ok(Answer::default())
    }

    /// Updates the ctime of a file.
    fn change(&mut self, file: Handle, now: ServerTime) -> Result<(), ErrorKind> {
        let times = self.times;
        let node = self.node_mut(file)?;
        node.ctime = times.of_change(now, node.mtime);
        Ok(())
    }

    /// The files that a request changes, or whose names it changes.
    pub(crate) fn files_changed_by(&self, request: &Request) -> Vec<Handle> {
        let files = match request {
            Request::SetMtime { file, .. } | Request::SetMode { file, .. } | Request::Write { file, .. } => {
                [Some(*file), None]
            }
            Request::Link { file, .. } => [Some(*file), None],
            Request::Remove { dir, name } => [self.child(*dir, name).ok(), None],
            Request::Rename { dir, from, to_dir, to } => [self.child(*dir, from).ok(), self.child(*to_dir, to).ok()],
            _ => [None, None],
        };
        files.into_iter().flatten().collect()
    }

    #[cfg(test)]
    pub(crate) fn lose_content(&mut self, file: Handle) {
        self.node_mut(file).unwrap().body = Body::File(Vec::new());
    }

    fn node(&self, file: Handle) -> Result<&Node, ErrorKind> {
        self.nodes.get(&file).ok_or(ErrorKind::StaleNetworkFileHandle)
    }

    fn node_mut(&mut self, file: Handle) -> Result<&mut Node, ErrorKind> {
        self.nodes.get_mut(&file).ok_or(ErrorKind::StaleNetworkFileHandle)
    }

    fn is_dir(&self, file: Handle) -> Result<bool, ErrorKind> {
        Ok(matches!(self.node(file)?.body, Body::Dir(_)))
    }

    fn entries(&self, dir: Handle) -> Result<&BTreeMap<OsString, Handle>, ErrorKind> {
        match &self.node(dir)?.body {
            Body::Dir(entries) => Ok(entries),
            Body::File(_) | Body::Symlink(_) => Err(ErrorKind::NotADirectory),
        }
    }

    fn entries_mut(&mut self, dir: Handle, now: ServerTime) -> Result<&mut BTreeMap<OsString, Handle>, ErrorKind> {
        let node = self.node_mut(dir)?;
        (node.mtime, node.ctime) = (now, now);
        match &mut node.body {
            Body::Dir(entries) => Ok(entries),
            Body::File(_) | Body::Symlink(_) => Err(ErrorKind::NotADirectory),
        }
    }

    fn child(&self, dir: Handle, name: &OsString) -> Result<Handle, ErrorKind> {
        self.entries(dir)?.get(name).copied().ok_or(ErrorKind::NotFound)
    }

    fn must_be_absent(&self, dir: Handle, name: &OsString) -> Result<(), ErrorKind> {
        match self.child(dir, name) {
            Ok(_) => Err(ErrorKind::AlreadyExists),
            Err(ErrorKind::NotFound) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn with_attr(&self, file: Handle) -> Reply {
        let node = self.node(file)?;
        let (kind, len) = match &node.body {
            Body::File(content) => (FileKind::Regular, content.len()),
            Body::Symlink(target) => (FileKind::Symlink, target.len()),
            Body::Dir(_) => (FileKind::Directory, 0),
        };
        let id = FileId { device: 1, inode: node.inode };
        let attr = Attr {
            id,
            kind,
            nlink: node.nlink,
            len: len as u64,
            mtime: node.mtime,
            ctime: node.ctime,
            mode: node.mode,
            owner: 0,
        };
        Ok(Answer { file: Some((file, attr)), ..Answer::default() })
    }
}
