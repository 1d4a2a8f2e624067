//! Writes at the same time: no client's request holds up another's, and none is lost.
use super::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Long enough for any machine; only a real hang takes it.
const HANG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_slow_admission_holds_up_no_other_clients_write() {
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let (begun, may_go) = (Mutex::new(begun), Mutex::new(may_go));
    let hook: AdmissionHook = Arc::new(move |_, object| {
        if object["metadata"]["name"] == "slow" {
            begun.lock().unwrap().send(()).unwrap();
            may_go.lock().unwrap().recv().unwrap();
        }
        Ok(Vec::new())
    });
    let t = Fixture::with(vec![hook]).await;
    let slow = async { t.create("configmaps", config("slow", "1")).await.unwrap() };
    let others = async {
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        for i in 0..20 {
            t.create("configmaps", config(&format!("c{i}"), "1")).await.unwrap();
        }
        go.send(()).unwrap();
    };
    tokio::time::timeout(HANG, async { futures::join!(slow, others) })
        .await
        .expect("the other writes waited for the slow one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_of_one_object_at_the_same_time_all_count() {
    let t = Fixture::new().await;
    t.create("configmaps", config("a", "1")).await.unwrap();
    let patches = (0..100).map(|i| {
        let patch = Patch::Merge(json!({"data": {format!("k{i}"): "v"}}));
        t.patch("configmaps", "a", patch, "m")
    });
    for patched in futures::future::join_all(patches).await {
        patched.unwrap();
    }
    let object = t.registry.get(&t.kind("configmaps"), Some("default"), "a").unwrap();
    assert_eq!(object["data"].as_object().unwrap().len(), 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_creates_at_the_same_time_one_wins_and_a_stale_version_loses() {
    let t = Fixture::new().await;
    let all = futures::future::join_all((0..30).map(|_| t.create("configmaps", config("a", "1")))).await;
    assert_eq!(all.iter().filter(|made| made.is_ok()).count(), 1);
    assert!(all.iter().all(|made| made.as_ref().map_or_else(|status| status.code, |_| 201) % 200 < 10));
    let old = t.registry.get(&t.kind("configmaps"), Some("default"), "a").unwrap();
    let updates = (0..30).map(|i| {
        let mut new = (*old).clone();
        new["data"]["x"] = format!("u{i}").into();
        t.update("configmaps", Subresource::None, new)
    });
    let all = futures::future::join_all(updates).await;
    assert_eq!(all.iter().filter(|updated| updated.is_ok()).count(), 1);
    assert!(all.iter().all(|updated| updated.as_ref().err().is_none_or(|status| status.code == 409)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_object_comes_into_a_namespace_that_has_ended() {
    for _ in 0..20 {
        let t = Fixture::new().await;
        t.registry.ensure_namespaces(&["mine"]).await.unwrap();
        let (kind, namespaces) = (t.kind("configmaps"), t.kind("namespaces"));
        let creates = (0..10).map(|i| {
            let (t, kind) = (&t, kind.clone());
            async move {
                t.registry.create(&kind, Some("mine"), config(&format!("c{i}"), "1"), &WriteOptions::default()).await
            }
        });
        let o = DeleteOptions::default();
        let (made, deleted) =
            futures::join!(futures::future::join_all(creates), t.registry.delete(&namespaces, None, "mine", &o));
        let at = |object: &Object| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
        let end = at(deleted.unwrap().object());
        for made in made {
            match made {
                Ok(written) => assert!(at(&written.object) < end, "{} after {end}", written.object),
                Err(status) => assert_eq!(status.code, 403, "{status}"),
            }
        }
    }
}

#[tokio::test]
async fn what_a_hook_took_is_given_back_where_the_object_is_not_stored() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let hook: AdmissionHook = Arc::new(move |request, _| {
        count.fetch_add(1, Ordering::Relaxed);
        let count = count.clone();
        request.on_failure(move || {
            count.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(Vec::new())
    });
    let refuse: AdmissionHook =
        Arc::new(|_, object| if object["data"]["x"] == "bad" { Err(Status::forbidden("no")) } else { Ok(Vec::new()) });
    let t = Fixture::with(vec![hook, refuse]).await;
    let before = taken.load(Ordering::Relaxed);
    t.create("configmaps", config("a", "bad")).await.unwrap_err();
    assert_eq!(taken.load(Ordering::Relaxed), before);
    t.create("configmaps", config("a", "good")).await.unwrap();
    assert_eq!(taken.load(Ordering::Relaxed), before + 1);
}

#[tokio::test]
async fn warnings_of_one_write_are_bounded_and_counted_once() {
    let hook: AdmissionHook = Arc::new(|request, _| {
        Ok(if request.kind.kind == "ConfigMap" { vec!["w".repeat(10_000); 1000] } else { Vec::new() })
    });
    let t = Fixture::with(vec![hook]).await;
    let kind = t.kind("configmaps");
    let written = t.registry.create(&kind, Some("default"), config("a", "1"), &WriteOptions::default()).await.unwrap();
    assert_eq!((written.warnings.len(), written.warnings[0].len() < 1000), (64, true));
}
