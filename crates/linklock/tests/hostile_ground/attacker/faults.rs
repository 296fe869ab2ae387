//! What was done to locks in shared directories, each once more. Only root can be several users.

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

/// The bug: a directory was made by a name and got its mode by that name, and one that was there was taken for it. The
/// consequence: whatever a link of that name pointed to was opened to all. The mend: the mode is given to the open directory,
/// once that is seen to be new.
#[test]
fn no_mode_of_another_file_changes_while_a_directory_is_made_if_ptrace_is_allowed() {
    let choice = Choice::of(|stop, attack| {
        stop.kind == Kind::Open && LINKS.contains(&attack.thing) && stop.is_used && makes_directory(stop.call)
    });
    attack(&["fence twice", "queue up"], &choice);
}

fn makes_directory(call: &str) -> bool {
    ["mkdir", "mkdirat", "chmod", "fchmodat", "openat"].contains(&call)
}

/// The bug: what is in a directory beside the lock was named by one path. The consequence: with a link in the place of that
/// directory, files elsewhere were made and removed. The mend: the directory is opened, and never through a link.
#[test]
fn no_directory_is_reached_through_a_link_that_was_put_in_its_place_if_ptrace_is_allowed() {
    let links = [Thing::LinkToNumbers, Thing::LinkToOpen];
    let choice =
        Choice::of(move |stop, attack| stop.kind == Kind::Open && links.contains(&attack.thing) && stop.is_on_the_way);
    attack(&["acquire and release", "refresh", "break and sweep", "fence twice", "queue up"], &choice);
}

/// To open a pipe that nobody writes to waits for ever.
#[test]
fn a_pipe_that_comes_after_a_look_is_not_waited_for_if_ptrace_is_allowed() {
    let choice = Choice::of(|stop, attack| {
        let opens = ["open", "openat"].contains(&stop.call);
        stop.kind == Kind::Open && attack.thing == Thing::Fifo && stop.is_used && opens
    });
    attack(&["refresh by token", "fence twice", "contend"], &choice);
}

/// Two holders are at stake: in a directory of his own an attacker can give any name to any file, and who has tried in vain to
/// take the lock looks for its own name there.
#[test]
fn a_name_in_a_directory_of_another_users_is_nobodys_lock_if_ptrace_is_allowed() {
    if several_users("a lock of the attacker's") {
        let choice =
            Choice::of(|stop, _| [Kind::Sticky, Kind::Open].contains(&stop.kind) && stop.is_used && stop.is_inner);
        attack(&["contend with the attacker"], &choice);
    }
}

/// What anybody can make who knows a token.
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

/// The bug: a token was trusted as a name. The consequence: whoever overslept, and had its lock broken, was told that it holds
/// it still, while another could take it. The mend: the file that has the name must be its owner's.
#[test]
fn a_token_that_another_user_has_planted_again_is_worth_nothing_if_run_by_root() {
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
        assert!(held.is_err(), "{at}: the token of a broken lock is good again: {held:?}");
        let held = victim.act(|| lock.adopt(&token).and_then(|guard| guard.release().map_err(|e| e.into_parts().0)));
        assert!(held.is_err(), "{at}: the token of a broken lock is good again: {held:?}");
    }
}

fn cases() -> impl Iterator<Item = (Protocol, Kind, Victim)> {
    let kinds = BOTH.into_iter().flat_map(|protocol| Kind::ALL.map(|kind| (protocol, kind)));
    kinds.flat_map(|(protocol, kind)| [Victim::Root, Victim::User].map(|victim| (protocol, kind, victim)))
}

/// The bug: a number told which file it is, or only a name did. The consequence: a holder whose lock was taken away was never
/// told, if another user's file had that number and name. The mend: the owner counts too.
#[test]
fn a_holder_is_told_that_another_users_file_is_in_the_place_of_its_lock_if_run_by_root() {
    if !several_users("a lock in the place of another") {
        return;
    }
    for (protocol, kind, victim) in cases().filter(|(_, kind, _)| *kind != Kind::Sticky) {
        let at = format!("{protocol}: {kind:?}: {victim:?}");
        let field = Field::new(kind, victim);
        let guard = victim.act(|| lock_at(&field, protocol).acquire().unwrap());
        if !field.as_attacker(|| replace(&field, protocol, &guard)) {
            say(&format!("not run: {at}: no file here gets the number of one that is gone"));
            continue;
        }
        let refreshed = victim.act(|| guard.refresh());
        assert!(refreshed.as_ref().is_err_and(linklock::Error::is_lost), "{at}: {refreshed:?}");
        let checked = victim.act(|| guard.check());
        assert!(checked.is_err(), "{at}: it believes in its lock again: {checked:?}");
    }
}

/// Replaces a lock by one of the attacker's that looks alike. Says whether its file has the same number, where that counts.
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

/// Makes files until one has this number.
fn with_number(dir: &Path, inode: u64) -> Option<std::path::PathBuf> {
    (0..500).map(|n| dir.join(format!("try-{n}"))).find(|path| {
        fs::write(path, "").unwrap();
        fs::metadata(path).unwrap().ino() == inode
    })
}

/// The bug: a breaker removed the claim that the content of an expired lock names. The consequence: by a lock of his own anybody
/// had another's claim removed, and even the lock that it held. The mend: only a name of the very file that was broken goes.
#[test]
fn a_lock_that_names_anothers_claim_is_broken_without_it_if_run_by_root() {
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
                // Its second name makes it a lock even if nobody may read it.
                fs::write(field.lock(), claim).unwrap();
                fs::hard_link(field.lock(), field.dir().join(named("lock|elsewhere.example|4713|817"))).unwrap();
                let long_ago = SystemTime::now() - 24 * HOUR;
                fs::File::options().write(true).open(field.lock()).unwrap().set_modified(long_ago).unwrap();
            });
            let lock = lock_at(&field, Protocol::Link);
            let broken = victim.act(|| lock.acquire_with(&Wait::never()).map(drop));
            let after = fs::metadata(&waits).unwrap_or_else(|e| panic!("{kind:?}: {victim:?}: the claim is gone: {e}"));
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
