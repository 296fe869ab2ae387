//! Slots: one holder of each, and no more in all than there are, in every world.

use super::{assert_caught, assert_holds, runs};
use crate::config::{Config, Faults, Who};
use crate::env::Step;
use crate::explore::{pct, random};
use crate::options::Protocol;
use crate::worlds::{Protocols, World};

fn slots(protocols: Protocols) -> Config {
    World::named("slots").unwrap().config(protocols)
}

#[test]
fn each_slot_has_one_holder() {
    for protocols in Protocols::ALL {
        let what = format!("slots, {}", protocols.name());
        assert_holds(&format!("{what}, random"), &random(&slots(protocols), 0, runs() / 8));
        assert_holds(&format!("{what}, PCT"), &pct(&slots(protocols), 0, runs() / 8));
    }
}

#[test]
fn slots_hold_in_the_other_worlds_too() {
    for world in ["open-files", "client-stamps", "nocto", "clock-set-back", "late-ctimes", "queue", "line"] {
        for protocols in Protocols::ALL {
            let config = World::named(world).unwrap().config(protocols);
            let hosts = if config.is_local { config.hosts.clone() } else { vec![0, 1, 0, 1] };
            let config = Config { has_slots: true, hosts, ..config };
            assert_holds(&format!("slots, {world}, {}", protocols.name()), &random(&config, 0, runs() / 40));
        }
    }
}

#[test]
fn nothing_is_left_of_slots_and_those_who_waited() {
    for protocol in [Protocol::Link, Protocol::Dir] {
        for queue in [Who::Nobody, Who::Everybody] {
            let config = Config { faults: Faults::NONE, queue, ..slots(Protocols::All(protocol)) };
            let what = format!("slots of {protocol}, without faults, {queue:?} queues up");
            assert_holds(&what, &random(&config, 0, runs() / 20));
        }
    }
}

#[test]
fn the_simulation_catches_slots_without_a_step_of_their_locks() {
    for protocols in [Protocols::All(Protocol::Link), Protocols::All(Protocol::Dir)] {
        let without = &[Step::Grace];
        let config = Config { without, fence: false, draws: false, ..slots(protocols) };
        assert_caught(&format!("slots, {}", protocols.name()), 5_000, &random(&config, 0, 5_000));
    }
}
