//! Neighbours who may write the lock's directory: neither a name nor an inode number identifies a file well enough.

use super::faults::{Arena, BOTH};
use super::plain::Plain;
use crate::error::ErrorKind;
use crate::options::Protocol;
use crate::protocol::expiry::ask_clock_by;
use crate::protocol::steps;
use crate::{Guard, Token};

/// The file that carries a held lock's expiry changes its owner. It looks so if the lock was broken and the neighbour's file
/// got the name, the inode number and the times of the removed one.
fn give_away(arena: &Arena, protocol: Protocol, token: &Token) {
    let file = match protocol {
        Protocol::Link => arena.path(),
        Protocol::Dir => arena.path().join(token.as_os_str()),
    };
    arena.env.others.lock().unwrap().push(Plain.stat(&file).unwrap().id);
}

/// The bug: a lock was identified by its inode number, which the file system reuses. The consequence: a holder whose lock was
/// broken by force did not notice it. The mend: the file's owner counts too.
#[test]
fn a_lock_whose_file_now_belongs_to_another_user_is_lost() {
    type Ask = fn(Guard) -> crate::Error;
    let asked: [(&str, Ask); 3] = [
        ("check", |guard| guard.check().unwrap_err()),
        ("refresh", |guard| guard.refresh().unwrap_err()),
        ("release", |guard| guard.release().unwrap_err().into()),
    ];
    for (protocol, (what, ask)) in BOTH.into_iter().flat_map(|protocol| asked.map(|ask| (protocol, ask))) {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        // A release right after the acquisition sends no query.
        arena.env.sleep(std::time::Duration::from_secs(1));
        give_away(&arena, protocol, guard.token());
        let there = Plain.stat(&arena.path()).unwrap();
        let e = ask(guard);
        assert!(e.is_lost(), "{protocol}, {what}: {e}");
        let still = Plain.stat(&arena.path()).unwrap();
        assert_eq!((still.id, still.mtime), (there.id, there.mtime), "{protocol}, {what}: the lock path is unchanged");
    }
}

/// The bug: a lock was adopted by the name of its claim alone. The consequence: a script adopted its expired lock's token, but a
/// neighbour had created that file; it was refreshed and reported as held. The mend: this user must own the lock and the claim.
#[test]
fn another_users_lock_cannot_be_adopted() {
    for protocol in BOTH {
        let arena = Arena::new();
        let token = arena.lock(protocol).acquire().unwrap().leave();
        arena.lock(protocol).adopt(&token).unwrap().leave();
        give_away(&arena, protocol, &token);
        let before = Plain.stat(&arena.path()).unwrap();
        let e = arena.lock(protocol).adopt(&token).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotHeld, "{protocol}: {e}");
        assert_eq!(Plain.stat(&arena.path()).unwrap(), before, "{protocol}: it is unchanged");
    }
}

/// The bug (found by an attacker between each two system calls): another file of ours had the claim's name. The consequence: its
/// times were set. The mend: the claim must be the same file as that at the lock path.
#[test]
fn a_lock_cannot_be_adopted_if_another_file_has_the_claims_name() {
    let arena = Arena::new();
    let token = arena.lock(Protocol::Link).acquire().unwrap().leave();
    let secret = arena.dir.path().join("secret");
    Plain.create(&secret, b"precious").unwrap();
    let claim = arena.dir.path().join(token.as_os_str());
    Plain.unlink(&claim).unwrap();
    Plain.rename(&secret, &claim).unwrap();
    let e = arena.lock(Protocol::Link).adopt(&token).unwrap_err();
    assert!(e.is_lost(), "{e}");
}

/// The bug (found by an attacker between each two system calls): others may write the directory of a break lock's claim, and one
/// linked another file of ours to the entry's name. The consequence: we set that file's times to read the server's clock. The
/// mend: a waiting entry and a ticket must have one link. A holder's entry may have more: otherwise a link would keep its
/// holder from refreshing it.
#[test]
fn a_foreign_link_in_place_of_our_entry_is_left_alone_and_a_link_to_our_entry_does_no_harm() {
    let arena = Arena::new();
    let guard = crate::protocol::place::Place {
        path: arena.lock(Protocol::Dir).place().path.of_break_lock(),
        ..arena.lock(Protocol::Dir).place().clone()
    };
    let stake = steps::stage(&guard).unwrap();
    let (entry, secret) = (guard.staged_file(&stake.claim), arena.dir.path().join("secret"));
    assert!(ask_clock_by(&guard, &stake).is_ok());
    Plain.create(&secret, b"precious").unwrap();
    Plain.unlink(&entry).unwrap();
    Plain.link(&secret, &entry).unwrap();
    let before = Plain.stat(&secret).unwrap();
    assert!(ask_clock_by(&guard, &stake).is_err());
    assert_eq!(Plain.stat(&secret).unwrap(), before);

    let held = arena.lock(Protocol::Dir).acquire().unwrap();
    let entry = arena.path().join(held.token().as_os_str());
    Plain.link(&entry, &arena.dir.path().join("his")).unwrap();
    held.refresh().unwrap();
    held.release().unwrap();
}
