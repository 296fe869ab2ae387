//! Times: a client sets the mtime; the server's clock sets the ctime.

use super::client::{Checked, Client, holds, same};
use super::stage::{Scenario, Stage};
use crate::env::Attr;
use crate::time::ServerTime;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "a file has the mtime that it was given, in the past and in the future", steps: mtime_as_given },
    Scenario { name: "a change of a file or of its names moves its ctime on, and its mtime stays", steps: ctime_moves },
    Scenario { name: "a rename of a directory leaves the times of the files in it alone", steps: times_within },
    Scenario { name: "looking at a file changes neither of its times", steps: looking },
    Scenario { name: "a directory's times move on with the names in it", steps: times_of_directory },
    Scenario { name: "one clock stamps the changes of both clients", steps: one_clock },
];

/// A long time from now, and not a whole second.
pub(super) fn far() -> ServerTime {
    ServerTime::from_parts(4_000_000_000, 123_456_789)
}

/// In 1973.
fn past() -> ServerTime {
    ServerTime::from_parts(100_000_000, 987_654_321)
}

fn mtime_as_given(on: &Stage<'_>) -> Checked {
    on.a.create_with("f", b"content", far()).ok()?;
    same("A: the mtime of f", &far(), &on.a.stat("f").ok()?.mtime)?;
    same("B: the mtime of f", &far(), &on.b.stat("f").ok()?.mtime)?;
    for mtime in [past(), far()] {
        on.b.set_expiry("f", mtime).ok()?;
        same("A: the mtime of f", &mtime, &on.a.stat("f").ok()?.mtime)?;
        same("B: the mtime of f", &mtime, &on.b.stat("f").ok()?.mtime)?;
        same("A: the mtime of f that was read", &mtime, &on.a.read("f").ok()?.0.mtime)?;
    }
    Ok(())
}

/// As `client` itself and the other client see it.
fn moves_ctime(on: &Stage<'_>, what: &str, look_at: &str, change: impl FnOnce() -> Checked) -> Checked {
    let before = on.a.stat("f").ok()?;
    on.tick();
    change()?;
    for client in [&on.a, &on.b] {
        let after = client.stat(look_at).ok()?;
        is_later(&client.sees(what), &before, &after)?;
        same(&format!("{what}: mtime"), &before.mtime, &after.mtime)?;
    }
    Ok(())
}

fn is_later(what: &str, before: &Attr, after: &Attr) -> Checked {
    let (old, new) = (before.ctime, after.ctime);
    holds(what, new > old, || (format!("a ctime later than {old:?}"), format!("{new:?}")))
}

fn ctime_moves(on: &Stage<'_>) -> Checked {
    on.a.create_with("f", b"content", far()).ok()?;
    moves_ctime(on, "A: set the expiry", "f", || {
        let before = on.a.stat("f").ok()?;
        is_later("A: the answer to setting the expiry", &before, &on.a.set_expiry("f", far()).ok()?)
    })?;
    moves_ctime(on, "A: touch", "f", || {
        let before = on.a.stat("f").ok()?;
        is_later("A: the answer to touching", &before, &on.a.touch("f").ok()?)
    })?;
    moves_ctime(on, "B: touch", "f", || on.b.touch("f").ok().map(drop))?;
    moves_ctime(on, "A: link", "f", || on.a.link("f", "g").ok())?;
    moves_ctime(on, "B: link", "f", || on.b.link("f", "h").ok())?;
    moves_ctime(on, "B: unlink", "f", || on.b.unlink("h").ok())?;
    moves_ctime(on, "A: unlink", "f", || on.a.unlink("g").ok())?;
    moves_ctime(on, "A: rename", "new", || on.a.rename("f", "new").ok())
}

fn times_within(on: &Stage<'_>) -> Checked {
    on.a.make_full("claim", "entry")?;
    on.a.set_expiry("claim/entry", far()).ok()?;
    let before = on.a.stat("claim/entry").ok()?;
    on.tick();
    on.a.rename("claim", "lock").ok()?;
    stays(&on.a, "lock/entry", &before)?;
    stays(&on.b, "lock/entry", &before)
}

fn stays(client: &Client<'_>, name: &str, before: &Attr) -> Checked {
    let after = client.stat(name).ok()?;
    same(&format!("the times of {name}"), &(before.mtime, before.ctime), &(after.mtime, after.ctime))
}

fn looking(on: &Stage<'_>) -> Checked {
    on.a.make_full("dir", "f")?;
    let before = on.a.stat("dir/f").ok()?;
    on.tick();
    for client in [&on.a, &on.b] {
        client.read("dir/f").ok()?;
        client.list("dir").ok()?;
        // A refused change changes no time.
        client.link("dir/f", "dir/f").fails(rustix::io::Errno::EXIST)?;
        stays(client, "dir/f", &before)?;
    }
    Ok(())
}

/// By these times a client of NFS 3 sees that its cached names may be outdated.
fn times_of_directory(on: &Stage<'_>) -> Checked {
    on.a.create("f").ok()?;
    on.a.mkdir("dir").ok()?;
    let moves = |what: &str, change: &dyn Fn() -> Checked| {
        let before = on.b.stat("dir").ok()?;
        on.tick();
        change()?;
        for client in [&on.a, &on.b] {
            let after = client.stat("dir").ok()?;
            let what = &client.sees(what);
            is_later(what, &before, &after)?;
            holds(what, after.mtime > before.mtime, || ("a later mtime".into(), "the old one".into()))?;
        }
        Ok(())
    };
    moves("create", &|| on.a.create("dir/x").ok())?;
    moves("link", &|| on.a.link("f", "dir/y").ok())?;
    moves("rename into it", &|| on.a.rename("f", "dir/z").ok())?;
    moves("rename within it", &|| on.a.rename("dir/x", "dir/w").ok())?;
    moves("rename out of it", &|| on.a.rename("dir/w", "f").ok())?;
    moves("mkdir", &|| on.a.mkdir("dir/sub").ok())?;
    moves("rmdir", &|| on.a.rmdir("dir/sub").ok())?;
    moves("unlink", &|| on.a.unlink("dir/y").ok())
}

fn one_clock(on: &Stage<'_>) -> Checked {
    let clients = [&on.a, &on.b];
    let mut last = None;
    for (turn, name) in ["1", "2", "3", "4", "5", "6"].into_iter().enumerate() {
        clients[turn % 2].create(name).ok()?;
        let attr = clients[(turn + 1) % 2].stat(name).ok()?;
        if let Some(last) = &last {
            is_later("what was made last", last, &attr)?;
        }
        last = Some(attr);
        on.tick();
    }
    Ok(())
}
