//! Watches under load, by etcd's checks: ordered, unique, reliable, resumable, bookmarkable, atomic.
use super::Fixture;
use crate::registry::{ListOptions, Watch, WatchKind, WatchOptions};
use crate::{DeleteOptions, LabelSelector, Object, Patch, Status, Subresource, WriteOptions};
use futures::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

type State = BTreeMap<String, Arc<Object>>;

fn name(object: &Object) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

/// Follows a watch up to a revision.
async fn replay(mut watch: Watch, mut state: State, until: u64) -> (State, Vec<u64>) {
    let (mut revisions, mut at) = (Vec::new(), 0);
    while at < until {
        let event = watch.next().await.unwrap().unwrap();
        at = event.revision;
        match event.kind {
            WatchKind::Added => assert!(state.insert(name(&event.object), event.object).is_none(), "added twice"),
            WatchKind::Modified => {
                assert!(state.insert(name(&event.object), event.object).is_some(), "modified before it was added")
            }
            WatchKind::Deleted => assert!(state.remove(&name(&event.object)).is_some(), "deleted without being there"),
            WatchKind::Bookmark => continue,
        }
        revisions.push(at);
    }
    (state, revisions)
}

async fn churn(t: &Fixture, writer: usize) {
    let (kind, o) = (t.kind("configmaps"), WriteOptions::by("churn"));
    for i in 0..60 {
        let name = format!("c{}", (i * 7 + writer) % 5);
        let labels = json!({"even": (i % 2 == 0).to_string()});
        let result: Result<(), Status> = match (i + writer) % 4 {
            0 => t
                .registry
                .create(&kind, Some("default"), json!({"metadata": {"name": name, "labels": labels}}), &o)
                .await
                .map(drop),
            3 => t.registry.delete(&kind, Some("default"), &name, &DeleteOptions::default()).await.map(drop),
            _ => {
                let patch =
                    Patch::Merge(json!({"metadata": {"labels": labels}, "data": {"x": format!("{writer}.{i}")}}));
                t.registry.patch(&kind, Some("default"), &name, Subresource::None, patch, &o).await.map(drop)
            }
        };
        if let Err(status) = result {
            assert!(matches!(status.code, 404 | 409), "{status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_arrives_at_the_same_state_in_order() {
    let t = Fixture::new().await;
    let kind = t.kind("configmaps");
    let began = t.registry.revision();
    let early = t
        .registry
        .watch(&kind, Some("default"), &WatchOptions { from: Some(began), ..WatchOptions::default() })
        .unwrap();
    let selected = WatchOptions {
        labels: LabelSelector::parse("even=true").unwrap(),
        from: Some(began),
        ..WatchOptions::default()
    };
    let selected = t.registry.watch(&kind, None, &selected).unwrap();
    futures::join!(churn(&t, 0), churn(&t, 1), churn(&t, 2));
    // A last event that every watcher sees, so that each knows when to stop.
    t.create("configmaps", json!({"metadata": {"name": "last", "labels": {"even": "true"}}})).await.unwrap();
    let end = t.registry.revision();

    let list = |labels: &str| -> State {
        let o = ListOptions { labels: LabelSelector::parse(labels).unwrap(), ..ListOptions::default() };
        t.registry.list(&kind, Some("default"), &o).unwrap().items.into_iter().map(|o| (name(&o), o)).collect()
    };
    let (state, revisions) = replay(early, State::new(), end).await;
    assert_eq!(state, list(""));
    assert!(revisions.windows(2).all(|pair| pair[0] < pair[1]), "ordered and unique");
    assert_eq!(revisions.len() as u64, end - began, "nothing is missed");
    assert_eq!(replay(selected, State::new(), end).await.0, list("even=true"));

    for from in [began, began + (end - began) / 2, end - 1] {
        let o = ListOptions {
            resource_version: Some(from),
            version_match: Some(crate::VersionMatch::Exact),
            ..ListOptions::default()
        };
        let then: State =
            t.registry.list(&kind, Some("default"), &o).unwrap().items.into_iter().map(|o| (name(&o), o)).collect();
        let watch = t
            .registry
            .watch(&kind, Some("default"), &WatchOptions { from: Some(from), ..WatchOptions::default() })
            .unwrap();
        assert_eq!(replay(watch, then, end).await.0, state, "resumed at {from}");
    }
}

#[tokio::test]
async fn stored_objects_are_what_clients_types_expect() {
    use k8s_openapi::api::{
        apps::v1::Deployment,
        core::v1::{Namespace, Pod, Service},
    };
    fn read<T: serde::de::DeserializeOwned + serde::Serialize>(object: &Value) {
        let typed: T = serde_json::from_value(object.clone()).unwrap();
        let again = serde_json::to_value(typed).unwrap();
        for field in ["spec", "metadata"] {
            assert_eq!(again[field], object[field], "a client loses something");
        }
    }
    let t = Fixture::new().await;
    read::<Deployment>(&t.create("deployments", super::deployment("web")).await.unwrap());
    read::<Pod>(&t.create("pods", super::pod("p")).await.unwrap());
    read::<Service>(
        &t.create("services", json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})).await.unwrap(),
    );
    read::<Namespace>(&t.registry.get(&t.kind("namespaces"), None, "default").unwrap());
}
