//! Names and files: the effect of each call, and its errors, where no cache is outdated.

use rustix::io::Errno;

use super::client::{Checked, holds, same};
use super::stage::{Scenario, Stage};
use super::times::far;
use crate::env::FileKind;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "a new file has one link, is empty at first and then holds what it was given", steps: new_file },
    Scenario { name: "a new directory is empty and keeps the sticky bit, if it was asked for", steps: new_directory },
    Scenario { name: "no more of a file is read than was asked for", steps: read_up_to },
    Scenario { name: "a new file or directory takes no name that is taken", steps: taken_names },
    Scenario { name: "nothing is made or found where the directory is missing or is a file", steps: no_directory },
    Scenario { name: "every call reports a missing name as missing", steps: missing_names },
    Scenario { name: "a link is the same file under two names, counted for both", steps: link },
    Scenario { name: "a link is made onto no name that is taken, and of no directory", steps: link_refused },
    Scenario { name: "a file renamed onto another replaces it", steps: rename_file },
    Scenario {
        name: "a file renamed onto another link of the same file does nothing and says ok",
        steps: rename_onto_link,
    },
    Scenario { name: "a renamed directory keeps the names in it", steps: rename_directory },
    Scenario { name: "a directory renamed onto an empty one replaces it", steps: rename_onto_empty },
    Scenario { name: "a directory is renamed onto no other that is not empty", steps: rename_onto_full },
    Scenario { name: "a directory is renamed onto no file, and no file onto a directory", steps: rename_across },
    Scenario { name: "a rename that must not replace anything does not, or is not known", steps: rename_noreplace },
    Scenario { name: "a directory that is not empty is not removed", steps: rmdir_full },
    Scenario { name: "unlink removes no directory, and rmdir no file", steps: remove_across },
    Scenario { name: "a name is removed once", steps: remove_twice },
];

fn new_file(on: &Stage<'_>) -> Checked {
    let step = "the new file's first attributes";
    let first = on.a.create_and_look("f").ok()?.map(|attr| (attr.kind, attr.nlink, attr.len, attr.id));
    let (attr, content) = on.a.read("f").ok()?;
    same(step, &Some((FileKind::Regular, 1, 0, attr.id)), &first)?;
    same("A: read f", &(FileKind::Regular, 1, 7), &(attr.kind, attr.nlink, attr.len))?;
    same("A: read f", &b"content".as_slice(), &content.as_slice())?;
    let (attr, content) = on.b.read("f").ok()?;
    same("B: read f", &(FileKind::Regular, 1, 7), &(attr.kind, attr.nlink, attr.len))?;
    same("B: read f", &b"content".as_slice(), &content.as_slice())
}

fn new_directory(on: &Stage<'_>) -> Checked {
    const STICKY: u32 = 0o1000;
    on.a.mkdir_with("plain", 0o755).ok()?;
    on.a.mkdir_with("sticky", 0o755 | STICKY).ok()?;
    on.a.make_dir("open", 0o775).ok()?;
    for client in [&on.a, &on.b] {
        for (name, sticky) in [("plain", 0), ("sticky", STICKY), ("open", 0)] {
            let attr = client.stat(name).ok()?;
            let is_open = attr.mode & 0o022 == 0o020;
            same(name, &(name == "open"), &is_open)?;
            same(name, &(FileKind::Directory, sticky), &(attr.kind, attr.mode & STICKY))?;
            client.lists(name, &[])?;
        }
    }
    Ok(())
}

fn read_up_to(on: &Stage<'_>) -> Checked {
    on.a.create("name").ok()?;
    let (attr, content) = on.b.read_up_to("name", 2).ok()?;
    same("B: read name", &(4, b"na".as_slice()), &(attr.len, content.as_slice()))
}

fn taken_names(on: &Stage<'_>) -> Checked {
    on.a.create("file").ok()?;
    on.a.make_full("full", "x")?;
    on.a.mkdir("empty").ok()?;
    for client in [&on.a, &on.b] {
        for taken in ["file", "full", "empty"] {
            client.create(taken).fails(Errno::EXIST)?;
            client.mkdir(taken).fails(Errno::EXIST)?;
        }
        client.shows("file", "file")?;
        client.lists("full", &["x"])?;
    }
    Ok(())
}

fn no_directory(on: &Stage<'_>) -> Checked {
    on.a.create("file").ok()?;
    on.a.create("source").ok()?;
    for client in [&on.a, &on.b] {
        for (path, errno) in [("missing/x", Errno::NOENT), ("file/x", Errno::NOTDIR)] {
            client.create(path).fails(errno)?;
            client.mkdir(path).fails(errno)?;
            client.link("source", path).fails(errno)?;
            client.rename("source", path).fails(errno)?;
            client.stat(path).fails(errno)?;
            client.read(path).fails(errno)?;
            client.list(path).fails(errno)?;
            client.unlink(path).fails(errno)?;
            client.rmdir(path).fails(errno)?;
            client.set_expiry(path, far()).fails(errno)?;
        }
        client.list("file").fails(Errno::NOTDIR)?;
    }
    Ok(())
}

fn missing_names(on: &Stage<'_>) -> Checked {
    for client in [&on.a, &on.b] {
        client.stat("x").fails(Errno::NOENT)?;
        client.read("x").fails(Errno::NOENT)?;
        client.list("x").fails(Errno::NOENT)?;
        client.touch("x").fails(Errno::NOENT)?;
        client.set_expiry("x", far()).fails(Errno::NOENT)?;
        client.link("x", "y").fails(Errno::NOENT)?;
        client.rename("x", "y").fails(Errno::NOENT)?;
        client.unlink("x").fails(Errno::NOENT)?;
        client.rmdir("x").fails(Errno::NOENT)?;
        client.lists(".", &[])?;
    }
    Ok(())
}

fn link(on: &Stage<'_>) -> Checked {
    on.a.create("claim").ok()?;
    on.a.link("claim", "lock").ok()?;
    for client in [&on.a, &on.b] {
        let (claim, lock) = (client.stat("claim").ok()?, client.stat("lock").ok()?);
        same("the file of both names", &claim.id, &lock.id)?;
        same("the links of both names", &(2, 2), &(claim.nlink, lock.nlink))?;
        client.shows("lock", "claim")?;
    }
    on.a.unlink("claim").ok()?;
    on.a.counts("lock", 1)?;
    on.b.counts("lock", 1)
}

fn link_refused(on: &Stage<'_>) -> Checked {
    on.a.create("claim").ok()?;
    on.a.create("other").ok()?;
    on.a.mkdir("dir").ok()?;
    for client in [&on.a, &on.b] {
        for taken in ["other", "dir", "claim"] {
            client.link("claim", taken).fails(Errno::EXIST)?;
        }
        client.link("dir", "new").fails(Errno::PERM)?;
        client.counts("claim", 1)?;
        client.shows("other", "other")?;
    }
    Ok(())
}

fn rename_file(on: &Stage<'_>) -> Checked {
    on.a.create("old").ok()?;
    on.a.link("old", "elsewhere").ok()?;
    on.a.create("new").ok()?;
    on.a.rename("new", "old").ok()?;
    on.a.shows("old", "new")?;
    on.a.stat("new").fails(Errno::NOENT)?;
    on.b.shows("old", "new")?;
    on.b.stat("new").fails(Errno::NOENT)?;
    // One link fewer of what was replaced.
    on.b.counts("elsewhere", 1)
}

fn rename_onto_link(on: &Stage<'_>) -> Checked {
    on.a.create("f").ok()?;
    on.a.link("f", "g").ok()?;
    for client in [&on.a, &on.b] {
        client.rename("f", "g").ok()?;
        client.counts("f", 2)?;
        client.counts("g", 2)?;
        client.rename("f", "f").ok()?;
        client.counts("f", 2)?;
    }
    on.a.lists(".", &["f", "g"])
}

fn rename_directory(on: &Stage<'_>) -> Checked {
    on.a.make_full("claim", "entry")?;
    let before = on.a.stat("claim").ok()?;
    on.a.rename("claim", "lock").ok()?;
    for client in [&on.a, &on.b] {
        client.lists("lock", &["entry"])?;
        client.shows("lock/entry", "claim/entry")?;
        client.stat("claim").fails(Errno::NOENT)?;
        client.stat("claim/entry").fails(Errno::NOENT)?;
    }
    same("A: stat lock", &before.id, &on.a.stat("lock").ok()?.id)
}

fn rename_onto_empty(on: &Stage<'_>) -> Checked {
    on.a.make_full("claim", "entry")?;
    on.b.mkdir("lock").ok()?;
    on.a.rename("claim", "lock").ok()?;
    on.b.lists(".", &["lock"])?;
    on.a.lists("lock", &["entry"])?;
    on.b.lists("lock", &["entry"])
}

fn rename_onto_full(on: &Stage<'_>) -> Checked {
    on.a.make_full("claim", "entry")?;
    on.b.make_full("lock", "other")?;
    on.a.rename("claim", "lock").fails(Errno::NOTEMPTY)?;
    on.a.mkdir("empty").ok()?;
    on.a.rename("empty", "lock").fails(Errno::NOTEMPTY)?;
    for client in [&on.a, &on.b] {
        client.lists(".", &["claim", "empty", "lock"])?;
        client.lists("lock", &["other"])?;
        client.lists("claim", &["entry"])?;
    }
    Ok(())
}

fn rename_across(on: &Stage<'_>) -> Checked {
    on.a.make_full("claim", "entry")?;
    on.b.create("file").ok()?;
    on.b.mkdir("empty").ok()?;
    for client in [&on.a, &on.b] {
        client.rename("claim", "file").fails(Errno::NOTDIR)?;
        client.rename("file", "claim").fails(Errno::ISDIR)?;
        client.rename("file", "empty").fails(Errno::ISDIR)?;
        client.shows("file", "file")?;
        client.lists("claim", &["entry"])?;
    }
    Ok(())
}

fn rename_noreplace(on: &Stage<'_>) -> Checked {
    on.a.make_full("claim", "entry")?;
    on.b.mkdir("lock").ok()?;
    on.a.has_seen("lock");
    // EINVAL: the file system does not know the flag. NFS does not, but the kernel looks at what it knows first.
    let refused = on.a.rename_noreplace("claim", "lock").fails_with_one_of(&[Errno::EXIST, Errno::INVAL])?;
    on.note(if refused == Errno::EXIST { "not onto a name that is known to be taken" } else { "never onto a name" });
    on.a.lists(".", &["claim", "lock"])?;
    if on.a.rename_noreplace("claim", "free").or_fails(&[Errno::INVAL])?.is_some() {
        on.note("onto a free name");
        on.b.lists("free", &["entry"])?;
        on.b.stat("claim").fails(Errno::NOENT)
    } else {
        on.note("not onto a free name");
        on.b.lists(".", &["claim", "lock"])
    }
}

fn rmdir_full(on: &Stage<'_>) -> Checked {
    on.a.make_full("lock", "entry")?;
    for client in [&on.a, &on.b] {
        client.rmdir("lock").fails(Errno::NOTEMPTY)?;
        client.lists("lock", &["entry"])?;
    }
    on.b.unlink("lock/entry").ok()?;
    on.b.rmdir("lock").ok()?;
    on.b.stat("lock").fails(Errno::NOENT)?;
    on.b.lists(".", &[])
}

fn remove_across(on: &Stage<'_>) -> Checked {
    on.a.create("file").ok()?;
    on.a.make_full("full", "x")?;
    on.a.mkdir("empty").ok()?;
    for client in [&on.a, &on.b] {
        // Linux says EISDIR where POSIX says EPERM.
        client.unlink("full").fails(Errno::ISDIR)?;
        client.unlink("empty").fails(Errno::ISDIR)?;
        client.rmdir("file").fails(Errno::NOTDIR)?;
        client.lists(".", &["empty", "file", "full"])?;
    }
    Ok(())
}

fn remove_twice(on: &Stage<'_>) -> Checked {
    on.a.create("file").ok()?;
    on.a.mkdir("dir").ok()?;
    let (file, dir) = (on.a.stat("file").ok()?, on.a.stat("dir").ok()?);
    holds("A: stat", file.id != dir.id, || ("two files".into(), "one".into()))?;
    on.a.unlink("file").ok()?;
    on.a.rmdir("dir").ok()?;
    for client in [&on.a, &on.b] {
        client.unlink("file").fails(Errno::NOENT)?;
        client.rmdir("dir").fails(Errno::NOENT)?;
    }
    // A name that was removed may be made anew, by either.
    on.a.create("file").ok()?;
    on.b.lists(".", &["file"])
}
