//! Two panels on one cluster: one acts, the other looks on, says who acts, and can take over.
mod common;

use common::{TestPanel, holds, reason};

#[test]
fn one_panel_acts_and_the_other_looks_on_until_it_takes_over() {
    let cluster = TestPanel::start();
    let first = cluster.beside();
    first.ask("deploy", "");
    first.until_reason("Deployed", "Deployed");
    let second = cluster.beside();
    assert!(holds(&second.status(), "Deployed"), "what there is is seen");
    let refused = second.post("weights", r#"{"v1": 10, "v2": 90}"#);
    assert_eq!((refused.status, refused.json()["code"].as_str().unwrap()), (409, "held_elsewhere"), "{}", refused.text);
    let status = second.until("it looks on", |s| reason(s, "Held") == "HeldByOther");
    let told = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Held").unwrap().clone();
    assert!(
        told["message"].as_str().unwrap().contains(" since ")
            && told["args"]["since"].as_str().unwrap().ends_with("UTC"),
        "{told}"
    );
    assert_eq!(first.post("takeover", "").status, 404, "who acts has nothing to take over");

    second.ask("takeover", "");
    second.ask("weights", r#"{"v1": 10, "v2": 90}"#);
    first.until("the first looks on now", |s| reason(s, "Held") == "HeldByOther");
    assert_eq!(first.post("deploy", "").status, 409);
    // The panel that ends gives it back: the other acts again at once.
    second.stop();
    let moved = first.post("weights", r#"{"v1": 60, "v2": 40}"#);
    assert_eq!(moved.status, 200, "{}", moved.text);
    // One that is killed gives nothing back: another of the same machine sees that it has ended.
    let third = cluster.beside();
    first.kill();
    assert_eq!(third.post("weights", r#"{"v1": 50, "v2": 50}"#).status, 200, "{}", third.log());
    third.ask("teardown", "");
    third.until_reason("Clean", "Clean");
}
