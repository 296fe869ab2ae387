//! Which module names which, and the circles of these arrows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use super::names::Name;
use super::sources::{Crate, Mention, Module, child};

/// The modules that each module names.
type Arrows = BTreeMap<Module, BTreeMap<Module, Places>>;

/// The names on each line of a file.
type Places = BTreeMap<(PathBuf, usize), BTreeSet<String>>;

/// Describes each circle: its modules, and the names that make its arrows.
pub(crate) fn circles(of: &Crate) -> Vec<String> {
    let arrows = arrows(of);
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for module in arrows.keys() {
        let reached = reached_from(module, &arrows);
        let circle: BTreeSet<_> =
            reached.iter().filter(|other| reached_from(other, &arrows).contains(module)).cloned().collect();
        if circle.len() > 1 && seen.insert(circle.clone()) {
            found.push(describe(&circle, &arrows));
        }
    }
    found
}

fn describe(circle: &BTreeSet<Module>, arrows: &Arrows) -> String {
    let names: Vec<_> = circle.iter().map(shown).collect();
    let mut text = format!("{} modules name each other: {}\n", circle.len(), names.join(", "));
    for from in circle {
        for (to, places) in arrows[from].iter().filter(|(to, _)| circle.contains(*to)) {
            for ((file, line), names) in places {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                let place = format!("{}:{line}: {}", file.display(), names.join(", "));
                let _ = writeln!(text, "  {} names {}: {place}", shown(from), shown(to));
            }
        }
    }
    text
}

fn shown(module: &Module) -> String {
    if module.is_empty() { "the crate's root".into() } else { module.join("::") }
}

fn reached_from(module: &Module, arrows: &Arrows) -> BTreeSet<Module> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![module]);
    while let Some(from) = next.pop() {
        for to in arrows.get(from).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(to.clone()) {
                next.push(to);
            }
        }
    }
    reached
}

fn arrows(of: &Crate) -> Arrows {
    let mut arrows = Arrows::new();
    for mention in &of.mentions {
        let from = &of.modules[&mention.scope];
        for to in modules_of(of, mention, 0).into_iter().filter(|to| to != from) {
            let places = arrows.entry(from.clone()).or_default().entry(to).or_default();
            let names = places.entry((mention.file.clone(), mention.name.line)).or_default();
            names.insert(mention.name.words.join("::"));
        }
    }
    arrows
}

/// The modules of this crate that a name may come from. A name that the root re-exports comes from the modules that the root
/// names for it. A name that any other module re-exports comes from that module.
fn modules_of(of: &Crate, mention: &Mention, depth: u32) -> Vec<Module> {
    let Some((mut at, words)) = start(of, mention) else { return Vec::new() };
    let mut words = words.iter();
    let mut rest = words.next();
    while let Some(word) = rest
        && of.modules.contains_key(&child(&at, word))
    {
        at = child(&at, word);
        rest = words.next();
    }
    let Some(item) = rest.filter(|_| at.is_empty() && depth < 8) else { return vec![of.modules[&at].clone()] };
    let given = |using: &&Mention| {
        let Name { alias, words, .. } = &using.name;
        let name = alias.as_ref().or(words.last());
        using.is_use && using.scope.is_empty() && name.is_some_and(|name| name == item || name == "*")
    };
    let found: BTreeSet<_> =
        of.mentions.iter().filter(given).flat_map(|using| modules_of(of, using, depth + 1)).collect();
    let is_root = item == "*" || of.root_items.contains(item);
    if found.is_empty() && is_root { vec![Module::new()] } else { found.into_iter().collect() }
}

/// The module where the look-up begins, and the words to look up there.
fn start<'a>(of: &Crate, mention: &'a Mention) -> Option<(Module, &'a [String])> {
    let (mut at, mut words) = (mention.scope.clone(), &mention.name.words[..]);
    match words.first()?.as_str() {
        "crate" => return Some((Module::new(), &words[1..])),
        "self" => words = &words[1..],
        "super" => {}
        // The name of a child module. Any other word is another crate's, or comes from a use declaration, which counts itself.
        first => return of.modules.contains_key(&child(&at, first)).then_some((at, words)),
    }
    while words.first().is_some_and(|word| word == "super") {
        at.pop();
        words = &words[1..];
    }
    Some((at, words))
}
