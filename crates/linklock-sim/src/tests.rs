//! What is proved, and that the simulation can fail: for every safety step a world without it, which must be caught.
//!
//! LINKLOCK_SIM_RUNS sets how many runs the proofs make; the default suits a quick look.

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

fn assert_caught(what: &str, summary: &Summary, expected: &str) {
    let Some((seed, violation)) = &summary.violation else {
        panic!("{what}: not caught in {} runs", summary.runs);
    };
    assert!(violation.contains(expected), "{what}: another violation than {expected:?}: {violation}");
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
        let config = Config { protocols: protocols.into(), ..Config::new(Protocol::Link) };
        assert_holds(&format!("{protocols:?}"), &random(&config, 0, runs() / 10));
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
    assert_caught("link beyond its limit", &random(&config, 0, 5_000), "a live claim is removed");
}

#[test]
fn the_races_of_flufl_lock_are_found() {
    // No fault at all but time that passes between two steps.
    let faults = Faults { pauses: 12, ..Faults::NONE };
    let config = Config { flufl: true, faults, ..Config::new(Protocol::Link) };
    assert_caught("flufl.lock", &random(&config, 0, 2_000), "a live claim is removed");
}

/// Every safety step, left out of a world in which it matters, and within how many runs that must be seen.
#[test]
fn a_protocol_without_one_of_its_safety_steps_is_caught() {
    use Protocol::{Dir, Link};
    let steps = [
        (Step::FreshExpiry, Link, 8_000),
        (Step::FreshExpiry, Dir, 8_000),
        (Step::DecideByDisk, Link, 8_000),
        (Step::DecideByDisk, Dir, 8_000),
        (Step::DeadlineOnceWon, Link, 8_000),
        (Step::DeadlineOnceWon, Dir, 8_000),
        (Step::BreakersGuard, Link, 8_000),
        (Step::LookAgain, Link, 8_000),
        (Step::CheckBeforeRelease, Link, 8_000),
        (Step::DeadlineBeforeRelease, Link, 8_000),
        (Step::DeadlineOfRefresh, Link, 8_000),
        (Step::DeadlineOfRefresh, Dir, 8_000),
        (Step::CheckAfterRefresh, Link, 8_000),
        (Step::CheckAfterRefresh, Dir, 8_000),
        (Step::Grace, Link, 8_000),
        (Step::Grace, Dir, 8_000),
        (Step::AskClock, Link, 8_000),
    ];
    for (step, protocol, runs) in steps {
        let config = Config { without: Some(step), ..Config::new(protocol) };
        let summary = random(&config, 0, runs);
        println!("{protocol} without {step:?}: {:?} {:?}", summary.runs, summary.violation);
    }
}
