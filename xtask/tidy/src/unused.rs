//! Dependencies that no code names.
//!
//! A dependency is named where its crate's name begins a path, or stands anywhere in a macro's or an attribute's arguments. A name that is
//! also a local one hides that nobody uses the crate; the other way round there is no error: code cannot use a crate without its name.
use crate::packages::{Kind, Metadata};
use crate::sources::Source;
use anyhow::{Context, Result};
use std::collections::BTreeSet;

/// Where one package's code names crates.
#[derive(Debug, Default)]
struct Named {
    production: BTreeSet<String>,
    tests: BTreeSet<String>,
    build: BTreeSet<String>,
}

/// A line for each dependency that no code of its package names, or that only its tests name.
pub fn breaches(metadata: &Metadata, sources: &[Source]) -> Vec<String> {
    let folders: Vec<String> = metadata.members().map(|member| member.folder(&metadata.workspace_root)).collect();
    let mut breaches = Vec::new();
    for (member, folder) in metadata.members().zip(&folders) {
        let inner: Vec<&String> = folders.iter().filter(|other| other.len() > folder.len()).collect();
        let named = named(folder, &inner, sources);
        for dependency in &member.dependencies {
            if let Some(why) = verdict(&named, &dependency.in_paths(), dependency.kind) {
                breaches.push(format!("{folder}/Cargo.toml: {why} {}", dependency.name));
            }
        }
    }
    breaches
}

fn named(folder: &str, inner: &[&String], sources: &[Source]) -> Named {
    let mut named = Named::default();
    let below = |name: &str, folder: &str| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    // A fuzz target's dependencies stand in a manifest of its own.
    for source in sources.iter().filter(|source| !source.name.contains("/fuzz/")) {
        if !below(&source.name, folder) || inner.iter().any(|inner| below(&source.name, inner)) {
            continue;
        }
        let words = source.facts.words.iter().cloned();
        if source.name == format!("{folder}/build.rs") {
            named.build.extend(words);
        } else if source.test {
            named.tests.extend(words);
        } else {
            named.production.extend(words);
        }
        named.tests.extend(source.facts.test_words.iter().cloned());
    }
    named
}

fn verdict(named: &Named, name: &str, kind: Option<Kind>) -> Option<&'static str> {
    match kind {
        Some(Kind::Build) => (!named.build.contains(name)).then_some("the build script does not name"),
        Some(Kind::Dev) => (!named.tests.contains(name)).then_some("no test names"),
        None if named.production.contains(name) => None,
        None if named.tests.contains(name) => Some("only tests name; it belongs to [dev-dependencies]:"),
        None => Some("no code names"),
    }
}

/// A line for each of the workspace's dependencies that no member inherits.
pub fn not_inherited(metadata: &Metadata) -> Result<Vec<String>> {
    let file = metadata.workspace_root.join("Cargo.toml");
    let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let manifest: toml::Table = toml::from_str(&text).context("read Cargo.toml")?;
    let wanted = manifest.get("workspace").and_then(|workspace| workspace.get("dependencies")?.as_table());
    let declared = wanted.into_iter().flat_map(|table| table.keys().cloned());
    let inherited: BTreeSet<&str> = metadata
        .members()
        .flat_map(|member| &member.dependencies)
        .map(|dependency| dependency.rename.as_ref().unwrap_or(&dependency.name).as_str())
        .collect();
    Ok(declared
        .filter(|name| !inherited.contains(name.as_str()))
        .map(|name| format!("Cargo.toml: no package inherits {name}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a package with one file and these dependencies.
    fn told(file: &str, text: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        let package = serde_json::json!({
            "id": "one", "name": "one", "version": "1.0.0", "license": null, "source": null, "targets": [],
            "manifest_path": "/w/one/Cargo.toml",
            "dependencies": [{ "name": dependency, "rename": null, "kind": kind }],
        });
        let all = serde_json::json!({ "packages": [package], "workspace_members": ["one"], "workspace_root": "/w" });
        breaches(&serde_json::from_value(all).unwrap(), &[Source::read(file, text).unwrap()])
    }

    #[test]
    fn a_dependency_that_no_code_names_is_told() {
        let unused = Some("one/Cargo.toml: no code names a-b");
        let tests_only = Some("one/Cargo.toml: only tests name; it belongs to [dev-dependencies]: a-b");
        for (file, text, kind, wanted) in [
            ("one/src/lib.rs", "use a_b::c;", None, None),
            ("one/src/lib.rs", "fn f() { a_b::c() }", None, None),
            ("one/src/lib.rs", "fn f() { m!(x, a_b::c()) }", None, None),
            ("one/src/lib.rs", "#[a_b::d]\nfn f() {}", None, None),
            ("one/src/lib.rs", "#[derive(a_b::D)]\nstruct S;", None, None),
            ("one/src/lib.rs", "use c::a_b;", None, unused),
            ("one/src/lib.rs", "// a_b::c", None, unused),
            ("one/src/lib.rs", "#[cfg(test)]\nmod tests { use a_b::c; }", None, tests_only),
            ("one/tests/a.rs", "use a_b::c;", None, tests_only),
            ("one/tests/a.rs", "use a_b::c;", Some("dev"), None),
            ("one/tests/a.rs", "", Some("dev"), Some("one/Cargo.toml: no test names a-b")),
            ("one/build.rs", "use a_b::c;", Some("build"), None),
            (
                "one/src/lib.rs",
                "use a_b::c;",
                Some("build"),
                Some("one/Cargo.toml: the build script does not name a-b"),
            ),
            ("two/src/lib.rs", "use a_b::c;", None, unused),
        ] {
            assert_eq!(told(file, text, "a-b", kind).first().map(String::as_str), wanted, "{file}: {text}");
        }
    }
}
