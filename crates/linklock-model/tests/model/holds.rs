//! All states of each world.

use linklock_model::contender::Role::{self, Dir, Link, Reader};
use linklock_model::world::World;

use super::assert_holds;

const DIRS: [&[Role]; 2] = [&[Dir, Dir], &[Dir, Dir, Dir]];
const LINKS: [&[Role]; 2] = [&[Link, Link], &[Link, Link, Link]];

fn of(roles: &'static [Role]) -> World {
    World::of(roles)
}

#[test]
fn dir_holds() {
    assert_holds("dir, 3 contenders, 2 claims, 1 fault", World { claims_each: 2, faults: 1, ..of(DIRS[1]) });
    assert_holds("dir, 2 contenders, 2 claims, 2 faults", World { claims_each: 2, faults: 2, ..of(DIRS[0]) });
}

#[test]
fn link_holds_within_its_limit() {
    assert_holds("link, 3 contenders, 2 claims", World { claims_each: 2, ..of(LINKS[1]) });
    assert_holds("link, 3 contenders, 1 claim, 1 fault", World { faults: 1, ..of(LINKS[1]) });
    assert_holds("link, 2 contenders, 2 claims, 2 faults", World { claims_each: 2, faults: 2, ..of(LINKS[0]) });
}

#[test]
fn link_for_another_process_holds() {
    assert_holds("link on behalf, 3 contenders, 1 claim", World { on_behalf: true, ..of(LINKS[1]) });
    let twice = World { on_behalf: true, claims_each: 2, faults: 1, ..of(LINKS[0]) };
    assert_holds("link on behalf, 2 contenders, 2 claims, 1 fault", twice);
}

#[test]
fn no_writer_holds_the_lock_beside_anybody() {
    let few = World { faults: 1, ..of(&[Dir, Reader, Reader]) };
    assert_holds("1 writer, 2 readers, 1 claim, 1 fault", few);
    assert_holds("2 writers, 1 reader, 1 claim, 1 fault", World { faults: 1, ..of(&[Dir, Dir, Reader]) });
    let twice = World { claims_each: 2, faults: 2, ..of(&[Dir, Reader]) };
    assert_holds("1 writer, 1 reader, 2 claims, 2 faults", twice);
}

#[test]
fn both_protocols_on_one_path_hold_within_the_limit_of_link() {
    for one_remove in [false, true] {
        let nfs = if one_remove { "NFS 4" } else { "NFS 3" };
        for roles in [&[Dir, Dir, Link] as &[Role], &[Dir, Link, Link]] {
            let world = World { one_remove, faults: 1, ..of(roles) };
            assert_holds(&format!("{roles:?}, {nfs}, 1 claim, 1 fault"), world);
        }
    }
}

#[test]
fn fencing_tokens_grow() {
    for clocks_fail in [false, true] {
        let clocks = if clocks_fail { "clocks fail" } else { "clocks hold" };
        let world = World { fence: true, clocks_fail, ..of(DIRS[1]) };
        assert_holds(&format!("fencing, {clocks}, 3 contenders, 1 claim"), world);
        let world = World { remembers_names: true, ..world };
        assert_holds(&format!("fencing, {clocks}, 3 contenders, 1 claim, old lists"), world);
        let world = World { claims_each: 2, ..World { fence: true, clocks_fail, ..of(DIRS[0]) } };
        assert_holds(&format!("fencing, {clocks}, 2 contenders, 2 claims"), world);
        let world = World { fence: true, clocks_fail, faults: 1, ..of(DIRS[0]) };
        assert_holds(&format!("fencing, {clocks}, 2 contenders, 1 claim, 1 fault"), world);
    }
}
