//! The verbs, seen from outside: one registry on a folder of its own.
mod apply;
mod contention;
mod watches;
use super::*;
use crate::{FieldSelector, LabelSelector, Object};
use futures::StreamExt;
use serde_json::{Value, json};

/// A registry in a folder of its own, with namespace `default`.
pub(super) struct Fixture {
    pub(super) registry: Registry,
    folder: tempfile::TempDir,
}

impl Fixture {
    pub(super) async fn new() -> Fixture {
        Fixture::with(Vec::new()).await
    }

    pub(super) async fn with(admission: Vec<AdmissionHook>) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store.redb")).unwrap();
        let kinds = Kinds::builtin().with(vec![Kind::custom(
            "networking.istio.io",
            &["v1", "v1beta1"],
            "VirtualService",
            "virtualservices",
        )]);
        let registry = Registry::open(store, kinds, admission).unwrap();
        registry.ensure_namespaces(&["default"]).await.unwrap();
        Fixture { registry, folder }
    }

    pub(super) fn kind(&self, plural: &str) -> Arc<Kind> {
        self.registry.kinds().iter().find(|k| k.plural == plural).unwrap().clone()
    }

    pub(super) async fn create(&self, plural: &str, object: Value) -> Result<Arc<Object>, Status> {
        let kind = self.kind(plural);
        let ns = kind.namespaced.then_some("default");
        self.registry.create(&kind, ns, object, &WriteOptions::by("test")).await.map(|w| w.object)
    }

    pub(super) async fn update(&self, plural: &str, sub: Subresource, object: Value) -> Result<Written, Status> {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.registry.update(&self.kind(plural), Some("default"), &name, sub, object, &WriteOptions::by("test")).await
    }

    pub(super) async fn patch(&self, plural: &str, name: &str, patch: Patch, manager: &str) -> Result<Written, Status> {
        self.registry
            .patch(&self.kind(plural), Some("default"), name, Subresource::None, patch, &WriteOptions::by(manager))
            .await
    }
}

pub(super) fn deployment(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}}, "spec": {
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}, "creationTimestamp": null},
            "spec": {"containers": [{"name": "main", "image": "web:1", "ports": [{"containerPort": 80}]}]}}}})
}

fn config(name: &str, value: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"x": value}})
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "x"}}, "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "b"}]}})
}

#[tokio::test]
async fn a_created_object_carries_what_the_server_sets() {
    let t = Fixture::new().await;
    let d = t.create("deployments", deployment("web")).await.unwrap();
    assert_eq!(d["metadata"]["generation"], 1);
    assert_eq!(d["metadata"]["uid"].as_str().unwrap().len(), 36);
    assert!(d["metadata"]["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(d["spec"]["replicas"], 1);
    assert_eq!(
        d["spec"]["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}})
    );
    let container = &d["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        (&container["imagePullPolicy"], &container["ports"][0]["protocol"]),
        (&json!("IfNotPresent"), &json!("TCP"))
    );
    assert!(d["spec"]["template"]["spec"]["serviceAccountName"].is_null());
    assert_eq!(
        t.create("deployments", deployment("web")).await.unwrap_err().message,
        "deployments.apps \"web\" already exists"
    );
    let named = t.create("configmaps", json!({"metadata": {"generateName": "a-"}})).await.unwrap();
    assert_eq!(named["metadata"]["name"].as_str().unwrap().len(), 7);
    let pod = t.create("pods", pod("p")).await.unwrap();
    assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    assert_eq!(pod["spec"]["serviceAccountName"], "default");
}

#[tokio::test]
async fn wrong_objects_are_refused_in_kubernetes_words() {
    let t = Fixture::new().await;
    let mut mismatch = deployment("web");
    mismatch["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"});
    let refused = t.create("deployments", mismatch).await.unwrap_err();
    assert_eq!(refused.code, 422);
    assert_eq!(
        refused.message,
        "Deployment.apps \"web\" is invalid: spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: `selector` does not match template `labels`"
    );
    assert_eq!(refused.details.unwrap()["causes"][0]["field"], "spec.template.metadata.labels");
    t.create("deployments", deployment("web")).await.unwrap();
    let mut moved = deployment("web");
    moved["spec"]["selector"] = json!({"matchLabels": {"app": "new"}});
    moved["spec"]["template"]["metadata"]["labels"] = json!({"app": "new"});
    assert!(
        t.update("deployments", Subresource::None, moved).await.unwrap_err().message.contains("field is immutable")
    );
    for (plural, object, code, words) in [
        ("configmaps", json!({"metadata": {"name": "UPPER"}}), 422, "a lowercase RFC 1123 subdomain"),
        ("configmaps", json!({"metadata": {}}), 422, "name or generateName is required"),
        (
            "configmaps",
            json!({"kind": "Pod", "metadata": {"name": "a"}}),
            400,
            "the object provided is a Pod; expected ConfigMap",
        ),
        (
            "configmaps",
            json!({"apiVersion": "v2", "metadata": {"name": "a"}}),
            400,
            "does not match the expected API version (v1)",
        ),
        (
            "configmaps",
            json!({"metadata": {"name": "a", "namespace": "b"}}),
            400,
            "does not match the namespace sent on the request (default)",
        ),
        ("configmaps", json!([]), 400, "must be a JSON object"),
        ("pods", json!({"metadata": {"name": "a"}}), 422, "spec.containers: Required value"),
        (
            "pods",
            json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "x"}]}}),
            422,
            "spec.containers[0].image: Required value",
        ),
        ("services", json!({"metadata": {"name": "a"}, "spec": {}}), 422, "spec.ports: Required value"),
        ("services", json!({"metadata": {"name": "1a"}, "spec": {"ports": [{"port": 1}]}}), 422, "a DNS-1035 label"),
        ("namespaces", json!({"metadata": {"name": "a.b"}}), 422, "a lowercase RFC 1123 label"),
    ] {
        let e = t.create(plural, object.clone()).await.unwrap_err();
        assert_eq!(e.code, code, "{object}: {e}");
        assert!(e.message.contains(words), "{object}: {e}");
    }
    let kind = t.kind("configmaps");
    let nowhere =
        t.registry.create(&kind, Some("nowhere"), config("a", "1"), &WriteOptions::default()).await.unwrap_err();
    assert_eq!((nowhere.code, nowhere.message.as_str()), (404, "namespaces \"nowhere\" not found"));
}

#[tokio::test]
async fn updates_keep_what_is_the_servers_and_notice_stale_versions() {
    let t = Fixture::new().await;
    let first = t.create("deployments", deployment("web")).await.unwrap();
    let again = t.update("deployments", Subresource::None, deployment("web")).await.unwrap();
    assert!(!again.changed, "a write that changes nothing keeps the version");
    assert_eq!(again.object["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);

    let mut scaled = (*first).clone();
    scaled["spec"]["replicas"] = 3.into();
    scaled["status"] = json!({"replicas": 9});
    let second = t.update("deployments", Subresource::None, scaled.clone()).await.unwrap().object;
    assert_eq!((&second["metadata"]["generation"], &second["status"]), (&json!(2), &json!({})));
    scaled["spec"]["replicas"] = 4.into();
    let stale = t.update("deployments", Subresource::None, scaled).await.unwrap_err();
    assert_eq!(
        stale.message,
        "Operation cannot be fulfilled on deployments.apps \"web\": the object has been modified; please apply your changes to the latest version and try again"
    );

    let mut reported = (*second).clone();
    reported["status"] = json!({"replicas": 3});
    reported["spec"]["replicas"] = 8.into();
    let third = t.update("deployments", Subresource::Status, reported).await.unwrap().object;
    assert_eq!(
        (&third["status"]["replicas"], &third["spec"]["replicas"], &third["metadata"]["generation"]),
        (&json!(3), &json!(3), &json!(2))
    );

    let kind = t.kind("deployments");
    let scale = t.registry.scale(&kind, Some("default"), "web").unwrap();
    assert_eq!(scale["status"], json!({"replicas": 3, "selector": "app=web"}));
    let patch = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let scaled = t
        .registry
        .patch(&kind, Some("default"), "web", Subresource::Scale, patch, &WriteOptions::default())
        .await
        .unwrap();
    assert_eq!((&scaled.object["spec"]["replicas"], &scaled.object["metadata"]["generation"]), (&json!(0), &json!(3)));
}

#[tokio::test]
async fn deletion_waits_for_grace_and_finalizers() {
    let t = Fixture::new().await;
    let pods = t.kind("pods");
    t.create("pods", pod("p")).await.unwrap();
    let delete = |o: DeleteOptions| {
        let (r, k) = (t.registry.clone(), pods.clone());
        async move { r.delete(&k, Some("default"), "p", &o).await }
    };
    let Deleted::Terminating(marked) = delete(DeleteOptions::default()).await.unwrap() else { panic!("gone at once") };
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert!(t.registry.get(&pods, Some("default"), "p").is_ok());
    let gone = delete(DeleteOptions { grace_period_s: Some(0), ..DeleteOptions::default() }).await.unwrap();
    assert!(matches!(gone, Deleted::Gone(_)));
    assert_eq!(delete(DeleteOptions::default()).await.unwrap_err().code, 404);

    let held = json!({"metadata": {"name": "c", "finalizers": ["x/y"]}});
    t.create("configmaps", held).await.unwrap();
    let kind = t.kind("configmaps");
    let wrong = DeleteOptions { precondition_uid: Some("no".to_owned()), ..DeleteOptions::default() };
    assert_eq!(t.registry.delete(&kind, Some("default"), "c", &wrong).await.unwrap_err().code, 409);
    let Deleted::Terminating(marked) =
        t.registry.delete(&kind, Some("default"), "c", &DeleteOptions::default()).await.unwrap()
    else {
        panic!()
    };
    let mut more = (*marked).clone();
    more["metadata"]["finalizers"] = json!(["x/y", "z/z"]);
    assert!(
        t.update("configmaps", Subresource::None, more)
            .await
            .unwrap_err()
            .message
            .contains("no new finalizers can be added")
    );
    let mut freed = (*marked).clone();
    freed["metadata"]["finalizers"] = json!([]);
    t.update("configmaps", Subresource::None, freed).await.unwrap();
    assert_eq!(t.registry.get(&kind, Some("default"), "c").unwrap_err().message, "configmaps \"c\" not found");
}

#[tokio::test]
async fn a_namespace_ends_when_it_is_finalized_and_takes_nothing_new_until_then() {
    let t = Fixture::new().await;
    let kind = t.kind("namespaces");
    let protected = t.registry.delete(&kind, None, "default", &DeleteOptions::default()).await.unwrap_err();
    assert_eq!(protected.message, "namespaces \"default\" is forbidden: this namespace may not be deleted");
    t.registry.ensure_namespaces(&["mine"]).await.unwrap();
    let Deleted::Terminating(ns) = t.registry.delete(&kind, None, "mine", &DeleteOptions::default()).await.unwrap()
    else {
        panic!()
    };
    assert_eq!((&ns["status"]["phase"], &ns["spec"]["finalizers"]), (&json!("Terminating"), &json!(["kubernetes"])));
    let refused = t
        .registry
        .create(&t.kind("configmaps"), Some("mine"), config("a", "1"), &WriteOptions::default())
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code, refused.details.unwrap()["causes"][0]["reason"].clone()),
        (403, json!("NamespaceTerminating"))
    );
    let mut done = (*ns).clone();
    done["spec"]["finalizers"] = json!([]);
    t.registry.update(&kind, None, "mine", Subresource::Finalize, done, &WriteOptions::default()).await.unwrap();
    assert!(t.registry.get(&kind, None, "mine").is_err());
}

#[tokio::test]
async fn a_replaced_namespace_keeps_what_holds_it_until_it_is_empty() {
    let t = Fixture::new().await;
    let kind = t.kind("namespaces");
    t.registry.ensure_namespaces(&["mine"]).await.unwrap();
    for bare in [
        json!({"metadata": {"name": "mine"}}),
        json!({"metadata": {"name": "mine"}, "spec": {}}),
        json!({"metadata": {"name": "mine"}, "spec": {"finalizers": []}}),
    ] {
        let put = t
            .registry
            .update(&kind, None, "mine", Subresource::None, bare.clone(), &WriteOptions::default())
            .await
            .unwrap();
        assert_eq!(put.object["spec"]["finalizers"], json!(["kubernetes"]), "{bare}");
    }
    let gone = Patch::Json(json!([{"op": "remove", "path": "/spec"}]));
    let patched =
        t.registry.patch(&kind, None, "mine", Subresource::None, gone, &WriteOptions::default()).await.unwrap();
    assert_eq!(patched.object["spec"]["finalizers"], json!(["kubernetes"]));
}

#[tokio::test]
async fn an_object_never_becomes_too_large_or_too_deep_to_be_read_again() {
    let t = Fixture::new().await;
    t.create("virtualservices", json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "r"}, "spec": {}})).await.unwrap();
    let chain = (0..60).fold(json!(1), |below, _| json!({"a": below}));
    let mut codes = Vec::new();
    for levels in [0, 60, 120] {
        let path = format!("/spec{}/a", "/a".repeat(levels));
        let added = t
            .patch("virtualservices", "r", Patch::Json(json!([{"op": "add", "path": path, "value": chain}])), "x")
            .await;
        codes.push(added.map_or_else(|status| status.code, |_| 200));
    }
    assert_eq!(codes, [200, 400, 400]);
    let mut codes = Vec::new();
    for key in ["a", "b", "c"] {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {key: "x".repeat(600_000)}}}));
        codes.push(t.patch("virtualservices", "r", patch, "x").await.map_or_else(|status| status.code, |_| 200));
    }
    assert_eq!(codes, [200, 200, 413]);
    let Fixture { registry, folder } = t;
    drop(registry);
    Store::open(folder.path().join("store.redb")).unwrap();
}

#[tokio::test]
async fn there_may_be_so_many_pods_and_no_more() {
    let t = Fixture::new().await;
    let most = t.kind("pods").most.unwrap();
    for names in (0..most).collect::<Vec<_>>().chunks(200) {
        let pods = names.iter().map(|i| t.create("pods", pod(&format!("p{i}"))));
        futures::future::join_all(pods).await.into_iter().for_each(|made| drop(made.unwrap()));
    }
    let refused = t.create("pods", pod("more")).await.unwrap_err();
    assert_eq!(
        (refused.code, refused.message),
        (
            403,
            format!(
                "pods \"more\" is forbidden: exceeded quota: cluster, requested: pods=1, used: pods={most}, limited: pods={most}"
            )
        )
    );
    let now = DeleteOptions { grace_period_s: Some(0), ..DeleteOptions::default() };
    t.registry.delete(&t.kind("pods"), Some("default"), "p0", &now).await.unwrap();
    t.create("pods", pod("more")).await.unwrap();
}

#[tokio::test]
async fn numbers_of_a_workload_are_checked() {
    let t = Fixture::new().await;
    for (path, value, words) in [
        (
            "/spec/replicas",
            json!(3_000_000_000_u64),
            "spec.replicas: Invalid value: 3000000000: must be less than or equal to 2147483647",
        ),
        ("/spec/replicas", json!(-1), "must be greater than or equal to 0"),
        (
            "/spec/strategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "many"}}),
            "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"many\": a valid percent string must be",
        ),
        (
            "/spec/strategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "150%"}}),
            "maxUnavailable: Invalid value: \"150%\": must not be greater than 100%",
        ),
        (
            "/spec/strategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": -1}}),
            "must be greater than or equal to 0",
        ),
    ] {
        let mut wrong = deployment("web");
        wrong["spec"][path.rsplit('/').next().unwrap()] = value;
        let refused = t.create("deployments", wrong).await.unwrap_err();
        assert!(refused.code == 422 && refused.message.contains(words), "{refused}");
    }
    let mut right = deployment("web");
    right["spec"]["strategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "200%", "maxUnavailable": "100%"}});
    t.create("deployments", right).await.unwrap();
}

#[tokio::test]
async fn a_watch_sees_objects_enter_and_leave_its_selector() {
    let t = Fixture::new().await;
    let kind = t.kind("configmaps");
    t.create("configmaps", json!({"metadata": {"name": "before", "labels": {"on": "1"}}})).await.unwrap();
    let options = WatchOptions {
        labels: LabelSelector::parse("on=1").unwrap(),
        bookmarks: true,
        send_initial_events: true,
        ..WatchOptions::default()
    };
    let mut watch = t.registry.watch(&kind, Some("default"), &options).unwrap();
    t.create("configmaps", json!({"metadata": {"name": "a"}})).await.unwrap();
    for labels in [json!({"on": "1"}), json!({"on": "1", "x": "2"}), json!({})] {
        t.update("configmaps", Subresource::None, json!({"metadata": {"name": "a", "labels": labels}})).await.unwrap();
    }
    t.registry.delete(&kind, Some("default"), "before", &DeleteOptions::default()).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..6 {
        let event = watch.next().await.unwrap().unwrap();
        assert_eq!(event.object["metadata"]["resourceVersion"], event.revision.to_string());
        seen.push(format!("{} {}", event.kind.name(), event.object["metadata"]["name"].as_str().unwrap_or("-")));
    }
    assert_eq!(seen, ["ADDED before", "BOOKMARK -", "ADDED a", "MODIFIED a", "DELETED a", "DELETED before"]);
    let since = WatchOptions { from: Some(t.registry.revision() - 1), ..WatchOptions::default() };
    let last = t.registry.watch(&kind, None, &since).unwrap().next().await.unwrap().unwrap();
    assert_eq!((last.kind, last.revision), (WatchKind::Deleted, t.registry.revision()));
    let stale = t.registry.watch(&kind, None, &WatchOptions { from: Some(999_999), ..WatchOptions::default() });
    assert_eq!(stale.err().unwrap().code, 410);
}

#[tokio::test]
async fn lists_come_in_pages_of_one_state() {
    let t = Fixture::new().await;
    let kind = t.kind("configmaps");
    for i in 0..5 {
        t.create("configmaps", config(&format!("c{i}"), "1")).await.unwrap();
    }
    let first =
        t.registry.list(&kind, Some("default"), &ListOptions { limit: Some(2), ..ListOptions::default() }).unwrap();
    assert_eq!((first.items.len(), first.remaining), (2, Some(3)));
    t.create("configmaps", config("c2a", "1")).await.unwrap();
    t.registry.delete(&kind, Some("default"), "c3", &DeleteOptions::default()).await.unwrap();
    let rest = t
        .registry
        .list(&kind, Some("default"), &ListOptions { continue_token: first.next, ..ListOptions::default() })
        .unwrap();
    let names: Vec<&str> = rest.items.iter().map(|o| o["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!((names, rest.revision), (vec!["c2", "c3", "c4"], first.revision));
    let bad = ListOptions { fields: FieldSelector::parse("spec.x=1").unwrap(), ..ListOptions::default() };
    assert!(t.registry.list(&kind, None, &bad).unwrap_err().message.ends_with("field label not supported: spec.x"));
    let future = ListOptions { resource_version: Some(1_000_000), ..ListOptions::default() };
    assert_eq!(t.registry.list(&kind, None, &future).unwrap_err().code, 504);
}

#[tokio::test]
async fn hooks_change_and_deny_and_dry_runs_store_nothing() {
    let hook: AdmissionHook = Arc::new(|request, object| {
        if request.kind.kind != "ConfigMap" {
            return Ok(Vec::new());
        }
        if object["data"]["x"] == "bad" {
            return Err(Status::forbidden("no"));
        }
        object["metadata"]["labels"] = json!({"seen": if request.old.is_some() { "update" } else { "create" }});
        Ok(vec!["hm".to_owned()])
    });
    let t = Fixture::with(vec![hook]).await;
    let kind = t.kind("configmaps");
    let dry = WriteOptions { dry_run: true, ..WriteOptions::default() };
    let would = t.registry.create(&kind, Some("default"), config("a", "1"), &dry).await.unwrap();
    assert_eq!(
        (&would.object["metadata"]["labels"]["seen"], would.changed, would.warnings.len()),
        (&json!("create"), false, 1)
    );
    assert!(t.registry.get(&kind, Some("default"), "a").is_err());
    assert_eq!(t.create("configmaps", config("a", "bad")).await.unwrap_err().code, 403);
    t.create("configmaps", config("a", "1")).await.unwrap();
    let changed = t.patch("configmaps", "a", Patch::Merge(json!({"data": {"x": "2"}})), "m").await.unwrap();
    assert_eq!(changed.object["metadata"]["labels"]["seen"], "update");
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let t = Fixture::new().await;
    let mut unbound = pod("p");
    unbound["spec"].as_object_mut().unwrap().shift_remove("nodeName");
    t.create("pods", unbound).await.unwrap();
    let bind = |node: &str| {
        let (r, k, o) = (t.registry.clone(), t.kind("pods"), json!({"target": {"name": node}}));
        async move { r.update(&k, Some("default"), "p", Subresource::Binding, o, &WriteOptions::by("scheduler")).await }
    };
    let bound = bind("n").await.unwrap().object;
    assert_eq!((&bound["spec"]["nodeName"], &bound["metadata"]["generation"]), (&json!("n"), &json!(1)));
    assert_eq!(bind("m").await.unwrap_err().code, 409);
}

#[tokio::test]
async fn what_is_read_only_in_a_write_is_kept() {
    let t = Fixture::new().await;
    t.create(
        "services",
        json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "127.64.1.1", "ports": [{"port": 80}]}}),
    )
    .await
    .unwrap();
    let put = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 81}]}});
    let service = t.update("services", Subresource::None, put).await.unwrap().object;
    assert_eq!(
        (&service["spec"]["clusterIPs"], &service["spec"]["ports"][0]["targetPort"]),
        (&json!(["127.64.1.1"]), &json!(81))
    );
    t.create("pods", pod("p")).await.unwrap();
    let moved = t.patch("pods", "p", Patch::Merge(json!({"spec": {"hostname": "x"}})), "m").await.unwrap_err();
    assert!(moved.message.contains("pod updates may not change fields other than"), "{moved}");
    let image = Patch::Strategic(json!({"spec": {"containers": [{"name": "a", "image": "c"}]}}));
    assert_eq!(t.patch("pods", "p", image, "m").await.unwrap().object["metadata"]["generation"], 2);
    let foreign = t.patch("virtualservices", "none", Patch::Strategic(json!({})), "m").await.unwrap_err();
    assert_eq!(foreign.code, 404);
    let strict = WriteOptions { validation: FieldValidation::Strict, ..WriteOptions::default() };
    let kind = t.kind("configmaps");
    let typo = t
        .registry
        .create(&kind, Some("default"), json!({"metadata": {"name": "x"}, "dta": {}}), &strict)
        .await
        .unwrap_err();
    assert!(typo.message.ends_with("strict decoding error: unknown field \"dta\""), "{typo}");
}
