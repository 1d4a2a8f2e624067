//! Every endpoint below `/api/demo/` in one table. The routes, the answer to an unknown verb, the reference in docs/api.md and the OpenAPI
//! document are made from it.
use super::read;
use crate::web::{AppState, connection_limits, live};
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, get};
use schemars::{Schema, SchemaGenerator};
use wire::{Dashboards, LastHour, Operation, Preflight, Shifted, Status, StoppedAll, Verb};

/// What an endpoint answers.
#[derive(Clone, Copy)]
pub enum Answer {
    /// JSON of this schema.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// Text of this media type.
    Text(&'static str),
}

/// An endpoint that changes nothing.
pub struct Read {
    /// Path below `/api/demo/`.
    pub path: &'static str,
    /// What it answers, in a sentence.
    pub summary: &'static str,
    /// Its parameters beside `namespace`, and what they say.
    pub parameters: &'static [(&'static str, &'static str)],
    /// The form of the answer.
    pub answer: Answer,
    /// What answers.
    pub handler: fn() -> MethodRouter<AppState>,
}

/// What a dashboard may be asked for.
const DASHBOARD: &[(&str, &str)] = &[
    ("view", "`mesh` (the default) or `workload`."),
    ("workload", "A workload, or an app for all its versions; `flaskapp` without it."),
    ("reporter", "Whose sidecar counts: `source`, or `destination` (the default)."),
    ("span", "The last 60, 300 (the default), 900 or 3600 seconds."),
    ("from", "With `to`, in place of `span`: a time of the last hour, in seconds since 1970."),
    ("to", "Its end, 10 to 3600 s later."),
    ("slo", "The objective of the error budget in percent: 99.9 without it."),
    ("format", "`json` (the default) or `csv`."),
];

/// All endpoints that are read with GET.
pub const READS: [Read; 8] = [
    Read {
        path: "status",
        summary: "Cluster, conditions, pods, weights, load, operation and log.",
        parameters: &[],
        answer: Answer::Json(SchemaGenerator::subschema_for::<Status>),
        handler: || get(read::status),
    },
    Read {
        path: "live",
        summary: "The live stream: server-sent events, see below.",
        parameters: &[],
        answer: Answer::Text("text/event-stream"),
        handler: || get(live::live).layer(from_fn(connection_limits::stream)),
    },
    Read {
        path: "preflight",
        summary: "What the cluster lacks for the demo. Asks the cluster, changes nothing.",
        parameters: &[],
        answer: Answer::Json(SchemaGenerator::subschema_for::<Preflight>),
        handler: || get(read::preflight),
    },
    Read {
        path: "dashboards",
        summary: "What the sidecars counted in a span of the last hour: rate, success, percentiles, error budget. As JSON or CSV, see below.",
        parameters: DASHBOARD,
        answer: Answer::Json(SchemaGenerator::subschema_for::<Dashboards>),
        handler: || get(read::dashboards),
    },
    Read {
        path: "history",
        summary: "The last hour, if `--prometheus-url` names a Prometheus that scrapes the sidecars.",
        parameters: &[],
        answer: Answer::Json(SchemaGenerator::subschema_for::<LastHour>),
        handler: || get(read::history),
    },
    Read {
        path: "manifests",
        summary: "What `deploy` applies, as YAML for `kubectl apply -f -`.",
        parameters: &[],
        answer: Answer::Text("text/yaml"),
        handler: || get(read::manifests),
    },
    Read {
        path: "manifests/client",
        summary: "What `client` applies, as YAML.",
        parameters: &[],
        answer: Answer::Text("text/yaml"),
        handler: || get(read::client_manifests),
    },
    Read {
        path: "manifests/route",
        summary: "What `route` applies, as YAML.",
        parameters: &[],
        answer: Answer::Text("text/yaml"),
        handler: || get(read::route_manifests),
    },
];

/// The verb that is about all namespaces.
pub const STOP_ALL: &str = "stop-all";

/// An endpoint as the reference shows it.
pub struct Endpoint {
    /// `get` or `post`.
    pub method: &'static str,
    /// Path below `/api/demo/`.
    pub path: &'static str,
    /// What it does, in a sentence or two.
    pub summary: &'static str,
    /// Whether it takes `?namespace=`.
    pub namespaced: bool,
    /// Its other parameters, and what they say.
    pub parameters: &'static [(&'static str, &'static str)],
    /// Its verb, if it has one.
    pub verb: Option<Verb>,
    /// HTTP status of success.
    pub status: u16,
    /// The form of the answer.
    pub answer: Answer,
}

/// Reads first, then the verbs.
pub fn all() -> impl Iterator<Item = Endpoint> {
    let reads = READS.iter().map(|read| Endpoint {
        method: "get",
        path: read.path,
        summary: read.summary,
        namespaced: true,
        parameters: read.parameters,
        verb: None,
        status: 200,
        answer: read.answer,
    });
    let verbs = Verb::ALL.iter().map(|verb| {
        // Every other verb is accepted, and answered before it is done.
        let (status, answer): (u16, fn(&mut SchemaGenerator) -> Schema) = match verb {
            Verb::Weights => (200, SchemaGenerator::subschema_for::<Shifted>),
            _ => (202, SchemaGenerator::subschema_for::<Operation>),
        };
        Endpoint {
            method: "post",
            path: verb.name(),
            summary: verb.summary(),
            namespaced: true,
            parameters: &[],
            verb: Some(*verb),
            status,
            answer: Answer::Json(answer),
        }
    });
    let stop_all = Endpoint {
        method: "post",
        path: STOP_ALL,
        summary: "Stops the load of every namespace. Answers when all clients have answered, or after 10 s.",
        namespaced: false,
        parameters: &[],
        verb: None,
        status: 200,
        answer: Answer::Json(SchemaGenerator::subschema_for::<StoppedAll>),
    };
    reads.chain(verbs).chain([stop_all])
}

/// `GET status, live, …; POST deploy, …`, for somebody who asks for an endpoint that does not exist.
pub fn listed() -> String {
    let of = |method: &str| all().filter(|e| e.method == method).map(|e| e.path).collect::<Vec<_>>().join(", ");
    format!("GET {}; POST {}.", of("get"), of("post"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "<!-- endpoints: made from server/src/web/api/endpoints.rs -->\n";
    const END: &str = "<!-- end of endpoints -->";

    fn reference() -> String {
        let mut table = String::from("| | body | answer |\n|---|---|---|\n");
        for endpoint in all() {
            let example = endpoint.verb.and_then(Verb::example).map_or_else(String::new, |body| format!("`{body}`"));
            let (method, path, status) = (endpoint.method.to_uppercase(), endpoint.path, endpoint.status);
            table += &format!("| `{method} {path}` | {example} | {status}. {} |\n", endpoint.summary.trim());
        }
        table
    }

    /// `UPDATE_DOCS=1 cargo test -p demo-panel reference` writes the table.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "a switch for whoever runs this test")]
    fn the_reference_in_docs_is_that_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (before, rest) = text.split_once(BEGIN).expect("docs/api.md has the mark of the table");
        let (table, after) = rest.split_once(END).expect("docs/api.md has the mark of the table's end");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            return std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", reference())).unwrap();
        }
        assert_eq!(table, reference(), "run `UPDATE_DOCS=1 cargo test -p demo-panel reference`");
    }
}
