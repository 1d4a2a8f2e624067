//! More than the machine carries is asked for: what fits runs, the rest waits and says why, and others still get theirs.
use crate::fixture::{NAMESPACE, TestCluster, deployment, is_ready, service};
use cluster::Config;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Pods of the small cluster.
const PODS: usize = 20;

async fn small() -> TestCluster {
    TestCluster::start_with(tempfile::tempdir().unwrap(), |config| Config { max_pods: Some(PODS as u64), ..config })
        .await
}

/// The message of the scheduler about a pod that waits.
fn waits(pod: &Value) -> Option<String> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let scheduled = conditions
        .iter()
        .find(|c| c["type"] == "PodScheduled" && c["status"] == "False" && c["reason"] == "Unschedulable")?;
    Some(scheduled["message"].as_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_replicas_get_what_there_is_and_leave_room_for_others() {
    let t = small().await;
    let nodes: Api<Node> = Api::all(t.client.clone());
    let node = t.until("there is a node", || t.get("", "nodes", "local")).await;
    assert_eq!(node["status"]["allocatable"]["pods"], "20");
    let node = nodes.get("local").await.unwrap();
    let capacity = node.status.unwrap().conditions.unwrap().into_iter().find(|c| c.type_ == "PodCapacity").unwrap();
    assert_eq!(capacity.reason.as_deref(), Some("BoundByConfiguration"));

    t.apply(deployment("greedy", 10_000, "v1")).await;
    t.until("half of the pods run", || (t.ready_pods().len() == PODS / 2).then_some(())).await;
    let why =
        "0/1 nodes are available: 1 Too many pods in this namespace, which may have half of what the others leave.";
    t.until("the others wait and say why", || {
        let pods = t.pods();
        let told: BTreeSet<String> = pods.iter().filter_map(|p| waits(p)).collect();
        let set = t.list("apps", "replicasets").remove(0);
        let stopped = set["status"]["conditions"][0]["message"]
            .as_str()
            .is_some_and(|m| m.contains("no more are created") && m.ends_with(why));
        (told == BTreeSet::from([why.to_owned()]) && stopped).then_some(())
    })
    .await;
    assert!(t.pods().len() < 1_000, "{} pods for {} places", t.pods().len(), PODS);
    t.until("an event says it", || {
        let events = t.list("", "events");
        events
            .iter()
            .any(|e| e["reason"] == "FailedScheduling" && e["type"] == "Warning" && e["message"] == why)
            .then_some(())
    })
    .await;

    // A sandbox of somebody else fits.
    let namespaces: Api<Namespace> = Api::all(t.client.clone());
    let other = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}});
    namespaces.create(&PostParams::default(), &serde_json::from_value(other).unwrap()).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(t.client.clone(), "other");
    deployments
        .create(&PostParams::default(), &serde_json::from_value(deployment("web", 6, "v1")).unwrap())
        .await
        .unwrap();
    t.until("the other namespace's pods run", || {
        (t.list_in("other", "", "pods").iter().filter(|p| is_ready(p)).count() == 6).then_some(())
    })
    .await;

    // What becomes free is used by who waits.
    deployments.delete("web", &DeleteParams::default()).await.unwrap();
    t.until("they are gone", || t.list_in("other", "", "pods").is_empty().then_some(())).await;
    let victim = t.ready_pods().remove(0);
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(t.client.clone(), NAMESPACE);
    pods.delete(victim["metadata"]["name"].as_str().unwrap(), &DeleteParams::default()).await.unwrap();
    t.until("one of those that waited has its place", || {
        let ready = t.ready_pods();
        let is_new = ready.iter().all(|p| p["metadata"]["uid"] != victim["metadata"]["uid"]);
        (is_new && ready.len() == PODS / 2).then_some(())
    })
    .await;
    let scale = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let own: Api<Deployment> = Api::namespaced(t.client.clone(), NAMESPACE);
    own.patch("greedy", &PatchParams::default(), &scale).await.unwrap();
    t.rolled_out("greedy").await;
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_bound_without_the_scheduler_waits_while_the_node_is_full() {
    let t =
        TestCluster::start_with(tempfile::tempdir().unwrap(), |config| Config { max_pods: Some(1), ..config }).await;
    t.apply(deployment("web", 1, "v1")).await;
    t.rolled_out("web").await;
    let spec = json!({"nodeName": "local", "terminationGracePeriodSeconds": 0, "containers": [{"name": "web", "image": "web"}]});
    t.apply(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "direct"}, "spec": spec})).await;
    let waits = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "OutOfpods";
    t.until("it waits", || t.get("", "pods", "direct").filter(|p| waits(p))).await;
    assert_eq!(t.processes().len(), 1);
    let deployments: Api<Deployment> = Api::namespaced(t.client.clone(), NAMESPACE);
    deployments.patch("web", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 0}}))).await.unwrap();
    t.until("it runs when there is room", || t.get("", "pods", "direct").filter(|p| is_ready(p))).await;
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_497th_service_has_an_address_that_answers_and_keeps_it() {
    let t = TestCluster::start().await;
    t.apply(deployment("web", 1, "v1")).await;
    t.rolled_out("web").await;
    let services: Api<Service> = Api::namespaced(t.client.clone(), NAMESPACE);
    let mut last = None;
    for n in 0..500 {
        let mut object = service("web");
        object["metadata"]["name"] = format!("web-{n}").into();
        last = Some(services.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap());
    }
    let ip = last.unwrap().spec.unwrap().cluster_ip.unwrap();
    let answers = |ip: &str| {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect((ip, 7777)).ok()?;
        stream.write_all(b"GET /env/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        // The pod may keep the connection open.
        stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).ok()?;
        let (mut answer, mut chunk) = (Vec::new(), [0; 1024]);
        while !answer.ends_with(b"v1") {
            let length = stream.read(&mut chunk).ok().filter(|length| *length > 0)?;
            answer.extend_from_slice(&chunk[..length]);
        }
        Some(())
    };
    t.until("the last Service answers", || answers(&ip)).await;
    let all = t.list("", "services");
    let addresses: BTreeSet<&str> = all.iter().map(|s| s["spec"]["clusterIP"].as_str().unwrap()).collect();
    assert_eq!(addresses.len(), 500, "each has an address of its own");

    let t = TestCluster::start_in(t.stop().await).await;
    let kept = t.get("", "services", "web-499").unwrap();
    assert_eq!(kept["spec"]["clusterIP"], ip.as_str());
    t.until("the pod runs again", || (t.ready_pods().len() == 1).then_some(())).await;
    t.until("the last Service answers after a restart", || answers(&ip)).await;
    t.stop().await;
}
