//! Services: the proxy of each pod, ClusterIPs, and pods that leave without a lost request.
use super::*;
use std::collections::BTreeSet;

impl Bed {
    /// A Service over these ready pods; the slice is written as its controller would.
    async fn service(&self, name: &str, pods: &[&Arc<Object>]) -> Arc<Object> {
        let spec = json!({"ports": [{"port": 7777}]});
        let service = self
            .create(
                "",
                "services",
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}),
            )
            .await;
        self.create("discovery.k8s.io", "endpointslices", slice(name, pods)).await;
        service
    }

    async fn endpoints(&self, name: &str, pods: &[&Arc<Object>]) {
        let kind = self.registry.kinds().find("discovery.k8s.io", "endpointslices").unwrap();
        let (sub, by) = (Default::default(), WriteOptions::by("test"));
        let patch = crate::Patch::Merge(json!({"endpoints": slice(name, pods)["endpoints"]}));
        self.registry.patch(kind, Some("default"), name, sub, patch, &by).await.unwrap();
    }

    /// Asks a Service through a pod's outbound proxy, on a connection of its own.
    async fn through(&self, pod: &Object, url: &str) -> String {
        let proxy = format!("{}:15001", pod["status"]["podIP"].as_str().unwrap());
        http_get(&proxy, &format!("GET {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
    }
}

fn slice(name: &str, pods: &[&Arc<Object>]) -> Value {
    let endpoints: Vec<Value> =
        pods.iter().map(|pod| json!({"addresses": [pod["status"]["podIP"]], "conditions": {"ready": true}})).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "ports": [{"name": "", "port": 7777, "protocol": "TCP"}], "endpoints": endpoints,
    })
}

#[tokio::test]
async fn every_pod_reaches_a_service_by_name_at_random() {
    let bed = Bed::start().await;
    let (one, two) = tokio::join!(bed.serving("one"), bed.serving("two"));
    let service = bed.service("flaskapp", &[&one, &two]).await;
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        assert!(std::time::Instant::now() < deadline, "{seen:?}");
        let body = bed.through(&one, "http://flaskapp:7777/").await;
        if body == "one" || body == "two" {
            seen.insert(body);
        }
    }
    assert!(bed.through(&one, "http://example.com/").await.contains("example.com is no Service"));
    assert_eq!(bed.through(&two, "http://localhost:7777/").await, "two");
    let ip = service["spec"]["clusterIP"].as_str().unwrap();
    assert!(bed.network.is_service_ip(ip.parse().unwrap()));
    let body = http_get(&format!("{ip}:7777"), "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(body == "one" || body == "two", "{body}");
}

#[tokio::test]
async fn a_pod_that_leaves_serves_until_no_service_sends_to_it() {
    let bed = Bed::start().await;
    let (one, two) = tokio::join!(bed.serving("one"), bed.serving("two"));
    bed.service("flaskapp", &[&one, &two]).await;
    bed.delete("two", Some(10)).await;
    bed.until("two", "terminating", |pod| !pod["metadata"]["deletionTimestamp"].is_null()).await;
    assert_eq!(bed.get(&two, "/").await, "two", "it stopped while a slice still named it");
    bed.endpoints("flaskapp", &[&one]).await;
    bed.gone("two").await;
    assert_eq!(bed.through(&one, "http://flaskapp.default.svc.cluster.local:7777/").await, "one");
}

#[tokio::test]
async fn the_node_has_an_object_and_a_lease() {
    let bed = Bed::start().await;
    let deadline = std::time::Instant::now() + PATIENCE;
    let get = |group: &str, plural: &str, namespace: Option<&str>| {
        let kind = bed.registry.kinds().find(group, plural).unwrap();
        bed.registry.get(kind, namespace, "node")
    };
    loop {
        let (node, lease) = (get("", "nodes", None), get("coordination.k8s.io", "leases", Some("kube-node-lease")));
        if let (Ok(node), Ok(_)) = (node, lease) {
            assert_eq!(condition(&node, "Ready"), "True");
            return;
        }
        assert!(std::time::Instant::now() < deadline, "no Node or no Lease");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
