//! A file is moved into a directory that is there, as the entry of a reader that joins others. What shared locks rely on.

use rustix::io::Errno;

use super::client::{Checked, same};
use super::stage::{Scenario, Stage};
use super::times::far;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "a file moved into a directory is there beside the others, as it was", steps: move_beside },
    Scenario {
        name: "a name list after one's own move shows what others have put there and removed",
        steps: list_after_move,
    },
    Scenario { name: "of two clients that each move a file, the later one sees both", steps: both_move },
    Scenario { name: "a file is moved once, also if the request comes again or late", steps: move_again },
    Scenario { name: "a file is moved into no directory that is gone, or is a file by now", steps: move_into_gone },
    Scenario {
        name: "a directory that seems empty is neither replaced nor removed once a file was moved into it",
        steps: filled_by_move,
    },
    Scenario {
        name: "a file moved by the name of a directory that was replaced shows up in none but the new one",
        steps: move_into_replaced,
    },
    Scenario {
        name: "a file moved by the name of a directory that was moved away may follow it, and the name list shows it",
        steps: move_into_moved,
    },
];

fn move_beside(on: &Stage<'_>) -> Checked {
    on.a.make_full("lock", "first")?;
    on.b.make_full("claim", "second")?;
    on.b.set_expiry("claim/second", far()).ok()?;
    for client in [&on.a, &on.b] {
        client.lists("lock", &["first"])?;
    }
    on.tick();
    on.b.rename("claim/second", "lock/second").ok()?;
    for client in [&on.a, &on.b] {
        client.lists("lock", &["first", "second"])?;
        client.shows("lock/second", "claim/second")?;
        let attr = client.stat("lock/second").ok()?;
        same(&client.sees("the moved file"), &(far(), 1), &(attr.mtime, attr.nlink))?;
        client.stat("claim/second").fails(Errno::NOENT)?;
    }
    // What it was moved from is empty, and can go.
    on.b.rmdir("claim").ok()?;
    on.b.unlink("lock/second").ok()?;
    on.a.lists(".", &["lock"])?;
    on.a.lists("lock", &["first"])
}

/// Without a tick: the times of the directory may not tell the changes apart.
fn list_after_move(on: &Stage<'_>) -> Checked {
    on.a.make_full("lock", "first")?;
    on.a.make_full("claim", "ours")?;
    on.b.make_full("theirs", "third")?;
    on.a.lists("lock", &["first"])?;
    on.b.create("lock/second").ok()?;
    on.b.rename("theirs/third", "lock/third").ok()?;
    on.a.rename("claim/ours", "lock/ours").ok()?;
    on.a.refresh(".")?;
    on.a.lists("lock", &["first", "ours", "second", "third"])?;
    on.b.unlink("lock/first").ok()?;
    on.a.create("claim/again").ok()?;
    on.a.rename("claim/again", "lock/again").ok()?;
    on.a.refresh(".")?;
    on.a.lists("lock", &["again", "ours", "second", "third"])
}

/// So of two that exclude each other, one at least sees the other.
fn both_move(on: &Stage<'_>) -> Checked {
    on.a.make_full("lock", "first")?;
    on.a.make_full("claim", "ours")?;
    on.b.make_full("theirs", "other")?;
    for client in [&on.a, &on.b] {
        client.lists("lock", &["first"])?;
    }
    on.a.rename("claim/ours", "lock/ours").ok()?;
    on.b.rename("theirs/other", "lock/other").ok()?;
    for client in [&on.b, &on.a] {
        client.refresh(".")?;
        client.lists("lock", &["first", "other", "ours"])?;
    }
    Ok(())
}

fn move_again(on: &Stage<'_>) -> Checked {
    on.a.make_full("lock", "reader")?;
    on.a.make_full("claim", "entry")?;
    // B asks the server, since it believes that the file is still there.
    on.b.has_seen("claim/entry");
    on.b.has_seen("lock/entry");
    on.a.rename("claim/entry", "lock/entry").ok()?;
    on.b.rename("claim/entry", "lock/entry").fails(Errno::NOENT)?;
    on.a.rename("claim/entry", "lock/entry").fails(Errno::NOENT)?;
    on.a.lists("lock", &["entry", "reader"])?;
    // Nor is it put back once it was removed.
    on.a.unlink("lock/entry").ok()?;
    on.a.rename("claim/entry", "lock/entry").fails(Errno::NOENT)?;
    on.b.rename("claim/entry", "lock/entry").fails(Errno::NOENT)?;
    for client in [&on.a, &on.b] {
        client.lists("lock", &["reader"])?;
        client.lists("claim", &[])?;
    }
    Ok(())
}

fn move_into_gone(on: &Stage<'_>) -> Checked {
    on.a.make_full("claim", "entry")?;
    on.a.create("claim/other").ok()?;
    for name in ["gone", "changed"] {
        on.a.make_full(name, "reader")?;
        on.a.lists(name, &["reader"])?;
        on.b.unlink(&format!("{name}/reader")).ok()?;
        on.b.rmdir(name).ok()?;
    }
    on.b.create("changed").ok()?;
    on.a.rename("claim/entry", "gone/entry").fails(Errno::NOENT)?;
    // ENOENT by a server that still knows the directory.
    on.a.rename("claim/other", "changed/other").fails_with_one_of(&[Errno::NOTDIR, Errno::NOENT])?;
    on.b.lists("claim", &["entry", "other"])?;
    on.b.shows("changed", "changed")?;
    on.b.lists(".", &["changed", "claim"])
}

/// As when a writer tries for a lock that a reader has.
fn filled_by_move(on: &Stage<'_>) -> Checked {
    on.a.mkdir("lock").ok()?;
    on.a.make_full("claim", "writer")?;
    on.b.make_full("theirs", "reader")?;
    on.a.lists("lock", &[])?;
    on.b.rename("theirs/reader", "lock/reader").ok()?;
    on.a.rename("claim", "lock").fails(Errno::NOTEMPTY)?;
    on.a.rmdir("lock").fails(Errno::NOTEMPTY)?;
    on.b.lists("lock", &["reader"])?;
    on.a.lists("lock", &["reader"])?;
    // The reader that came first has gone, and another is there.
    on.a.make_full("ours", "other")?;
    on.a.rename("ours/other", "lock/other").ok()?;
    on.b.unlink("lock/reader").ok()?;
    on.b.rmdir("lock").fails(Errno::NOTEMPTY)?;
    on.b.rename("theirs", "lock").fails(Errno::NOTEMPTY)?;
    on.b.lists("lock", &["other"])
}

/// As when the last reader has released the lock, and a writer has it by now.
fn move_into_replaced(on: &Stage<'_>) -> Checked {
    on.a.make_full("lock", "reader")?;
    on.a.make_full("claim", "entry")?;
    on.b.make_full("theirs", "writer")?;
    on.a.lists("lock", &["reader"])?;
    on.tick();
    on.b.unlink("lock/reader").ok()?;
    on.b.rename("theirs", "lock").ok()?;
    let moved = on.a.rename("claim/entry", "lock/entry").or_fails(&[Errno::NOENT])?.is_some();
    on.note(if moved { "moved into the new one" } else { "not moved" });
    on.a.refresh(".")?;
    if moved {
        return both_list(on, &["entry", "writer"], &[]);
    }
    // A may believe that it is gone.
    let removed = on.a.unlink("claim/entry").or_fails(&[Errno::NOENT])?.is_some();
    if !removed {
        on.note("known as gone");
        both_list(on, &["writer"], &["entry"])?;
        on.a.unlink("claim/entry").ok()?;
    }
    both_list(on, &["writer"], &[])
}

fn both_list(on: &Stage<'_>, lock: &[&str], claim: &[&str]) -> Checked {
    for client in [&on.a, &on.b] {
        client.lists("lock", lock)?;
        client.lists("claim", claim)?;
    }
    Ok(())
}

/// No lock's directory is moved away. If somebody does it by hand, a reader sees that it is not in the new one.
fn move_into_moved(on: &Stage<'_>) -> Checked {
    on.a.make_full("lock", "reader")?;
    on.a.make_full("claim", "entry")?;
    on.b.make_full("theirs", "writer")?;
    on.a.lists("lock", &["reader"])?;
    on.tick();
    on.b.rename("lock", "elsewhere").ok()?;
    on.b.rename("theirs", "lock").ok()?;
    on.a.rename("claim/entry", "lock/entry").ok()?;
    let has_followed = on.b.list("elsewhere").ok()?.iter().any(|name| name == "entry");
    on.note(if has_followed { "it follows" } else { "moved into the new one" });
    on.a.refresh(".")?;
    let (there, away): (&[&str], &[&str]) =
        if has_followed { (&["writer"], &["entry", "reader"]) } else { (&["entry", "writer"], &["reader"]) };
    for client in [&on.a, &on.b] {
        client.lists("lock", there)?;
        client.lists("elsewhere", away)?;
    }
    Ok(())
}
