//! Stops the load of every namespace at once.
use crate::demo::namespace::facts::Line;
use crate::demo::namespace::rate_shares::Shares;
use crate::demo::namespace::state::{NamespaceState, ToAgent};
use crate::demo::pollers::generators::{AT_ONCE, PATIENCE, agent, clients};
use crate::demo::view::commands;
use crate::k8s::Cluster;
use ::load::{AgentError, LoadSpec};
use app::text::messages::log;
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::oneshot;
use tracing::{info, warn};
use wire::{LoadOrder, Namespace, Rate, StoppedAll, Verb};

/// Stops every generator: those that are looked after, and those of every other client that can be found. A Lease of another panel
/// is no obstacle: this is the emergency brake. Who asked ends up in each namespace's log.
pub async fn stop_all(cluster: &Cluster, shares: &Shares, known: Vec<Arc<NamespaceState>>, by: &str) -> StoppedAll {
    let loaded: BTreeSet<Namespace> =
        known.iter().filter(|s| s.facts.borrow().load != Rate::default()).map(|s| s.ns.clone()).collect();
    // From here on no poller starts anything of what was asked for before, whatever becomes of its connection. A generator that a poller has
    // taken up in this moment is registered, and stopped before its own facts tell of it.
    let mut running = shares.stop_all();
    running.extend(loaded);
    let loaded: Vec<Arc<NamespaceState>> = known.iter().filter(|s| running.contains(&s.ns)).cloned().collect();
    let looked_after = futures::stream::iter(
        loaded.into_iter().map(|state| async move { (state.ns.clone(), stop_by_poller(&state).await) }),
    );
    let by_poller: BTreeMap<Namespace, bool> = looked_after.buffer_unordered(AT_ONCE).collect().await;
    let named: Vec<Namespace> = known.iter().map(|s| s.ns.clone()).collect();
    let (others, failed) = clients(cluster, named).await;
    if failed > 0 {
        warn!(failed, "The stop-all switch cannot list all load clients; those of unknown namespaces may send");
    }
    let others = others.into_iter().filter(|(ns, _)| by_poller.get(ns) != Some(&true));
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
    for (ns, stopped) in &by_poller {
        // Without a client pod there is nothing that could send.
        let failed = !stopped && direct.get(ns).is_some_and(Result::is_err);
        if failed { &mut report.failed } else { &mut report.stopped }.push(ns.clone());
    }
    for (ns, outcome) in direct.into_iter().filter(|(ns, _)| !by_poller.contains_key(ns)) {
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
    for state in known.iter().filter(|state| report.stopped.contains(&state.ns)) {
        let command = commands::load(state, "0", None);
        state.facts.send_modify(|f| {
            f.note(Line {
                by: by.to_owned(),
                verb: Some(Verb::Load),
                what: log::all_load_off(),
                command,
                ..Line::default()
            });
        });
    }
    report
}

async fn stop_by_poller(state: &NamespaceState) -> bool {
    let (answer, taken) = oneshot::channel();
    let asking = async {
        state.to_agent.send(ToAgent::Load(LoadOrder::default(), answer)).await.ok()?;
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
