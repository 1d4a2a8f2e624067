//! The README's curl journey, run from the README's own text.
mod support;
use std::path::Path;
use std::process::Command;
use support::{Panel, Ran, condition, processes_mentioning};

/// The fenced `sh` block below `## With curl`.
fn curl_lines() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(readme).expect("the README is readable");
    let section = text.split("## With curl").nth(1).expect("a section `With curl`");
    let block = section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("a block of sh").to_owned()
}

#[test]
fn the_curl_lines_of_the_readme_do_the_whole_journey() {
    let panel = Panel::start();
    let script = curl_lines().replace("http://127.0.0.1:3000", &panel.url);
    assert!(script.contains(&panel.url), "the README says where the panel is");
    let ran = Ran::of(Command::new("timeout").args(["240", "bash", "-euo", "pipefail", "-c", &script]));
    assert!(ran.ok, "{ran:?}\n{:#}", panel.status());

    let acknowledged = ran.out.lines().filter(|line| line.contains("\"acknowledged\":true")).count();
    assert_eq!(acknowledged, 2, "both changes of weights were acknowledged: {}", ran.out);
    let frames: Vec<serde_json::Value> =
        ran.out.lines().filter_map(|line| line.strip_prefix("data:")).filter_map(|data| serde_json::from_str(data.trim()).ok()).collect();
    assert_eq!(frames.len(), 20, "twenty frames of the live split: {}", ran.out);
    let count = |version: &str| frames.last().and_then(|frame| frame["counts"][version].as_u64()).unwrap_or(0);
    assert!(count("v1") > count("v2") && count("v2") > 0, "v1 gets most requests at 80/20: {:?}", frames.last());

    let status = panel.status();
    assert_eq!(condition(&status, "Clean"), "True", "{status:#}");
    assert_eq!(status["pods"], serde_json::json!([]), "{status:#}");
    let left = panel.kubectl(&["get", "all,vs,dr", "-A", "-l", "app.kubernetes.io/managed-by=demo-panel", "-o", "name"]);
    assert_eq!(left.must(), "", "objects of ours are left");
    assert_eq!(processes_mentioning(&panel.state_dir()), Vec::<u32>::new(), "processes of ours are left");
}
