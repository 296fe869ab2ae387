//! File systems that lack something, or remember too long.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::faults::{Arena, BOTH, Call, Fate, GRACE, LIFETIME, When};
use super::plain::Plain;
use crate::env::Env;
use crate::file_system::{FILE_SYSTEMS, FileSystem, Fitness, Stamps};
use crate::options::Protocol;
use crate::protocol::judge::grace;
use crate::protocol::place::BREAK_LIFETIME;
use crate::{ErrorKind, Lock, Wait, Which};

fn refused(lock: &Lock) -> String {
    let e = lock.acquire_with(&Wait::never()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    e.to_string()
}

#[test]
fn where_two_names_of_a_file_look_like_two_files_link_is_refused_and_leaves_nothing() {
    for (kind, instead) in
        [("virtiofs", "; use the dir protocol"), ("rclone mount", "; keep the lock on another file system")]
    {
        let arena = Arena::new();
        *arena.env.kind.lock().unwrap() = Some(kind);
        arena.env.has_a_number_for_each_name.store(true, Ordering::SeqCst);
        let said = refused(&arena.lock(Protocol::Link));
        assert!(said.contains("no hard links") && said.ends_with(instead), "{kind}: {said}");
        assert_eq!(arena.names(), [""; 0], "{kind}");
    }
}

/// The bug: the lock came to be, nobody recognised it, and its own contender waited for it.
#[test]
fn links_are_tried_before_the_first_attempt_and_once() {
    let arena = Arena::new();
    *arena.env.kind.lock().unwrap() = Some("virtiofs");
    let lock = arena.lock(Protocol::Link);
    lock.acquire().unwrap().release().unwrap();
    let links = arena.env.calls(Call::Link);
    assert_eq!(links.iter().filter(|to| **to == arena.path()).count(), 1);
    assert_eq!((links.len(), links[1] == arena.path()), (2, true), "{links:?}");
    lock.acquire().unwrap().release().unwrap();
    assert_eq!(arena.env.calls(Call::Link).len(), 3, "the file system is known by now");
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn a_link_that_cannot_be_tried_to_the_end_ends_the_acquisition() {
    for call in [Call::Link, Call::Unlink] {
        let arena = Arena::new();
        *arena.env.kind.lock().unwrap() = Some("virtiofs");
        arena.env.once(call, When::Before, |_, _| Fate::Fail(io::ErrorKind::Other));
        let e = arena.lock(Protocol::Link).acquire().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io, "{call:?}: {e}");
        assert!(!arena.path().exists(), "{call:?}");
    }
}

#[test]
fn a_guard_knows_whether_a_server_must_answer_and_takes_what_it_does_not_know_for_one() {
    for (kind, has_server) in
        [("tmpfs", false), ("NFS", true), ("overlayfs", true), ("NTFS (ntfs-3g), and other disks by FUSE", true)]
    {
        for protocol in BOTH {
            let arena = Arena::new();
            *arena.env.kind.lock().unwrap() = Some(kind);
            let lock = arena.lock(protocol);
            let guard = lock.acquire().unwrap();
            assert_eq!(guard.has_file_server(), has_server, "{kind}");
            let fresh = arena.lock(protocol).adopt(&guard.leave()).unwrap();
            assert!(fresh.has_file_server(), "{kind}: it has not asked");
        }
    }
    assert!(FILE_SYSTEMS.iter().all(|known| known.is_local || known.has_server));
}

#[test]
fn a_protocol_that_is_known_to_fail_is_refused_unless_that_is_overruled() {
    for (kind, protocol, instead) in [
        ("mergerfs", Protocol::Link, "; keep the lock on another file system"),
        ("mergerfs", Protocol::Dir, "; keep the lock on another file system"),
        ("s3fs", Protocol::Dir, "; keep the lock on another file system"),
    ] {
        let arena = Arena::new();
        *arena.env.kind.lock().unwrap() = Some(kind);
        let said = refused(&arena.lock(protocol));
        let fails = format!("refused, because the {protocol} protocol fails on this file system, {kind}: ");
        assert!(said.contains(&fails) && said.contains(instead), "{said}");
        assert_eq!(arena.names(), [""; 0]);
        let overruled = arena.builder(protocol).allow_unsafe_file_system(true).build_in(arena.env.clone()).unwrap();
        overruled.acquire().unwrap().release().unwrap();
    }
}

/// The bug: after a crash, or while a reader was late, an empty directory stayed at the lock path, and everybody said "not a lock"
/// for ever.
#[test]
fn where_directories_keep_no_mark_an_empty_one_is_free() {
    // On Windows every directory counts as marked.
    for kept in [false, true].into_iter().filter(|kept| cfg!(unix) || !kept) {
        let arena = Arena::new();
        arena.env.keeps_no_sticky_bit.store(!kept, Ordering::SeqCst);
        Plain.mkdir(&arena.path()).unwrap();
        let acquired = arena.lock(Protocol::Dir).acquire_with(&Wait::up_to(Duration::from_secs(60)));
        match acquired {
            Ok(guard) => guard.release().unwrap(),
            Err(e) => assert!(kept && e.kind() == ErrorKind::NotALock, "{e}"),
        }
        assert_eq!(arena.path().exists(), kept);
    }
    // A contender for a link lock makes no directory that would show it: the table says it.
    let arena = Arena::new();
    *arena.env.kind.lock().unwrap() = Some("NTFS (ntfs-3g), and other disks by FUSE");
    arena.env.keeps_no_sticky_bit.store(true, Ordering::SeqCst);
    Plain.mkdir(&arena.path()).unwrap();
    arena.lock(Protocol::Link).acquire_with(&Wait::never()).unwrap().release().unwrap();
    assert_eq!(arena.names(), [""; 0]);
}

#[test]
fn what_clients_keep_of_an_open_entry_is_in_nobodys_way() {
    for (name, is_removable) in [
        (".fuse_hidden0000000500000001", true),
        (".__smb0001", true),
        (".fuse_hidden", false),
        (".fuse_hidden is mine", false),
        (".__smb", false),
    ] {
        let arena = Arena::new();
        leave_at_lock_path(&arena.path(), name);
        let acquired = arena.lock(Protocol::Dir).acquire_with(&Wait::never());
        assert_eq!(acquired.is_ok(), is_removable, "{name}");
        assert_eq!(arena.path().join(name).exists(), !is_removable, "{name}");
    }
}

fn leave_at_lock_path(path: &Path, name: &str) {
    Plain.mkdir(path).unwrap();
    Plain.chmod(path, 0o1755).unwrap();
    Plain.create(&path.join(name), b"what a reader has open").unwrap();
}

#[test]
fn where_names_are_cached_no_lock_is_called_none_before_the_cache_has_passed() {
    for protocol in BOTH {
        let arena = Arena::new();
        *arena.env.kind.lock().unwrap() = Some("GlusterFS");
        Plain.create(&arena.path(), b"what this machine still knows").unwrap();
        let path = arena.path();
        arena.env.once(Call::Wait, When::Before, move |_, _| {
            Plain.unlink(&path).unwrap();
            Fate::GoOn
        });
        arena.lock(protocol).acquire().unwrap().release().unwrap();
        Plain.create(&arena.path(), b"and this stays").unwrap();
        let e = arena.lock(protocol).acquire().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotALock, "{protocol}: {e}");
    }
}

#[test]
fn where_names_are_cached_a_lock_that_seems_broken_is_looked_at_again() {
    for protocol in BOTH {
        for kind in ["GlusterFS", "NFS"] {
            let arena = Arena::new();
            *arena.env.kind.lock().unwrap() = Some(kind);
            let guard = arena.lock(protocol).acquire().unwrap();
            arena.env.once(Call::SetExpiry, When::Before, |_, _| Fate::Fail(io::ErrorKind::NotFound));
            let refreshed = guard.refresh();
            assert_eq!(refreshed.is_ok(), kind == "GlusterFS", "{protocol} on {kind}: {refreshed:?}");
        }
    }
}

/// The bug: a FUSE client that knew of an entry which was gone by then said EIO, and that ended the wait.
#[cfg(unix)]
#[test]
fn where_names_are_cached_an_input_output_error_is_no_answer() {
    const EIO: i32 = 5;
    for protocol in BOTH {
        for kind in ["GlusterFS", "NFS"] {
            let arena = Arena::new();
            *arena.env.kind.lock().unwrap() = Some(kind);
            let held = arena.rival(protocol).acquire();
            arena.env.once(Call::Read, When::Before, |_, _| Fate::FailBy(EIO));
            let lock = arena.lock(protocol);
            let e = lock.acquire_with(&Wait::up_to(Duration::from_secs(5))).unwrap_err();
            assert_eq!(e.is_timeout(), kind == "GlusterFS", "{protocol} on {kind}: {e}");
            held.release().unwrap();
            let guard = lock.acquire().unwrap();
            arena.env.once(Call::Unlink, When::Before, |_, _| Fate::FailBy(EIO));
            assert_eq!(guard.release().is_ok(), kind == "GlusterFS", "{protocol} on {kind}");
        }
    }
}

/// A look may show what was there before a refresh.
#[test]
fn where_a_machine_answers_from_a_cache_a_lock_is_left_alone_for_so_much_longer() {
    for (kind, cached) in [("NFS", 0), ("MooseFS", 1)] {
        for clock_is_known in [true, false] {
            let arena = Arena::new();
            *arena.env.kind.lock().unwrap() = Some(kind);
            arena.env.stamps_are_not_known.store(!clock_is_known, Ordering::SeqCst);
            assert_eq!(grace(arena.lock(Protocol::Link).place()), GRACE + Duration::from_secs(cached), "{kind}");
            arena.rival(Protocol::Link).acquire().leave();
            let began = arena.env.now();
            arena.lock(Protocol::Link).acquire().unwrap().release().unwrap();
            let waited = arena.env.now().since(began);
            let due = LIFETIME + GRACE + Duration::from_secs(cached);
            // The name rounds the lifetime up, and a waiter polls.
            let most = due + LIFETIME / 16 + Duration::from_secs(5);
            assert!(waited >= due - Duration::from_secs(1) && waited <= most, "{kind}, {clock_is_known}: {waited:?}");
        }
    }
}

/// A look from a cache may show the lock that another breaker has just broken; the name is the next holder's by then.
#[test]
fn where_names_are_cached_a_breaker_outwaits_the_cache_in_its_turn_before_it_looks_again() {
    for (kind, cached) in [("NFS", Duration::ZERO), ("GlusterFS", Duration::from_secs(1))] {
        let arena = Arena::new();
        *arena.env.kind.lock().unwrap() = Some(kind);
        let guard = arena.rival(Protocol::Link).acquire();
        let token = guard.leave();
        let (path, turn) = (arena.path(), Arc::new(Mutex::new(None)));
        let (begun, waited) = (Arc::clone(&turn), Arc::new(Mutex::new(None)));
        let told = Arc::clone(&waited);
        arena.env.on_call(move |env, call, when, from| {
            if (call, when) == (Call::Rename, When::After) && begun.lock().unwrap().is_none() {
                *begun.lock().unwrap() = Some(env.now());
            } else if (call, when) == (Call::Rename, When::Before) && from == path {
                *told.lock().unwrap() = begun.lock().unwrap().map(|begun| env.now().since(begun));
            }
            Fate::GoOn
        });
        arena.lock(Protocol::Link).break_lock(&Which::Claim(token)).unwrap().unwrap();
        let waited = waited.lock().unwrap().unwrap();
        assert!(waited >= cached && waited < cached + Duration::from_secs(1), "{kind}: {waited:?}");
        assert_eq!(arena.names(), [""; 0], "{kind}");
    }
}

/// The bug: a client of GlusterFS said "not there" of an entry that it did remove, and the release said that the lock was lost.
#[test]
fn a_release_that_is_answered_by_not_there_counts_where_the_client_may_be_wrong() {
    for kind in ["GlusterFS", "NFS"] {
        let arena = Arena::new();
        *arena.env.kind.lock().unwrap() = Some(kind);
        let guard = arena.lock(Protocol::Dir).acquire().unwrap();
        arena.env.once(Call::Unlink, When::After, |_, _| Fate::Fail(io::ErrorKind::NotFound));
        let released = guard.release();
        assert_eq!(released.is_ok(), kind == "GlusterFS", "{kind}: {released:?}");
        assert_eq!(arena.names(), [""; 0], "{kind}");
    }
}

#[test]
fn every_kind_has_one_name_and_says_where_its_evidence_is_from() {
    for known in FILE_SYSTEMS {
        assert!(!known.name.is_empty() && !known.evidence.is_empty(), "{known:?}");
        let same = FILE_SYSTEMS.iter().filter(|other| other.name == known.name);
        assert_eq!(same.count(), 1, "{}", known.name);
        assert_ne!(known.dir, Fitness::NoHardLinks, "{}: dir needs none", known.name);
        // Else no turn would last until the look that decides.
        let breaks = !matches!(known.link, Fitness::NoHardLinks | Fitness::Unsafe(_));
        assert!(!breaks || known.cached_for <= BREAK_LIFETIME / 4, "{}", known.name);
    }
}

#[test]
fn a_kind_is_known_by_its_number_its_type_or_its_source() {
    const FUSE: u64 = 0x6573_5546;
    let found = |magic, kind: &str, source: &str| {
        let listed = [kind, source, "rw"].map(String::from);
        FileSystem::find(magic, Some(&listed)).map(|known| known.name)
    };
    // The server's ext4.
    assert_eq!(found(0xef53, "9p", "share"), Some("9p"));
    assert_eq!(found(0x6969, "nfs4", "srv:/export"), Some("NFS"));
    assert_eq!(found(FUSE, "fuse.sshfs", "host:/dir"), Some("sshfs"));
    // Debian's mfsmount sets no type.
    assert_eq!(found(FUSE, "fuse", "mfs\\043srv:9421"), Some("MooseFS"));
    assert_eq!(found(FUSE, "fuse", "/source/of/bindfs"), None);
    assert_eq!(FileSystem::find(0xef53, None).map(|known| known.stamps), Some(Stamps::Server), "a disk");
}

/// With LINKLOCK_WRITE_DOCS set, it writes the table instead.
#[test]
#[cfg_attr(windows, ignore = "the page may have other line ends there")]
#[expect(clippy::disallowed_methods, reason = "it reads the page")]
fn docs_show_the_table() {
    const BEGIN: &str = "<!-- The table: made by the test docs_show_the_table. -->\n";
    const END: &str = "<!-- The end of the table. -->\n";
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/filesystems.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    let made = format!("\n{}\n", table());
    if std::env::var_os("LINKLOCK_WRITE_DOCS").is_some() {
        std::fs::write(&page, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
    } else {
        assert_eq!(shown, made, "write it with LINKLOCK_WRITE_DOCS=1 cargo test docs_show_the_table");
    }
}

fn table() -> String {
    let mut table =
        "| file system | `link` | `dir` | whose clock | to know | by |\n| --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    for known in FILE_SYSTEMS {
        let fitness = |fitness| match fitness {
            Fitness::Shown => "shown".into(),
            Fitness::Documented => "documented".into(),
            Fitness::NotKnown => "not known".into(),
            Fitness::NoHardLinks => "no hard links".into(),
            Fitness::Unsafe(why) => format!("**refused**: {why}"),
        };
        let stamps = match known.stamps {
            Stamps::Server if known.is_local => "this machine's",
            Stamps::Server => "the server's",
            Stamps::NotKnown => "each client's",
        };
        let mut notes = Vec::from_iter(Some(known.advice.to_owned()).filter(|advice| !advice.is_empty()));
        if !known.cached_for.is_zero() {
            notes.push(format!("answers may be {:?} old", known.cached_for));
        }
        if !known.keeps_sticky {
            notes.push("no sticky bit".into());
        }
        let (link, dir) = (fitness(known.link), fitness(known.dir));
        table += &format!(
            "| {} | {link} | {dir} | {stamps} | {} | {} |\n",
            known.name,
            notes.join("; ").replace('|', "\\|"),
            known.evidence
        );
    }
    table
}
