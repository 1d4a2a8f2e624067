//! What others do to the cluster while the panel runs: it shows it, takes nothing away, and says what to do.
mod common;

use common::{TestPanel, reason};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

async fn api(panel: &TestPanel, group: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    // Another test of this process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(&panel.kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    let resource = ApiResource {
        group: group.into(),
        version: "v1".into(),
        api_version,
        kind: kind.into(),
        plural: plural.into(),
    };
    if kind == "Namespace" {
        Api::all_with(client, &resource)
    } else {
        Api::namespaced_with(client, &panel.namespace, &resource)
    }
}

async fn patch(api: &Api<DynamicObject>, name: &str, manager: &str, change: Value) {
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    api.patch(name, &params, &Patch::Merge(change)).await.unwrap();
}

async fn create(api: &Api<DynamicObject>, manager: &str, object: Value) {
    let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
    api.create(&params, &serde_json::from_value(object).unwrap()).await.unwrap();
}

fn http(v1: u32, v2: u32) -> Value {
    let to =
        |subset: &str, weight: u32| json!({"destination": {"host": "flaskapp", "subset": subset}, "weight": weight});
    json!({"spec": {"http": [{"route": [to("v1", v1), to("v2", v2)], "timeout": "5s"}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_others_change_is_theirs_until_somebody_clicks() {
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
    panel.ask("weights", r#"{"v1": 80, "v2": 20}"#);
    let routes = api(&panel, "networking.istio.io", "VirtualService", "virtualservices").await;

    patch(&routes, "flaskapp-vs", "kubectl-edit", http(60, 20)).await;
    let status = panel.until("the claim is shown", |s| s["claim"]["manager"] == "kubectl-edit");
    assert_eq!(status["desired"], json!({"v1": 75, "v2": 25}), "60/20 means 75/25");
    assert_eq!(status["claim"]["ours"], json!({"v1": 80, "v2": 20}));
    assert_eq!(reason(&status, "RouteOurs"), "ChangedByOther");
    let refused = panel.post("weights", r#"{"v1": 10, "v2": 90}"#);
    assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("weight_owned")), "{}", refused.text);

    panel.ask("revert", "");
    panel.until("ours is back", |s| {
        s["desired"] == json!({"v1": 80, "v2": 20}) && reason(s, "RouteOurs") == "RouteOurs"
    });

    patch(&routes, "flaskapp-vs", "kubectl-edit", http(60, 20)).await;
    panel.until("the claim is shown again", |s| s["claim"]["manager"] == "kubectl-edit");
    panel.ask("adopt", "");
    panel.until("theirs is ours", |s| {
        s["desired"] == json!({"v1": 75, "v2": 25}) && reason(s, "RouteOurs") == "RouteOurs"
    });

    let shifted = panel.post("weights", r#"{"v1": 10, "v2": 90}"#);
    assert_eq!(shifted.status, 200, "{}", shifted.text);
    let kept = routes.get("flaskapp-vs").await.unwrap();
    assert_eq!(kept.data["spec"]["http"][0]["timeout"], "5s", "what else they wrote stays");
    assert_eq!(panel.post("adopt", "").status, 404, "there is nothing to adopt");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_add_to_a_route_of_ours_stays() {
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
    panel.ask("weights", r#"{"v1": 80, "v2": 20}"#);
    let routes = api(&panel, "networking.istio.io", "VirtualService", "virtualservices").await;
    let rules = api(&panel, "networking.istio.io", "DestinationRule", "destinationrules").await;
    let hosts = json!(["flaskapp", "other"]);
    let says = |status: &Value| {
        status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "RoutePresent").unwrap()["message"]
            .to_string()
    };

    // Another host is no claim on the weights.
    patch(&routes, "flaskapp-vs", "kubectl-patch", json!({"spec": {"hosts": hosts}})).await;
    panel.until("the other host is seen", |s| says(s).contains("other"));
    let moved = panel.post("weights", r#"{"v1": 70, "v2": 30}"#);
    assert_eq!(moved.status, 200, "{}", moved.text);
    assert_eq!(routes.get("flaskapp-vs").await.unwrap().data["spec"]["hosts"], hosts);

    // With a claim on the weights as well, adopting these takes nothing else away.
    patch(&routes, "flaskapp-vs", "kubectl-edit", http(60, 20)).await;
    panel.until("the claim is shown", |s| s["claim"]["manager"] == "kubectl-edit");
    panel.ask("adopt", "");
    panel.until("theirs is ours", |s| {
        s["desired"] == json!({"v1": 75, "v2": 25}) && reason(s, "RouteOurs") == "RouteOurs"
    });
    assert_eq!(routes.get("flaskapp-vs").await.unwrap().data["spec"]["hosts"], hosts);

    // A subset that somebody removed comes back by the banner's button, and by a move of the slider; theirs stays.
    let theirs = json!([{"name": "v1", "labels": {"version": "v1", "tier": "gold"}}]);
    for verb in [("route", r#"{"present": true}"#), ("weights", r#"{"v1": 50, "v2": 50}"#)] {
        patch(&rules, "flaskapp", "kubectl-edit", json!({"spec": {"subsets": theirs}})).await;
        panel.until("the missing subset is named", |s| reason(s, "RoutePresent") == "SubsetMissing");
        let answer = panel.post(verb.0, verb.1);
        assert!(matches!(answer.status, 200 | 202), "{}", answer.text);
        panel.until("it is back", |s| {
            matches!(reason(s, "RoutePresent").as_str(), "RoutePresent" | "RouteSaysMore") && s["operation"].is_null()
        });
        let subsets = rules.get("flaskapp").await.unwrap().data["spec"]["subsets"].clone();
        assert_eq!(subsets, json!([theirs[0], {"name": "v2", "labels": {"version": "v2"}}]), "{verb:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_break_is_named() {
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("ClientReady", "ClientReady");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_reason("Injected", "Injected");
    panel.ask("weights", r#"{"v1": 50, "v2": 50}"#);
    panel.until_reason("WeightsApply", "WeightsApply");
    panel.until_reason("RouteAcknowledged", "Acknowledged");
    let workloads = api(&panel, "apps", "Deployment", "deployments").await;
    let rules = api(&panel, "networking.istio.io", "DestinationRule", "destinationrules").await;

    patch(&workloads, "flaskapp-v2", "kubectl-scale", json!({"spec": {"replicas": 0}})).await;
    panel.until("v2 has weight and no pod", |s| {
        reason(s, "WeightsApply") == "VersionNotReady" && reason(s, "Deployed") == "Degraded"
    });
    patch(&workloads, "simple-flask-app-client", "kubectl-scale", json!({"spec": {"replicas": 0}})).await;
    panel.until("the client is scaled to 0", |s| {
        let running = |p: &Value| p["workload"] == "simple-flask-app-client" && p["phase"] == "Running";
        reason(s, "ClientReady") == "ClientScaledToZero" && !s["pods"].as_array().unwrap().iter().any(running)
    });
    assert_eq!(panel.post("load", r#"{"rate": 10}"#).status, 409);

    // Asked to deploy, the panel brings both back.
    panel.ask("deploy", "");
    panel.until_reason("ClientReady", "ClientReady");
    let status = panel.until_reason("Deployed", "Deployed");
    assert_eq!(reason(&status, "Injected"), "Injected", "deploying again takes no sidecar away");

    patch(
        &rules,
        "flaskapp",
        "kubectl-edit",
        json!({"spec": {"subsets": [{"name": "v1", "labels": {"version": "v1"}}]}}),
    )
    .await;
    panel.until("the missing subset is named", |s| {
        reason(s, "RoutePresent") == "SubsetMissing" && s.to_string().contains("subset v2")
    });
}

#[test]
fn a_lost_way_to_the_load_is_opened_again() {
    if common::real::left_out("kills the client's process: pods are not the panel's children there") {
        return;
    }
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("ClientReady", "ClientReady");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_reason("Injected", "Injected");
    panel.ask("weights", r#"{"v1": 75, "v2": 25}"#);
    panel.ask("load", r#"{"rate": 200}"#);
    let before = panel.until_frame("requests are counted", |f| common::count(f, "v1") > 100);
    // The sidecars' own counts are told as well, and they fit.
    let told = |s: &Value| {
        s["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "SidecarsCount").unwrap()["args"].clone()
    };
    let status =
        panel.until("the sidecars' counts are told", |s| told(s)["v1"].is_string() && told(s)["v2"].is_string());
    let counted = |v: &str| told(&status)[v].as_str().unwrap().parse::<u64>().unwrap();
    assert!(counted("v1") > counted("v2"), "{}", told(&status));
    // The client's process ends: with it every connection to its agent. Its container is started again by the node.
    let (pid, _) = panel.children().into_iter().find(|(_, line)| line.contains(" client")).unwrap();
    let killed = std::time::Instant::now();
    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    let after = panel.until_frame("it is counted anew", |f| {
        f["run"] != before["run"] && common::count(f, "v1") > 20 && f["target_rate"] == 200.0
    });
    // No request is made up for the time between: counts begin anew, and the page draws a gap where the run changes.
    assert!(after["at_ms"].as_u64() > before["at_ms"].as_u64());
    let most = killed.elapsed().as_secs_f64() * 200.0 + 50.0;
    assert!(
        ((common::count(&after, "v1") + common::count(&after, "v2")) as f64) < most,
        "more than {most}: {before} {after}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_is_never_touched() {
    let panel = TestPanel::start();
    let namespaces = api(&panel, "", "Namespace", "namespaces").await;
    let services = api(&panel, "", "Service", "services").await;
    create(
        &namespaces,
        "kubectl-create",
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": panel.namespace}}),
    )
    .await;
    let theirs = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "flaskapp"}, "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]}});
    create(&services, "kubectl-create", theirs).await;
    // What is somebody else's is not handed out as ours.
    let in_the_way = || panel.get(&panel.path("manifests")).status == 409;
    panel.until("the Service is seen", |_| in_the_way());
    assert_eq!(reason(&panel.status(), "Deployed"), "NotDeployed", "nothing of the demo is there");

    panel.ask("deploy", "");
    let status = panel.until("it is refused", |s| s["operation"]["error"]["code"] == "not_ours");
    assert_eq!(status["pods"], json!([]), "nothing was half done");
    panel.ask("teardown", "");
    let status = panel.until("clean-up is over", |s| s["operation"].is_null());
    assert_eq!(
        (reason(&status, "Clean").as_str(), left(&status)),
        ("LeftOver", Some("service/flaskapp")),
        "what stands in the way is told"
    );
    assert_eq!(services.get("flaskapp").await.unwrap().data["spec"]["selector"]["app"], "theirs");
    assert!(namespaces.get_opt(&panel.namespace).await.unwrap().is_some(), "their namespace stays");

    // The same with a Deployment.
    services.delete("flaskapp", &Default::default()).await.unwrap();
    panel.until("the Service has gone", |_| !in_the_way());
    let workloads = api(&panel, "apps", "Deployment", "deployments").await;
    let pods =
        json!({"metadata": {"labels": {"app": "theirs"}}, "spec": {"containers": [{"name": "c", "image": "theirs"}]}});
    let theirs = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "flaskapp-v2"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "theirs"}}, "template": pods}});
    create(&workloads, "kubectl-create", theirs).await;
    panel.until("the Deployment is seen", |_| in_the_way());
    for (verb, body) in [("deploy", ""), ("inject", r#"{"inject": true}"#)] {
        panel.ask(verb, body);
        panel.until("it is refused", |s| {
            s["operation"]["error"]["code"] == "not_ours" && s["operation"]["verb"] == verb
        });
    }
    panel.ask("teardown", "");
    panel.until("clean-up is over", |s| s["operation"].is_null());
    let kept = workloads.get("flaskapp-v2").await.unwrap();
    assert_eq!(
        (
            &kept.data["spec"]["replicas"],
            kept.data["spec"]["template"]["metadata"]["labels"].get("sidecar.istio.io/inject")
        ),
        (&json!(0), None)
    );
}

fn left(status: &Value) -> Option<&str> {
    status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Clean").unwrap()["args"]["left"].as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_takes_no_kind_that_it_does_not_know() {
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
    // A kind that the panel deals with in no other way; more than a page of what is ours, and one behind it that is not; a pod under
    // our label that no Deployment looks after.
    let leases = api(&panel, "coordination.k8s.io", "Lease", "leases").await;
    create(
        &leases,
        "somebody",
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "theirs"}, "spec": {}}),
    )
    .await;
    let maps = api(&panel, "", "ConfigMap", "configmaps").await;
    let ours = json!({"app.kubernetes.io/managed-by": "demo-panel"});
    let map = |name: String, labels: &Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}});
    futures::future::join_all((0..260).map(|n| create(&maps, "demo-panel", map(format!("ours-{n}"), &ours)))).await;
    create(&maps, "somebody", map("theirs".to_owned(), &json!({}))).await;
    let pods = api(&panel, "", "Pod", "pods").await;
    let image = pods.list(&Default::default()).await.unwrap().items[0].data["spec"]["containers"][0]["image"].clone();
    // A node that was asked to fetch an image does not take the one it has, for no pod, until it has given up.
    create(&pods, "kubectl-run", json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stray", "labels": ours},
        "spec": {"containers": [{"name": "c", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"]}]}})).await;

    panel.ask("teardown", "");
    let status = panel.until_reason("Clean", "LeftOver");
    let mut told: Vec<&str> = left(&status).unwrap_or_default().split(", ").collect();
    told.sort_unstable();
    assert_eq!(told, ["configmap/theirs", "lease/theirs"]);
    assert!(leases.get_opt("theirs").await.unwrap().is_some(), "it is still there");
    leases.delete("theirs", &Default::default()).await.unwrap();
    maps.delete("theirs", &Default::default()).await.unwrap();
    panel.ask("teardown", "");
    panel.until_reason("Clean", "Clean");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_tells_what_is_left_and_whose() {
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
    let maps = api(&panel, "", "ConfigMap", "configmaps").await;
    create(
        &maps,
        "somebody",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notes"}, "data": {"a": "b"}}),
    )
    .await;
    panel.ask("teardown", "");
    let status = panel.until_reason("Clean", "LeftOver");
    let told = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Clean").unwrap().clone();
    assert_eq!(
        (told["args"]["left"].as_str(), told["args"]["whose"].as_str()),
        (Some("configmap/notes"), Some("somebody"))
    );
    assert!(maps.get_opt("notes").await.unwrap().is_some());
    maps.delete("notes", &Default::default()).await.unwrap();
    panel.ask("teardown", "");
    panel.until_reason("Clean", "Clean");
    let namespaces = api(&panel, "", "Namespace", "namespaces").await;
    assert!(namespaces.get_opt(&panel.namespace).await.unwrap().is_none(), "our empty namespace goes");
}
