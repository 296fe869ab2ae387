//! What may become of things at and around a lock path: docs/security.md and the pages of the protocols say which of them are
//! a lock's. Nothing happens to all others.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use crate::ground::{Kind, SHARED, Scene, Thing};
use crate::lock_path::LockPath;
use crate::names::bytes_of;
use crate::things::{LOCK, SLOTS};

/// How much a reader reads of a file.
const CONTENT_MOST: usize = 8192;
const STICKY: u32 = 0o1000;
const TIME_OF_TICKET: usize = 20;

struct Lock {
    path: LockPath,
    break_lock: LockPath,
}

static LOCKS: LazyLock<Vec<Lock>> = LazyLock::new(|| {
    let names = [LOCK].into_iter().chain(SLOTS);
    let path = |name: &str| LockPath::new(&Path::new("/").join(SHARED).join(name), '|').expect("it is valid");
    names.map(path).map(|path| Lock { break_lock: path.of_break_lock(), path }).collect()
});

/// What has happened that must not happen.
pub(crate) fn violations(before: &Scene, now: &Scene) -> Vec<String> {
    let changed = before.iter().filter(|(path, was)| !may_change(path, was, before) && now.get(*path) != Some(was));
    let changed = changed.map(|(path, was)| format!("{path:?} was {was:?}, and is {:?}", now.get(path)));
    let new = now.keys().filter(|path| !before.contains_key(*path) && !may_come(path, before));
    changed.chain(new.map(|path| format!("{path:?} is new"))).collect()
}

/// Whether a contender, a breaker or an operator may remove or change it.
fn may_change(path: &Path, thing: &Thing, scene: &Scene) -> bool {
    let names = names(path);
    let [top, name, inner @ ..] = &names[..] else { return false };
    *top == SHARED && LOCKS.iter().any(|lock| lock.may_change(scene, thing, name, inner))
}

/// Whether it may be made.
fn may_come(path: &Path, before: &Scene) -> bool {
    let names = names(path);
    let [top, name, inner @ ..] = &names[..] else { return false };
    let is_beside = |lock: &Lock| {
        let (path, break_lock) = (&lock.path, &lock.break_lock);
        let own = [path.location(), break_lock.location(), &path.bell(), &path.fence(), &path.queue()];
        let is_claims = || path.parse(bytes_of(*name)).or(break_lock.parse(bytes_of(*name))).is_some();
        own.iter().any(|own| own.as_path().file_name() == Some(*name)) || is_claims()
    };
    if *top != SHARED || !LOCKS.iter().any(is_beside) {
        return false;
    }
    // Inside of a directory that is not a lock's, nothing comes.
    let parent = Path::new(SHARED).join(name);
    match (inner, before.get(&parent)) {
        ([], _) | (_, None) => true,
        ([_], Some(thing)) => {
            LOCKS.iter().any(|lock| lock.may_change(before, thing, name, &[]) || lock.is_shared_directory(thing, name))
        }
        _ => false,
    }
}

impl Lock {
    fn may_change(&self, scene: &Scene, thing: &Thing, name: &OsStr, inner: &[&OsStr]) -> bool {
        let is = |path: &Path| path.file_name() == Some(name);
        let top = Path::new(SHARED).join(name);
        let is_free = |path: &LockPath| inner.is_empty() && is_lock_file(path, thing);
        match inner {
            _ if is(self.path.as_path()) => is_free(&self.path) || is_in_lock(&self.path, scene, &top, inner),
            _ if is(self.break_lock.as_path()) => is_in_lock(&self.break_lock, scene, &top, inner),
            // rmdir(2) removes it only while it is empty.
            [] if is(self.path.queue().as_path()) => thing.kind == Kind::Directory,
            [inner] if is(self.path.queue().as_path()) => self.is_of_queue(thing, inner),
            [] if is(self.path.bell().as_path()) => thing.kind == Kind::Symlink,
            [inner] if is(self.path.fence().as_path()) => is_number(inner) && thing.kind == Kind::Directory,
            _ => [(&self.path, true), (&self.break_lock, false)]
                .iter()
                .any(|(path, has_files)| is_claim(path, name) && is_in_claim(path, scene, &top, inner, *has_files)),
        }
    }

    /// Whether it is a directory of the lock's in which contenders make things, and which stays.
    fn is_shared_directory(&self, thing: &Thing, name: &OsStr) -> bool {
        thing.kind == Kind::Directory && self.path.fence().as_path().file_name() == Some(name)
    }

    fn is_of_queue(&self, thing: &Thing, name: &OsStr) -> bool {
        let is_ticket = |name: &[u8]| {
            let parts = name.split_at_checked(TIME_OF_TICKET);
            parts.is_some_and(|(time, claim)| time.iter().all(u8::is_ascii_digit) && self.path.parse(claim).is_some())
        };
        match bytes_of(name).strip_suffix(b".next") {
            Some(ticket) => is_ticket(ticket) && thing.kind == Kind::Symlink,
            None => is_ticket(bytes_of(name)) && thing.kind == Kind::File && thing.content.is_empty(),
        }
    }
}

fn names(path: &Path) -> Vec<&OsStr> {
    path.components().map(Component::as_os_str).collect()
}

fn is_claim(path: &LockPath, name: &OsStr) -> bool {
    path.parse(bytes_of(name)).is_some_and(|claim| claim.token.as_os_str() == name)
}

fn is_number(name: &OsStr) -> bool {
    bytes_of(name).iter().all(u8::is_ascii_digit)
}

/// A file at the lock path whose content names a claim, or that a power failure has emptied.
fn is_lock_file(path: &LockPath, thing: &Thing) -> bool {
    thing.kind == Kind::File && (path.parse(read(thing)).is_some() || is_blank(thing))
}

fn read(thing: &Thing) -> &[u8] {
    &thing.content[..thing.content.len().min(CONTENT_MOST)]
}

fn is_blank(thing: &Thing) -> bool {
    thing.content.len() < CONTENT_MOST && thing.content.iter().all(|byte| *byte == 0)
}

fn children<'a>(scene: &'a Scene, dir: &Path) -> Vec<(&'a OsStr, &'a Thing)> {
    let all = scene.iter().filter(|(path, _)| path.parent() == Some(dir));
    all.map(|(path, thing)| (path.file_name().unwrap_or_default(), thing)).collect()
}

/// The directory of a `dir` lock, or an entry in it.
fn is_in_lock(path: &LockPath, scene: &Scene, dir: &Path, inner: &[&OsStr]) -> bool {
    let Some(thing) = scene.get(dir).filter(|thing| thing.kind == Kind::Directory) else { return false };
    let children = children(scene, dir);
    let is_ours = thing.mode & STICKY != 0;
    // What a client of NFS has left of a removed entry.
    let is_left = |name: &OsStr| is_ours && bytes_of(name).starts_with(b".nfs");
    let may_go = |(name, thing): &(&OsStr, &Thing)| is_left(name) || is_claim(path, name) && thing.kind == Kind::File;
    match inner {
        [] if children.is_empty() => is_ours || path.is_break_lock,
        [] => children.iter().all(may_go),
        // Whatever has a claim's name does not keep an entry beside it from being one.
        [entry] => {
            children.iter().all(|(name, _)| is_left(name) || is_claim(path, name))
                && children.iter().any(|child| child.0 == *entry && may_go(child))
        }
        _ => false,
    }
}

/// A claim, as `link` or `dir` makes it, or its entry.
fn is_in_claim(path: &LockPath, scene: &Scene, top: &Path, inner: &[&OsStr], has_files: bool) -> bool {
    let Some(thing) = scene.get(top) else { return false };
    match thing.kind {
        Kind::File => has_files && (path.parse(read(thing)).is_some() || is_blank(thing)),
        Kind::Directory => {
            let children = children(scene, top);
            children.iter().all(|(name, entry)| Some(*name) == top.file_name() && entry.kind == Kind::File)
                && inner.len() <= 1
        }
        Kind::Symlink | Kind::Other => false,
    }
}

/// For messages: what was there.
pub(crate) fn told(scene: &Scene) -> String {
    let line = |(path, thing): (&PathBuf, &Thing)| format!("  {path:?}: {thing:?}\n");
    scene.iter().map(line).collect()
}
