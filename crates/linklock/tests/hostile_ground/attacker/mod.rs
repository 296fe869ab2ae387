//! An attacker who may write the lock's directory acts between each two system calls of a victim that name a file there.
//!
//! He replaces a name by something else. Whatever that is: nothing outside the lock's own names changes, the victim ends, and
//! never do two processes hold the lock. It needs ptrace(2). Only root can act as several users.

mod faults;
mod field;
mod protections;
mod run;
mod scenes;
mod things;
mod vault;
mod watchdog;

use linklock::Protocol;

use crate::common::{BOTH, Ground, say};
use crate::kernel::become_user;
use crate::puppet::{self, Puppet};
use crate::settings::Settings;
use crate::trace::Trace;
use field::{Kind, Victim};
use protections::Protections;
use run::{Attack, Case};
use things::Thing;

/// Which attacks are made: `all`, which takes hours; or a number, which chooses a sample.
const WHICH: &str = "LINKLOCK_ATTACKS";
/// Attacks on other names than the next call's are sampled so many times less often.
const OTHERS: usize = 40;
/// For so many successful attacks the story is printed.
const STORIES_MOST: usize = 3;

/// The victim's process.
pub(crate) fn victim() {
    let id = |name| std::env::var(name).ok().map(|id| id.parse().unwrap());
    if let (Some(user), Some(group)) = (id("VICTIM_USER"), id("VICTIM_GROUP")) {
        become_user(user, group).unwrap();
    }
    puppet::perform();
}

fn can_trace() -> bool {
    let ground = Ground::new();
    let mut puppet = Puppet::start_as(Settings::new(&ground.lock(), Protocol::Link).command("victim"));
    match Trace::attach(&mut puppet) {
        Ok(_) => true,
        Err(e) => {
            say(&format!("not run: an attacker between two calls: this system allows no ptrace: {e}"));
            false
        }
    }
}

/// The number of the sample; `None` for all attacks.
fn which() -> Option<usize> {
    let which = std::env::var(WHICH).unwrap_or_default();
    (which != "all").then(|| which.parse().unwrap_or_default())
}

/// The place of an attack.
#[derive(Debug)]
struct Stop {
    kind: Kind,
    /// The next call.
    call: &'static str,
    /// Whether that call uses the name.
    is_used: bool,
    /// Whether it uses it as a directory.
    is_on_the_way: bool,
    /// Whether it is the name of something in a directory beside the lock.
    is_inner: bool,
}

/// Which of all attacks are made.
#[derive(Clone, Copy)]
struct Choice<F: Fn(&Stop, &Attack) -> bool> {
    fits: F,
    /// One in so many attacks is made, if it is on a name that the next call uses. Other attacks are sampled less often, since
    /// most of them equal one that is made just before the call that uses the name.
    one_in: usize,
}

impl<F: Fn(&Stop, &Attack) -> bool> Choice<F> {
    fn of(fits: F) -> Self {
        Self { fits, one_in: 1 }
    }

    fn all_of(&self, case: &Case, counted: &mut usize) -> Vec<Attack> {
        let everything = which().is_none();
        let mut all = Vec::new();
        for (stop, names) in case.run(None).stops.into_iter().enumerate() {
            for target in 0..names.all {
                let is_used = target < names.used;
                let at = Stop {
                    kind: case.kind,
                    call: names.call,
                    is_used,
                    is_on_the_way: names.on_the_way.contains(&target),
                    is_inner: names.inner.contains(&target),
                };
                for attack in Thing::ALL.map(|thing| Attack { stop, target, thing }) {
                    if case.is_anothers(&attack, at.is_inner) && (self.fits)(&at, &attack) {
                        *counted += 1;
                        let one_in = if is_used { self.one_in } else { OTHERS * self.one_in + 1 };
                        if everything || counted.is_multiple_of(one_in) {
                            all.push(attack);
                        }
                    }
                }
            }
        }
        all
    }
}

fn attack<F: Fn(&Stop, &Attack) -> bool>(scenes: &[&str], choice: &Choice<F>) {
    if !can_trace() {
        return;
    }
    let _protections = Protections::as_asked();
    let (mut runs, mut done, mut findings) = (0, 0, Vec::new());
    for (case, attack) in attacks(scenes, choice) {
        let outcome = case.run(Some(attack));
        runs += 1;
        done += usize::from(outcome.is_done);
        if outcome.findings.is_empty() {
            continue;
        }
        let mut story = format!("{case}: {attack:?}\n    {}", outcome.findings.join("\n    "));
        if findings.len() < STORIES_MOST {
            story += &format!("\n  in\n    {}", outcome.story.join("\n    "));
        }
        findings.push(story);
    }
    say(&format!("{scenes:?}: {runs} attacks, the attacker could make {done} of them"));
    assert!(done > 0, "{scenes:?}: no attack was made");
    assert!(findings.is_empty(), "{} attacks succeeded:\n{}", findings.len(), findings.join("\n"));
}

fn attacks<F: Fn(&Stop, &Attack) -> bool>(scenes: &[&str], choice: &Choice<F>) -> impl Iterator<Item = (Case, Attack)> {
    let mut counted = which().unwrap_or_default();
    let scenes = scenes::ALL.iter().filter(|scene| scenes.contains(&scene.name));
    let cases = scenes.flat_map(|scene| {
        let places = BOTH.into_iter().flat_map(|protocol| Kind::ALL.map(|kind| (protocol, kind)));
        places.flat_map(move |(protocol, kind)| {
            Victim::all().iter().map(move |&victim| Case { scene, protocol, kind, victim })
        })
    });
    cases.flat_map(move |case| choice.all_of(&case, &mut counted).into_iter().map(move |attack| (case, attack)))
}

fn one_in(one_in: usize) -> Choice<impl Fn(&Stop, &Attack) -> bool + Copy> {
    Choice { fits: |_: &Stop, _: &Attack| true, one_in }
}

#[test]
fn an_attack_on_a_holder_harms_nothing_else_if_ptrace_is_allowed() {
    let all = ["acquire and release", "refresh", "release", "refresh by token", "release by token"];
    attack(&all, &one_in(41));
}

#[test]
fn an_attack_on_a_breaker_harms_nothing_else_if_ptrace_is_allowed() {
    attack(&["break and sweep", "break another's", "break as an operator", "clean"], &one_in(293));
}

/// It only reads; but what it opens must be in the directory, and it must end.
#[test]
fn an_attack_on_who_lists_all_locks_harms_nothing_and_shows_nothing_else_if_ptrace_is_allowed() {
    attack(&["survey", "survey below"], &one_in(293));
}

#[test]
fn an_attack_on_the_counter_or_the_queue_harms_nothing_else_if_ptrace_is_allowed() {
    attack(&["fence twice", "queue up", "contend", "contend with the attacker"], &one_in(101));
}
