//! kube-rs: the panel's own client.
use crate::fixture::{TestApi, deployment, pod};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::core::GroupVersionKind;
use kube::runtime::watcher::{self, Event, InitialListStrategy};
use kube::{Api, ResourceExt};
use serde_json::json;
use std::pin::pin;

fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"v": value}}, "data": {"k": value}})).unwrap()
}

#[tokio::test]
async fn objects_are_created_read_changed_and_deleted() {
    let t = TestApi::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(t.client.clone());
    let made = maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    assert!(made.uid().is_some() && made.resource_version().is_some());
    let twice = maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap_err();
    assert!(matches!(twice, kube::Error::Api(ref s) if s.reason == "AlreadyExists" && s.code == 409), "{twice}");
    let mut changed = made.clone();
    changed.data.as_mut().unwrap().insert("k".into(), "2".into());
    let put = maps.replace("a", &PostParams::default(), &changed).await.unwrap();
    let stale = maps.replace("a", &PostParams::default(), &changed).await.unwrap_err();
    assert!(matches!(stale, kube::Error::Api(ref s) if s.reason == "Conflict"), "{stale}");
    let patched = maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "3"}}))).await.unwrap();
    assert_eq!(patched.data.unwrap()["k"], "3");
    assert_ne!(put.metadata.resource_version, made.metadata.resource_version);
    assert_eq!(maps.list(&ListParams::default().labels("v in (1,2)")).await.unwrap().items.len(), 1);
    let meta = maps.list_metadata(&ListParams::default().fields("metadata.name=a")).await.unwrap();
    assert_eq!(meta.items[0].name_any(), "a");
    assert!(maps.list(&ListParams::default().fields("spec.x=1")).await.is_err());
    assert!(maps.delete("a", &DeleteParams::default()).await.unwrap().is_right());
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn a_dry_run_leaves_nothing() {
    let t = TestApi::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(t.client.clone());
    let dry = maps.create(&PostParams { dry_run: true, ..PostParams::default() }, &config_map("a", "1")).await.unwrap();
    assert!(dry.uid().is_some());
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn lists_come_in_pages() {
    let t = TestApi::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(t.client.clone());
    for name in ["a", "b", "c"] {
        maps.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
    }
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (2, Some(1)));
    let rest =
        maps.list(&ListParams::default().limit(2).continue_token(&first.metadata.continue_.unwrap())).await.unwrap();
    assert_eq!((rest.items.len(), rest.metadata.continue_), (1, None));
}

#[tokio::test]
async fn server_side_apply_tells_conflicts_apart() {
    let t = TestApi::start().await;
    let deployments: Api<Deployment> = Api::default_namespaced(t.client.clone());
    let ours = PatchParams::apply("demo-panel");
    let made = deployments.patch("v1", &ours, &Patch::Apply(deployment("v1", 1))).await.unwrap();
    assert_eq!(made.spec.unwrap().replicas, Some(1));
    let again = deployments.patch("v1", &ours, &Patch::Apply(deployment("v1", 1))).await.unwrap();
    assert_eq!(again.metadata.resource_version, made.metadata.resource_version, "the same apply changes nothing");
    let theirs =
        deployments.patch("v1", &PatchParams::apply("other"), &Patch::Apply(deployment("v1", 2))).await.unwrap_err();
    let kube::Error::Api(status) = theirs else { panic!("{theirs}") };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert!(status.message.contains("demo-panel") && status.message.contains(".spec.replicas"), "{}", status.message);
    let forced = deployments
        .patch("v1", &PatchParams::apply("other").force(), &Patch::Apply(deployment("v1", 2)))
        .await
        .unwrap();
    assert_eq!(forced.spec.unwrap().replicas, Some(2));
}

#[tokio::test]
async fn status_and_scale_are_apart_from_the_spec() {
    let t = TestApi::start().await;
    let deployments: Api<Deployment> = Api::default_namespaced(t.client.clone());
    deployments.create(&PostParams::default(), &serde_json::from_value(deployment("v1", 1)).unwrap()).await.unwrap();
    let scaled = deployments
        .patch_scale("v1", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 4}})))
        .await
        .unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(4));
    let scale = deployments.get_scale("v1").await.unwrap();
    assert_eq!(scale.status.unwrap().selector.as_deref(), Some("app=v1"));
    let status = json!({"spec": {"replicas": 9}, "status": {"replicas": 3, "readyReplicas": 3}});
    let seen = deployments.patch_status("v1", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    assert_eq!((seen.spec.unwrap().replicas, seen.status.unwrap().ready_replicas), (Some(4), Some(3)));
}

#[tokio::test]
async fn the_audit_log_says_who_changed_what() {
    let t = TestApi::start().await;
    let deployments: Api<Deployment> = Api::default_namespaced(t.client.clone());
    deployments.create(&PostParams::default(), &serde_json::from_value(deployment("v1", 1)).unwrap()).await.unwrap();
    deployments.get("v1").await.unwrap();
    deployments
        .patch_scale("v1", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 4}})))
        .await
        .unwrap();
    let viewer: Api<Deployment> = Api::default_namespaced(t.client_of(cluster::Role::Viewer).await);
    viewer.delete("v1", &DeleteParams::default()).await.unwrap_err();
    let lines: Vec<serde_json::Value> = t.audit().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<String> = lines
        .iter()
        .map(|l| format!("{} {} {} {}", l["user"], l["verb"], l["subresource"], l["code"]).replace('"', ""))
        .collect();
    assert_eq!(said, ["owner create  201", "owner patch scale 200", "viewer delete  403"]);
    assert_eq!(lines[1]["changes"], json!([[".spec.replicas", 1, 4]]));
}

#[tokio::test]
async fn custom_kinds_are_served_in_every_version() {
    let t = TestApi::start().await;
    let resource = |version: &str| {
        ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("networking.istio.io", version, "VirtualService"),
            "virtualservices",
        )
    };
    let v1: Api<DynamicObject> = Api::default_namespaced_with(t.client.clone(), &resource("v1"));
    let beta: Api<DynamicObject> = Api::default_namespaced_with(t.client.clone(), &resource("v1beta1"));
    let route = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "flaskapp"}, "spec": {"hosts": ["flaskapp"]}});
    v1.patch("flaskapp", &PatchParams::apply("demo-panel"), &Patch::Apply(route)).await.unwrap();
    assert_eq!(beta.get("flaskapp").await.unwrap().types.unwrap().api_version, "networking.istio.io/v1beta1");
    let strategic = v1.patch("flaskapp", &PatchParams::default(), &Patch::Strategic(json!({}))).await.unwrap_err();
    assert!(matches!(strategic, kube::Error::Api(ref s) if s.code == 415), "{strategic}");
    let discovery = kube::Discovery::new(t.client.clone()).run().await.unwrap();
    let (found, capabilities) =
        discovery.resolve_gvk(&GroupVersionKind::gvk("networking.istio.io", "v1", "VirtualService")).unwrap();
    assert_eq!(found.plural, "virtualservices");
    assert!(capabilities.supports_operation("watch"));
    assert!(discovery.has_group("apps"));
    discovery.groups().next().unwrap();
    kube::Discovery::new(t.client.clone()).run_aggregated().await.unwrap();
}

#[tokio::test]
async fn a_watch_tells_every_change_in_order() {
    let t = TestApi::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(t.client.clone());
    let start = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = maps.watch(&WatchParams::default().labels("v=1"), &start).await.unwrap().boxed();
    let made = maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "x"}}))).await.unwrap();
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"v": "2"}}}))).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        match events.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(o) => seen.push(format!("added {}", o.name_any())),
            WatchEvent::Modified(o) => seen.push(format!("modified {}", o.data.unwrap()["k"])),
            WatchEvent::Deleted(o) => {
                assert_ne!(
                    o.metadata.resource_version, made.metadata.resource_version,
                    "it has the version of what took it out of the selector"
                );
                seen.push(format!("deleted {}", o.name_any()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["added a", "modified x", "deleted a"]);
}

async fn watched_by(strategy: InitialListStrategy) {
    let t = TestApi::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(t.client.clone());
    for name in ["a", "b"] {
        maps.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
    }
    let config = watcher::Config { initial_list_strategy: strategy, ..watcher::Config::default() };
    let mut events = pin!(watcher::watcher(maps.clone(), config));
    let mut initial = Vec::new();
    loop {
        match events.try_next().await.unwrap().unwrap() {
            Event::Init => {}
            Event::InitApply(map) => initial.push(map.name_any()),
            Event::InitDone => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(initial, ["a", "b"]);
    maps.create(&PostParams::default(), &config_map("c", "1")).await.unwrap();
    assert!(matches!(events.try_next().await.unwrap().unwrap(), Event::Apply(map) if map.name_any() == "c"));
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(matches!(events.try_next().await.unwrap().unwrap(), Event::Delete(map) if map.name_any() == "a"));
}

#[tokio::test]
async fn a_watcher_lists_and_then_watches() {
    watched_by(InitialListStrategy::ListWatch).await;
}

#[tokio::test]
async fn a_watcher_streams_its_list() {
    watched_by(InitialListStrategy::StreamingList).await;
}

#[tokio::test]
async fn namespaces_are_their_own() {
    let t = TestApi::start().await;
    let namespaces: Api<Namespace> = Api::all(t.client.clone());
    assert!(namespaces.get("istio-app").await.is_ok());
    let elsewhere: Api<Pod> = Api::namespaced(t.client.clone(), "nowhere");
    let error = elsewhere.create(&PostParams::default(), &serde_json::from_value(pod("p")).unwrap()).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(ref s) if s.code == 404), "{error}");
}
