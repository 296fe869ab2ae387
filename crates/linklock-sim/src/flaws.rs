//! What a file server could do wrong, each with the scenario that must notice it.

use std::ffi::{OsStr, OsString};

use crate::env::FileKind;
use crate::server::{Answer, Flaw, Handle, ROOT, Reply, Request, Server};
use crate::time::ServerTime;

/// The name of a scenario about shared locks, a flaw, and what the scenario says of it.
pub(crate) const FLAWED: [(&str, Flaw, &str); 11] = [
    (
        "a file moved into a directory is there beside the others, as it was",
        loses_content,
        r#"A: read lock/second: expected "claim/second", got """#,
    ),
    (
        "a file moved into a directory is there beside the others, as it was",
        copies,
        "as A sees it: expected (ServerTime(4000000000123456789), 1), got (ServerTime(4000000000123456789), 2)",
    ),
    (
        "a name list after one's own move shows what others have put there and removed",
        lists_too_few,
        r#"A: list lock: expected ["first", "ours", "second", "third"], got ["first", "ours", "second"]"#,
    ),
    (
        "of two clients that each move a file, the later one sees both",
        lists_too_few,
        r#"B: list lock: expected ["first", "other", "ours"], got ["first", "other"]"#,
    ),
    (
        "a file is moved once, also if the request comes again or late",
        copies,
        "B: rename claim/entry to lock/entry: expected No such file or directory (os error 2), got File exists",
    ),
    (
        "a file is moved into no directory that is gone, or is a file by now",
        moves_into_nothing,
        "A: rename claim/entry to gone/entry: expected No such file or directory (os error 2), got ok",
    ),
    (
        "a directory that seems empty is neither replaced nor removed once a file was moved into it",
        replaces_full,
        "A: rename claim to lock: expected Directory not empty (os error 39), got ok",
    ),
    (
        "a directory that seems empty is neither replaced nor removed once a file was moved into it",
        removes_full,
        "A: rmdir lock: expected Directory not empty (os error 39), got ok",
    ),
    (
        "a file moved by the name of a directory that was replaced shows up in none but the new one",
        finds_the_old_one,
        r#"A: list lock: expected ["entry", "writer"], got ["entry"]"#,
    ),
    (
        "a file moved by the name of a directory that was replaced shows up in none but the new one",
        moves_into_nothing,
        r#"A: list lock: expected ["entry", "writer"], got ["writer"]"#,
    ),
    (
        "a file moved by the name of a directory that was moved away may follow it, and the name list shows it",
        finds_the_old_one,
        r#"A: list lock: expected ["writer"], got ["entry", "reader"]"#,
    ),
];

/// A file that is moved arrives as an empty one.
fn loses_content(server: &mut Server, request: &Request, now: ServerTime) -> Option<Reply> {
    let Request::Rename { dir, from, to_dir, to } = request else { return None };
    look_up(server, *dir, from, FileKind::Regular, now)?;
    let _ = server.carry_out(&Request::Remove { dir: *dir, name: from.clone() }, now);
    Some(server.carry_out(&Request::Create { dir: *to_dir, name: to.clone(), mode: 0o644, verifier: 0 }, now))
}

/// A file that is moved stays where it was, too.
fn copies(server: &mut Server, request: &Request, now: ServerTime) -> Option<Reply> {
    let Request::Rename { dir, from, to_dir, to } = request else { return None };
    let file = look_up(server, *dir, from, FileKind::Regular, now)?;
    Some(server.carry_out(&Request::Link { file, dir: *to_dir, name: to.clone() }, now))
}

/// A longer list of names ends before its last one.
fn lists_too_few(server: &mut Server, request: &Request, now: ServerTime) -> Option<Reply> {
    let Request::ReadDir { dir } = request else { return None };
    let mut names = names_in(server, *dir, now);
    (names.len() > 2).then(|| {
        names.pop();
        Ok(Answer { inodes: vec![0; names.len()], names, ..Answer::default() })
    })
}

/// A move into a directory that is gone is said to be done, and the file is lost.
fn moves_into_nothing(server: &mut Server, request: &Request, now: ServerTime) -> Option<Reply> {
    let Request::Rename { dir, from, to_dir, .. } = request else { return None };
    server.carry_out(&Request::GetAttr { file: *to_dir }, now).err()?;
    Some(server.carry_out(&Request::Remove { dir: *dir, name: from.clone() }, now))
}

/// A rename replaces a directory that is not empty.
fn replaces_full(server: &mut Server, request: &Request, now: ServerTime) -> Option<Reply> {
    let Request::Rename { to_dir, to, .. } = request else { return None };
    empty(server, *to_dir, to, now);
    None
}

/// A directory that is not empty is removed.
fn removes_full(server: &mut Server, request: &Request, now: ServerTime) -> Option<Reply> {
    let Request::RmDir { dir, name } = request else { return None };
    empty(server, *dir, name, now);
    None
}

/// A directory that was replaced or moved away is still found by its name.
fn finds_the_old_one(server: &mut Server, request: &Request, now: ServerTime) -> Option<Reply> {
    const NAME: &str = "lock";
    let (old, moved_away) = (OsString::from("old"), OsStr::new("elsewhere"));
    match request {
        Request::Rename { to, .. } if to == NAME => {
            let _ = server.carry_out(&Request::Rename { dir: ROOT, from: to.clone(), to_dir: ROOT, to: old }, now);
            None
        }
        Request::Lookup { dir: ROOT, name } if name == NAME => {
            let known =
                [&*old, moved_away].into_iter().find_map(|name| look_up(server, ROOT, name, FileKind::Directory, now));
            known.map(|file| server.carry_out(&Request::GetAttr { file }, now))
        }
        _ => None,
    }
}

fn empty(server: &mut Server, dir: Handle, name: &OsStr, now: ServerTime) {
    let Some(full) = look_up(server, dir, name, FileKind::Directory, now) else { return };
    for name in names_in(server, full, now) {
        let _ = server.carry_out(&Request::Remove { dir: full, name }, now);
    }
}

fn names_in(server: &mut Server, dir: Handle, now: ServerTime) -> Vec<OsString> {
    server.carry_out(&Request::ReadDir { dir }, now).map(|answer| answer.names).unwrap_or_default()
}

fn look_up(server: &mut Server, dir: Handle, name: &OsStr, kind: FileKind, now: ServerTime) -> Option<Handle> {
    let answer = server.carry_out(&Request::Lookup { dir, name: name.to_owned() }, now).ok()?;
    answer.file.filter(|(_, attr)| attr.kind == kind).map(|(file, _)| file)
}
