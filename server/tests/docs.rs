//! The curl journey of docs/api.md, run from its own text.
mod common;
use common::programs::{Ran, objects_of_ours, workspace};
use common::{TestPanel, holds};
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
