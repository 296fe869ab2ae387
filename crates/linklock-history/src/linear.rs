//! Whether operations on one object can be put into an order that respects real time and that the object allows.
//!
//! The algorithm is that of Wing and Gong with Lowe's cache: it goes through calls and returns in the order of their times, with
//! the set of all configurations that are possible so far. A configuration is the object's state with those pending operations
//! that have taken effect already. When an operation returns, it must have taken effect: so pending ones, in every order, take
//! effect until it has. The set is small as long as few operations are pending at once, however long the history is.

use std::collections::HashSet;
use std::hash::Hash;

/// A sequential object.
pub trait Object {
    /// Its state.
    type State: Clone + Eq + Hash;
    /// A call with its answer.
    type Call;
    /// The state after this call with this answer; nothing if it cannot get this answer here.
    fn apply(state: &Self::State, call: &Self::Call) -> Option<Self::State>;
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<Call> {
    /// The call with its answer.
    pub call: Call,
    /// When it was called.
    pub asked: u64,
    /// When it returned; if it never did, after which it can take no effect any more.
    pub answered: u64,
    /// Whether it returned. If not, it may have had no effect.
    pub has_returned: bool,
}

/// Why a history has no verdict of "linearizable".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// It is not linearizable: no order remained when this operation returned.
    NoOrder(usize),
    /// Too many orders were possible when this operation returned.
    TooMany(usize),
}

impl Stuck {
    /// The place of the operation.
    #[must_use]
    pub fn operation(self) -> usize {
        let (Self::NoOrder(number) | Self::TooMany(number)) = self;
        number
    }
}

/// More are not tried.
const CONFIGURATIONS_MOST: usize = 1 << 20;

type Configuration<State> = (State, Vec<usize>);

/// Searches for an order. Of two operations, one of which returned at the moment when the other was called, either may be first.
///
/// # Errors
///
/// There is none, or there are too many to try.
pub fn linearize<O: Object>(start: O::State, operations: &[Operation<O::Call>]) -> Result<(), Stuck> {
    let mut moments: Vec<_> = (0..operations.len())
        .flat_map(|number| [(operations[number].asked, false, number), (operations[number].answered, true, number)])
        .collect();
    moments.sort_unstable();
    let mut configurations = HashSet::from([(start, Vec::new())]);
    let mut pending: Vec<usize> = Vec::new();
    for (_, is_return, number) in moments {
        if is_return {
            configurations = after_return::<O>(configurations, &pending, number, operations)?;
            pending.retain(|other| *other != number);
        } else {
            pending.push(number);
        }
    }
    Ok(())
}

fn after_return<O: Object>(
    configurations: HashSet<Configuration<O::State>>,
    pending: &[usize],
    number: usize,
    operations: &[Operation<O::Call>],
) -> Result<HashSet<Configuration<O::State>>, Stuck> {
    let mut after = HashSet::new();
    if !operations[number].has_returned {
        after.extend(configurations.iter().filter(|(_, done)| !done.contains(&number)).cloned());
    }
    let mut seen = configurations.clone();
    let mut left: Vec<_> = configurations.into_iter().collect();
    while let Some((state, mut done)) = left.pop() {
        if let Some(place) = done.iter().position(|other| *other == number) {
            done.remove(place);
            after.insert((state, done));
            continue;
        }
        for next in pending.iter().filter(|next| !done.contains(next)) {
            let Some(state) = O::apply(&state, &operations[*next].call) else { continue };
            let mut done = done.clone();
            done.insert(done.partition_point(|other| other < next), *next);
            if seen.insert((state.clone(), done.clone())) {
                left.push((state, done));
            }
        }
        if seen.len() > CONFIGURATIONS_MOST {
            return Err(Stuck::TooMany(number));
        }
    }
    if after.is_empty() { Err(Stuck::NoOrder(number)) } else { Ok(after) }
}
