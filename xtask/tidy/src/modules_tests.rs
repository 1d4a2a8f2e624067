//! Which file a path leads to, on small crates.
use super::*;

/// Edges between the files of two crates, `one` and `two`, of which `two` knows `one`. Names are below `src`.
fn edges(files: &[(&str, &str)]) -> Vec<String> {
    let mut sources: Vec<Source> = files.iter().map(|(name, text)| Source::read(name, text).unwrap()).collect();
    let krate = |name: &str, knows: &[&str]| Crate {
        name: name.to_owned(),
        root: format!("{name}/src/lib.rs"),
        knows: knows.iter().map(|&name| name.to_owned()).collect(),
    };
    let modules = Modules::build(&[krate("one", &[]), krate("two", &["one"])], &mut sources);
    let short = |file: usize| sources[file].name.replace("/src/", "/").replace(".rs", "");
    let edges = modules.edges(&sources);
    edges.iter().map(|edge| format!("{}:{} {}", short(edge.from), edge.line, short(edge.to))).collect()
}

#[test]
fn paths_lead_to_the_file_that_defines_what_they_name() {
    let root = ("one/src/lib.rs", "mod a;\nmod b;\n");
    let b = ("one/src/b.rs", "pub struct B;\npub fn make() {}\npub mod inner { pub struct C; }\n");
    for (text, wanted) in [
        ("use crate::b::B;", &["one/a:1 one/b"][..]),
        ("use super::b::{self, make};", &["one/a:1 one/b"]),
        ("fn f() { crate::b::make() }", &["one/a:1 one/b"]),
        ("fn f() -> super::b::inner::C { todo!() }", &["one/a:1 one/b"]),
        ("fn f() { println!(\"{}\", crate::b::make()) }", &["one/a:1 one/b"]),
        ("#[derive(crate::b::Derived)]\nstruct A;", &["one/a:1 one/b"]),
        ("mod inline {\n    use super::super::b::B;\n}", &["one/a:2 one/b"]),
        // Nothing of another file.
        ("struct B;\nfn f() { self::B; std::b::make() }", &[]),
        ("#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}", &[]),
    ] {
        assert_eq!(edges(&[root, ("one/src/a.rs", text), b]), wanted, "{text}");
    }
}

#[test]
fn a_reexport_is_followed_and_what_is_below_is_no_edge() {
    let child = ("one/src/x/child.rs", "pub struct Item;\n");
    let a = |text| ("one/src/a.rs", text);
    let root = ("one/src/lib.rs", "mod a;\nmod x;\n");
    for (parent, user, wanted) in [
        ("mod child;\npub use child::Item;", "use crate::x::Item;", &["one/a:1 one/x/child"][..]),
        ("mod child;\npub use child::Item as Other;", "use crate::x::Other;", &["one/a:1 one/x/child"]),
        ("mod child;\npub use child::*;", "use crate::x::Item;", &["one/a:1 one/x/child"]),
        ("mod child;\npub use self::child::Item;\npub struct Own;", "use crate::x::Own;", &["one/a:1 one/x/mod"]),
        // A module is made of its children.
        ("mod child;\nuse child::Item;", "", &[]),
    ] {
        assert_eq!(edges(&[root, a(user), ("one/src/x/mod.rs", parent), child]), wanted, "{parent} {user}");
    }
}

#[test]
fn what_a_child_names_of_its_parent_is_an_edge() {
    let files = [
        ("one/src/lib.rs", "mod x;\n"),
        ("one/src/x/mod.rs", "mod child;\npub struct Own;\n"),
        ("one/src/x/child.rs", "use super::Own;"),
    ];
    assert_eq!(edges(&files), ["one/x/child:1 one/x/mod"]);
}

#[test]
fn crates_that_are_known_are_followed() {
    let one = ("one/src/lib.rs", "pub mod one;\npub mod a;\n");
    let a = ("one/src/a.rs", "pub fn f() {}\n");
    let same_name = ("one/src/one.rs", "pub struct One;\n");
    for (text, wanted) in [
        ("use one::a::f;", &["two/lib:1 one/a"][..]),
        ("use ::one::a;\nfn g() { a::f() }", &["two/lib:1 one/a"]),
        ("use one::one;\nfn g() -> one::One { todo!() }", &["two/lib:1 one/one"]),
        ("use three::a;", &[]),
    ] {
        assert_eq!(edges(&[one, a, same_name, ("two/src/lib.rs", text)]), wanted, "{text}");
    }
    let unknown = [("one/src/lib.rs", "use two::f;"), ("two/src/lib.rs", "pub fn f() {}")];
    assert_eq!(edges(&unknown), [""; 0], "`one` does not know `two`");
}

#[test]
fn files_of_tests_have_no_edges() {
    for declared in ["mod a_tests;", "#[path = \"a_tests.rs\"]\nmod tests;"] {
        let text = format!("#[cfg(test)]\n{declared}\n");
        let files = [
            ("one/src/lib.rs", "mod a;\nmod b;\n"),
            ("one/src/a.rs", text.as_str()),
            ("one/src/a_tests.rs", "use crate::b::B;"),
            ("one/src/a/a_tests.rs", "use crate::b::B;"),
            ("one/src/b.rs", "pub struct B;"),
        ];
        assert_eq!(edges(&files), [""; 0], "{declared}");
    }
    let plain = [("one/src/lib.rs", "mod a;\nmod b;\n"), ("one/src/a.rs", "use crate::b::B;"), ("one/src/b.rs", "")];
    assert_eq!(edges(&plain), ["one/a:1 one/b"]);
}
