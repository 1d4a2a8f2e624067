//! The walkthrough with an unmodified kubectl, Istio's kinds included: on the embedded cluster, and again on a real one.
mod common;

use common::programs::{kubectl, kubectl_follow, objects_of_ours};
use common::{TestPanel, holds};

const NS: [&str; 2] = ["-n", "istio-app"];

#[test]
fn the_walkthrough_with_kubectl() {
    let panel = TestPanel::start_in_istio_app();
    let run = |args: &[&str]| kubectl(&panel, &[&NS[..], args].concat()).must();

    let applied = kubectl(&panel, &["apply", "-f", "kubernetes/demo/"]).must();
    for made in [
        "namespace/istio-app created",
        "deployment.apps/flaskapp-v2 created",
        "virtualservice.networking.istio.io/flaskapp-vs created",
    ] {
        assert!(applied.contains(made), "{made}: {applied}");
    }
    let again = kubectl(&panel, &["apply", "-f", "kubernetes/demo/"]).must();
    assert!(again.lines().all(|line| line.ends_with("unchanged")), "{again}");

    let rolled = run(&["rollout", "status", "deploy/flaskapp-v1", "--timeout=60s"]);
    assert!(rolled.contains("successfully rolled out"), "{rolled}");
    for workload in ["deploy/flaskapp-v2", "deploy/simple-flask-app-client"] {
        run(&["rollout", "status", workload, "--timeout=60s"]);
    }
    let all = run(&["get", "all,vs,dr"]);
    for line in [
        "NAME",
        "READY   STATUS",
        "deployment.apps/flaskapp-v1",
        "service/flaskapp",
        "GATEWAYS   HOSTS",
        "flaskapp-vs",
        "HOST",
    ] {
        assert!(all.contains(line), "{line:?}: {all}");
    }
    assert_eq!(
        all.lines().filter(|l| l.starts_with("pod/") && l.contains("1/1") && l.contains("Running")).count(),
        3,
        "{all}"
    );

    // Injection by the label, followed pod by pod.
    let mut watch = kubectl_follow(&panel, &["-n", "istio-app", "get", "pods", "-w"]);
    for workload in ["flaskapp-v1", "flaskapp-v2", "simple-flask-app-client"] {
        let patch = r#"{"spec":{"template":{"metadata":{"labels":{"sidecar.istio.io/inject":"true"}}}}}"#;
        run(&["patch", "deployment", workload, "-p", patch]);
    }
    watch.until("a pod at 2/2", |line| line.contains("2/2"));
    for workload in ["deploy/flaskapp-v1", "deploy/flaskapp-v2", "deploy/simple-flask-app-client"] {
        run(&["rollout", "status", workload, "--timeout=60s"]);
    }
    let described = run(&["describe", "pod", "-l", "version=v2"]);
    for words in ["istio-proxy:", "Ready:          True", "Successfully assigned", "Container started"] {
        assert!(described.contains(words), "{words:?}: {described}");
    }

    // From inside a pod, through its sidecar; then all to v1.
    let path =
        run(&["exec", "deploy/flaskapp-v1", "-c", "flaskapp", "--", "curl", "-sS", "http://127.0.0.1:7777/env/PATH"]);
    assert!(path.contains("/usr/bin"), "{path}");
    let to = r#"{"spec":{"http":[{"route":[{"destination":{"host":"flaskapp","subset":"v1"},"weight":100}]}]}}"#;
    run(&["patch", "vs", "flaskapp-vs", "--type", "merge", "-p", to]);
    panel.until("the panel shows kubectl's weights, acknowledged", |s| {
        s["desired"]["v1"] == 100 && holds(s, "RouteAcknowledged")
    });
    for _ in 0..10 {
        let version = run(&[
            "exec",
            "deploy/simple-flask-app-client",
            "-c",
            "sleep",
            "--",
            "curl",
            "-sS",
            "http://flaskapp:7777/env/version",
        ]);
        assert_eq!(version.trim(), "v1");
    }
    let refused = kubectl(&panel, &["-n", "istio-app", "exec", "deploy/flaskapp-v1", "-c", "flaskapp", "--", "sh"]);
    assert!(!refused.ok && refused.err.contains("executable file not found in $PATH"), "{refused:?}");

    let mut log = kubectl_follow(&panel, &["-n", "istio-app", "logs", "-f", "deploy/flaskapp-v1", "-c", "flaskapp"]);
    log.until("a line of the app's log", |line| !line.is_empty());
    // Their environment names the panel's folder, as that of its pods does.
    drop((watch, log));

    // The namespace goes first and takes the rest with it, sooner than kubectl gets to them.
    kubectl(&panel, &["delete", "-f", "kubernetes/demo/", "--ignore-not-found", "--timeout=60s"]).must();
    assert_eq!(objects_of_ours(&panel), "");
    panel.until("no process is left", |_| panel.children().is_empty());
}
