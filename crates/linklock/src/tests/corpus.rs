//! What is written to disk has the form that tests/corpus has of it, so that no change of it goes unnoticed.
//!
//! A change is allowed if this version still reads the old form, and if its neighbours of older versions read the new one. Then
//! the new form gets a case of its own, and the old case stays. With LINKLOCK_WRITE_CORPUS=DIRECTORY the test writes there what
//! it finds, as the files of manifests.

#![expect(clippy::disallowed_methods, reason = "it looks at what is on disk")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::faults::{Arena, Call, Fate, When};
use super::plain::{Plain, at};
use crate::env::os::OsEnv;
use crate::env::{Attr, Env, FileKind};
use crate::protocol::queue::Ticket;
use crate::protocol::steps;
use crate::time::ServerTime;
use crate::{Builder, Lock, OnBehalfOf, Protocol, Token, Wait, Wake};

#[allow(dead_code, reason = "the program's tests use the rest")]
#[path = "../../tests/corpus/manifest.rs"]
mod manifest;

use manifest::Case;

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_secs(15);

/// What others write, or this version only at another time.
const NOT_WRITTEN: [&str; 7] =
    ["dir-expired", "flufl-10.0.0", "flufl-8.2.0", "flufl-9.2.0", "flufl-expired", "here", "leftovers"];

/// Something on disk.
struct Found {
    /// Its path in the directory, with slashes.
    name: String,
    attr: Attr,
    /// The content, or the text of a symbolic link.
    content: String,
}

type Scene = fn() -> (Arena, Vec<Found>);

/// How this version comes to write each case.
const SCENES: [(&str, Scene); 18] = [
    ("link-held", || held(Protocol::Link, |builder| builder)),
    ("link-nobody", || held(Protocol::Link, |builder| builder.on_behalf_of(OnBehalfOf::Nobody))),
    ("link-expired", || expired(HOUR, |builder| builder)),
    ("link-waiter", || waiter(Protocol::Link)),
    ("dir-held", || held(Protocol::Dir, |builder| builder)),
    ("dir-nobody", || held(Protocol::Dir, |builder| builder.on_behalf_of(OnBehalfOf::Nobody))),
    ("dir-refreshed", refreshed),
    ("dir-waiter", || waiter(Protocol::Dir)),
    ("dir-free", free),
    ("shared-one", || shared(1)),
    ("shared-several", || shared(3)),
    ("bell", bell),
    ("queue", queue),
    ("fence", || expired(HOUR, |builder| builder.fence(true))),
    ("break-lock", || breaking(HOUR, When::Before)),
    ("moved-aside", || breaking(48 * HOUR, When::After)),
    ("slots", slots),
    ("caret", || held(Protocol::Link, |builder| builder.separator('^'))),
];

#[test]
fn what_is_written_has_the_form_of_the_corpus() {
    for (name, scene) in SCENES {
        let case = Case::named(name);
        if case.cannot_be_here().is_some() {
            continue;
        }
        let (_arena, found) = scene();
        if let Some(dir) = std::env::var_os("LINKLOCK_WRITE_CORPUS") {
            write(&Path::new(&dir).join(format!("{name}.json")), &found);
        }
        let kept = tempfile::tempdir().unwrap();
        Plain.chmod(kept.path(), 0o755).unwrap();
        case.lay_out(kept.path());
        let (written, kept) = (form(&found, case.separator), form(&scan(kept.path()), case.separator));
        assert_eq!(written, kept, "{name}: left is written today, right is the corpus");
    }
}

#[test]
fn each_case_is_known() {
    let mut known: Vec<_> = SCENES.iter().map(|(name, _)| *name).chain(NOT_WRITTEN).collect();
    known.sort_unstable();
    let all = Case::all();
    assert_eq!(all.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), known);
    assert!(all.iter().all(|case| case.expect.is_object()));
}

fn arena() -> Arena {
    let arena = Arena::new();
    // The directories that contenders share are as open as it is.
    Plain.chmod(arena.dir.path(), 0o755).unwrap();
    arena
}

fn builder(arena: &Arena, protocol: Protocol, host: &str) -> Builder {
    arena.builder(protocol).host(host).lifetime(HOUR)
}

fn build(arena: &Arena, builder: Builder) -> Lock {
    builder.build_in(arena.env.clone()).unwrap()
}

fn take(arena: &Arena, builder: Builder) -> Token {
    build(arena, builder).try_acquire().unwrap().expect("it is free").leave()
}

fn now(arena: Arena) -> (Arena, Vec<Found>) {
    let found = scan(arena.dir.path());
    (arena, found)
}

fn held(protocol: Protocol, change: fn(Builder) -> Builder) -> (Arena, Vec<Found>) {
    let arena = arena();
    take(&arena, change(builder(&arena, protocol, "there.example")));
    now(arena)
}

/// A link lock that expired so long ago.
fn expire(arena: &Arena, ago: Duration, change: fn(Builder) -> Builder) {
    let token = take(arena, change(builder(arena, Protocol::Link, "there.example").lifetime(SHORT)));
    let expiry = ServerTime::from(SystemTime::now() - ago);
    Plain.set_expiry(&arena.dir.path().join(token.as_os_str()), expiry).unwrap();
}

fn expired(ago: Duration, change: fn(Builder) -> Builder) -> (Arena, Vec<Found>) {
    let arena = arena();
    expire(&arena, ago, change);
    now(arena)
}

fn refreshed() -> (Arena, Vec<Found>) {
    let arena = arena();
    let lock = build(&arena, builder(&arena, Protocol::Dir, "there.example").lifetime(SHORT));
    let guard = lock.acquire().unwrap();
    guard.refresh_for(HOUR).unwrap();
    guard.leave();
    now(arena)
}

fn waiter(protocol: Protocol) -> (Arena, Vec<Found>) {
    let arena = arena();
    take(&arena, builder(&arena, protocol, "there.example"));
    steps::stage(build(&arena, builder(&arena, protocol, "waits.example")).place()).unwrap();
    now(arena)
}

fn free() -> (Arena, Vec<Found>) {
    let arena = Arena::on_nfs_4();
    build(&arena, builder(&arena, Protocol::Dir, "there.example")).acquire().unwrap().release().unwrap();
    now(arena)
}

fn shared(readers: usize) -> (Arena, Vec<Found>) {
    let arena = arena();
    for reader in 1..=readers {
        take(&arena, builder(&arena, Protocol::Dir, &format!("reader{reader}.example")).shared(true));
    }
    now(arena)
}

/// What is there when a contender is about to make such a call at this path.
fn at_call(arena: Arena, lock: &Lock, call: Call, when: When, path: PathBuf) -> (Arena, Vec<Found>) {
    let found = Arc::new(Mutex::new(Vec::new()));
    let (noted, dir) = (Arc::clone(&found), arena.dir.path().to_owned());
    arena.env.on_call(move |_, c, w, p| {
        let mut noted = noted.lock().unwrap();
        if (c, w, p) == (call, when, &*path) && noted.is_empty() {
            *noted = scan(&dir);
        }
        Fate::GoOn
    });
    let _ = lock.acquire_with(&Wait::up_to(Duration::from_secs(5)));
    arena.env.on_call(|_, _, _, _| Fate::GoOn);
    let found = std::mem::take(&mut *found.lock().unwrap());
    (arena, found)
}

/// What is there when a contender waits that listens for hints.
fn waiting(arena: Arena, change: fn(Builder) -> Builder) -> (Arena, Vec<Found>) {
    arena.env.port.store(4711, std::sync::atomic::Ordering::SeqCst);
    let lock = build(&arena, change(builder(&arena, Protocol::Link, "waits.example").wake(Wake::Udp)));
    at_call(arena, &lock, Call::Wait, When::Before, PathBuf::new())
}

fn bell() -> (Arena, Vec<Found>) {
    let arena = arena();
    take(&arena, builder(&arena, Protocol::Link, "there.example"));
    waiting(arena, |builder| builder)
}

fn queue() -> (Arena, Vec<Found>) {
    let arena = arena();
    take(&arena, builder(&arena, Protocol::Link, "there.example"));
    let first = build(&arena, builder(&arena, Protocol::Link, "waits.example"));
    let stake = steps::stage(first.place()).unwrap();
    Ticket::draw(first.place(), &stake, first.place().env.now()).unwrap().unwrap();
    waiting(arena, |builder| builder.queue(true))
}

/// What is there before or after a breaker has moved aside a lock that expired so long ago.
fn breaking(ago: Duration, when: When) -> (Arena, Vec<Found>) {
    let arena = arena();
    expire(&arena, ago, |builder| builder);
    let (breaker, path) = (build(&arena, builder(&arena, Protocol::Link, "breaks.example")), arena.path());
    at_call(arena, &breaker, Call::Rename, when, path)
}

fn slots() -> (Arena, Vec<Found>) {
    let arena = arena();
    // A contender begins with any slot.
    for (protocol, wanted) in [(Protocol::Link, 1), (Protocol::Dir, 2)] {
        let slots = build(&arena, builder(&arena, protocol, "there.example")).slots(2).unwrap();
        loop {
            let slot = slots.try_acquire().unwrap().expect("one is free");
            if slot.number() == wanted {
                slot.into_guard().leave();
                break;
            }
            slot.release().unwrap();
        }
    }
    now(arena)
}

/// All that is in the directory.
fn scan(dir: &Path) -> Vec<Found> {
    let (mut found, mut within) = (Vec::new(), vec![String::new()]);
    while let Some(parent) = within.pop() {
        for name in Plain.list(&dir.join(&parent)).unwrap() {
            let name = format!("{parent}{}", name.into_string().unwrap());
            let path = dir.join(&name);
            let attr = Plain.stat(&path).unwrap();
            let content = match attr.kind {
                FileKind::Symlink => OsEnv.read_symlink(&at(&path)).unwrap().into_string().unwrap(),
                FileKind::Directory => {
                    within.push(format!("{name}/"));
                    String::new()
                }
                _ => fs::read_to_string(&path).unwrap(),
            };
            found.push(Found { name, attr, content });
        }
    }
    found
}

/// A line for each, sorted, with placeholders for what differs from one lock to the next.
fn form(found: &[Found], separator: char) -> Vec<String> {
    let name_of = |found: &Found| {
        let parts: Vec<_> = found.name.split('/').map(|part| formed(part, separator)).collect();
        parts.join("/")
    };
    let mut lines: Vec<_> = found
        .iter()
        .map(|one| {
            let name = name_of(one);
            // Windows has no modes.
            let mode = if cfg!(unix) { one.attr.mode & 0o7777 } else { 0 };
            match one.attr.kind {
                FileKind::Symlink => {
                    let (claim, address) = one.content.split_once('/').unwrap_or((&one.content, ""));
                    let (address, number) = address.rsplit_once('/').unwrap_or_default();
                    let digits = number.bytes().filter(u8::is_ascii_hexdigit).count();
                    format!("{name} -> {}/{address}/{digits} digits", formed(claim, separator))
                }
                FileKind::Directory => format!("{name}/ {mode:o}"),
                _ => {
                    let mut links: Vec<_> =
                        found.iter().filter(|other| other.attr.id == one.attr.id).map(name_of).collect();
                    links.sort();
                    let (hours, content) = (hours_from_now(&one.attr), content_formed(&one.content, separator));
                    format!("{name} {mode:o} {hours:+} h {content:?}, {} links: {links:?}", one.attr.nlink)
                }
            }
        })
        .collect();
    lines.sort();
    lines
}

fn hours_from_now(attr: &Attr) -> i64 {
    let now = ServerTime::from(SystemTime::now());
    let hours = |time: Duration| ((time.as_secs_f64() / 3600.0).round()) as i64;
    hours(attr.mtime.since(now)) - hours(now.since(attr.mtime))
}

/// A claim's name, or one that contains it; a number; or another name, as it is.
fn formed(name: &str, separator: char) -> String {
    let parts: Vec<_> = name.split(separator).collect();
    let [begin @ .., _host, pid, last] = parts.as_slice() else { return numbered(name) };
    if begin.is_empty() || !pid.bytes().all(|b| b.is_ascii_digit()) {
        return name.into();
    }
    let begin = begin.join("|");
    // A ticket begins with a time.
    let ticket = begin.bytes().take_while(u8::is_ascii_digit).count();
    let time = if ticket > 0 { format!("({ticket} digits)") } else { String::new() };
    let (nonce, rest) = last.split_at(last.bytes().take_while(u8::is_ascii_hexdigit).count());
    let bits = u128::from_str_radix(nonce, 16).unwrap_or(0) >> 64;
    let whose = if bits >> 10 == 0 { "nobody" } else { "process" };
    let (digits, lifetime) = (nonce.len(), bits & 0x3ff);
    format!("{time}{}|HOST|PID|({digits} digits: {whose}, lifetime {lifetime:x}){rest}", &begin[ticket..])
}

fn numbered(name: &str) -> String {
    let is_number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    if is_number { format!("({} digits)", name.len()) } else { name.into() }
}

fn content_formed(content: &str, separator: char) -> String {
    let Ok(about) = serde_json::from_str::<serde_json::Value>(content) else {
        return match content.rsplit_once(['/', '\\']) {
            Some((_, name)) => format!("PATH/{}", formed(name, separator)),
            None => content.into(),
        };
    };
    // As it is but for what differs.
    ["command", "user", "since_unix_ms"].iter().fold(content.to_owned(), |content, key| {
        let placeholder = if about[key].is_u64() { "NUMBER" } else { "TEXT" };
        content.replace(&format!("\"{key}\":{}", about[key]), &format!("\"{key}\":{placeholder}"))
    })
}

fn write(path: &Path, found: &[Found]) {
    let files = found.iter().map(|one| {
        let mut file = serde_json::Map::new();
        let slash = if one.attr.kind == FileKind::Directory { "/" } else { "" };
        file.insert("name".into(), format!("{}{slash}", one.name).into());
        file.insert("mode".into(), format!("{:o}", one.attr.mode & 0o7777).into());
        if one.attr.kind == FileKind::Symlink {
            file.insert("to".into(), one.content.as_str().into());
        } else if one.attr.kind == FileKind::Regular {
            file.insert("content".into(), one.content.as_str().into());
            file.insert("mtime".into(), format!("{:+}h", hours_from_now(&one.attr)).into());
        }
        serde_json::Value::from(file).to_string()
    });
    let files: Vec<_> = files.collect();
    fs::write(path, files.join("\n")).unwrap();
}
