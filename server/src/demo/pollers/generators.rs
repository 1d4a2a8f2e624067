//! All load generators of the cluster that this panel could drive: found by their clients' label, counted, and stopped at once.
use crate::demo::objects::Id;
use crate::k8s::{Cluster, MANAGED_BY, MANAGER, open};
use ::load::{AGENT_PORT, AgentClient, AgentError};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tracing::debug;
use wire::Namespace;

/// Clients that are spoken to at a time.
pub const AT_ONCE: usize = 16;
/// Longest wait for one client.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The clients' pods that run, by namespace.
pub type Clients = BTreeMap<Namespace, Vec<String>>;

/// Pods of load clients that carry our label: in all namespaces where they may be listed, else in those that are named. Also returns how
/// many lists failed for another reason than a missing right: then clients may be missing.
pub async fn clients(cluster: &Cluster, named: Vec<Namespace>) -> (Clients, usize) {
    let params = ListParams::default().labels(&format!("{MANAGED_BY}={MANAGER},app=sleep"));
    let (listed, failed) = match Api::<Pod>::all(cluster.client.clone()).list(&params).await {
        Ok(listed) => (listed.items, 0),
        Err(why) => {
            let each = named.into_iter().map(|ns| {
                let (api, params) = (Api::<Pod>::namespaced(cluster.client.clone(), ns.as_str()), &params);
                async move { api.list(params).await.map(|listed| listed.items) }
            });
            let lists: Vec<_> = futures::stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
            let of_namespaces = lists.iter().filter(|list| list.as_ref().is_err_and(|why| !is_denied(why))).count();
            (lists.into_iter().flatten().flatten().collect(), of_namespaces + usize::from(!is_denied(&why)))
        }
    };
    let mut found = Clients::new();
    for pod in listed {
        let runs = pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
        let of_client =
            pod.metadata.owner_references.iter().flatten().any(|owner| owner.name.starts_with(Id::CLIENT.name));
        let (Some(ns), Some(name)) = (pod.metadata.namespace.and_then(|ns| ns.parse().ok()), pod.metadata.name) else {
            continue;
        };
        if runs && of_client {
            found.entry(ns).or_default().push(name);
        }
    }
    (found, failed)
}

fn is_denied(why: &kube::Error) -> bool {
    matches!(why, kube::Error::Api(status) if status.code == 403)
}

/// The agent of a client's pod.
pub async fn agent(cluster: &Cluster, ns: &Namespace, pod: &str) -> Result<AgentClient, AgentError> {
    AgentClient::new(open(cluster, ns.as_str(), pod, AGENT_PORT).await.map_err(AgentError::Lost)?).await
}

/// What was found of generators that ran on while this panel was away.
pub struct Found {
    /// Namespaces whose generator runs though nobody looks after it.
    pub running: BTreeSet<Namespace>,
    /// Clients that did not answer, and lists of clients that failed: there, generators may run.
    pub unanswered: usize,
}

/// Asks every client whether it sends.
pub async fn running(cluster: &Cluster, known: Vec<Namespace>) -> Found {
    let (clients, failed) = clients(cluster, known).await;
    let pods = clients.into_iter().flat_map(|(ns, pods)| pods.into_iter().map(move |pod| (ns.clone(), pod)));
    let asked = pods.map(|(ns, pod)| async move {
        let asking = async { agent(cluster, &ns, &pod).await?.status().await };
        let answer = tokio::time::timeout(PATIENCE, asking)
            .await
            .unwrap_or_else(|_| Err(AgentError::Lost("no answer in time".to_owned())));
        match answer {
            Ok(status) => (status.load.rate > 0).then_some(Ok(ns)),
            Err(why) => {
                debug!(namespace = %ns, pod.name = pod, %why, "A load client does not say whether it sends");
                Some(Err(()))
            }
        }
    });
    let answers: Vec<Result<Namespace, ()>> =
        futures::stream::iter(asked).buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    let unanswered = failed + answers.iter().filter(|answer| answer.is_err()).count();
    Found { running: answers.into_iter().flatten().collect(), unanswered }
}
