//! Shared locks: no writer beside anybody, in every world, with and without the steps for it.

use super::{assert_caught, assert_holds, runs};
use crate::config::{Config, Faults, Who};
use crate::env::Step;
use crate::explore::{exhaustive, pct, random};
use crate::options::Protocol;
use crate::worlds::{Protocols, World};

fn shared(protocols: Protocols) -> Config {
    World::named("shared").unwrap().config(protocols)
}

#[test]
fn no_writer_holds_the_lock_beside_anybody() {
    for protocols in [Protocols::All(Protocol::Dir), Protocols::Mixed] {
        let what = format!("shared, {}", protocols.name());
        assert_holds(&format!("{what}, random"), &random(&shared(protocols), 0, runs() / 4));
        assert_holds(&format!("{what}, PCT"), &pct(&shared(protocols), 0, runs() / 4));
    }
}

#[test]
fn readers_and_writers_hold_in_the_other_worlds_too() {
    for world in
        ["open-files", "client-stamps", "client-stamps-late", "nocto", "clock-set-back", "late-ctimes", "queue"]
    {
        let config = World::named(world).unwrap().config(Protocols::All(Protocol::Dir));
        let config = Config { shared: Who::Few, hosts: vec![0, 1, 0, 1], ..config };
        assert_holds(&format!("shared, {world}"), &random(&config, 0, runs() / 20));
    }
}

#[test]
fn nothing_is_left_of_readers_and_writers() {
    for (one_remove, sticky) in [(true, false), (true, true), (false, false)] {
        // A reader that cannot move its entry takes it back.
        let (knows_the_dead, faults) = (true, Faults::NONE);
        let config = shared(Protocols::All(Protocol::Dir));
        let config = Config { draws: false, one_remove, sticky, knows_the_dead, faults, ..config };
        let what = format!("shared, without faults, NFS 4: {one_remove}, sticky: {sticky}");
        assert_holds(&what, &random(&config, 0, runs() / 20));
        assert_holds(
            &format!("{what}, all share it"),
            &random(&Config { shared: Who::Everybody, ..config }, 0, runs() / 20),
        );
    }
}

/// Two processes that each try once: both share the lock, or one of them.
#[test]
fn the_smallest_worlds_hold_in_every_schedule() {
    for shared in [Who::Everybody, Who::Few] {
        // Of few, every third does not share it.
        let hosts = if shared == Who::Few { vec![0, 1, 0] } else { vec![0, 1] };
        let config = Config { shared, hosts, ..Config::smallest(Protocol::Dir) };
        let most = if shared == Who::Few { 200_000 } else { 2_000_000 };
        let (summary, all) = exhaustive(&config, most);
        assert!(all || shared == Who::Few, "there are more than {} schedules", summary.runs);
        assert_holds(&format!("shared by {shared:?}, in order"), &summary);
    }
}

#[test]
fn the_simulation_catches_a_reader_without_its_second_look() {
    let without = &[Step::ReaderLooksAgain];
    for protocols in [Protocols::All(Protocol::Dir), Protocols::Mixed] {
        let config = Config { without, ..shared(protocols) };
        assert_caught(
            &format!("shared, {}, without {without:?}", protocols.name()),
            20_000,
            &random(&config, 0, 20_000),
        );
    }
}

fn downgrades(protocols: Protocols) -> Config {
    World::named("downgrades").unwrap().config(protocols)
}

#[test]
fn a_holder_that_downgrades_its_lock_is_beside_readers_alone() {
    for protocols in [Protocols::All(Protocol::Dir), Protocols::Mixed] {
        let what = format!("downgrades, {}", protocols.name());
        assert_holds(&format!("{what}, random"), &random(&downgrades(protocols), 0, runs() / 4));
        assert_holds(&format!("{what}, PCT"), &pct(&downgrades(protocols), 0, runs() / 4));
    }
}

#[test]
fn a_downgrade_holds_in_the_other_worlds_too() {
    for world in [
        "open-files",
        "client-stamps",
        "client-stamps-late",
        "nocto",
        "clock-set-back",
        "late-ctimes",
        "queue",
        "line",
        "delegations",
    ] {
        let config = World::named(world).unwrap().config(Protocols::All(Protocol::Dir));
        let config = Config { shared: Who::Half, hosts: vec![0, 1, 0, 1], ..config };
        assert_holds(&format!("downgrades, {world}"), &random(&config, 0, runs() / 20));
    }
}

#[test]
fn nothing_is_left_of_a_downgraded_lock() {
    for (one_remove, sticky) in [(true, false), (true, true), (false, false)] {
        let config = downgrades(Protocols::All(Protocol::Dir));
        let config = Config { draws: false, one_remove, sticky, faults: Faults::NONE, ..config };
        let what = format!("NFS 4: {one_remove}, sticky: {sticky}");
        assert_holds(&format!("downgrades, without faults, {what}"), &random(&config, 0, runs() / 20));
        // Whether or when its request is carried out, nobody knows.
        let config = Config { faults: Faults { given_up: 4, ..Faults::NONE }, ..config };
        assert_holds(&format!("downgrades in doubt, {what}"), &random(&config, 0, runs() / 20));
    }
}

/// One who downgrades the lock, and one who shares it; each tries once.
#[test]
fn the_smallest_world_with_a_downgrade_holds_in_every_schedule() {
    let config = Config { shared: Who::Half, ..Config::smallest(Protocol::Dir) };
    let (summary, all) = exhaustive(&config, 2_000_000);
    assert!(all, "there are more than {} schedules", summary.runs);
    assert_holds("downgrades, in order", &summary);
}

/// The bug: a holder trusts to have the lock alone until its downgrade returns. The consequence: it was carried out before, and a
/// reader has joined.
#[test]
fn the_simulation_catches_a_holder_that_is_alone_until_its_downgrade_returns() {
    let config = Config { trusts_to_be_alone: true, ..downgrades(Protocols::All(Protocol::Dir)) };
    assert_caught("alone until the downgrade returns", 10_000, &random(&config, 0, 10_000));
}

#[test]
fn the_simulation_catches_a_downgrade_without_one_of_its_steps() {
    for (without, runs) in [(&[Step::DeadlineOfDowngrade] as &[Step], 20_000), (&[Step::DowngradeByDisk], 20_000)] {
        let config = Config { without, ..downgrades(Protocols::All(Protocol::Dir)) };
        assert_caught(&format!("downgrades without {without:?}"), runs, &random(&config, 0, runs));
    }
}
