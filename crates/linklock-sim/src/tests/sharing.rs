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
