//! The protocols hold in every order of their steps, and without one of their steps they do not.
#![expect(clippy::print_stdout, reason = "the figures of a proof are for people to read")]

mod caught;
mod holds;
mod names;

use std::fmt::Write as _;
use std::time::Instant;

use linklock_model::model::Action;
use linklock_model::state::State;
use linklock_model::world::World;
use stateright::{Checker, HasDiscoveries, Model, Path};

/// Explores all states of a world.
fn assert_holds(what: &str, world: World) {
    let began = Instant::now();
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{what}: \"{property}\" is violated:\n{}", story(path));
    }
    assert!(checker.is_done(), "{what}: not all states were explored");
    let (states, seconds) = (checker.unique_state_count(), began.elapsed().as_secs_f64());
    println!("{what}: {states} states, {seconds:.1} s, no violation");
}

/// Finds one of these violations, by few steps.
fn assert_caught(what: &str, world: World, violations: &[&'static str]) {
    let any = HasDiscoveries::AnyOf(violations.iter().copied().collect());
    let checker = world.checker().finish_when(any).spawn_bfs().join();
    let Some((property, path)) = checker.discoveries().into_iter().find(|(property, _)| violations.contains(property))
    else {
        let others: Vec<_> = checker.discoveries().into_keys().collect();
        panic!("{what}: not caught in {} states, but {others:?}", checker.unique_state_count());
    };
    let steps = path.into_actions().len();
    println!("{what}: \"{property}\" is violated after {steps} steps");
}

/// A way to a state, for people to read.
fn story(path: Path<State, Action>) -> String {
    let mut story = String::new();
    for (state, action) in path.into_vec() {
        let State { server, contenders, late, .. } = state;
        let _ = writeln!(story, "{:?}, turn {:?}, under way {late:?}", server.path, server.turn);
        for (who, contender) in contenders.iter().enumerate() {
            let _ = writeln!(story, "    {who}: {contender:?}");
        }
        let _ = writeln!(story, "  then {action:?}");
    }
    story
}
