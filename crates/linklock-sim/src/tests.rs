//! What is proved, and that the simulation can fail: for every safety step a world without it, which must be caught.
//!
//! LINKLOCK_SIM_RUNS sets how many runs the proofs make; the default suits a quick look. `./test sim` makes many.

use crate::config::{Config, Faults};
use crate::env::Step;
use crate::explore::{Summary, exhaustive, pct, random};
use crate::protocol::Protocol;

const BOTH: [Protocol; 2] = [Protocol::Link, Protocol::Dir];

fn runs() -> u64 {
    std::env::var("LINKLOCK_SIM_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(2_000)
}

fn assert_holds(what: &str, summary: &Summary) {
    if let Some((seed, violation)) = &summary.violation {
        panic!("{what}, after {} runs, seed {seed}: {violation}", summary.runs);
    }
    assert!(summary.holds > summary.runs, "{what}: {} holds in {} runs are about nothing", summary.holds, summary.runs);
    println!("{what}: {} runs, {} holds, no violation", summary.runs, summary.holds);
}

fn assert_caught(what: &str, runs: u64, summary: &Summary) {
    let Some((seed, violation)) = &summary.violation else { panic!("{what}: not caught in {runs} runs") };
    // Not by anything else, such as an error or a lock that is stuck.
    let harm = ["two holders", "a live claim is removed"];
    assert!(harm.iter().any(|harm| violation.contains(harm)), "{what}: another violation: {violation}");
    println!("{what}: caught after {} runs, seed {seed}: {violation}", summary.runs);
}

#[test]
fn dir_holds_under_every_fault_in_random_schedules() {
    assert_holds("dir, random", &random(&Config::new(Protocol::Dir), 0, runs()));
}

#[test]
fn dir_holds_under_every_fault_in_pct_schedules() {
    assert_holds("dir, PCT", &pct(&Config::new(Protocol::Dir), 0, runs()));
}

#[test]
fn link_holds_within_its_limit_in_random_schedules() {
    assert_holds("link, random", &random(&Config::new(Protocol::Link), 0, runs()));
}

#[test]
fn link_holds_within_its_limit_in_pct_schedules() {
    assert_holds("link, PCT", &pct(&Config::new(Protocol::Link), 0, runs()));
}

#[test]
fn locks_of_both_protocols_on_one_path_hold_within_the_limit_of_link() {
    for protocols in [[Protocol::Link, Protocol::Dir, Protocol::Dir], [Protocol::Dir, Protocol::Link, Protocol::Link]] {
        let config = Config { protocols: protocols.into(), one_remove: false, ..Config::new(Protocol::Link) };
        assert_holds(&format!("{protocols:?}"), &random(&config, 0, runs() / 10));
    }
}

/// A dir lock's directory is removed by the shared name. NFS 4 has one request for files and directories: where the name is
/// a link lock's by the time that it is carried out, it removes that.
#[test]
fn the_one_remove_of_nfs_4_is_found_where_both_protocols_are_on_one_path() {
    for protocols in [[Protocol::Link, Protocol::Dir, Protocol::Dir], [Protocol::Dir, Protocol::Link, Protocol::Link]] {
        // No fault at all: the clients are no slower than each other's steps make them.
        let config = Config { protocols: protocols.into(), faults: Faults::NONE, ..Config::new(Protocol::Link) };
        assert_caught(&format!("{protocols:?} on NFS 4"), 20_000, &random(&config, 0, 20_000));
    }
}

#[test]
fn each_fault_alone_is_borne() {
    let none = Faults::NONE;
    let alone = [
        Faults { pauses: 12, ..none },
        Faults { lost_replies: 6, ..none },
        Faults { lost_replies: 6, late_requests: 6, ..none },
        Faults { cuts: 8, pauses: 6, ..none },
        Faults { kills: 2, ..none },
        Faults { clock_steps: 1, pauses: 6, ..none },
    ];
    for protocol in BOTH {
        for faults in alone {
            let config = Config { faults, ..Config::new(protocol) };
            assert_holds(&format!("{protocol}, {faults:?}"), &random(&config, 0, runs() / 20));
        }
    }
}

#[test]
fn the_smallest_world_holds_in_every_schedule_there_is() {
    for protocol in BOTH {
        let (summary, all) = exhaustive(&Config::smallest(protocol), 2_000_000);
        assert!(all, "{protocol}: there are more than {} schedules", summary.runs);
        assert_holds(&format!("{protocol}, exhaustively"), &summary);
    }
}

#[test]
fn the_documented_limit_of_link_is_found() {
    let config = Config::new(Protocol::Link).beyond_the_limit();
    assert_caught("link beyond its limit", 5_000, &random(&config, 0, 5_000));
}

#[test]
fn the_races_of_flufl_lock_are_found() {
    // No fault at all but time that passes between two steps.
    let faults = Faults { pauses: 12, ..Faults::NONE };
    let config = Config { flufl: true, faults, ..Config::new(Protocol::Link) };
    assert_caught("flufl.lock", 2_000, &random(&config, 0, 2_000));
}

/// What is left out, and within how many runs the harm must be seen. A step that has a second line of defence behind it is
/// left out together with that. The other steps have their tests in the library, which put the fault where the step is.
#[test]
fn a_protocol_without_one_of_its_safety_steps_is_caught() {
    use Protocol::{Dir, Link};
    let worlds: [(Protocol, &'static [Step], u64); 7] = [
        // The bug: a request that was carried out once more, much later, set a dir lock's expiry back. The consequence: it
        // was broken under a live holder. The mend: it lasts from its last change.
        (Dir, &[Step::ExpiryFromChange], 10_000),
        (Link, &[Step::Grace], 2_000),
        (Dir, &[Step::Grace], 2_000),
        (Dir, &[Step::DeadlineOfRefresh], 2_000),
        (Link, &[Step::LookAgain], 2_000),
        (Link, &[Step::BreakersGuard], 10_000),
        (Link, &[Step::CheckBeforeRelease, Step::DeadlineBeforeRelease], 10_000),
    ];
    for (protocol, without, runs) in worlds {
        let config = Config { without, ..Config::new(protocol) };
        assert_caught(&format!("{protocol} without {without:?}"), runs, &random(&config, 0, runs));
    }
}

/// The bug: a breaker that looked again believed a cached name, under which the broken lock still was, and moved what the
/// name had become. The consequence: a live lock was taken. The mend: fresh names.
#[test]
fn a_breaker_without_fresh_names_is_caught() {
    // It is rare. From this seed on, the first that is found is this one: a breaker is killed in the middle, and the next
    // on its machine believes the name that the dead one looked up.
    let config = Config { without: &[Step::FreshNames], ..Config::new(Protocol::Link) };
    assert_caught("link without [FreshNames]", 2_000, &random(&config, 1_000_000, 2_000));
}
