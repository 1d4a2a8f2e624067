//! What is read from small source texts.
use super::*;

fn facts(text: &str) -> Facts {
    Facts::read(text).unwrap()
}

#[test]
fn panics_spawns_and_unsafe_blocks_are_counted_in_production_code() {
    for (text, wanted) in [
        ("fn f() { a.unwrap(); b.expect(\"b\"); panic!() }", (3, 0, 0)),
        ("fn f() { vec![a.unwrap(), unsafe { b() }] }", (1, 0, 1)),
        ("fn f() { unsafe { g() }; tokio::spawn(h()) }", (0, 1, 1)),
        ("fn f() { a.unwrap_or(1); expect(2); tokio::task::spawn_blocking(h) }", (0, 0, 0)),
        ("#[test]\nfn f() { a.unwrap(); unsafe { g() } }", (0, 0, 0)),
        ("#[cfg(test)]\nmod tests { fn f() { panic!(); tokio::spawn(g()) } }", (0, 0, 0)),
        ("#[cfg(not(test))]\nfn f() { a.unwrap() }", (1, 0, 0)),
    ] {
        let facts = facts(text);
        assert_eq!((facts.panics, facts.spawns, facts.unsafe_blocks), wanted, "{text}");
    }
}

#[test]
fn public_items_are_counted_with_their_documentation() {
    for (text, wanted) in [
        ("/// A.\npub struct A;\npub enum B {}\npub(crate) fn c() {}\nfn d() {}", (2, 1)),
        ("impl A {\n    /// B.\n    pub fn b() {}\n    pub fn c() {}\n}", (2, 1)),
        ("#[cfg(test)]\nmod tests { pub fn a() {} }", (0, 0)),
    ] {
        let facts = facts(text);
        assert_eq!((facts.public, facts.documented), wanted, "{text}");
    }
}

#[test]
fn words_are_first_segments_and_all_that_macros_name() {
    let words = |text: &str| facts(text).words.into_iter().collect::<Vec<_>>().join(" ");
    for (text, wanted) in [
        ("use a::b;", "a"),
        ("use {a::b, c as d};", "a c"),
        ("fn f() { a::b::c() }", "a"),
        ("fn f() { a!(b::c) }", "a b c"),
        ("#[derive(a::B)]\nstruct C;", "B a derive"),
    ] {
        assert_eq!(words(text), wanted, "{text}");
    }
    assert!(facts("#[cfg(test)]\nuse a::b;").test_words.contains("a"));
}

#[test]
fn paths_in_macros_are_found() {
    let paths = |text: &str| facts(text).paths.into_iter().map(|one| one.path.join("::")).collect::<Vec<_>>();
    for (text, wanted) in [
        ("fn f() { view! { <pages::Panel first=crate::a::B/> } }", &["pages::Panel", "crate::a::B"][..]),
        ("fn f() { m!(::load::Spec, a: b::c) }", &["::load::Spec", "b::c"]),
        ("fn f() { m!(a, b: c) }", &[]),
    ] {
        assert_eq!(paths(text), wanted, "{text}");
    }
}
