//! Neighbours who may write the lock's directory: a name is not enough, and neither is a file's number.

use super::faults::{Arena, BOTH};
use super::plain::Plain;
use crate::error::ErrorKind;
use crate::options::Protocol;
use crate::protocol::expiry::ask_clock_by;
use crate::protocol::steps;
use crate::{Guard, Token};

/// The file that carries the expiry of a held lock becomes another user's: so it looks if the lock was broken, and the
/// neighbour's file has got the name, the number and the times of the one that is gone.
fn give_away(arena: &Arena, protocol: Protocol, token: &Token) {
    let file = match protocol {
        Protocol::Link => arena.path(),
        Protocol::Dir => arena.path().join(token.as_os_str()),
    };
    arena.env.others.lock().unwrap().push(Plain.stat(&file).unwrap().id);
}

/// The bug: the number of the file counted, and a file that is gone gives its number to the next. The consequence: a holder whose
/// lock was broken by force was never told. The mend: whose the file is counts too.
#[test]
fn a_lock_whose_file_is_another_users_by_now_is_lost() {
    type Ask = fn(Guard) -> crate::Error;
    let asked: [(&str, Ask); 3] = [
        ("check", |guard| guard.check().unwrap_err()),
        ("refresh", |guard| guard.refresh().unwrap_err()),
        ("release", |guard| guard.release().unwrap_err().into()),
    ];
    for (protocol, (what, ask)) in BOTH.into_iter().flat_map(|protocol| asked.map(|ask| (protocol, ask))) {
        let arena = Arena::new();
        let guard = arena.lock(protocol).acquire().unwrap();
        // A release right after the acquisition asks nobody.
        arena.env.sleep(std::time::Duration::from_secs(1));
        give_away(&arena, protocol, guard.token());
        let there = Plain.stat(&arena.path()).unwrap();
        let e = ask(guard);
        assert!(e.is_lost(), "{protocol}, {what}: {e}");
        let still = Plain.stat(&arena.path()).unwrap();
        assert_eq!((still.id, still.mtime), (there.id, there.mtime), "{protocol}, {what}: the lock path is left alone");
    }
}

/// The bug: a lock was taken over by the name of its claim alone. The consequence: the token of a script that had overslept, made
/// again by a neighbour, was refreshed, and said to be held. The mend: lock and claim must be this user's.
#[test]
fn a_lock_of_another_user_is_not_taken_over_by_its_token() {
    for protocol in BOTH {
        let arena = Arena::new();
        let token = arena.lock(protocol).acquire().unwrap().leave();
        arena.lock(protocol).adopt(&token).unwrap().leave();
        give_away(&arena, protocol, &token);
        let before = Plain.stat(&arena.path()).unwrap();
        let e = arena.lock(protocol).adopt(&token).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotHeld, "{protocol}: {e}");
        assert_eq!(Plain.stat(&arena.path()).unwrap(), before, "{protocol}: it is not touched");
    }
}

/// The bug, found by an attacker between any two system calls: another file of ours had got the claim's name. The consequence: its
/// times were set. The mend: the claim must be the file that is at the lock path.
#[test]
fn a_lock_is_not_taken_over_by_another_file_of_ours_that_has_the_claims_name() {
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

/// The bug, found by an attacker between any two system calls: others may write the directory of a break lock's claim, and one had
/// linked another file of ours to the entry's name. The consequence: asked for the server's clock, we set that file's times. The
/// mend: an entry that waits, and a ticket, have no other name. But a holder's entry may have one: to link it keeps nobody from
/// refreshing it.
#[test]
fn another_file_of_ours_that_is_linked_to_our_name_is_left_alone_and_a_link_to_ours_keeps_us_from_nothing() {
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
