//! The modules of each crate form floors: no two of them name each other, directly or through others.
//!
//! A name counts in a use declaration, an expression, a type, and a macro. A name that the crate's root re-exports counts for the
//! module that defines it. Test modules do not count. A module may still need a higher one through a method call or a trait:
//! such a call names no module, so this test does not see it.

// One system is enough: the sources are the same on all.
#![cfg(unix)]

mod circles;
mod names;
mod sources;

use std::path::Path;

use circles::circles;
use sources::Crate;

const WHY: &str = "A newcomer cannot read such modules bottom up: each needs the words of another. \
                   Move the items that both need to a module below them.";

#[test]
fn no_two_modules_of_a_crate_name_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the project's directory");
    let (mut modules, mut found) = (0, Vec::new());
    for entry in root.join("crates").read_dir().expect("the crates") {
        let src = entry.expect("a crate").path().join("src");
        let start = ["lib.rs", "main.rs"].into_iter().find(|file| src.join(file).exists()).expect("a crate's root");
        let read = |file: &Path| std::fs::read_to_string(file).ok();
        let of_crate = Crate::read(&src.join(start), &read);
        modules += of_crate.modules.len();
        found.extend(circles(&of_crate).iter().map(|circle| circle.replace(&format!("{}/", root.display()), "")));
    }
    assert!(modules > 80, "found only {modules} modules");
    assert!(found.is_empty(), "{}\n{WHY}\n", found.join("\n"));
}

/// The circles in a crate of these files, the first of which is its root.
fn circles_in(files: &[(&str, &str)]) -> Vec<String> {
    let read = |path: &Path| files.iter().find(|(name, _)| path == Path::new(name)).map(|(_, text)| text.to_string());
    circles(&Crate::read(Path::new(files[0].0), &read))
}

/// Asserts that a crate with these modules `a` and `b` has one circle, and that the report has these lines.
#[track_caller]
fn assert_circle(a: &str, b: &str, arrows: [&str; 2]) {
    let found = circles_in(&[("lib.rs", "mod a; mod b; pub use b::{B, f as g};"), ("a.rs", a), ("b.rs", b)]);
    let [circle] = &found[..] else { panic!("not one circle: {found:?}") };
    assert!(circle.starts_with("2 modules name each other: a, b\n"), "{circle}");
    for arrow in arrows {
        assert!(circle.contains(arrow), "{arrow:?} is not in {circle}");
    }
}

#[test]
fn a_report_shows_the_place_and_the_name_of_each_arrow() {
    let arrows = ["a names b: a.rs:2: crate::b::B", "b names a: b.rs:1: super::a::A"];
    assert_circle("\nuse crate::b::B;", "fn f() -> super::a::A {}", arrows);
}

#[test]
fn names_count_in_every_form() {
    let b = "use crate::a::A;";
    for a in [
        "use crate::{a::{self, A}, b::{self as other, B}};",
        "use super::b::*;",
        "fn f() { let x = vec![crate::b::f()]; }",
        "fn f(x: crate::b::B) {}",
        "fn f() { for n in 0..super::b::N {} }",
        "fn f() { use crate::b; b::f() }",
        "mod inner { fn f() -> super::super::b::B {} }",
        "macro_rules! m { () => { $crate::b::f() } }",
        "#[derive(X)] struct S { field: Vec<crate::b::B> }",
        // Re-exported by the root.
        "use crate::B;",
        "fn f() { crate::g() }",
    ] {
        assert_circle(a, b, ["a names b: a.rs:1: ", "b names a: b.rs:1: crate::a::A"]);
    }
}

#[test]
fn comments_tests_visibilities_and_other_crates_make_no_circle() {
    let b = "use crate::a::A;";
    for a in [
        "use std::io; pub struct A;",
        "// crate::b::B\n/// [`B`](crate::b::B)\nconst TEXT: &str = \"crate::b::B\";",
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "#[expect(unused)] #[cfg(test)] pub(crate) use crate::{b::B, b};",
        "use other::crate_b::b::B;",
        "pub(in crate::b) struct A;",
        "pub(crate) struct A; fn b() { b() }",
    ] {
        let found = circles_in(&[("lib.rs", "mod a; mod b; pub use b::B;"), ("a.rs", a), ("b.rs", b)]);
        assert_eq!(found, [""; 0], "{a}");
    }
}

#[test]
fn test_modules_in_files_of_their_own_make_no_circle() {
    let files =
        [("lib.rs", "mod a; #[cfg(test)] mod tests;"), ("a.rs", ""), ("tests.rs", "use crate::a; use super::X;")];
    assert_eq!(circles_in(&files), [""; 0]);
}

#[test]
fn a_chain_of_modules_that_comes_back_is_one_circle() {
    let files = [
        ("main.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b; use crate::d;"),
        ("b.rs", "use crate::c;"),
        ("c.rs", "use crate::a;"),
        ("d.rs", ""),
    ];
    let found = circles_in(&files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("3 modules name each other: a, b, c\n"), "{}", found[0]);
}

#[test]
fn a_module_that_only_declares_its_children_is_in_no_circle_with_them() {
    let files = [
        ("lib.rs", "mod a; pub use a::X;"),
        ("a/mod.rs", "mod x; mod y; pub use x::X;"),
        ("a/x.rs", "pub struct X;"),
        ("a/y.rs", "use super::x::X;"),
    ];
    assert_eq!(circles_in(&files), [""; 0]);
}

#[test]
fn a_module_and_a_child_that_name_each_other_are_a_circle() {
    let parent = ("lib.rs", "mod a;");
    for files in [
        [parent, ("a.rs", "mod x; pub use x::X; pub struct A;"), ("a/x.rs", "use super::A; pub struct X;")],
        [parent, ("a/mod.rs", "mod x; fn f() { x::g() }"), ("a/x.rs", "use crate::a::f;")],
    ] {
        let found = circles_in(&files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("2 modules name each other: a, a::x\n"), "{}", found[0]);
    }
}

#[test]
fn the_root_must_not_define_an_item_that_a_module_below_it_names() {
    for name in ["crate::N", "super::N", "crate::*"] {
        let a = format!("use {name};");
        let found = circles_in(&[("main.rs", "mod a; const N: u32 = 1; fn main() { a::f() }"), ("a.rs", a.as_str())]);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].contains(&format!("a names the crate's root: a.rs:1: {name}")), "{}", found[0]);
    }
}

#[test]
fn modules_are_found_by_their_path_attributes() {
    let files = [
        (
            "src/lib.rs",
            "mod a; #[cfg(unix)] #[path = \"b/unix.rs\"] mod b; #[cfg(not(unix))] #[path = \"b/other.rs\"] mod b;",
        ),
        ("src/a.rs", "use crate::b::B;"),
        ("src/b/unix.rs", "pub struct B;"),
        ("src/b/other.rs", "use crate::a::A;"),
    ];
    let found = circles_in(&files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("b names a: src/b/other.rs:1: crate::a::A"), "{}", found[0]);
}
