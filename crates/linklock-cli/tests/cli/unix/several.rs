//! run --and: several locks at once.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use super::run;
use crate::losses::LIFETIME;
use crate::scripts::status;
use crate::support::{Running, Scene, assert_exit, end, linklock, stderr, stdout};

const NAMES: [&str; 4] = ["a.lock", "b.lock", "c.lock", "d.lock"];

/// `linklock run OPTION... LOCK --and LOCK... sh -c SCRIPT`
fn with_all(scene: &Scene, locks: &[&str], options: &[&str], script: &str) -> std::process::Command {
    let paths: Vec<_> = locks.iter().map(|name| scene.dir.path().join(name)).collect();
    let mut command = linklock(["run"]);
    command.args(options).arg(&paths[0]);
    for path in &paths[1..] {
        command.arg("--and").arg(path);
    }
    command.args(["sh", "-c", script]).current_dir(scene.dir.path());
    command
}

#[test]
fn the_command_has_all_locks_and_finds_them_in_the_order_in_which_they_were_named() {
    let scene = Scene::new();
    let script =
        "for lock in a b c; do linklock_state=$(test -e $lock.lock && echo held); echo $lock $linklock_state; done
        echo ${LINKLOCK_PATH##*/} ${LINKLOCK_PATH_2##*/} ${LINKLOCK_PATH_3##*/} ${LINKLOCK_TOKEN_3%%|*}
        test $LINKLOCK_FENCE_2 -gt 0 && echo fenced";
    let output = end(with_all(&scene, &["c.lock", "a.lock", "b.lock"], &["--fence"], script));
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "a held\nb held\nc held\nc.lock a.lock b.lock b.lock\nfenced\n");
    let names = scene.names();
    assert!(names.iter().all(|name| name.to_string_lossy().ends_with("|fence")), "{names:?}");
}

#[test]
fn all_or_none_and_the_message_names_the_lock_that_was_not_had() {
    let scene = Scene::with_lock("b.lock");
    scene.acquire_for("none", "60s");
    let before = scene.names();
    let output = end(with_all(&scene, &["a.lock", "b.lock"], &["--timeout", "100ms"], "echo never"));
    assert_exit(&output, 75);
    assert!(stderr(&output).contains("/b.lock: not acquired"), "{}", stderr(&output));
    assert_eq!(scene.names(), before);
    let output = end(with_all(&scene, &["a.lock", "a.lock"], &[], "echo never"));
    assert_exit(&output, 64);
    assert_eq!(scene.names(), before);
}

#[test]
fn the_work_ends_with_any_of_its_locks() {
    let scene = Scene::new();
    let mut command = with_all(&scene, &["a.lock", "b.lock"], &LIFETIME, "echo ready; sleep 60; echo it went on");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running::start(command);
    assert_exit(
        &end({
            let mut broken = linklock(["break", "--force"]);
            broken.arg(scene.dir.path().join("b.lock"));
            broken
        }),
        0,
    );
    let (number, said) = running.end();
    assert_eq!((number, said.as_str()), (Some(76), ""));
    let left = scene.names();
    assert!(left.is_empty(), "the other lock was released: {left:?}");
}

/// Processes that want random sets of locks in random orders, some of which are killed: all others come to an end, and a counter for
/// each lock has lost no update.
#[test]
fn overlapping_sets_never_wait_for_each_other_for_ever() {
    const PROCESSES: usize = 24;
    let scene = Scene::new();
    for name in NAMES {
        fs::write(scene.dir.path().join(format!("{name}.count")), "0").expect("a counter");
    }
    let mut random = fastrand::Rng::with_seed(7);
    let start = |random: &mut fastrand::Rng| {
        let mut locks = NAMES;
        random.shuffle(&mut locks);
        let locks = &locks[..random.usize(2..=3)];
        let counts = locks.iter().map(|name| format!("n=$(cat {name}.count); echo $((n + 1)) >{name}.count"));
        let script = counts.collect::<Vec<_>>().join("; ");
        // The time-out is for a test that fails.
        let options = ["--lifetime", "10s", "--grace", "10ms", "--timeout", "20s"];
        let child = with_all(&scene, locks, &options, &script).stdout(Stdio::null()).spawn().expect("linklock starts");
        (child, locks.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    };
    let sleeper = |locks: &[&str]| -> Child {
        let mut command = with_all(&scene, locks, &[], "exec sleep 60");
        command.stdout(Stdio::null()).spawn().expect("linklock starts")
    };
    let mut started: Vec<_> = (0..PROCESSES / 2).map(|_| start(&mut random)).collect();
    let mut victims: Vec<_> =
        [["a.lock", "b.lock"], ["d.lock", "c.lock"], ["c.lock", "a.lock"]].map(|set| sleeper(&set)).into();
    started.extend((0..PROCESSES / 2).map(|_| start(&mut random)));
    thread::sleep(Duration::from_millis(300));
    for victim in &mut victims {
        victim.kill().expect("it is ours");
        victim.wait().expect("it ends");
    }
    let mut expected = NAMES.map(|_| 0);
    for (mut child, locks) in started {
        assert!(child.wait().expect("it ends").success());
        for name in locks {
            expected[NAMES.iter().position(|known| *known == name).expect("one of them")] += 1;
        }
    }
    let counted = NAMES.map(|name| {
        let text = fs::read_to_string(scene.dir.path().join(format!("{name}.count"))).expect("a counter");
        text.trim().parse::<i32>().expect("a number")
    });
    assert_eq!(counted, expected);
}

#[test]
fn one_lock_is_as_it_was() {
    let scene = Scene::new();
    let output = end(run(&scene, &[], "echo ${LINKLOCK_PATH##*/} ${LINKLOCK_PATH_2-none}"));
    assert_eq!(stdout(&output), "job.lock none\n");
    assert_eq!(status(&scene)["state"], "free");
}
