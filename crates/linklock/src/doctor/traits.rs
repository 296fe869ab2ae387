//! What locks need of a file system: what is known of its kind, and what it does.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::report::{Finding, Level, finding, of};
use super::tools::{Workshop, apart};
use crate::env::{DirMode, Env, FileKind, Meant, Reach};
use crate::file_system::{Fitness, Stamps};
use crate::options::Protocol;
use crate::protocol::place::ROUNDING;
use crate::protocol::silly_names;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the table knows.
pub(super) fn known(env: &dyn Env, dir: &Path) -> Vec<Finding> {
    let stamps = env.stamps(dir);
    let clock = match stamps {
        Stamps::Server => finding("clock", Level::Good, "one clock stamps all files"),
        Stamps::NotKnown => finding(
            "clock",
            Level::Note,
            "each machine may stamp files by its own clock, so none is compared: a lock has expired when a waiter has seen it \
             unchanged for its lifetime and the grace",
        ),
    };
    let mut findings = vec![clock];
    let Some(known) = env.file_system(dir) else {
        if stamps == Stamps::NotKnown {
            findings.push(finding("known", Level::Warning, "nothing is known of this kind of file system"));
        }
        return findings;
    };
    for protocol in [Protocol::Link, Protocol::Dir] {
        let evidence = known.evidence;
        let (level, text) = match known.fitness(protocol) {
            Fitness::Shown => (Level::Good, format!("shown by {evidence}")),
            Fitness::Documented => (Level::Note, format!("what it needs is there, by {evidence}")),
            Fitness::NotKnown => (Level::Warning, format!("not known on this kind of file system ({evidence})")),
            Fitness::NoHardLinks => (Level::Note, "this kind of file system has no hard links".into()),
            Fitness::Unsafe(why) => (Level::Fault, format!("{why} ({evidence})")),
        };
        findings.push(of(protocol, "known", level, text));
    }
    if !known.cached_for.is_zero() {
        findings.push(finding(
            "name cache",
            Level::Note,
            format!(
                "a machine may learn of others' changes {:?} late, and say so long that a lock is held",
                known.cached_for
            ),
        ));
    }
    findings
}

type Trait = fn(&Workshop) -> io::Result<Vec<Finding>>;

/// What the file system does, one by one.
pub(super) fn tried(workshop: &Workshop) -> Vec<Finding> {
    const TRAITS: [(&str, Trait); 7] = [
        ("hard links", hard_links),
        ("rename", renames),
        ("times", times),
        ("offset", offset),
        ("sticky bit", sticky_bit),
        ("open files", open_files),
        ("waking", waking),
    ];
    let try_one = |(about, found): (&'static str, Trait)| {
        found(workshop).unwrap_or_else(|e| vec![finding(about, Level::Fault, format!("cannot be tried: {e}"))])
    };
    TRAITS.into_iter().flat_map(try_one).collect()
}

fn hard_links(shop: &Workshop) -> io::Result<Vec<Finding>> {
    let made = shop.create("one")?;
    shop.may_leave(&["two"]);
    let two = shop.at("two");
    let linked = shop.env.link(&shop.at("one"), &two);
    // Linux's SMB client may not open a second name of a file that it has a lease on.
    let (level, text) = match linked.and_then(|()| shop.env.read(&two, 100)) {
        Err(e) => (Level::Fault, format!("a second name of a file cannot be made, or not be opened: {e}")),
        Ok(_) => match (shop.env.stat(&shop.at("one"))?, shop.env.stat(&two)?) {
            (one, two) if two.kind == FileKind::Regular && one.id == made.id && two.id == one.id && two.nlink == 2 => {
                (Level::Good, "two names of a file show as one file with two links".into())
            }
            (one, two) => (
                Level::Fault,
                format!(
                    "two names of a file look like two files: inodes {} and {}, {} and {} links",
                    one.id.inode, two.id.inode, one.nlink, two.nlink
                ),
            ),
        },
    };
    Ok(vec![of(Protocol::Link, "hard links", level, text)])
}

fn renames(shop: &Workshop) -> io::Result<Vec<Finding>> {
    let env = shop.env.as_ref();
    for (name, file) in [("from", Some("f")), ("free", Some("g")), ("empty", None), ("full", Some("h"))] {
        shop.mkdir(name, file)?;
    }
    // Wherever they come to be.
    shop.may_leave(&["empty/f", "full/g", "new/g", "new"]);
    let mut findings = Vec::new();
    let mut found = |level, text: String| findings.push(of(Protocol::Dir, "rename", level, text));
    match env.rename(&shop.at("from"), &shop.at("empty")) {
        Ok(()) if env.stat(&shop.at("empty/f")).is_ok() => {
            found(Level::Good, "a directory with a file in it takes the place of an empty one".into());
        }
        moved => found(Level::Fault, format!("a directory cannot take the place of an empty one: {}", said(&moved))),
    }
    match env.rename(&shop.at("free"), &shop.at("full")) {
        Err(_) if env.stat(&shop.at("full/h")).is_ok() && env.stat(&shop.at("free/g")).is_ok() => {
            found(Level::Good, "a directory that is not empty is never replaced".into());
        }
        moved => found(Level::Fault, format!("a directory that is not empty was replaced: {}", said(&moved))),
    }
    match env.rename_noreplace(&shop.at("free"), &shop.at("new")) {
        Ok(()) => found(Level::Good, "RENAME_NOREPLACE works".into()),
        Err(e) => found(Level::Note, format!("RENAME_NOREPLACE does not work, and is not needed: {e}")),
    }
    Ok(findings)
}

fn said(result: &io::Result<()>) -> String {
    result.as_ref().err().map_or_else(|| "no error".into(), ToString::to_string)
}

fn times(shop: &Workshop) -> io::Result<Vec<Finding>> {
    let (env, at) = (shop.env.as_ref(), shop.at("times"));
    let made = shop.create("times")?;
    let meant = Meant { id: None, owner: made.owner, is_alone: false };
    let mut off = Duration::ZERO;
    // FAT begins in 1980, and some end in 2038.
    let odd = Duration::from_nanos(123_456_789);
    for asked in [made.mtime - DAY - odd, made.mtime + DAY + odd] {
        env.set_expiry(&at, meant, asked)?;
        off = off.max(apart(env.stat(&at)?.mtime, asked));
    }
    let kept = match off {
        Duration::ZERO => (Level::Good, "kept to the nanosecond, in the past and in the future".into()),
        off if off <= ROUNDING => {
            (Level::Note, format!("rounded by up to {off:?}: a holder trusts its lock that much less"))
        }
        off => (Level::Fault, format!("not kept: {off:?} off, so no lock could be refreshed")),
    };
    let set = env.stat(&at)?;
    let touched = env.touch(&at, meant)?;
    let alone = if touched.mtime == set.mtime {
        (Level::Good, "the atime can be set alone")
    } else {
        (Level::Note, "to set the atime alone changes the mtime too")
    };
    let mut findings = vec![finding("times", kept.0, kept.1), finding("times", alone.0, alone.1)];
    if set.ctime >= set.mtime {
        findings.push(finding("times", Level::Note, "the ctime follows the mtime, so it tells no clock"));
    }
    Ok(findings)
}

fn offset(shop: &Workshop) -> io::Result<Vec<Finding>> {
    let before = shop.env.wall_clock();
    let made = shop.create("clock")?;
    let after = shop.env.wall_clock();
    let (ahead, behind) = (made.ctime.since(after), before.since(made.ctime));
    let text = match ahead.max(behind) {
        // A tick, or whole seconds.
        apart if apart < ROUNDING => "new files have this machine's time".into(),
        apart if ahead > behind => {
            format!("new files are {apart:.1?} ahead of this machine's clock, which does no harm")
        }
        apart => format!("new files are {apart:.1?} behind this machine's clock, which does no harm"),
    };
    Ok(vec![finding("offset", Level::Note, text)])
}

fn sticky_bit(shop: &Workshop) -> io::Result<Vec<Finding>> {
    shop.may_leave(&["sticky"]);
    let kept = shop.env.make_dir(&shop.at("sticky"), DirMode::Usual(0o1755))?.is_sticky();
    Ok(vec![match kept {
        true => finding("sticky bit", Level::Good, "directories keep it"),
        false => finding(
            "sticky bit",
            Level::Note,
            "directories do not keep it, so any empty directory at a lock path counts as a free lock",
        ),
    }])
}

/// How a file looks that is removed while it is open.
fn open_files(shop: &Workshop) -> io::Result<Vec<Finding>> {
    shop.mkdir("open", Some("f"))?;
    // NOFOLLOW, NONBLOCK: whatever has taken its place.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(shop.at("open/f").as_path(), flags, Mode::empty())?;
    shop.env.unlink(&shop.at("open/f"))?;
    let names = shop.names_in("open")?;
    drop(file);
    Ok(vec![match names.as_slice() {
        [] => of(Protocol::Dir, "open files", Level::Good, "one that is removed is gone at once"),
        [name] if silly_names::has_prefix(name.as_ref()) => of(
            Protocol::Dir,
            "open files",
            Level::Note,
            format!("one that is removed stays as {name} until it is closed, and linklock knows such names"),
        ),
        names => of(
            Protocol::Dir,
            "open files",
            Level::Warning,
            format!("one that is removed stays as {names:?} until it is closed, and is in the way so long"),
        ),
    }])
}

fn waking(shop: &Workshop) -> io::Result<Vec<Finding>> {
    shop.create("watched")?;
    let mut watcher = shop.env.watcher();
    watcher.arm(&shop.at("watched"), None);
    let text = match watcher.reach() {
        Reach::All => "waiters are woken",
        Reach::ThisMachine => "waiters are woken by changes of this machine, and poll for others'",
        Reach::NoneLocal | Reach::Crowded | Reach::NoneShared => "waiters poll",
    };
    Ok(vec![finding("waking", Level::Note, text)])
}

/// The separator that names can hold: the one that was asked for, else another one.
pub(super) fn separator(shop: &Workshop, asked: char) -> (Vec<Finding>, Option<char>) {
    let can_hold = |separator| shop.create(&format!("name{separator}name"));
    match (can_hold(asked), can_hold('^')) {
        (Ok(_), _) => (vec![finding("names", Level::Good, format!("can hold the separator, {asked}"))], Some(asked)),
        (Err(e), Ok(_)) => {
            (vec![finding("names", Level::Note, format!("cannot hold {asked} ({e}): use --separator ^"))], Some('^'))
        }
        (Err(e), Err(_)) => {
            (vec![finding("names", Level::Fault, format!("can hold neither {asked} nor ^: {e}"))], None)
        }
    }
}
