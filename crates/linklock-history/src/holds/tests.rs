use std::collections::BTreeSet;

use super::*;
use crate::linear::{Object, Operation, linearize};

fn hold(since: u64, until: u64) -> Hold {
    let (lock, hold, process) = ("lock".into(), format!("{since}"), "p".into());
    Hold { lock, hold, process, shares: false, asked: since.saturating_sub(1), since, until, fence: None }
}

fn shared(since: u64, until: u64) -> Hold {
    Hold { shares: true, ..hold(since, until) }
}

fn overlap_of(first: Hold, second: Hold) -> Vec<Broken> {
    vec![Broken::Overlap(Box::new([first, second]))]
}

#[test]
fn holds_in_turn_and_of_different_locks_pass() {
    assert_eq!(judge(&[hold(30, 50), hold(10, 30), hold(51, 51), hold(51, 60)]), []);
    assert_eq!(judge(&[hold(10, 30), Hold { lock: "lock.2".into(), ..hold(20, 40) }]), []);
    assert_eq!(judge(&[shared(10, 30), shared(20, 40), shared(15, 16), hold(40, 50)]), []);
}

#[test]
fn a_planted_overlap_is_caught() {
    assert_eq!(judge(&[hold(29, 50), hold(10, 30)]), overlap_of(hold(10, 30), hold(29, 50)));
    assert_eq!(judge(&[hold(10, 90), hold(40, 50)]), overlap_of(hold(10, 90), hold(40, 50)), "one inside the other");
    let held = [shared(10, 90), shared(20, 30), hold(40, 50)];
    assert_eq!(
        judge(&held),
        overlap_of(shared(10, 90), hold(40, 50)),
        "a writer beside a reader, with another between"
    );
    assert_eq!(
        judge(&[hold(10, 30), shared(29, 31)]),
        overlap_of(hold(10, 30), shared(29, 31)),
        "a reader beside a writer"
    );
}

#[test]
fn fencing_tokens_that_do_not_grow_are_caught() {
    let with = |since, fence| Hold { fence: Some(fence), ..hold(since, since + 1) };
    assert_eq!(judge(&[with(10, 1), with(20, 3), with(30, 4)]), []);
    for fence in [2, 3] {
        let broken = judge(&[with(10, 1), with(20, 3), with(30, fence), with(40, 9)]);
        assert_eq!(broken, [Broken::Fence(Box::new([with(20, 3), with(30, fence)]))]);
    }
    let side_by_side = Hold { asked: 15, ..with(30, 2) };
    assert_eq!(judge(&[with(20, 3), side_by_side]), [], "it was asked for before the other was given");
}

/// The lock as a sequential object, for the general search.
struct Lock;

#[derive(Debug)]
enum Call {
    Acquire(usize, bool),
    Cease(usize),
}

impl Object for Lock {
    /// Who holds it, and whether they share it.
    type State = BTreeSet<(usize, bool)>;
    type Call = Call;

    fn apply(state: &Self::State, call: &Call) -> Option<Self::State> {
        let mut after = state.clone();
        match call {
            Call::Acquire(who, shares) => {
                let is_free = state.iter().all(|(_, other)| *shares && *other);
                is_free.then(|| after.insert((*who, *shares)))?;
            }
            Call::Cease(who) => after.retain(|(other, _)| other != who),
        }
        (after != *state).then_some(after)
    }
}

fn operations(holds: &[Hold]) -> Vec<Operation<Call>> {
    let of_hold = |(number, hold): (usize, &Hold)| {
        let operation = |call, asked, answered| Operation { call, asked, answered, has_returned: true };
        [
            operation(Call::Acquire(number, hold.shares), hold.asked, hold.since),
            operation(Call::Cease(number), hold.until, u64::MAX),
        ]
    };
    holds.iter().enumerate().flat_map(of_hold).collect()
}

#[test]
fn the_pass_and_the_general_search_agree() {
    let (mut rng, mut verdicts) = (fastrand::Rng::with_seed(7), [0; 2]);
    for _ in 0..3000 {
        let random = |rng: &mut fastrand::Rng| {
            let since = rng.u64(1..40);
            Hold { shares: rng.u8(..3) == 0, asked: rng.u64(..since), ..hold(since, since + rng.u64(1..9)) }
        };
        let holds: Vec<_> = (0..rng.usize(2..6)).map(|_| random(&mut rng)).collect();
        let by_search = linearize::<Lock>(BTreeSet::new(), &operations(&holds));
        let by_pass = overlap(holds.iter().collect());
        assert_eq!(by_search.is_ok(), by_pass.is_none(), "{holds:#?}: {by_search:?}, {by_pass:?}");
        verdicts[usize::from(by_pass.is_none())] += 1;
    }
    assert!(verdicts.iter().all(|number| *number > 300), "both verdicts are met: {verdicts:?}");
}
