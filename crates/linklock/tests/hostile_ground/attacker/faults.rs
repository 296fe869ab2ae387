//! Attacks on locks in shared directories that succeeded once, each repeated. Only root can act as several users.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use linklock::{Guard, Lock, Protocol, Token, Wait};

use super::field::{Field, Kind, Victim, make_dir};
use super::things::Thing;
use super::{Choice, attack};
use crate::common::{BOTH, HOUR, named, say};
use crate::kernel::is_root;

const LINKS: [Thing; 3] = [Thing::LinkToFile, Thing::LinkToNumbers, Thing::HardLink];

fn several_users(what: &str) -> bool {
    if !is_root() {
        say(&format!("not run: {what}: only root can be several users"));
    }
    is_root()
}

fn lock_at(field: &Field, protocol: Protocol) -> Lock {
    Lock::builder(field.lock()).protocol(protocol).lifetime(HOUR).grace(Duration::ZERO).build().unwrap()
}

/// The bug: a directory was created by a name and got its mode by that name, and an existing directory was accepted. The
/// consequence: a link of that name opened its target to all users. The mend: the open directory gets the mode, after a check
/// that it is new.
#[test]
fn creating_a_directory_never_changes_another_files_mode_if_ptrace_is_allowed() {
    let choice = Choice::of(|stop, attack| {
        stop.kind == Kind::Open && LINKS.contains(&attack.thing) && stop.is_used && makes_directory(stop.call)
    });
    attack(&["fence twice", "queue up"], &choice);
}

fn makes_directory(call: &str) -> bool {
    ["mkdir", "mkdirat", "chmod", "fchmodat", "openat"].contains(&call)
}

/// The bug: files in a directory beside the lock were named by one path. The consequence: if a link replaced that directory,
/// files elsewhere were created and removed. The mend: the directory is opened first, and never through a link.
#[test]
fn no_directory_is_reached_through_a_link_that_replaced_it_if_ptrace_is_allowed() {
    let links = [Thing::LinkToNumbers, Thing::LinkToOpen];
    let choice =
        Choice::of(move |stop, attack| stop.kind == Kind::Open && links.contains(&attack.thing) && stop.is_on_the_way);
    attack(&["acquire and release", "refresh", "break and sweep", "fence twice", "queue up"], &choice);
}

/// The bug: a directory below was reached by its whole path when its locks were listed. The consequence: a link in its place had the
/// locks of a directory elsewhere listed, and their files opened. The mend: it is reached from the directory that was named.
#[test]
fn no_directory_below_is_surveyed_through_a_link_if_ptrace_is_allowed() {
    let choice = Choice::of(|stop, attack| {
        stop.kind == Kind::Open && stop.is_used && stop.call == "openat" && attack.thing == Thing::LinkToNumbers
    });
    attack(&["survey below"], &choice);
}

/// An open of a pipe waits for ever if nobody writes to the pipe.
#[test]
fn a_pipe_that_appears_after_a_look_is_not_waited_for_if_ptrace_is_allowed() {
    let choice = Choice::of(|stop, attack| {
        let opens = ["open", "openat"].contains(&stop.call);
        stop.kind == Kind::Open && attack.thing == Thing::Fifo && stop.is_used && opens
    });
    attack(&["refresh by token", "fence twice", "contend"], &choice);
}

/// Without this, two holders would be possible: in his own directory an attacker can give any name to any file, and a contender
/// looks there for its own name after a failed attempt.
#[test]
fn a_name_in_another_users_directory_is_not_our_lock_if_ptrace_is_allowed() {
    if several_users("a lock of the attacker's") {
        let choice =
            Choice::of(|stop, _| [Kind::Sticky, Kind::Open].contains(&stop.kind) && stop.is_used && stop.is_inner);
        attack(&["contend with the attacker"], &choice);
    }
}

/// The same lock as anybody can create it who knows the token.
fn plant_again(field: &Field, protocol: Protocol, token: &OsStr) {
    let expiry = SystemTime::now() + HOUR;
    let file = match protocol {
        Protocol::Dir => {
            make_dir(&field.lock(), 0o1755);
            fs::write(field.lock().join(token), r#"{"version":1,"lifetime_ms":3600000}"#).unwrap();
            field.lock().join(token)
        }
        _ => {
            let claim = field.dir().join(token);
            fs::write(&claim, claim.as_os_str().as_encoded_bytes()).unwrap();
            fs::hard_link(&claim, field.lock()).unwrap();
            claim
        }
    };
    fs::File::options().write(true).open(file).unwrap().set_modified(expiry).unwrap();
}

/// The bug: a token was trusted as a name. The consequence: a holder whose lock was broken during a long pause was told that
/// it still held the lock, while another could acquire it. The mend: the named file must belong to the holder's user.
#[test]
fn a_token_does_not_adopt_another_users_copy_of_the_lock_if_run_by_root() {
    if !several_users("a token that is planted again") {
        return;
    }
    for (protocol, kind, victim) in cases() {
        let at = format!("{protocol}: {kind:?}: {victim:?}");
        let field = Field::new(kind, victim);
        let lock = lock_at(&field, protocol);
        let token = victim.act(|| {
            let token = lock.acquire().unwrap().leave();
            lock.break_lock(&linklock::Which::Claim(token.clone())).unwrap();
            token
        });
        field.as_attacker(|| plant_again(&field, protocol, token.as_os_str()));
        let held = victim.act(|| lock.adopt(&token).and_then(|guard| guard.refresh().map(|()| guard)));
        assert!(held.is_err(), "{at}: the token of a broken lock works again: {held:?}");
        let held = victim.act(|| lock.adopt(&token).and_then(|guard| guard.release().map_err(|e| e.into_parts().0)));
        assert!(held.is_err(), "{at}: the token of a broken lock works again: {held:?}");
    }
}

fn cases() -> impl Iterator<Item = (Protocol, Kind, Victim)> {
    let kinds = BOTH.into_iter().flat_map(|protocol| Kind::ALL.map(|kind| (protocol, kind)));
    kinds.flat_map(|(protocol, kind)| [Victim::Root, Victim::User].map(|victim| (protocol, kind, victim)))
}

/// The bug: a file was identified by its inode number alone, or by its name alone. The consequence: a holder did not notice
/// that another user's file with that number and name had replaced its lock. The mend: the owner counts too.
#[test]
fn a_holder_notices_another_users_file_in_place_of_its_lock_if_run_by_root() {
    if !several_users("a lock in the place of another") {
        return;
    }
    for (protocol, kind, victim) in cases().filter(|(_, kind, _)| *kind != Kind::Sticky) {
        let at = format!("{protocol}: {kind:?}: {victim:?}");
        let field = Field::new(kind, victim);
        let guard = victim.act(|| lock_at(&field, protocol).acquire().unwrap());
        if !field.as_attacker(|| replace(&field, protocol, &guard)) {
            say(&format!("not run: {at}: no new file gets the inode number of a removed one here"));
            continue;
        }
        let refreshed = victim.act(|| guard.refresh());
        assert!(refreshed.as_ref().is_err_and(linklock::Error::is_lost), "{at}: {refreshed:?}");
        let checked = victim.act(|| guard.check());
        assert!(checked.is_err(), "{at}: it trusts its lock again: {checked:?}");
    }
}

/// Replaces a lock by one of the attacker's that looks the same. Returns whether its file has the same inode number, where
/// that counts.
fn replace(field: &Field, protocol: Protocol, guard: &Guard) -> bool {
    let token = guard.token().as_os_str();
    if protocol == Protocol::Dir {
        fs::rename(field.lock(), field.dir().join("aside")).unwrap();
        plant_again(field, protocol, token);
        return true;
    }
    let claim = field.dir().join(token);
    let data = fs::metadata(&claim).unwrap();
    for name in [&claim, &field.lock()] {
        fs::remove_file(name).unwrap();
    }
    let Some(file) = with_number(&field.dir(), data.ino()) else { return false };
    fs::write(&file, claim.as_os_str().as_encoded_bytes()).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(data.modified().unwrap()).unwrap();
    fs::rename(&file, &claim).unwrap();
    fs::hard_link(&claim, field.lock()).unwrap();
    true
}

/// Creates files until one has this inode number.
fn with_number(dir: &Path, inode: u64) -> Option<std::path::PathBuf> {
    (0..500).map(|n| dir.join(format!("try-{n}"))).find(|path| {
        fs::write(path, "").unwrap();
        fs::metadata(path).unwrap().ino() == inode
    })
}

/// The bug: a breaker removed the claim that an expired lock's content named. The consequence: with a lock of his own, anybody
/// could have another's claim removed, and even a held lock. The mend: only a name of the broken file itself is removed.
#[test]
fn a_break_does_not_remove_another_claim_that_the_lock_names_if_run_by_root() {
    if !several_users("a lock that names another's claim") {
        return;
    }
    for victim in [Victim::Root, Victim::User] {
        for kind in Kind::ALL {
            let field = Field::new(kind, victim);
            let waits = field.dir().join(named("lock|elsewhere.example|4712|816"));
            let claim = waits.as_os_str().as_encoded_bytes();
            victim.act(|| fs::write(&waits, claim).unwrap());
            let before = fs::metadata(&waits).unwrap();
            field.as_attacker(|| {
                // Its second link makes it a lock even if nobody may read it.
                fs::write(field.lock(), claim).unwrap();
                fs::hard_link(field.lock(), field.dir().join(named("lock|elsewhere.example|4713|817"))).unwrap();
                let long_ago = SystemTime::now() - 24 * HOUR;
                fs::File::options().write(true).open(field.lock()).unwrap().set_modified(long_ago).unwrap();
            });
            let lock = lock_at(&field, Protocol::Link);
            let broken = victim.act(|| lock.acquire_with(&Wait::never()).map(drop));
            let after =
                fs::metadata(&waits).unwrap_or_else(|e| panic!("{kind:?}: {victim:?}: the claim was removed: {e}"));
            assert_eq!(
                (after.ino(), after.mtime()),
                (before.ino(), before.mtime()),
                "{kind:?}: {victim:?}: {broken:?}"
            );
            let token = Token::new(&waits);
            assert!(lock.adopt(&token).is_err(), "{kind:?}: {victim:?}: it holds nothing");
        }
    }
}
