//! Nothing healthy is lost: no failed request while weights move, pods roll and the app is scaled, with retries off at client and proxy.
mod common;

use common::programs::{kubectl, kubectl_follow};
use common::{TestPanel, raw};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ROUTE: &str = "/apis/networking.istio.io/v1/namespaces/istio-app/virtualservices/flaskapp-vs";

/// Whoever changes things: an unmodified kubectl, and its proxy where a process for each change would be too slow.
struct Operator<'p> {
    panel: &'p TestPanel,
    api: String,
}

impl Operator<'_> {
    fn patch_route(&self, operations: &Value) {
        let body = operations.to_string();
        let head = format!(
            "PATCH {ROUTE} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json-patch+json\r\nContent-Length: {}\r\n\r\n",
            self.api,
            body.len()
        );
        let answer = raw(&self.api, (head + &body).as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    fn weigh(&self, v1: u32) {
        let to = |at: usize, weight: u32| json!({"op": "replace", "path": format!("/spec/http/0/route/{at}/weight"), "value": weight});
        self.patch_route(&json!([to(0, v1), to(1, 100 - v1)]));
    }

    fn run(&self, words: &str) {
        let mut args = vec!["-n", "istio-app"];
        args.extend(words.split(' '));
        kubectl(self.panel, &args).must();
    }

    /// Until there are so many pods of a version, none of them on its way out.
    fn until_pods(&self, version: &str, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let all = kubectl(
                self.panel,
                &["-n", "istio-app", "get", "pods", "-l", &format!("app=flaskapp,version={version}"), "-o", "name"],
            )
            .must();
            if all.lines().count() == count {
                return;
            }
            assert!(Instant::now() < deadline, "{version} has not {count} pods: {all}");
        }
    }
}

/// Requests answered and failed so far.
fn so_far(panel: &TestPanel) -> (u64, u64, Value) {
    let frame = panel.until_frame("a frame", |f| f["achieved_rate"].is_number());
    let answered = frame["counts"].as_object().map_or(0, |c| c.values().filter_map(Value::as_u64).sum());
    (answered, frame["errors"].as_u64().unwrap_or(0), frame)
}

#[test]
fn no_request_fails_while_weights_move_pods_roll_and_the_app_is_scaled() {
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("ClientReady", "ClientReady");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_reason("Injected", "Injected");
    panel.ask("weights", r#"{"v1": 50, "v2": 50}"#);
    let mut proxy = kubectl_follow(&panel, &["proxy", "--port=0"]);
    let line = proxy.until("its address", |l| l.contains("Starting to serve on "));
    let operator = Operator { panel: &panel, api: line.rsplit(' ').next().unwrap().to_owned() };
    operator.patch_route(&json!([{"op": "add", "path": "/spec/http/0/retries", "value": {"attempts": 0}}]));

    panel.ask("load", r#"{"rate": 250}"#);
    panel.until_frame("the load is on", |f| f["achieved_rate"].as_f64() > Some(0.0));
    let began = Instant::now();
    let (before, _, _) = so_far(&panel);
    let mut last = before;
    let mut check = |what: &str| {
        let (answers, errors, frame) = so_far(&panel);
        assert_eq!(errors, 0, "after {what}: {frame}\n{}", panel.log());
        // How many there were is the machine's to say.
        assert!(answers > last, "no request was answered during {what}: {frame}");
        last = answers;
    };

    for change in 0..200 {
        operator.weigh([0, 10, 50, 90, 100][change % 5]);
    }
    check("200 changes of weights");
    operator.weigh(50);
    for round in 0..3 {
        for version in ["v1", "v2"] {
            operator.run(&format!("rollout restart deployment flaskapp-{version}"));
            operator.run(&format!("rollout status deployment flaskapp-{version} --timeout=60s"));
            operator.until_pods(version, 1);
        }
        check(&format!("rolling restart {round}"));
    }
    for round in 0..3 {
        for replicas in [5, 1] {
            operator.run(&format!("scale deployment flaskapp-v1 --replicas={replicas}"));
            operator.run("rollout status deployment flaskapp-v1 --timeout=60s");
            operator.until_pods("v1", replicas);
        }
        check(&format!("scaling {round} to 5 and back"));
    }

    let retries = kubectl(
        &panel,
        &["-n", "istio-app", "get", "vs", "flaskapp-vs", "-o", "jsonpath={.spec.http[0].retries.attempts}"],
    )
    .must();
    assert_eq!(retries, "0", "somebody turned the retries on");
    let took = began.elapsed();
    let (after, errors, frame) = so_far(&panel);
    println!("{} requests in {took:.1?}, {errors} failed", after - before);
    assert_eq!(errors, 0, "{frame}");
}
