//! The controllers together, on a real registry, with a node that only pretends: pods are ready at once and end when told.
use super::object::{self, is_deleting, is_true, name, namespace, text};
use super::view::View;
use crate::Object;
use crate::events::events;
use crate::kinds::Kinds;
use crate::registry::{
    DeleteOptions, Patch, Propagation, Registry, Subresource, WatchKind, WatchOptions, WriteOptions,
};
use crate::store::Store;
use futures::StreamExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

struct Cluster {
    registry: Registry,
    view: View,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let registry = Registry::open(store, Kinds::builtin(), Vec::new()).unwrap();
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let (recorder, writer) = events(registry.clone());
        let (controllers, node) =
            (super::run(registry.clone(), recorder, None, stop.clone()), pretend(registry.clone()));
        let (stop_events, stop_node) = (stop.clone(), stop.clone());
        tasks.spawn(async move { controllers.await.unwrap() });
        tasks.spawn(async move { writer.run(stop_events).await });
        tasks.spawn(async move {
            tokio::select! { () = node => {}, () = stop_node.cancelled() => {} }
        });
        let cluster = Cluster { view: View::new(registry.clone()), registry, stop, tasks, _folder: folder };
        cluster
            .until("the default account is there", |c| c.view.get(&object::SERVICE_ACCOUNTS, "default", "default"))
            .await;
        let node =
            json!({"metadata": {"name": "local"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        cluster.create("", "nodes", node).await;
        cluster
    }

    async fn create(&self, group: &str, plural: &str, object: Value) {
        let kind = self.registry.kinds().find(group, plural).unwrap();
        let ns = kind.namespaced.then_some("default");
        self.registry.create(kind, ns, object, &WriteOptions::by("test")).await.unwrap();
    }

    async fn merge(&self, plural: &str, name: &str, patch: Value) {
        let kind = self.registry.kinds().find("apps", plural).unwrap();
        self.registry
            .patch(kind, Some("default"), name, Subresource::None, Patch::Merge(patch), &WriteOptions::by("test"))
            .await
            .unwrap();
    }

    async fn delete(&self, group: &str, plural: &str, name: &str, propagation: Propagation) {
        let kind = self.registry.kinds().find(group, plural).unwrap();
        let options = DeleteOptions { propagation, ..DeleteOptions::default() };
        self.registry.delete(kind, kind.namespaced.then_some("default"), name, &options).await.unwrap();
    }

    fn pods(&self) -> Vec<Arc<Object>> {
        self.view.list(&object::PODS, "default").unwrap()
    }

    fn sets(&self) -> Vec<Arc<Object>> {
        self.view.list(&object::REPLICA_SETS, "default").unwrap()
    }

    fn progress(&self) -> Option<Arc<Object>> {
        let deployment = self.view.get(&object::DEPLOYMENTS, "default", "web")?;
        let is_seen =
            object::int(&deployment, "/status/observedGeneration") == object::int(&deployment, "/metadata/generation");
        let progressing =
            object::condition(&deployment, "Progressing").filter(|c| c["reason"] == "NewReplicaSetAvailable");
        let replicas = object::int(&deployment, "/spec/replicas");
        let counts = ["replicas", "updatedReplicas", "availableReplicas"];
        let is_complete = counts.iter().all(|c| object::int(&deployment, &format!("/status/{c}")) == replicas);
        (is_seen && is_complete && progressing.is_some()).then_some(deployment)
    }

    async fn until<T>(&self, what: &str, check: impl Fn(&Cluster) -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = check(self) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(120), wait).await {
            Ok(found) => found,
            Err(_) => panic!(
                "not within 20 s: {what}\ndeployments {:#?}\nsets {:#?}\npods {:?}",
                self.view.list(&object::DEPLOYMENTS, ""),
                self.sets(),
                self.pods().iter().map(|p| name(p).to_owned()).collect::<Vec<_>>(),
            ),
        }
    }

    async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

/// A node without processes.
async fn pretend(registry: Registry) {
    let pods = registry.kinds().find("", "pods").unwrap().clone();
    let mut watch = registry.watch(&pods, None, &WatchOptions::default()).unwrap();
    while let Some(event) = watch.next().await {
        let event = event.unwrap();
        let pod = event.object;
        if event.kind == WatchKind::Deleted || text(&pod, "/spec/nodeName").is_empty() {
            continue;
        }
        let ns = Some(namespace(&pod));
        if is_deleting(&pod) {
            let now = DeleteOptions { grace_period_s: Some(0), ..DeleteOptions::default() };
            let _ = registry.delete(&pods, ns, name(&pod), &now).await;
        } else if !is_true(&pod, "Ready") {
            let status = json!({"status": {"phase": "Running", "podIP": "127.64.0.9", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
            let _ = registry
                .patch(&pods, ns, name(&pod), Subresource::Status, Patch::Merge(status), &WriteOptions::by("kubelet"))
                .await;
        }
    }
}

fn deployment(replicas: i64) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "one", "ports": [{"name": "http", "containerPort": 7777}]}]}}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_becomes_pods_and_a_service_knows_them() {
    let cluster = Cluster::start().await;
    cluster.create("", "services", json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}})).await;
    cluster.create("apps", "deployments", deployment(3)).await;
    let deployment = cluster.until("the deployment is complete", |c| c.progress()).await;
    assert_eq!(object::annotation(&deployment, "deployment.kubernetes.io/revision"), Some("1"));
    let set = cluster.sets().remove(0);
    assert!(
        cluster
            .pods()
            .iter()
            .all(|p| name(p).starts_with(&format!("{}-", name(&set))) && text(p, "/spec/nodeName") == "local")
    );
    let slice = cluster
        .until("the slice has three ready endpoints", |c| {
            let slice = c.view.list(&object::ENDPOINT_SLICES, "default").unwrap().pop()?;
            let ready = object::list(&slice, "/endpoints").iter().filter(|e| e["conditions"]["ready"] == true).count();
            (ready == 3).then_some(slice)
        })
        .await;
    assert!(name(&slice).starts_with("web-"));
    assert_eq!(slice["ports"][0]["port"], 7777);
    let said = |c: &Cluster| {
        c.view
            .list(&object::EVENTS, "default")
            .unwrap()
            .iter()
            .map(|e| format!("{} {}", text(e, "/reason"), text(e, "/message")))
            .collect::<Vec<_>>()
    };
    let scaled = format!("ScalingReplicaSet Scaled up replica set {} from 0 to 3", name(&set));
    cluster.until("the scaling is told", |c| said(c).contains(&scaled).then_some(())).await;
    cluster
        .until("pods are told", |c| {
            (said(c).iter().filter(|e| e.starts_with("SuccessfulCreate Created pod: web-")).count() == 3).then_some(())
        })
        .await;
    cluster
        .until("scheduling is told", |c| {
            said(c).iter().any(|e| e.starts_with("Scheduled Successfully assigned default/web-")).then_some(())
        })
        .await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_replaces_pods_and_an_undo_brings_them_back() {
    let cluster = Cluster::start().await;
    cluster.create("apps", "deployments", deployment(2)).await;
    cluster.until("the first rollout is complete", |c| c.progress()).await;
    let template = cluster.view.get(&object::DEPLOYMENTS, "default", "web").unwrap()["spec"]["template"].clone();
    cluster
        .merge(
            "deployments",
            "web",
            json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}),
        )
        .await;
    cluster
        .until("the second rollout is complete", |c| {
            c.progress().filter(|d| object::annotation(d, "deployment.kubernetes.io/revision") == Some("2"))
        })
        .await;
    cluster.until("only new pods are left", |c| (c.pods().len() == 2 && c.sets().len() == 2).then_some(())).await;
    assert!(cluster.pods().iter().all(|p| object::annotation(p, "kubectl.kubernetes.io/restartedAt") == Some("now")));
    let kind = cluster.registry.kinds().find("apps", "deployments").unwrap();
    let undo = Patch::Json(json!([{"op": "replace", "path": "/spec/template", "value": template}]));
    cluster
        .registry
        .patch(kind, Some("default"), "web", Subresource::None, undo, &WriteOptions::by("test"))
        .await
        .unwrap();
    cluster
        .until("the undo is complete", |c| {
            c.progress().filter(|d| object::annotation(d, "deployment.kubernetes.io/revision") == Some("3"))
        })
        .await;
    assert_eq!(cluster.sets().len(), 2, "the first ReplicaSet was used again");
    cluster.merge("deployments", "web", json!({"spec": {"replicas": 5}})).await;
    cluster.until("five are available", |c| c.progress().filter(|_| c.pods().len() == 5)).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deployment_owns_goes_with_it_after_it_before_it_or_not_at_all() {
    let cluster = Cluster::start().await;
    for propagation in [Propagation::Background, Propagation::Foreground] {
        cluster.create("apps", "deployments", deployment(2)).await;
        cluster.until("it is complete", |c| c.progress()).await;
        cluster.delete("apps", "deployments", "web", propagation).await;
        cluster
            .until("nothing is left", |c| {
                let is_gone = c.view.get(&object::DEPLOYMENTS, "default", "web").is_none();
                (is_gone && c.sets().is_empty() && c.pods().is_empty()).then_some(())
            })
            .await;
    }
    cluster.create("apps", "deployments", deployment(2)).await;
    cluster.until("it is complete", |c| c.progress()).await;
    cluster.delete("apps", "deployments", "web", Propagation::Orphan).await;
    cluster
        .until("the deployment is gone", |c| c.view.get(&object::DEPLOYMENTS, "default", "web").is_none().then_some(()))
        .await;
    assert_eq!((cluster.sets().len(), cluster.pods().len()), (1, 2));
    assert!(object::list(&cluster.sets()[0], "/metadata/ownerReferences").is_empty());
    cluster.create("apps", "deployments", deployment(1)).await;
    cluster
        .until("the next Deployment has taken the orphans in", |c| {
            c.progress().filter(|_| c.pods().len() == 1 && c.sets().len() == 1)
        })
        .await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_empties_itself_and_goes() {
    let cluster = Cluster::start().await;
    cluster.create("", "namespaces", json!({"metadata": {"name": "demo"}})).await;
    let kinds = cluster.registry.kinds();
    let deployments = kinds.find("apps", "deployments").unwrap();
    cluster.registry.create(deployments, Some("demo"), deployment(2), &WriteOptions::by("test")).await.unwrap();
    cluster
        .until("two pods run", |c| {
            (c.view.list(&object::PODS, "demo").unwrap().iter().filter(|p| is_true(p, "Ready")).count() == 2)
                .then_some(())
        })
        .await;
    cluster.delete("", "namespaces", "demo", Propagation::Background).await;
    cluster.until("it is gone", |c| c.view.get(&object::NAMESPACES, "", "demo").is_none().then_some(())).await;
    assert!(
        cluster.view.kinds().filter(|k| k.namespaced).all(|k| cluster
            .view
            .list(&super::view::name_of(k), "demo")
            .unwrap()
            .is_empty())
    );
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_owner_never_was_is_collected_and_a_lost_pod_replaced() {
    let cluster = Cluster::start().await;
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "0"}]);
    cluster.create("", "configmaps", json!({"metadata": {"name": "orphan", "ownerReferences": owner}})).await;
    cluster
        .until("it is collected", |c| c.view.get(&object::CONFIG_MAPS, "default", "orphan").is_none().then_some(()))
        .await;
    cluster.create("apps", "deployments", deployment(1)).await;
    cluster.until("it is complete", |c| c.progress()).await;
    let first = name(&cluster.pods()[0]).to_owned();
    cluster.delete("", "pods", &first, Propagation::Background).await;
    cluster
        .until("another pod took its place", |c| {
            let pods = c.pods();
            (pods.len() == 1 && name(&pods[0]) != first && is_true(&pods[0], "Ready")).then_some(())
        })
        .await;
    // Isolated for a closer look, as `kubectl label pod` does.
    let isolated = name(&cluster.pods()[0]).to_owned();
    let pods = cluster.registry.kinds().find("", "pods").unwrap();
    let label = Patch::Merge(json!({"metadata": {"labels": {"app": "debug"}}}));
    cluster
        .registry
        .patch(pods, Some("default"), &isolated, Subresource::None, label, &WriteOptions::by("test"))
        .await
        .unwrap();
    cluster
        .until("it stands alone beside its successor", |c| {
            let pod = c.view.get(&object::PODS, "default", &isolated)?;
            (object::controller_of(&pod).is_none() && c.pods().len() == 2 && c.progress().is_some()).then_some(())
        })
        .await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_takes_no_more_pods_until_one_goes() {
    let cluster = Cluster::start().await;
    let nodes = cluster.registry.kinds().find("", "nodes").unwrap();
    let room = Patch::Merge(json!({"status": {"allocatable": {"pods": "3"}}}));
    cluster.registry.patch(nodes, None, "local", Subresource::Status, room, &WriteOptions::by("test")).await.unwrap();
    cluster.create("apps", "deployments", deployment(5)).await;
    let bound = |c: &Cluster| c.pods().iter().filter(|p| text(p, "/spec/nodeName") == "local").count();
    let told = |c: &Cluster| {
        c.pods()
            .iter()
            .filter(|p| {
                object::condition(p, "PodScheduled")
                    .is_some_and(|s| text(s, "/message") == "0/1 nodes are available: 1 Too many pods.")
            })
            .count()
    };
    cluster.until("three run and two are told why not", |c| (bound(c) == 3 && told(c) == 2).then_some(())).await;
    cluster.merge("deployments", "web", json!({"spec": {"replicas": 2}})).await;
    cluster.until("those who wait go first", |c| c.progress()).await;
    cluster.merge("deployments", "web", json!({"spec": {"replicas": 4}})).await;
    cluster.until("one waits again", |c| (bound(c) == 3 && told(c) == 1).then_some(())).await;
    let running = cluster.pods().iter().find(|p| is_true(p, "Ready")).map(|p| name(p).to_owned()).unwrap();
    let more = Patch::Merge(json!({"status": {"allocatable": {"pods": "4"}}}));
    cluster.registry.patch(nodes, None, "local", Subresource::Status, more, &WriteOptions::by("test")).await.unwrap();
    cluster.until("all run", |c| c.progress()).await;
    cluster.delete("", "pods", &running, Propagation::Background).await;
    cluster.until("its successor takes its place", |c| c.progress().filter(|_| bound(c) == 4)).await;
    cluster.end().await;
}
