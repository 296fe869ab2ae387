//! Whether the holds of locks exclude each other, and whether their fencing tokens grow.

use std::collections::BTreeMap;

use crate::hold::Hold;
use crate::verdict::Broken;

/// The first of each violation in each lock: two holds that exclude each other overlap, or fencing tokens do not grow.
pub fn judge(holds: &[Hold]) -> Vec<Broken> {
    let mut locks: BTreeMap<&str, Vec<&Hold>> = BTreeMap::new();
    for hold in holds {
        locks.entry(&hold.lock).or_default().push(hold);
    }
    locks.into_values().flat_map(|holds| overlap(holds.clone()).into_iter().chain(fence(holds))).collect()
}

/// The first two of one lock that exclude each other and overlap.
fn overlap(mut holds: Vec<&Hold>) -> Option<Broken> {
    // An empty one has no moment in which it was trusted.
    holds.retain(|hold| hold.since < hold.until);
    holds.sort_by_key(|hold| hold.since);
    // Of those so far, the one that ends last: of the exclusive and of the shared ones.
    let mut last: [Option<&Hold>; 2] = [None; 2];
    for hold in holds {
        let rivals = if hold.shares { &last[..1] } else { &last[..] };
        if let Some(other) = rivals.iter().flatten().find(|other| hold.since < other.until) {
            return Some(Broken::Overlap(Box::new([(*other).clone(), hold.clone()])));
        }
        let place = &mut last[usize::from(hold.shares)];
        if place.is_none_or(|other| other.until < hold.until) {
            *place = Some(hold);
        }
    }
    None
}

/// The first two of one lock, the second of which was asked for after the first was given, whose tokens do not grow.
fn fence(mut holds: Vec<&Hold>) -> Option<Broken> {
    holds.retain(|hold| hold.fence.is_some());
    let mut given = holds.clone();
    given.sort_by_key(|hold| hold.since);
    holds.sort_by_key(|hold| hold.asked);
    let (mut given, mut greatest) = (given.into_iter().peekable(), None::<&Hold>);
    for hold in holds {
        while let Some(earlier) = given.next_if(|earlier| earlier.since < hold.asked) {
            if greatest.is_none_or(|other| other.fence < earlier.fence) {
                greatest = Some(earlier);
            }
        }
        if let Some(other) = greatest.filter(|other| hold.fence <= other.fence) {
            return Some(Broken::Fence(Box::new([other.clone(), hold.clone()])));
        }
    }
    None
}

#[cfg(test)]
mod tests;
