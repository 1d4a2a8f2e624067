//! All load generators of the cluster that this panel could drive: found by their clients' label, counted, and stopped at once.
use super::facts::Line;
use super::share::Shares;
use super::space::{Space, ToAgent};
use crate::k8s::{Cluster, Id, MANAGED_BY, MANAGER, open};
use ::load::{AGENT_PORT, AgentClient, AgentError, LoadSpec};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};
use wire::{LoadOrder, Namespace, Rate, StoppedAll, Verb};

/// Clients that are spoken to at a time.
const AT_ONCE: usize = 16;
/// Longest wait for one client.
const PATIENCE: Duration = Duration::from_secs(5);

/// The clients' pods that run, by namespace.
type Clients = BTreeMap<Namespace, Vec<String>>;

/// Pods of load clients that carry our label: in all namespaces where they may be listed, else in those that are named. Also returns how
/// many lists failed for another reason than a missing right: then clients may be missing.
async fn clients(cluster: &Cluster, named: Vec<Namespace>) -> (Clients, usize) {
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

async fn agent(cluster: &Cluster, ns: &Namespace, pod: &str) -> Result<AgentClient, AgentError> {
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

/// Stops every generator: those that are looked after, and those of every other client that can be found. A Lease of another panel
/// is no obstacle: this is the emergency brake. Who asked ends up in each namespace's log.
pub async fn stop_all(cluster: &Cluster, shares: &Shares, spaces: Vec<Arc<Space>>, by: &str) -> StoppedAll {
    let loaded: BTreeSet<Namespace> =
        spaces.iter().filter(|s| s.facts.borrow().load != Rate::default()).map(|s| s.ns.clone()).collect();
    // From here on no hub starts anything of what was asked for before, whatever becomes of its connection. A generator that a hub has
    // taken up in this moment is registered, and stopped before its own facts tell of it.
    let mut running = shares.stop_all();
    running.extend(loaded);
    let loaded: Vec<Arc<Space>> = spaces.iter().filter(|s| running.contains(&s.ns)).cloned().collect();
    let looked_after = futures::stream::iter(
        loaded.into_iter().map(|space| async move { (space.ns.clone(), stop_by_hub(&space).await) }),
    );
    let by_hub: BTreeMap<Namespace, bool> = looked_after.buffer_unordered(AT_ONCE).collect().await;
    let named: Vec<Namespace> = spaces.iter().map(|s| s.ns.clone()).collect();
    let (others, failed) = clients(cluster, named).await;
    if failed > 0 {
        warn!(failed, "The stop-all switch cannot list all load clients; those of unknown namespaces may send");
    }
    let others = others.into_iter().filter(|(ns, _)| by_hub.get(ns) != Some(&true));
    let direct = futures::stream::iter(others.map(|(ns, pods)| async move {
        let stopping = async {
            let mut ran = false;
            for pod in &pods {
                ran |= stop_directly(cluster, &ns, pod).await?;
            }
            Ok::<_, AgentError>(ran)
        };
        let outcome = tokio::time::timeout(PATIENCE, stopping)
            .await
            .unwrap_or_else(|_| Err(AgentError::Lost("no answer in time".to_owned())));
        (ns, outcome)
    }));
    let direct: BTreeMap<Namespace, Result<bool, AgentError>> = direct.buffer_unordered(AT_ONCE).collect().await;
    let mut report = StoppedAll::default();
    for (ns, stopped) in &by_hub {
        // Without a client pod there is nothing that could send.
        let failed = !stopped && direct.get(ns).is_some_and(Result::is_err);
        if failed { &mut report.failed } else { &mut report.stopped }.push(ns.clone());
    }
    for (ns, outcome) in direct.into_iter().filter(|(ns, _)| !by_hub.contains_key(ns)) {
        match outcome {
            Ok(true) => report.stopped.push(ns),
            Ok(false) => {}
            Err(why) => {
                warn!(namespace = %ns, %why, "A load client does not answer the stop-all switch");
                report.failed.push(ns);
            }
        }
    }
    report.stopped.sort();
    report.failed.sort();
    info!(by, stopped = report.stopped.len(), failed = report.failed.len(), "All load is stopped by {by}");
    for space in spaces.iter().filter(|space| report.stopped.contains(&space.ns)) {
        let command = super::commands::load(space, "0", None);
        space.facts.send_modify(|f| {
            f.note(Line {
                by: by.to_owned(),
                verb: Some(Verb::Load),
                what: "all load off".to_owned(),
                command,
                ..Line::default()
            });
        });
    }
    report
}

async fn stop_by_hub(space: &Space) -> bool {
    let (answer, taken) = oneshot::channel();
    let asking = async {
        space.to_agent.send(ToAgent::Load(LoadOrder::default(), answer)).await.ok()?;
        taken.await.ok()?.ok()
    };
    tokio::time::timeout(PATIENCE, asking).await.is_ok_and(|stopped| stopped.is_some())
}

/// Returns whether it ran.
async fn stop_directly(cluster: &Cluster, ns: &Namespace, pod: &str) -> Result<bool, AgentError> {
    let mut agent = agent(cluster, ns, pod).await?;
    let ran = agent.status().await?.load.rate > 0;
    if ran {
        agent.set_load(&LoadSpec::rate(0)).await?;
    }
    Ok(ran)
}
