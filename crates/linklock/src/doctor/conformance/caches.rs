//! Outdated caches: one client believes something while the other changes it. Some calls reach the server all the same; for the
//! others the library refreshes the cache first.

use rustix::io::Errno;

use super::client::{Checked, same};
use super::stage::{Scenario, Stage};
use super::times::far;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "a directory's attributes bring a name that was missing to light", steps: missing_name_appears },
    Scenario { name: "a directory's attributes bring to light that a name is gone", steps: known_name_disappears },
    Scenario {
        name: "a directory's attributes bring to light that a name is another file's",
        steps: known_name_replaced,
    },
    Scenario { name: "a file's attributes are the server's, whatever was known of them", steps: fresh_attributes },
    Scenario { name: "a link that fails brings the name that it met to light", steps: link_onto_unknown },
    Scenario { name: "nothing is made onto a name that seems to be missing", steps: make_onto_unknown },
    Scenario { name: "a file without names is gone, for a client that knew it too", steps: known_file_gone },
    Scenario {
        name: "a directory is renamed onto nothing but an empty one, whatever was known",
        steps: rename_onto_changed,
    },
    Scenario { name: "a directory that seems empty is not removed if it is not", steps: rmdir_filled },
    Scenario { name: "rmdir may remove a file that took a directory's name", steps: rmdir_of_new_file },
    Scenario {
        name: "unlink does not remove a directory that took a file's name and is not empty",
        steps: unlink_of_new_directory,
    },
    Scenario {
        name: "a file in a directory that was replaced is looked for in the new one",
        steps: unlink_in_replaced,
    },
    Scenario { name: "a directory that was moved away may be met under its old name", steps: unlink_in_moved },
    Scenario { name: "a file that took a directory's name is no directory", steps: directory_became_file },
    Scenario { name: "a file that was renamed away is not renamed again", steps: rename_of_moved },
    Scenario { name: "a rename moves the file that has the name now, not the known one", steps: rename_of_replaced },
    Scenario { name: "a name that was a file's may be taken for one", steps: rename_onto_former_file },
    Scenario { name: "a name that seems to be missing may not be removed", steps: unlink_of_unknown },
    Scenario { name: "a name list is the server's, whatever was known of it", steps: fresh_list },
    Scenario { name: "a client that has made a link knows its file and the count", steps: link_is_known },
    Scenario {
        name: "a client that has renamed a directory knows its new name, and finds the names in it",
        steps: rename_is_known,
    },
];

fn missing_name_appears(on: &Stage<'_>) -> Checked {
    on.a.stat("file").fails(Errno::NOENT)?;
    on.a.stat("dir").fails(Errno::NOENT)?;
    on.tick();
    on.b.create("file").ok()?;
    on.b.make_full("dir", "entry")?;
    let seen = on.a.stat("file").or_fails(&[Errno::NOENT])?;
    on.note(if seen.is_some() { "at once" } else { "still missing" });
    on.a.refresh(".")?;
    on.a.shows("file", "file")?;
    on.a.lists("dir", &["entry"])?;
    on.a.shows("dir/entry", "dir/entry")
}

fn known_name_disappears(on: &Stage<'_>) -> Checked {
    on.a.create("claim").ok()?;
    on.a.link("claim", "lock").ok()?;
    on.a.counts("lock", 2)?;
    on.tick();
    on.b.unlink("lock").ok()?;
    // The file is still there, by its other name.
    let seen = on.a.stat("lock").or_fails(&[Errno::NOENT])?;
    on.note(if seen.is_none() { "at once" } else { "still there" });
    if let Some(attr) = seen {
        same("A: the links of what was lock", &1, &attr.nlink)?;
    }
    on.a.counts("claim", 1)?;
    on.a.refresh(".")?;
    on.a.stat("lock").fails(Errno::NOENT)?;
    on.a.read("lock").fails(Errno::NOENT)
}

fn known_name_replaced(on: &Stage<'_>) -> Checked {
    on.a.create("old").ok()?;
    on.a.link("old", "lock").ok()?;
    let before = on.a.stat("lock").ok()?;
    on.tick();
    on.b.rename("lock", "aside").ok()?;
    on.b.create("new").ok()?;
    on.b.link("new", "lock").ok()?;
    let seen = on.a.stat("lock").ok()?;
    on.note(if seen.id == before.id { "still the old file" } else { "at once" });
    on.a.refresh(".")?;
    on.a.shows("lock", "new")?;
    same("A: stat lock", &on.a.stat("new").ok()?.id, &on.a.stat("lock").ok()?.id)?;
    on.a.shows("aside", "old")
}

fn fresh_attributes(on: &Stage<'_>) -> Checked {
    on.a.create("f").ok()?;
    let before = on.a.stat("f").ok()?;
    on.tick();
    on.b.set_expiry("f", far()).ok()?;
    let after = on.a.stat("f").ok()?;
    same("A: the mtime of f", &far(), &after.mtime)?;
    same("A: f's ctime has moved on", &true, &(after.ctime > before.ctime))?;
    on.b.append("f", b"\n").ok()?;
    same("A: the length of f", &(before.len + 1), &on.a.stat("f").ok()?.len)?;
    on.a.append("f", b"\n").ok()?;
    same("B: the length of f", &(before.len + 2), &on.b.stat("f").ok()?.len)?;
    on.b.link("f", "g").ok()?;
    on.a.counts("f", 2)?;
    on.b.unlink("g").ok()?;
    on.a.counts("f", 1)?;
    on.b.set_expiry("f", before.mtime).ok()?;
    same("A: the mtime of f that was read", &before.mtime, &on.a.read("f").ok()?.0.mtime)
}

/// The library decides an attempt by a stat right after the link.
fn link_onto_unknown(on: &Stage<'_>) -> Checked {
    on.a.create("claim").ok()?;
    on.a.stat("lock").fails(Errno::NOENT)?;
    on.b.create("other").ok()?;
    on.b.link("other", "lock").ok()?;
    on.a.link("claim", "lock").fails(Errno::EXIST)?;
    on.a.counts("lock", 2)?;
    on.a.shows("lock", "other")
}

fn make_onto_unknown(on: &Stage<'_>) -> Checked {
    for name in ["file", "dir", "source"] {
        on.a.stat(name).fails(Errno::NOENT)?;
    }
    on.b.create("file").ok()?;
    on.b.make_full("dir", "entry")?;
    on.a.create("file").fails(Errno::EXIST)?;
    on.a.mkdir("dir").fails(Errno::EXIST)?;
    on.a.create("claim").ok()?;
    on.a.link("claim", "dir").fails(Errno::EXIST)?;
    on.b.shows("file", "file")?;
    on.b.lists("dir", &["entry"])
}

fn known_file_gone(on: &Stage<'_>) -> Checked {
    for name in ["stat", "read", "link", "touch", "expiry", "append", "unlink"] {
        on.a.create(name).ok()?;
        on.a.has_seen(name);
        on.b.unlink(name).ok()?;
    }
    on.a.make_full("list", "x")?;
    on.a.mkdir("rmdir").ok()?;
    on.a.lists("list", &["x"])?;
    on.b.unlink("list/x").ok()?;
    on.b.rmdir("list").ok()?;
    on.b.rmdir("rmdir").ok()?;
    on.a.stat("stat").fails(Errno::NOENT)?;
    on.a.read("read").fails(Errno::NOENT)?;
    on.a.link("link", "new").fails(Errno::NOENT)?;
    on.a.touch("touch").fails(Errno::NOENT)?;
    on.a.set_expiry("expiry", far()).fails(Errno::NOENT)?;
    on.a.append("append", b"\n").fails(Errno::NOENT)?;
    on.a.unlink("unlink").fails(Errno::NOENT)?;
    on.a.list("list").fails(Errno::NOENT)?;
    on.a.rmdir("rmdir").fails(Errno::NOENT)?;
    on.a.lists(".", &[])
}

fn rename_onto_changed(on: &Stage<'_>) -> Checked {
    on.a.make_full("claim", "entry")?;
    // Known to be empty; full by now.
    on.a.mkdir("empty").ok()?;
    on.a.lists("empty", &[])?;
    on.b.create("empty/other").ok()?;
    on.a.rename("claim", "empty").fails(Errno::NOTEMPTY)?;
    on.b.lists("empty", &["other"])?;
    // Known to be missing; full by now, or a file.
    on.a.stat("full").fails(Errno::NOENT)?;
    on.b.make_full("full", "other")?;
    on.a.rename("claim", "full").fails(Errno::NOTEMPTY)?;
    on.a.stat("file").fails(Errno::NOENT)?;
    on.b.create("file").ok()?;
    on.a.rename("claim", "file").fails(Errno::NOTDIR)?;
    on.b.shows("file", "file")?;
    // Known to be a directory, a file by now.
    on.a.mkdir("changed").ok()?;
    on.a.has_seen("changed");
    on.b.rmdir("changed").ok()?;
    on.b.create("changed").ok()?;
    on.a.rename("claim", "changed").fails(Errno::NOTDIR)?;
    on.b.shows("changed", "changed")?;
    // Known to be full, empty by now; and at last known to be missing, and made by the other.
    on.a.refresh(".")?;
    on.a.lists("full", &["other"])?;
    on.b.unlink("full/other").ok()?;
    on.a.rename("claim", "full").ok()?;
    on.a.stat("late").fails(Errno::NOENT)?;
    on.b.mkdir("late").ok()?;
    on.a.rename("full", "late").ok()?;
    on.b.lists("late", &["entry"])
}

fn rmdir_filled(on: &Stage<'_>) -> Checked {
    on.a.mkdir("lock").ok()?;
    on.a.lists("lock", &[])?;
    on.b.create("lock/entry").ok()?;
    on.a.rmdir("lock").fails(Errno::NOTEMPTY)?;
    // Another directory of that name, renamed onto the empty one.
    on.b.unlink("lock/entry").ok()?;
    on.a.lists("lock", &[])?;
    on.b.make_full("claim", "entry")?;
    on.b.rename("claim", "lock").ok()?;
    on.a.rmdir("lock").fails(Errno::NOTEMPTY)?;
    on.b.lists("lock", &["entry"])
}

/// As when a holder releases a dir lock, and another contender links a lock there before the directory is removed.
fn rmdir_of_new_file(on: &Stage<'_>) -> Checked {
    on.a.mkdir("lock").ok()?;
    on.a.has_seen("lock");
    on.b.rmdir("lock").ok()?;
    on.b.create("claim").ok()?;
    on.b.link("claim", "lock").ok()?;
    // NFS 4 has one REMOVE for files and directories. The client checks the kind, and it knows the old one.
    if on.a.rmdir("lock").or_fails(&[Errno::NOTDIR])?.is_some() {
        on.note("the file is removed");
        on.b.counts("claim", 1)
    } else {
        on.note("refused");
        on.b.counts("claim", 2)
    }
}

fn unlink_of_new_directory(on: &Stage<'_>) -> Checked {
    on.a.create("claim").ok()?;
    on.a.link("claim", "lock").ok()?;
    on.a.has_seen("lock");
    on.b.unlink("lock").ok()?;
    on.b.make_full("lock", "entry")?;
    // ENOTEMPTY by NFS 4's one REMOVE.
    let refused = on.a.unlink("lock").fails_with_one_of(&[Errno::ISDIR, Errno::NOTEMPTY])?;
    on.note(if refused == Errno::ISDIR { "refused as a directory" } else { "refused as not empty" });
    on.b.lists("lock", &["entry"])
}

fn unlink_in_replaced(on: &Stage<'_>) -> Checked {
    on.a.make_full("lock", "first")?;
    on.a.has_seen("lock/first");
    on.tick();
    on.b.unlink("lock/first").ok()?;
    on.b.make_full("claim", "second")?;
    on.b.rename("claim", "lock").ok()?;
    on.a.unlink("lock/first").fails(Errno::NOENT)?;
    on.a.lists("lock", &["second"])?;
    on.a.unlink("lock/second").ok()?;
    on.b.lists("lock", &[])
}

/// So a held lock's directory must never be renamed away.
fn unlink_in_moved(on: &Stage<'_>) -> Checked {
    on.a.make_full("lock", "entry")?;
    on.a.has_seen("lock/entry");
    on.b.rename("lock", "elsewhere").ok()?;
    // By the old name, if it is still believed, it is a file of the directory that was moved.
    let moved = on.a.unlink("lock/entry").or_fails(&[Errno::NOENT])?.is_some();
    on.note(if moved { "removed where it was moved to" } else { "not met" });
    on.b.lists("elsewhere", if moved { &[] } else { &["entry"] })
}

fn directory_became_file(on: &Stage<'_>) -> Checked {
    on.a.make_full("lock", "entry")?;
    on.a.has_seen("lock/entry");
    on.tick();
    on.b.unlink("lock/entry").ok()?;
    on.b.rmdir("lock").ok()?;
    on.b.create("lock").ok()?;
    // The file that was known is gone: the client looks again.
    on.a.stat("lock/entry").fails(Errno::NOTDIR)?;
    on.a.unlink("lock/entry").fails(Errno::NOTDIR)?;
    on.b.shows("lock", "lock")
}

fn rename_of_moved(on: &Stage<'_>) -> Checked {
    on.a.create("lock").ok()?;
    on.a.has_seen("lock");
    on.b.rename("lock", "theirs").ok()?;
    on.a.rename("lock", "ours").fails(Errno::NOENT)?;
    on.b.lists(".", &["theirs"])?;
    on.tick();
    on.b.create("lock").ok()?;
    if on.a.rename("lock", "ours").or_fails(&[Errno::NOENT])?.is_some() {
        on.note("the next one is");
    } else {
        on.note("nor is the next one, at once");
        on.a.refresh(".")?;
        on.a.rename("lock", "ours").ok()?;
    }
    on.b.lists(".", &["ours", "theirs"])
}

/// As when a breaker is late.
fn rename_of_replaced(on: &Stage<'_>) -> Checked {
    on.a.create("first").ok()?;
    on.a.link("first", "lock").ok()?;
    on.a.has_seen("lock");
    on.b.unlink("lock").ok()?;
    on.b.create("second").ok()?;
    on.b.link("second", "lock").ok()?;
    // The server renames the name, whichever file the client knew.
    on.a.rename("lock", "aside").ok()?;
    on.b.shows("aside", "second")?;
    on.b.lists(".", &["aside", "first", "second"])
}

/// The library takes it for a lost attempt, refreshes and tries again.
fn rename_onto_former_file(on: &Stage<'_>) -> Checked {
    on.a.make_full("claim", "entry")?;
    on.a.create("lock").ok()?;
    on.a.has_seen("lock");
    on.tick();
    on.b.unlink("lock").ok()?;
    on.tick();
    if on.a.rename("claim", "lock").or_fails(&[Errno::NOTDIR])?.is_some() {
        on.note("renamed");
    } else {
        on.note("refused");
        on.a.refresh(".")?;
        on.a.rename("claim", "lock").ok()?;
    }
    on.b.refresh(".")?;
    on.b.lists("lock", &["entry"])
}

fn unlink_of_unknown(on: &Stage<'_>) -> Checked {
    on.a.stat("file").fails(Errno::NOENT)?;
    on.tick();
    on.b.create("file").ok()?;
    if on.a.unlink("file").or_fails(&[Errno::NOENT])?.is_some() {
        on.note("removed");
    } else {
        on.note("not even asked for");
        on.a.refresh(".")?;
        on.a.unlink("file").ok()?;
    }
    on.b.lists(".", &[])
}

fn fresh_list(on: &Stage<'_>) -> Checked {
    on.a.make_full("lock", "first")?;
    on.a.lists("lock", &["first"])?;
    on.tick();
    on.b.create("lock/second").ok()?;
    on.a.lists("lock", &["first", "second"])?;
    on.tick();
    on.b.unlink("lock/first").ok()?;
    on.a.lists("lock", &["second"])
}

/// A client that has just made a link believes its cache, and misses for a moment what others do.
fn link_is_known(on: &Stage<'_>) -> Checked {
    on.a.create("claim").ok()?;
    on.a.link("claim", "lock").ok()?;
    let known = on.a.stat_as_known("lock").ok()?;
    same("A: the links of lock", &2, &known.nlink)?;
    same("A: the file under lock", &on.a.stat("claim").ok()?.id, &known.id)?;
    on.a.unlink("lock").ok()?;
    on.a.stat_as_known("lock").fails(Errno::NOENT)?;
    on.a.link("claim", "lock").ok()?;
    on.tick();
    on.b.unlink("lock").ok()?;
    let known = on.a.stat_as_known("lock").or_fails(&[Errno::NOENT])?;
    on.note(if known.is_some() { "still known" } else { "gone at once" });
    on.a.refresh(".")?;
    on.a.stat_as_known("lock").fails(Errno::NOENT)
}

/// A client that has just renamed its own directory believes that it and its entry are there, and finds the entry.
fn rename_is_known(on: &Stage<'_>) -> Checked {
    on.a.make_full("dir", "entry")?;
    let id = on.a.id_as_known("dir").ok()?;
    on.a.rename("dir", "lock").ok()?;
    same("A: the directory under lock", &id, &on.a.id_as_known("lock").ok()?)?;
    on.a.id_as_known("dir").fails(Errno::NOENT)?;
    on.a.unlink("lock/entry").ok()?;
    on.a.rmdir("lock").ok()
}
