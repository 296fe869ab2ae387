//! One seed gives one story: a run can be repeated, line by line.

use crate::config::Config;
use crate::explore::{one, one_pct};
use crate::worlds::{Protocols, WORLDS};

/// The first line in which two stories differ.
fn difference(one: &[String], other: &[String]) -> Option<String> {
    let line = |story: &[String], number| story.get(number).cloned().unwrap_or("the end".into());
    let differs = |number: &usize| one.get(*number) != other.get(*number);
    let number = (0..one.len().max(other.len())).find(differs)?;
    Some(format!("line {}: {:?} and {:?}", number + 1, line(one, number), line(other, number)))
}

#[test]
fn one_seed_twice_gives_one_story() {
    for world in WORLDS.iter().filter(|world| world.is_main) {
        for protocols in Protocols::ALL {
            let config = Config { story: true, ..world.config(protocols) };
            for seed in 0..20 {
                let stories = [0, 1].map(|_| one(&config, seed).story);
                assert!(stories[0].len() > 10, "{}: {:?} is no story", world.name, stories[0]);
                assert_eq!(difference(&stories[0], &stories[1]), None, "{}, {protocols:?}, seed {seed}", world.name);
            }
            let stories = [0, 1].map(|_| one_pct(&config, 0).unwrap().story);
            assert_eq!(difference(&stories[0], &stories[1]), None, "{}, {protocols:?}, PCT", world.name);
        }
    }
}

#[test]
fn a_difference_between_two_stories_is_reported() {
    let story = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(difference(&story(&["a", "b"]), &story(&["a", "b"])), None);
    assert_eq!(difference(&story(&["a", "b"]), &story(&["a", "c"])).unwrap(), r#"line 2: "b" and "c""#);
    assert_eq!(difference(&story(&["a"]), &story(&["a", "b"])).unwrap(), r#"line 2: "the end" and "b""#);
}
