//! The controllers: what makes a Deployment become pods and a Service know them.
//!
//! Each is a pure `plan(seen) -> Vec<Step>`; [`reconciler`] feeds it from watches and [`apply`] carries its steps out.
//! Files in reading order: a controller, then `step`, `reconciler`, `apply`.
mod apply;
mod claim;
mod deployment;
mod endpointslice;
mod event_ttl;
mod gc;
mod namespace;
mod object;
mod queue;
mod reconciler;
mod replicaset;
mod scheduler;
mod step;
#[cfg(test)]
mod stories;
mod view;

use crate::events::Recorder;
use crate::registry::Registry;
use reconciler::{Controller, View};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Runs all controllers until `stop`. `root` is the certificate that `kube-root-ca.crt` carries into each namespace.
/// Errors: the name of a controller that ended by itself, which none does unless it panics.
pub(crate) async fn run(
    registry: Registry,
    recorder: Recorder,
    root: Option<Arc<str>>,
    stop: CancellationToken,
) -> Result<(), &'static str> {
    let view = View::new(registry);
    let all = || view.kinds().filter(|k| k.plural != "events").map(|k| view::name_of(k)).collect::<Vec<_>>();
    let namespaced = view.kinds().filter(|k| k.namespaced).map(|k| view::name_of(k)).collect();
    let mut tasks = Tasks { running: JoinSet::new(), view: view.clone(), recorder, stop: stop.child_token() };
    tasks.start(namespace::Namespaces { kinds: namespaced, root });
    tasks.start(deployment::Deployments);
    tasks.start(replicaset::ReplicaSets);
    tasks.start(scheduler::Scheduler::default());
    tasks.start(endpointslice::EndpointSlices);
    tasks.start(gc::GarbageCollector { kinds: all(), by_owner: gc::Index::default() });
    tasks.start(event_ttl::EventTtl);
    tasks.end().await
}

struct Tasks {
    running: JoinSet<&'static str>,
    view: View,
    recorder: Recorder,
    stop: CancellationToken,
}

impl Tasks {
    fn start<C: Controller>(&mut self, controller: C) {
        let run = reconciler::run(controller, self.view.clone(), self.recorder.clone(), self.stop.clone());
        self.running.spawn(async move {
            run.await;
            C::NAME
        });
    }

    /// Waits for all; the first that ends unasked ends the others.
    async fn end(mut self) -> Result<(), &'static str> {
        let mut early = None;
        while let Some(ended) = self.running.join_next().await {
            if !self.stop.is_cancelled() && early.is_none() {
                early = Some(ended.unwrap_or("a controller that panicked"));
                self.stop.cancel();
            }
        }
        early.map_or(Ok(()), Err)
    }
}
