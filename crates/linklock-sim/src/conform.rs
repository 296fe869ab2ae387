//! The scenarios for file servers, told: on the simulation or on real directories.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use shuttle::scheduler::RandomScheduler;

use crate::client::SimEnv;
use crate::config::{Config, DIR, Faults};
use crate::conformance::client::Client;
use crate::conformance::stage::Scenario;
use crate::conformance::{Verdict, on_real_directories, play, scenarios};
use crate::explore::schedule;
use crate::options::Protocol;
use crate::sim::Sim;

/// Plays every scenario, on the simulation or in one directory through one or two mounts, and prints each result.
pub(crate) fn tell(directories: &[PathBuf], out: &mut impl Write) -> io::Result<ExitCode> {
    let (mut played, mut failed) = (0, 0);
    let tell = |verdict: Verdict| {
        played += 1;
        failed += u32::from(verdict.difference.is_some());
        writeln!(out, "{verdict}")
    };
    match directories {
        [] => scenarios().filter_map(|scenario| on_simulation(scenario, true)).try_for_each(tell)?,
        [both] => on_real_directories(both, both, scenarios(), tell)?,
        [a, b, ..] => on_real_directories(a, b, scenarios(), tell)?,
    }
    writeln!(out, "{played} scenarios, {failed} failed")?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays a scenario on a simulated server with two clients, where only caches cause surprises. `one_remove` stands
/// for NFS 4.
fn on_simulation(scenario: Scenario, one_remove: bool) -> Option<Verdict> {
    on_simulation_of(&Config { one_remove, ..Config::new(Protocol::Link) }, scenario)
}

fn on_simulation_of(world: &Config, scenario: Scenario) -> Option<Verdict> {
    let config = Config { hosts: vec![0, 1], faults: Faults::NONE, ..world.clone() };
    let verdicts = schedule(RandomScheduler::new_from_seed(0, 1), move || {
        let sim = Sim::new(&config);
        let [a, b] = [0, 1].map(|number| SimEnv { sim: Arc::clone(&sim), number });
        let client = |name, env| Client::new(name, env, PathBuf::from(DIR));
        let sleep = |time| sim.with(|world| world.now += time);
        play(scenario, client("A", &a), client("B", &b), &sleep)
    });
    verdicts.into_iter().next()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustix::io::Errno;

    use super::*;
    use crate::conformance::client::all_names;
    use crate::conformance::stage::Steps;
    use crate::env::Env;
    use crate::env::os::OsEnv;
    use crate::flaws::FLAWED;

    /// The answers where more than one is right: on NFS 3, on NFS 4, and on a local file system. Debian's kernel 6.1 gives the same on
    /// NFS 3 to 4.2, with two exceptions: on NFS 3 it renames the next one, and right after a directory was replaced a move into it
    /// may fail.
    const NOTED: [[&str; 3]; 14] = [
        ["not onto a name that is known to be taken"; 3],
        ["not onto a free name", "not onto a free name", "onto a free name"],
        ["still missing", "still missing", "at once"],
        ["still there", "still there", "at once"],
        ["still the old file", "still the old file", "at once"],
        ["refused", "the file is removed", "refused"],
        ["refused as a directory", "refused as not empty", "refused as a directory"],
        ["removed where it was moved to", "removed where it was moved to", "not met"],
        ["nor is the next one, at once", "nor is the next one, at once", "the next one is"],
        ["refused", "refused", "renamed"],
        ["not even asked for", "not even asked for", "removed"],
        ["still known", "still known", "gone at once"],
        ["moved into the new one"; 3],
        ["it follows", "it follows", "moved into the new one"],
    ];

    fn assert_conform(verdicts: &[Verdict], column: usize) {
        let told: Vec<_> = verdicts.iter().map(ToString::to_string).collect();
        assert_eq!(verdicts.len(), scenarios().count(), "each scenario came to an end");
        assert!(verdicts.iter().all(|verdict| verdict.difference.is_none()), "{told:#?}");
        let noted: Vec<_> = verdicts.iter().flat_map(|verdict| &verdict.noted).copied().collect();
        assert_eq!(noted, NOTED.map(|noted| noted[column]), "the answers where more than one is right");
    }

    #[test]
    fn the_conformance_scenarios_hold_on_the_simulation() {
        for (column, one_remove) in [(0, false), (1, true)] {
            let verdicts: Vec<_> = scenarios().filter_map(|scenario| on_simulation(scenario, one_remove)).collect();
            assert_conform(&verdicts, column);
        }
    }

    #[test]
    fn the_conformance_scenarios_hold_where_the_server_still_knows_a_directory_that_is_gone() {
        let config = Config { knows_the_dead: true, ..Config::new(Protocol::Link) };
        let verdicts: Vec<_> = scenarios().filter_map(|scenario| on_simulation_of(&config, scenario)).collect();
        assert!(verdicts.iter().all(|verdict| verdict.difference.is_none()), "{verdicts:#?}");
        assert!(verdicts.iter().any(|verdict| verdict.noted == ["not moved", "known as gone"]), "{verdicts:#?}");
    }

    #[test]
    fn the_conformance_scenarios_hold_on_the_local_file_system() {
        let dir = tempfile::tempdir().unwrap();
        assert_conform(&on_local(dir.path(), scenarios()), 2);
        assert!(all_names(|each| OsEnv.list_dir(dir.path(), each)).unwrap().is_empty(), "nothing is left over");
    }

    fn on_local(dir: &Path, scenarios: impl Iterator<Item = Scenario>) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        on_real_directories(dir, dir, scenarios, |verdict| {
            verdicts.push(verdict);
            Ok(())
        })
        .unwrap();
        verdicts
    }

    #[test]
    fn a_conformance_scenario_that_expects_another_answer_fails_and_shows_the_actual_one() {
        let wrong: [(Steps, &str); 4] = [
            (|on| on.a.mkdir("taken").ok().and(on.b.mkdir("taken").ok()), "B: mkdir taken: expected ok, got "),
            (|on| on.a.mkdir("free").fails(Errno::EXIST), "A: mkdir free: expected File exists (os error 17), got ok"),
            (
                |on| on.a.stat("missing").or_fails(&[Errno::STALE]).map(drop),
                "A: stat missing: expected ok or Stale file handle (os error 116), got No such file or directory (os error 2)",
            ),
            (|on| on.a.create("f").ok().and(on.a.counts("f", 2)), "A: stat f: links: expected 2, got 1"),
        ];
        let dir = tempfile::tempdir().unwrap();
        for (steps, said) in wrong {
            let scenario = Scenario { name: "what is not so", steps };
            let mut verdicts = on_local(dir.path(), [scenario].into_iter());
            verdicts.extend(on_simulation(scenario, true));
            assert_eq!(verdicts.len(), 2, "on both");
            for verdict in verdicts {
                let told = verdict.to_string();
                assert!(told.starts_with("FAILED what is not so: ") && told.contains(said), "{told}");
            }
        }
        assert!(
            all_names(|each| OsEnv.list_dir(dir.path(), each)).unwrap().is_empty(),
            "failed scenarios leave nothing behind"
        );
    }

    #[test]
    fn a_server_with_a_flaw_fails_the_scenario_that_is_about_it() {
        for (name, flaw, said) in FLAWED {
            let scenario = scenarios().find(|scenario| scenario.name == name).expect(name);
            for one_remove in [false, true] {
                let config = Config { one_remove, flaw: Some(flaw), ..Config::new(Protocol::Link) };
                let told = on_simulation_of(&config, scenario).unwrap().to_string();
                assert!(told.starts_with("FAILED ") && told.contains(said), "expected: {said}\nbut: {told}");
            }
        }
    }
}
