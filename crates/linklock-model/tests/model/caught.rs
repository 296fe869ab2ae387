//! For every safety step, the harm without it.

use linklock_model::contender::Role::{self, Dir, Flufl, Link, Reader};
use linklock_model::step::Step;
use linklock_model::world::World;

use super::{assert_caught, assert_holds};

const TWO: &str = "one holder";
const REMOVED: &str = "no live claim is removed";
const EXPIRED: &str = "no lock has expired at once";
const BLIND: &str = "no blind refresh";
const TOKENS: &str = "fencing tokens grow";

const DIRS: &[Role] = &[Dir, Dir];
const LINKS: &[Role] = &[Link, Link];

/// A world, the steps to leave out, and the violations of which one must show. Where a second step also prevents the harm, both
/// are left out.
type Without = (World, &'static [Step], &'static [&'static str]);

fn cases() -> Vec<Without> {
    let of = World::of;
    let links = World { claims_each: 2, ..of(LINKS) };
    let dirs = World { claims_each: 2, ..of(DIRS) };
    let three = World::of(&[Link, Link, Link]);
    let fenced = World { fence: true, clocks_fail: true, ..of(&[Dir, Dir, Dir]) };
    vec![
        (links, &[Step::FreshExpiry, Step::DeadlineOnceWon], &[EXPIRED]),
        (World { faults: 1, remembers_names: true, ..dirs }, &[Step::EarlyArrival], &[REMOVED, TWO]),
        (World { faults: 1, ..links }, &[Step::DecideByDisk], &[TWO]),
        (World { faults: 1, ..dirs }, &[Step::DecideByDisk], &[TWO]),
        (links, &[Step::DeadlineOnceWon], &[EXPIRED]),
        (dirs, &[Step::DeadlineOnceWon], &[EXPIRED]),
        (three, &[Step::BreakersGuard], &[REMOVED, TWO]),
        (three, &[Step::LookAgain], &[REMOVED, TWO]),
        (links, &[Step::CheckBeforeRelease, Step::DeadlineBeforeRelease], &[REMOVED, TWO]),
        (links, &[Step::DeadlineBeforeRelease], &[REMOVED, TWO]),
        (World { on_behalf: true, ..links }, &[Step::ReleaseInTurn], &[REMOVED, TWO]),
        (links, &[Step::DeadlineOfRefresh], &[REMOVED, TWO]),
        (dirs, &[Step::DeadlineOfRefresh], &[REMOVED, TWO]),
        (World { beyond_the_limit: true, ..links }, &[Step::CheckAfterRefresh], &[BLIND]),
        (links, &[Step::Grace], &[REMOVED, TWO]),
        (dirs, &[Step::Grace], &[REMOVED, TWO]),
        (dirs, &[Step::JudgeByLook], &[REMOVED, TWO]),
        (World { faults: 1, ..dirs }, &[Step::ExpiryFromChange], &[REMOVED, TWO]),
        (World { one_remove: true, ..of(&[Dir, Link, Link]) }, &[Step::ClearInTurn], &[REMOVED, TWO]),
        (of(&[Dir, Reader, Reader]), &[Step::ReaderLooksAgain], &[TWO]),
        (fenced, &[Step::FenceSeesLock], &[TOKENS]),
        (World { remembers_names: true, ..fenced }, &[Step::FenceLooksAgain], &[TOKENS]),
    ]
}

#[test]
fn the_model_catches_the_harm_without_each_step() {
    for (world, without, violations) in cases() {
        let what = format!("{:?} without {without:?}", world.roles);
        assert_caught(&what, World { without, ..world }, violations);
    }
}

#[test]
fn every_step_is_left_out_once() {
    for step in Step::ALL {
        assert!(cases().iter().any(|(_, without, _)| without.contains(&step)), "{step:?}");
    }
}

#[test]
fn the_model_finds_the_documented_limit_of_link() {
    let world = World { claims_each: 2, ..World::of(LINKS) };
    assert_caught("link beyond its limit", World { beyond_the_limit: true, ..world }, &[REMOVED, TWO]);
}

#[test]
fn the_model_finds_the_races_of_flufl_lock() {
    let world = World { beyond_the_limit: true, ..World::of(&[Flufl, Flufl]) };
    assert_caught("flufl.lock", world, &[REMOVED, TWO]);
}

/// A contender reaches its claim by a name that it remembers, and refreshes it at the lock path, where a late rename has brought
/// it. Others have judged it by the old expiry.
#[test]
fn a_late_rename_before_a_fresh_expiry_does_no_harm() {
    let world = World { claims_each: 2, faults: 1, remembers_names: true, ..World::of(DIRS) };
    assert_holds("dir, with remembered names", world);
}

/// A reader's removal of its own entry arrives once more, when the reader has used the same claim again.
#[test]
fn the_model_finds_a_reader_that_uses_a_claim_again() {
    let world = World { claims_each: 2, faults: 2, ..World::of(&[Dir, Reader]) };
    let again = World { keeps_claim_after_error: true, ..world };
    assert_caught("a reader that uses a claim again", again, &[REMOVED, TWO]);
}
