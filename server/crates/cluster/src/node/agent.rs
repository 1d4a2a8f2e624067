//! Gives every pod bound to this node a worker, and tells the worker what becomes of the pod.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use super::worker::{News, Worker};
use crate::Object;
use crate::kinds::Kind;
use crate::registry::{ListOptions, Watch, WatchKind, WatchOptions};
use crate::select::FieldSelector;
use crate::status::Status;

/// Pause before watching again after a watch was refused.
const RETRY: Duration = Duration::from_millis(200);

/// A pod's worker, as seen from here.
struct Known {
    news: watch::Sender<News>,
    task: Id,
}

/// The workers of all pods.
struct Agent {
    shared: Arc<Shared>,
    pods: Arc<Kind>,
    mine: FieldSelector,
    workers: JoinSet<()>,
    /// By their pods' uids.
    known: HashMap<String, Known>,
    stop: CancellationToken,
}

/// Runs until stopped; then returns when no child is left.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), Status> {
    let pods = shared.kind("", "pods")?;
    let mine = FieldSelector::parse(&format!("spec.nodeName={}", shared.name))?;
    let mut agent = Agent { shared, pods, mine, workers: JoinSet::new(), known: HashMap::new(), stop: stop.clone() };
    agent.remove_old_logs();
    while !stop.is_cancelled() {
        match agent.list() {
            Ok(watch) => agent.follow(watch).await,
            Err(error) => tracing::warn!(%error, "The node cannot list its pods"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
    while agent.workers.join_next().await.is_some() {}
    Ok(())
}

impl Agent {
    /// Removes logs of pods that went while the node was down.
    fn remove_old_logs(&self) {
        let options = ListOptions { fields: self.mine.clone(), ..ListOptions::default() };
        let Ok(list) = self.shared.registry.list(&self.pods, None, &options) else { return };
        let there: HashSet<&str> = list.items.iter().map(|pod| uid_of(pod)).collect();
        for path in
            std::fs::read_dir(&self.shared.logs).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
        {
            let uid = path.file_name().and_then(|name| name.to_str()?.rsplit('_').next());
            if uid.is_some_and(|uid| !there.contains(uid)) {
                let _ = std::fs::remove_dir_all(&path);
            }
        }
    }

    /// Looks at all pods of the node, and watches from there.
    fn list(&mut self) -> Result<Watch, Status> {
        let registry = self.shared.registry.clone();
        let list =
            registry.list(&self.pods, None, &ListOptions { fields: self.mine.clone(), ..ListOptions::default() })?;
        let there: HashSet<&str> = list.items.iter().filter_map(|pod| pod["metadata"]["uid"].as_str()).collect();
        for (uid, worker) in &self.known {
            if !there.contains(uid.as_str()) {
                worker.news.send_modify(|news| news.gone = true);
            }
        }
        list.items.iter().for_each(|pod| self.there(pod));
        let from = Some(list.revision);
        registry.watch(&self.pods, None, &WatchOptions { fields: self.mine.clone(), from, ..WatchOptions::default() })
    }

    async fn follow(&mut self, mut watch: Watch) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                Some(ended) = self.workers.join_next_with_id(), if !self.workers.is_empty() => match ended {
                    Ok((task, ())) => self.known.retain(|_, worker| worker.task != task),
                    Err(error) => {
                        // A defect of ours. Its processes have been killed; the pod gets another worker.
                        tracing::error!(%error, "A pod's worker failed");
                        self.known.retain(|_, worker| worker.task != error.id());
                        return;
                    }
                },
                event = watch.next() => match event {
                    Some(Ok(event)) => match event.kind {
                        WatchKind::Added | WatchKind::Modified => self.there(&event.object),
                        WatchKind::Deleted => self.gone(&event.object),
                        WatchKind::Bookmark => {}
                    },
                    Some(Err(_)) | None => return,
                },
            }
        }
    }

    fn there(&mut self, pod: &Arc<Object>) {
        let uid = uid_of(pod);
        if let Some(worker) = self.known.get(uid) {
            worker.news.send_modify(|news| news.object = pod.clone());
            return;
        }
        // The event may be older than the end of the pod's worker: the newest state counts.
        let metadata = &pod["metadata"];
        let (namespace, name) = (metadata["namespace"].as_str(), metadata["name"].as_str().unwrap_or_default());
        let Ok(object) = self.shared.registry.get(&self.pods, namespace, name) else { return };
        if uid_of(&object) != uid {
            return;
        }
        let (sender, news) = watch::channel(News { object, gone: false });
        let worker = Worker::new(self.shared.clone(), news);
        let task = self.workers.spawn(worker.run(self.stop.clone())).id();
        self.known.insert(uid.to_owned(), Known { news: sender, task });
    }

    fn gone(&mut self, pod: &Object) {
        if let Some(worker) = self.known.get(uid_of(pod)) {
            worker.news.send_modify(|news| news.gone = true);
        }
    }
}

fn uid_of(pod: &Object) -> &str {
    pod["metadata"]["uid"].as_str().unwrap_or_default()
}
