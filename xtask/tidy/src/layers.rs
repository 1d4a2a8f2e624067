//! Which folder may use which: the table of docs/ARCHITECTURE.md, as data.
use crate::exceptions;
use crate::modules::Edge;
use crate::sources::Source;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;

/// A folder of sources, or one file. The longest that a file's name begins with is the file's layer.
struct Layer {
    folder: &'static str,
    /// Layers whose items it may name, beside its own.
    may_use: &'static [&'static str],
    /// Crates from outside that it must not name.
    not: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer { folder: "server/crates/wire", may_use: &[], not: &["axum", "kube", "leptos"] },
    Layer { folder: "app/src/model", may_use: &["server/crates/wire"], not: &["leptos"] },
    Layer { folder: "app/src/text", may_use: &["server/crates/wire", "app/src/model"], not: &["leptos"] },
    Layer {
        folder: "app/src/api",
        may_use: &["server/crates/wire", "app/src/model", "app/src/text"],
        not: &["axum", "kube"],
    },
    Layer {
        folder: "app/src/components",
        may_use: &["server/crates/wire", "app/src/model", "app/src/text", "app/src/api"],
        not: &["axum", "kube"],
    },
    Layer {
        folder: "app",
        may_use: &["server/crates/wire", "app/src/model", "app/src/text", "app/src/api", "app/src/components"],
        not: &["axum", "kube"],
    },
    Layer { folder: "server/src/k8s", may_use: &["server/crates/wire"], not: &["axum", "leptos"] },
    Layer {
        folder: "server/src/demo",
        may_use: &[
            "server/crates/wire",
            "app/src/text",
            "app/src/api",
            "server/src/k8s",
            "server/src/demo/prometheus.rs",
            "server/crates/load",
            "server/crates/mesh",
            "server/crates/cluster/src/quantity.rs",
        ],
        not: &["axum", "http", "hyper", "leptos"],
    },
    Layer {
        folder: "server/src/demo/prometheus.rs",
        may_use: &["server/crates/wire", "server/src/k8s", "server/src/demo"],
        not: &["axum", "leptos"],
    },
    Layer {
        folder: "server/src/web",
        may_use: &[
            "server/crates/wire",
            "app/src/text",
            "app/src/api",
            "app/src/components",
            "app",
            "server/src/demo",
            "server/crates/listen",
        ],
        not: &["kube", "k8s_openapi"],
    },
    Layer {
        folder: "server/src/roles",
        may_use: &["server/crates/cluster", "server/crates/mesh", "server/crates/load", "server/crates/listen"],
        not: &["axum", "kube", "leptos"],
    },
    Layer { folder: "server/src/startup", may_use: &[EVERYTHING], not: &[] },
    Layer { folder: "server/src", may_use: &["server/src/roles", "server/src/startup"], not: &["axum", "leptos"] },
    Layer {
        folder: "server/crates/cluster",
        may_use: &["server/crates/listen", "server/crates/cluster/src/quantity.rs"],
        not: &["kube", "leptos"],
    },
    Layer { folder: "server/crates/cluster/src/quantity.rs", may_use: &[], not: &["axum", "kube", "leptos"] },
    Layer {
        folder: "server/crates/mesh",
        may_use: &[
            "server/crates/listen",
            "server/crates/http1",
            "server/crates/mesh/src/sidecar/listener",
            "server/crates/mesh/src/sidecar/pipeline",
            "server/crates/mesh/src/sidecar/route",
            "server/crates/mesh/src/sidecar/downstream",
            "server/crates/mesh/src/sidecar/upstream",
            "server/crates/mesh/src/sidecar/headers",
            "server/crates/mesh/src/sidecar/stats",
        ],
        not: &["kube", "leptos"],
    },
    Layer {
        folder: "server/crates/mesh/src/sidecar/listener",
        may_use: &[
            "server/crates/listen",
            "server/crates/http1",
            "server/crates/mesh",
            "server/crates/mesh/src/sidecar/pipeline",
            "server/crates/mesh/src/sidecar/route",
            "server/crates/mesh/src/sidecar/downstream",
            "server/crates/mesh/src/sidecar/upstream",
            "server/crates/mesh/src/sidecar/stats",
        ],
        not: &["kube", "leptos"],
    },
    Layer {
        folder: "server/crates/mesh/src/sidecar/pipeline",
        may_use: &[
            "server/crates/listen",
            "server/crates/http1",
            "server/crates/mesh",
            "server/crates/mesh/src/sidecar/route",
            "server/crates/mesh/src/sidecar/downstream",
            "server/crates/mesh/src/sidecar/upstream",
            "server/crates/mesh/src/sidecar/headers",
            "server/crates/mesh/src/sidecar/stats",
        ],
        not: &["kube", "leptos"],
    },
    Layer {
        folder: "server/crates/mesh/src/sidecar/route",
        may_use: &[
            "server/crates/mesh",
            "server/crates/mesh/src/sidecar/upstream",
            "server/crates/mesh/src/sidecar/headers",
            "server/crates/mesh/src/sidecar/stats",
        ],
        not: &["kube", "leptos"],
    },
    Layer {
        folder: "server/crates/mesh/src/sidecar/downstream",
        may_use: &[
            "server/crates/listen",
            "server/crates/http1",
            "server/crates/mesh",
            "server/crates/mesh/src/sidecar/upstream",
        ],
        not: &["kube", "leptos"],
    },
    Layer {
        folder: "server/crates/mesh/src/sidecar/upstream",
        may_use: &["server/crates/http1", "server/crates/mesh", "server/crates/mesh/src/sidecar/stats"],
        not: &["kube", "leptos"],
    },
    Layer {
        folder: "server/crates/mesh/src/sidecar/headers",
        may_use: &["server/crates/mesh"],
        not: &["kube", "leptos"],
    },
    Layer {
        folder: "server/crates/mesh/src/sidecar/stats",
        may_use: &["server/crates/mesh"],
        not: &["kube", "leptos"],
    },
    Layer {
        folder: "server/crates/load",
        may_use: &["server/crates/listen", "server/crates/http1", "server/crates/wire"],
        not: &["kube", "leptos"],
    },
    Layer { folder: "server/crates/listen", may_use: &[], not: &["axum", "kube", "leptos"] },
    Layer { folder: "server/crates/http1", may_use: &[], not: &["axum", "hyper", "kube", "leptos", "tokio"] },
];

/// Name of the layer that is the rest of everything.
const EVERYTHING: &str = "everything";

/// The layer of a file. `None`: tests and tools.
fn layer_of(file: &str) -> Option<&'static Layer> {
    let inside =
        |layer: &&Layer| file.strip_prefix(layer.folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    LAYERS.iter().filter(inside).max_by_key(|layer| layer.folder.len())
}

/// A line for each use that the table does not allow.
pub fn breaches(sources: &[Source], edges: &[Edge]) -> Vec<String> {
    let mut breaches = Vec::new();
    for edge in edges {
        let (from, to) = (&sources[edge.from], &sources[edge.to]);
        let (Some(user), Some(used)) = (layer_of(&from.name), layer_of(&to.name)) else { continue };
        let allowed = user.folder == used.folder
            || user.may_use.iter().any(|one| *one == used.folder || *one == EVERYTHING)
            || exceptions::use_of(&from.name, &to.name);
        if !allowed {
            breaches.push(format!("{}:{}: {} must not use {}", from.name, edge.line, user.folder, to.name));
        }
    }
    for source in sources.iter().filter(|source| !source.test) {
        let Some(layer) = layer_of(&source.name) else { continue };
        for (krate, line) in layer.not.iter().filter_map(|krate| Some((krate, named_at(source, krate)?))) {
            breaches.push(format!("{}:{line}: {} must not name the crate {krate}", source.name, layer.folder));
        }
    }
    breaches
}

/// First line on which production code names a crate.
fn named_at(source: &Source, krate: &str) -> Option<usize> {
    let begins = |path: &[String]| match path {
        [first, second, ..] if first.is_empty() => second == krate,
        [first, ..] => first == krate,
        [] => false,
    };
    let uses = source.facts.uses.iter().filter(|used| !used.test && begins(&used.path)).map(|used| used.line);
    let paths = source.facts.paths.iter().filter(|path| !path.test && begins(&path.path)).map(|path| path.line);
    uses.chain(paths).min()
}

/// The table as docs/ARCHITECTURE.md shows it.
fn shown() -> String {
    let list = |names: &[&str]| match names {
        [] => "–".to_owned(),
        names => names
            .iter()
            .map(|name| if *name == EVERYTHING { (*name).to_owned() } else { format!("`{name}`") })
            .collect::<Vec<_>>()
            .join(", "),
    };
    let mut table = String::from("| folder | may use | must not name the crate |\n|---|---|---|\n");
    for Layer { folder, may_use, not } in LAYERS {
        let _ = writeln!(table, "| `{folder}` | {} | {} |", list(may_use), list(not));
    }
    table
}

/// A breach unless the document shows this table.
pub fn documented(workspace: &Path) -> Result<Option<String>> {
    let name = "docs/ARCHITECTURE.md";
    let text = std::fs::read_to_string(workspace.join(name)).with_context(|| format!("read {name}"))?;
    let table = shown();
    Ok((!text.contains(&table)).then(|| format!("{name}: does not show the layers as they are checked:\n{table}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(user: &str, used: &str, text: &str) -> Vec<String> {
        let sources = [Source::read(user, text).unwrap(), Source::read(used, "//! Used.").unwrap()];
        breaches(&sources, &[Edge { from: 0, to: 1, line: 7 }])
    }

    #[test]
    fn a_use_that_the_table_does_not_allow_is_told() {
        for (user, used, wanted) in [
            ("server/src/web/api.rs", "server/src/demo/mod.rs", None),
            ("server/src/demo/plan.rs", "server/src/demo/mod.rs", None),
            ("server/src/startup/mod.rs", "server/crates/mesh/src/lib.rs", None),
            (
                "server/src/demo/plan.rs",
                "server/src/web/mod.rs",
                Some("server/src/demo/plan.rs:7: server/src/demo must not use server/src/web/mod.rs"),
            ),
            (
                "server/src/k8s/apply.rs",
                "server/src/demo/mod.rs",
                Some("server/src/k8s/apply.rs:7: server/src/k8s must not use server/src/demo/mod.rs"),
            ),
            (
                "server/crates/mesh/src/lib.rs",
                "server/crates/cluster/src/lib.rs",
                Some(
                    "server/crates/mesh/src/lib.rs:7: server/crates/mesh must not use server/crates/cluster/src/lib.rs",
                ),
            ),
        ] {
            assert_eq!(told(user, used, "").first().map(String::as_str), wanted, "{user} {used}");
        }
    }

    #[test]
    fn a_crate_that_a_layer_must_not_name_is_told() {
        let breach = "server/crates/wire/a.rs:2: server/crates/wire must not name the crate leptos";
        for (text, wanted) in [
            ("//! A.\nuse leptos::prelude::*;", Some(breach)),
            ("//! A.\nfn f() { leptos::view() }", Some(breach)),
            ("//! A.\nfn f() { ::leptos::view() }", Some(breach)),
            ("//! A.\n#[cfg(test)]\nmod tests { use leptos::view; }", None),
            ("//! A.\nuse serde::Serialize;", None),
        ] {
            assert_eq!(
                told("server/crates/wire/a.rs", "server/crates/wire/b.rs", text).first().map(String::as_str),
                wanted
            );
        }
    }
}
