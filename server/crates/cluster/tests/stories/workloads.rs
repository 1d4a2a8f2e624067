//! Deployments and Services on real processes.
use crate::fixture::{NAMESPACE, PATIENCE, TestCluster, deployment, is_ready, name, service};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

fn deployments(t: &TestCluster) -> Api<Deployment> {
    Api::namespaced(t.client.clone(), NAMESPACE)
}

/// Replaces one value of a pod's environment, which rolls the Deployment.
async fn set_version(t: &TestCluster, name: &str, version: &str) {
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "version", "value": version}]}]}}}});
    deployments(t).patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
}

/// The body of a GET.
fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = std::net::TcpStream::connect((address, 7777))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn endpoints(t: &TestCluster, service: &str) -> Vec<(String, bool)> {
    let slices = t.list("discovery.k8s.io", "endpointslices");
    let mine = slices.iter().filter(|s| s["metadata"]["labels"]["kubernetes.io/service-name"] == service);
    mine.flat_map(|s| s["endpoints"].as_array().cloned().unwrap_or_default())
        .map(|e| (e["targetRef"]["name"].as_str().unwrap().to_owned(), e["conditions"]["ready"] == true))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_becomes_available_scales_and_goes_without_a_trace() {
    let t = TestCluster::start().await;
    t.apply(deployment("web", 2, "v1")).await;
    t.rolled_out("web").await;
    assert_eq!((t.ready_pods().len(), t.processes().len()), (2, 2));
    let pod = t.ready_pods().remove(0);
    assert_eq!(get(pod["status"]["podIP"].as_str().unwrap(), "/env/version").unwrap(), "v1");
    let reasons =
        || t.list("", "events").iter().map(|e| e["reason"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    t.until("the events tell it", || {
        let reasons = reasons();
        ["ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Started"]
            .iter()
            .all(|r| reasons.iter().any(|s| s == r))
            .then_some(())
    })
    .await;

    let scale = json!({"spec": {"replicas": 4}});
    deployments(&t).patch_scale("web", &PatchParams::default(), &Patch::Merge(scale)).await.unwrap();
    t.until("four are ready", || (t.is_rolled_out("web") && t.ready_pods().len() == 4).then_some(())).await;
    let scale = json!({"spec": {"replicas": 1}});
    deployments(&t).patch_scale("web", &PatchParams::default(), &Patch::Merge(scale)).await.unwrap();
    t.until("one is left", || (t.pods().len() == 1 && t.processes().len() == 1).then_some(())).await;

    deployments(&t).delete("web", &DeleteParams::default()).await.unwrap();
    t.until("nothing is left", || {
        (t.pods().is_empty() && t.list("apps", "replicasets").is_empty() && t.processes().is_empty()).then_some(())
    })
    .await;
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_keeps_its_promise_and_can_be_undone() {
    let t = TestCluster::start().await;
    t.apply(deployment("web", 2, "v1")).await;
    t.rolled_out("web").await;
    let first = t.get("apps", "deployments", "web").unwrap()["spec"]["template"].clone();
    set_version(&t, "web", "v2").await;
    let (mut least, mut most) = (usize::MAX, 0);
    tokio::time::timeout(PATIENCE, async {
        while !t.is_rolled_out("web") {
            least = least.min(t.pods().iter().filter(|p| is_ready(p)).count());
            most = most.max(t.pods().iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null()).count());
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await
    .expect("the rollout ends");
    assert!(least >= 2, "only {least} of 2 were ready");
    assert!(most <= 3, "{most} pods at once");
    let versions = |t: &TestCluster| {
        t.ready_pods()
            .iter()
            .map(|p| get(p["status"]["podIP"].as_str().unwrap(), "/env/version").unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(versions(&t), ["v2", "v2"]);

    // What `kubectl rollout undo` sends.
    let undo = json!([{"op": "replace", "path": "/spec/template", "value": first}]);
    deployments(&t)
        .patch::<()>("web", &PatchParams::default(), &Patch::Json(serde_json::from_value(undo).unwrap()))
        .await
        .unwrap();
    t.until("the undo is rolled out", || {
        let revision =
            t.get("apps", "deployments", "web")?["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
                .clone();
        (t.is_rolled_out("web") && revision == "3").then_some(())
    })
    .await;
    assert_eq!(versions(&t), ["v1", "v1"]);
    assert_eq!(t.list("apps", "replicasets").len(), 2, "the first ReplicaSet was used again");
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_services_endpoints_follow_readiness() {
    let t = TestCluster::start().await;
    t.apply(service("web")).await;
    t.apply(deployment("web", 2, "v1")).await;
    t.rolled_out("web").await;
    t.until("both are endpoints", || {
        (endpoints(&t, "web").iter().filter(|(_, ready)| *ready).count() == 2).then_some(())
    })
    .await;
    let sick = t.ready_pods().remove(0);
    let address = sick["status"]["podIP"].as_str().unwrap().to_owned();
    get(&address, "/sick").unwrap();
    t.until("the sick one is no longer ready", || {
        endpoints(&t, "web").contains(&(name(&sick).to_owned(), false)).then_some(())
    })
    .await;
    get(&address, "/well").unwrap();
    t.until("it is back", || endpoints(&t, "web").contains(&(name(&sick).to_owned(), true)).then_some(())).await;
    let ip = t.get("", "services", "web").unwrap()["spec"]["clusterIP"].as_str().unwrap().to_owned();
    t.until("the ClusterIP answers", || get(&ip, "/env/version").ok().filter(|body| body == "v1")).await;
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_pods_are_replaced() {
    let t = TestCluster::start().await;
    t.apply(service("web")).await;
    t.apply(deployment("web", 2, "0")).await;
    t.rolled_out("web").await;
    let ip = t.get("", "services", "web").unwrap()["spec"]["clusterIP"].as_str().unwrap().to_owned();
    t.until("the ClusterIP answers", || get(&ip, "/env/version").ok().filter(|body| body == "0")).await;
    let is_over = AtomicBool::new(false);
    let results = std::thread::scope(|scope| {
        // Ends the callers when a wait below fails, too.
        let over = Over(&is_over);
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut results = Vec::new();
                    while !is_over.load(Ordering::Relaxed) {
                        results.push(get(&ip, "/env/version").map_err(|e| e.to_string()));
                        std::thread::sleep(std::time::Duration::from_millis(10));
                    }
                    results
                })
            })
            .collect();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for version in ["1", "2"] {
                    set_version(&t, "web", version).await;
                    t.until("it is rolled out", || (t.is_rolled_out("web") && t.pods().len() == 2).then_some(())).await;
                }
                for replicas in [5, 1] {
                    let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
                    deployments(&t).patch_scale("web", &PatchParams::default(), &scale).await.unwrap();
                    t.until("it is scaled", || (t.is_rolled_out("web") && t.pods().len() == replicas).then_some(()))
                        .await;
                }
            });
        });
        drop(over);
        callers.into_iter().flat_map(|c| c.join().unwrap()).collect::<Vec<_>>()
    });
    let failed: Vec<_> = results.iter().filter(|r| !matches!(r.as_deref(), Ok("0" | "1" | "2"))).collect();
    assert!(failed.is_empty(), "{} of {} failed: {:?}", failed.len(), results.len(), &failed[..failed.len().min(5)]);
    assert!(results.len() > 100, "{} requests", results.len());
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_started_again_in_the_same_pod() {
    let t = TestCluster::start().await;
    t.apply(service("web")).await;
    t.apply(deployment("web", 2, "v1")).await;
    t.rolled_out("web").await;
    let before: Vec<String> = t.pods().iter().map(|p| name(p).to_owned()).collect();
    let killed = t.processes()[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(killed), nix::sys::signal::Signal::SIGKILL).unwrap();
    t.until("it runs again", || {
        let restarts: i64 =
            t.pods().iter().filter_map(|p| p["status"]["containerStatuses"][0]["restartCount"].as_i64()).sum();
        (restarts == 1 && t.ready_pods().len() == 2).then_some(())
    })
    .await;
    assert_eq!(t.pods().iter().map(|p| name(p).to_owned()).collect::<Vec<_>>(), before);
    assert!(!t.processes().contains(&killed));
    t.until("both are endpoints", || {
        (endpoints(&t, "web").iter().filter(|(_, ready)| *ready).count() == 2).then_some(())
    })
    .await;
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_takes_everything_with_it() {
    let t = TestCluster::start().await;
    t.apply(service("web")).await;
    t.apply(deployment("web", 2, "v1")).await;
    t.rolled_out("web").await;
    Api::<Namespace>::all(t.client.clone()).delete(NAMESPACE, &DeleteParams::default()).await.unwrap();
    t.until("the namespace is gone", || t.get("", "namespaces", NAMESPACE).is_none().then_some(())).await;
    let left: Vec<Vec<std::sync::Arc<Value>>> =
        [("", "pods"), ("", "services"), ("apps", "deployments"), ("discovery.k8s.io", "endpointslices")]
            .map(|(g, p)| t.list(g, p))
            .into();
    assert!(left.iter().all(Vec::is_empty), "{left:?}");
    assert!(t.processes().is_empty());
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_at_rest_writes_nothing() {
    let t = TestCluster::start().await;
    t.apply(service("web")).await;
    t.apply(deployment("web", 2, "v1")).await;
    t.rolled_out("web").await;
    // Longer than a probe's period: an answer as before must not be written.
    let quiet = || async {
        let before = t.revision();
        tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
        t.revision() == before
    };
    for _ in 0..PATIENCE.as_secs() / 3 {
        if quiet().await {
            return drop(t.stop().await);
        }
    }
    panic!("something is always written; newest objects: {}", t.newest(5).join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn thirty_deployments_at_once() {
    let t = TestCluster::start().await;
    let began = std::time::Instant::now();
    let names: Vec<String> = (0..30).flat_map(|i| ["v1", "v2", "client"].map(|v| format!("web-{i}-{v}"))).collect();
    futures::future::join_all(names.iter().map(|name| t.apply(deployment(name, 1, "v1")))).await;
    println!("{} applied after {:?}", names.len(), began.elapsed());
    for name in &names {
        t.rolled_out(name).await;
    }
    println!("all ready after {:?}", began.elapsed());
    let began = std::time::Instant::now();
    deployments(&t).delete_collection(&DeleteParams::default(), &Default::default()).await.unwrap();
    t.until("nothing is left", || (t.pods().is_empty() && t.processes().is_empty()).then_some(())).await;
    println!("all gone after {:?}", began.elapsed());
    t.stop().await;
}
