//! The curl journey of docs/api.md, run from its own text, and the OpenAPI document beside what the panel answers.
mod common;
use common::programs::{Ran, objects_of_ours, workspace};
use common::{TestPanel, holds};
use serde_json::Value;
use std::process::Command;

/// The fenced `sh` block below `## With curl`.
fn curl_lines() -> String {
    let text = std::fs::read_to_string(workspace().join("docs/api.md")).expect("docs/api.md is readable");
    let section = text.split("## With curl").nth(1).expect("a section `With curl`");
    let block = section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("a block of sh").to_owned()
}

#[test]
fn the_curl_lines_of_the_documentation_do_the_whole_journey() {
    let panel = TestPanel::start();
    let url = format!("http://{}", panel.address);
    let script = curl_lines().replace("http://127.0.0.1:3000", &url);
    assert!(script.contains(&url), "docs/api.md says where the panel is");
    let ran = Ran::of(Command::new("timeout").args(["240", "bash", "-euc", &script]));
    assert!(ran.ok, "{ran:?}\n{:#}", panel.status());

    let acknowledged = ran.out.lines().filter(|line| line.contains("\"acknowledged\":true")).count();
    assert_eq!(acknowledged, 2, "both changes of weights were acknowledged: {}", ran.out);
    let frames: Vec<serde_json::Value> = ran
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .filter_map(|data| serde_json::from_str(data.trim()).ok())
        .collect();
    assert_eq!(frames.len(), 20, "twenty frames of the live split: {}", ran.out);
    let count = |version: &str| frames.last().and_then(|frame| frame["counts"][version].as_u64()).unwrap_or(0);
    assert!(count("v1") > count("v2") && count("v2") > 0, "v1 gets most requests at 80/20: {:?}", frames.last());

    let status = panel.status();
    assert!(holds(&status, "Clean"), "{status:#}");
    assert_eq!(status["pods"], serde_json::json!([]), "{status:#}");
    assert_eq!(objects_of_ours(&panel), "", "objects of ours are left");
    assert_eq!(panel.children(), vec![], "processes of ours are left");
}

/// The fields of an answer are those that its schema has, and none that it requires is missing.
fn fits(document: &Value, schema: &Value, answer: &Value, what: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect("the schema is there"),
        None => schema,
    };
    let fields = answer.as_object().unwrap_or_else(|| panic!("{what}: {answer}"));
    let unknown: Vec<&String> =
        fields.keys().filter(|name| schema["properties"].get(name.as_str()).is_none()).collect();
    assert!(unknown.is_empty(), "{what}: the document does not know {unknown:?}");
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(fields.contains_key(name), "{what}: `{name}` is required and missing in {answer}");
    }
}

#[test]
fn what_the_panel_answers_fits_the_openapi_document() {
    let panel = TestPanel::start_in_istio_app();
    let document = panel.get("/api/openapi.json").json();
    let json_of = |operation: &Value, status: &str| {
        operation["responses"][status]["content"].get("application/json").map(|content| content["schema"].clone())
    };
    let mut checked = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let read = json_of(&operations["get"], "200");
        // Without a Prometheus the last hour is an error, which has the schema of errors.
        let Some(schema) = (if path.ends_with("/history") { json_of(&operations["get"], "default") } else { read })
        else {
            continue;
        };
        fits(&document, &schema, &panel.get(path).json(), path);
        checked += 1;
    }
    assert_eq!(checked, 4, "status, preflight, dashboards and history");
    let deploy = json_of(&document["paths"]["/api/demo/deploy"]["post"], "202").expect("a schema");
    fits(&document, &deploy, &panel.ask("deploy", "{}"), "deploy");
}

#[test]
fn a_query_may_be_percent_encoded() {
    let panel = TestPanel::start();
    let status = panel.get("/api/demo/status?namespace=istio%2Dapp").json();
    assert_eq!(status["namespace"], "istio-app", "{status}");
}
