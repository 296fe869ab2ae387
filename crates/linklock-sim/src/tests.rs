//! The protocols hold in every world, and the simulation can fail: for every safety step, it catches the harm without that step.
//!
//! LINKLOCK_SIM_RUNS sets the number of runs; the default suits a quick check. `./test sim` makes many.

use crate::config::{Config, Faults};
use crate::env::Step;
use crate::explore::{Summary, exhaustive, pct, random};
use crate::options::Protocol;
use crate::worlds::{Protocols, WORLDS, World};

mod file_systems;
mod keeping;
mod lifetimes;
mod sharing;
mod slots;
mod twice;

const BOTH: [Protocol; 2] = [Protocol::Link, Protocol::Dir];

fn runs() -> u64 {
    std::env::var("LINKLOCK_SIM_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(2_000)
}

fn assert_holds(what: &str, summary: &Summary) {
    if let Some((seed, violation)) = &summary.violation {
        panic!("{what}, after {} runs, seed {seed}: {violation}", summary.runs);
    }
    assert!(summary.holds > summary.runs, "{what}: {} holds in {} runs test too little", summary.holds, summary.runs);
    println!("{what}: {} runs, {} holds, no violation", summary.runs, summary.holds);
}

fn assert_caught(what: &str, runs: u64, summary: &Summary) {
    let Some((seed, violation)) = &summary.violation else { panic!("{what}: not caught in {runs} runs") };
    // Other violations, such as an error or a stuck lock, do not count.
    let harm = [
        "two holders",
        "3 holders of 2 slots",
        "a live claim is removed",
        "a live lock is given up",
        "expired at once",
        "fencing tokens do not grow",
    ];
    assert!(harm.iter().any(|harm| violation.contains(harm)), "{what}: another violation, seed {seed}: {violation}");
    println!("{what}: caught after {} runs, seed {seed}: {violation}", summary.runs);
}

/// The main worlds, for each protocol and for both on one path. A part of 10 makes a tenth of the runs.
macro_rules! main_worlds {
    ($($name:ident: $world:literal, $protocols:expr, $part:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let protocols = $protocols;
                let config = World::named($world).unwrap().config(protocols);
                let what = format!("{}, {}", $world, protocols.name());
                assert_holds(&format!("{what}, random"), &random(&config, 0, runs() / $part));
                assert_holds(&format!("{what}, PCT"), &pct(&config, 0, runs() / $part));
            }
        )*

        #[test]
        fn every_main_world_is_run_with_each_protocol_and_with_both() {
            let run: Vec<(&str, Protocols)> = vec![$(($world, $protocols)),*];
            for world in WORLDS.iter().filter(|world| world.is_main) {
                for protocols in Protocols::ALL {
                    assert!(run.contains(&(world.name, protocols)), "{}, {}", world.name, protocols.name());
                }
            }
        }
    };
}

main_worlds! {
    link_holds_within_its_limit: "nfs", Protocols::All(Protocol::Link), 1;
    dir_holds_under_every_fault: "nfs", Protocols::All(Protocol::Dir), 1;
    locks_of_both_protocols_on_one_path_hold_within_the_limit_of_link: "nfs", Protocols::Mixed, 1;
    link_holds_where_clients_rename_what_they_have_open: "open-files", Protocols::All(Protocol::Link), 1;
    dir_holds_where_clients_rename_what_they_have_open: "open-files", Protocols::All(Protocol::Dir), 1;
    both_on_one_path_hold_where_clients_rename_what_they_have_open: "open-files", Protocols::Mixed, 10;
    link_holds_where_each_client_stamps_files_by_its_own_clock: "client-stamps", Protocols::All(Protocol::Link), 1;
    dir_holds_where_each_client_stamps_files_by_its_own_clock: "client-stamps", Protocols::All(Protocol::Dir), 1;
    both_on_one_path_hold_where_each_client_stamps_files_by_its_own_clock: "client-stamps", Protocols::Mixed, 10;
}

#[test]
fn the_smaller_worlds_hold() {
    for (world, part) in [
        ("nocto", 10),
        ("soft", 5),
        ("clock-set-back", 10),
        ("late-ctimes", 10),
        ("client-stamps-late", 10),
        ("queue", 20),
        ("line", 20),
    ] {
        for protocols in Protocols::ALL {
            let config = World::named(world).unwrap().config(protocols);
            assert_holds(&format!("{world}, {}", protocols.name()), &random(&config, 0, runs() / part));
        }
    }
}

#[test]
fn the_protocols_hold_under_each_fault_alone() {
    let none = Faults::NONE;
    let alone = [
        Faults { pauses: 12, ..none },
        Faults { lost_replies: 6, ..none },
        Faults { lost_replies: 6, late_requests: 6, ..none },
        Faults { cuts: 8, pauses: 6, ..none },
        Faults { kills: 2, ..none },
        Faults { clock_steps: 1, pauses: 6, ..none },
        Faults { lies: 4, ..none },
        Faults { suspends: 4, pauses: 6, ..none },
        Faults { restarts: 3, pauses: 6, ..none },
    ];
    for protocol in BOTH {
        for faults in alone {
            let config = Config { faults, ..Config::new(protocol) };
            assert_holds(&format!("{protocol}, {faults:?}"), &random(&config, 0, runs() / 50));
        }
    }
}

#[test]
fn the_smallest_world_holds_in_every_schedule() {
    for protocol in BOTH {
        let (summary, all) = exhaustive(&Config::smallest(protocol), 2_000_000);
        assert!(all, "{protocol}: there are more than {} schedules", summary.runs);
        assert_holds(&format!("{protocol}, exhaustively"), &summary);
    }
}

#[test]
fn fencing_tokens_grow_even_if_clocks_fail_and_beyond_the_limit_of_link() {
    for protocol in BOTH {
        let config = Config::new(protocol).beyond_the_limit().with_failing_clocks();
        assert_holds(&format!("fencing of {protocol}, random"), &random(&config, 0, runs() / 10));
        assert_holds(&format!("fencing of {protocol}, PCT"), &pct(&config, 0, runs() / 10));
    }
}

#[test]
fn the_simulation_finds_the_documented_limit_of_link() {
    let config = Config::new(Protocol::Link).beyond_the_limit();
    assert_caught("link beyond its limit", 5_000, &random(&config, 0, 5_000));
}

#[test]
fn the_simulation_finds_the_races_of_flufl_lock() {
    // The only fault is time that passes between two steps.
    let faults = Faults { pauses: 12, ..Faults::NONE };
    let config = Config { flufl: true, faults, ..Config::new(Protocol::Link) };
    assert_caught("flufl.lock", 2_000, &random(&config, 0, 2_000));
    // Without the checker, the judge of the history finds them.
    let judged = random(&Config { is_left_to_the_judge: true, ..config }, 0, 2_000);
    let (_, what) = judged.violation.expect("the judge finds two holders");
    assert!(what.starts_with("the judge of the history: two holders at once"), "{what}");
}

/// A world, the steps to leave out, and the most runs until the harm must show. Where a second step also prevents the harm,
/// both are left out. The library has the test for CheckAfterRefresh, which no world here needs: it is for locks that are
/// removed by force, or beyond the limit of `link`.
type Without = (Config, &'static [Step], u64);

fn assert_each_is_caught(worlds: impl IntoIterator<Item = Without>) {
    for (world, without, runs) in worlds {
        let config = Config { without, ..world };
        assert_caught(&format!("{:?} without {without:?}", config.protocols), runs, &random(&config, 0, runs));
    }
}

// Without fencing, which checks the lock and the deadline once more.
fn link() -> Config {
    Config { fence: false, ..Config::new(Protocol::Link) }
}

fn dir() -> Config {
    Config { fence: false, ..Config::new(Protocol::Dir) }
}

// Processes with the same settings meet more often in the one moment that does harm.
fn alike(config: Config) -> Config {
    Config { lifetimes: &config.lifetimes[..1], graces: &config.graces[..1], ..config }
}

// Only many clock steps within one wait do harm, so this leaves out all faults that end waits early.
fn clock_alone(config: Config) -> Config {
    let faults = Faults { pauses: 24, cuts: 4, clock_steps: 24, ..Faults::NONE };
    Config { faults, ..config.with_clock_set_back() }
}

#[test]
fn the_simulation_catches_an_acquisition_without_one_of_its_steps() {
    assert_each_is_caught([
        (Config { faults: Faults { lies: 4, ..Faults::NONE }, ..link() }, &[Step::DecideByDisk] as &[Step], 2_000),
        (link(), &[Step::DeadlineOnceWon], 2_000),
        (dir(), &[Step::DeadlineOnceWon], 2_000),
        (link(), &[Step::FreshExpiry, Step::DeadlineOnceWon], 2_000),
    ]);
}

#[test]
fn the_simulation_catches_a_hold_without_one_of_its_steps() {
    assert_each_is_caught([
        // The bug: a request that the server carried out again, much later, set a dir lock's expiry back. The consequence: a
        // contender broke the lock of a live holder. The mend: the lifetime counts from the last change.
        (dir(), &[Step::ExpiryFromChange] as &[Step], 10_000),
        // In the refresh, which is the same for both protocols.
        (
            alike(Config { faults: Faults { pauses: 12, cuts: 4, ..Faults::NONE }, ..link() }),
            &[Step::DeadlineOfRefresh],
            40_000,
        ),
        (link(), &[Step::CheckBeforeRelease, Step::DeadlineBeforeRelease], 10_000),
    ]);
}

#[test]
fn the_simulation_catches_a_break_without_one_of_its_steps() {
    assert_each_is_caught([
        (link(), &[Step::LookAgain] as &[Step], 2_000),
        (link(), &[Step::BreakersGuard], 40_000),
        (link(), &[Step::Grace], 2_000),
        (dir(), &[Step::Grace], 2_000),
        // In the loop that waits, which is the same for both protocols.
        (clock_alone(link()), &[Step::AskClock], 30_000),
    ]);
}

/// Who contends, and whether the lock's directory is sticky. Where it is not, only those clear the lock path who want a `link`
/// lock: two of them meet.
const MIXES: [([Protocol; 3], bool); 4] = [
    ([Protocol::Link, Protocol::Dir, Protocol::Dir], true),
    ([Protocol::Dir, Protocol::Link, Protocol::Link], true),
    ([Protocol::Dir, Protocol::Link, Protocol::Link], false),
    ([Protocol::Link, Protocol::Dir, Protocol::Link], false),
];

/// The bug: a contender removed a dir lock's empty directory at the lock path. NFS 4 has one request for files and directories.
/// The consequence: if a link lock had that path by then, the request removed it. The mend: contenders that clear the lock path
/// take turns.
#[test]
fn the_simulation_catches_clearing_the_lock_path_without_taking_turns_on_nfs_4() {
    assert_each_is_caught(MIXES.map(|(protocols, sticky)| {
        // No fault: only the order of the clients' steps differs.
        let config = Config { protocols: protocols.into(), sticky, faults: Faults::NONE, ..link() };
        (config, &[Step::ClearInTurn] as &[Step], 20_000)
    }));
}

#[test]
fn the_simulation_catches_fencing_without_one_of_its_steps() {
    let fenced = Config::new(Protocol::Dir).with_failing_clocks();
    assert_each_is_caught([
        (fenced.clone(), &[Step::FenceSeesLock] as &[Step], 60_000),
        (fenced, &[Step::FenceLooksAgain], 5_000),
    ]);
}
