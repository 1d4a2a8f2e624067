//! Keeps the index of Services and their endpoints up to date.
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{SelectAll, StreamExt};
use futures::{FutureExt, Stream};
use tokio_util::sync::CancellationToken;

use super::service_ips;
use super::services::Services;
use super::shared::Shared;
use crate::Object;
use crate::registry::{ListOptions, WatchEvent, WatchKind, WatchOptions};
use crate::status::Status;

/// Pause before watching again after a watch was refused.
const RETRY: Duration = Duration::from_millis(200);
/// Events taken together before the index is built anew.
const BATCH: usize = 512;

type Objects = BTreeMap<(String, String), Arc<Object>>;
type Events = SelectAll<std::pin::Pin<Box<dyn Stream<Item = (usize, Result<WatchEvent, Status>)> + Send>>>;

/// What is indexed: Services, then EndpointSlices.
const KINDS: [(&str, &str); 2] = [("", "services"), ("discovery.k8s.io", "endpointslices")];

/// Runs until stopped.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut lost = BTreeSet::new();
    loop {
        match begin(&shared) {
            Ok((mut objects, mut events)) => {
                publish(&shared, &objects, &mut lost);
                loop {
                    let first = tokio::select! {
                        () = stop.cancelled() => return,
                        event = events.next() => event,
                    };
                    if !take(&mut objects, first) {
                        break;
                    }
                    let mut more = 0;
                    while more < BATCH
                        && let Some(event) = events.next().now_or_never()
                        && take(&mut objects, event)
                    {
                        more += 1;
                    }
                    publish(&shared, &objects, &mut lost);
                }
            }
            Err(error) => tracing::warn!(%error, "The node cannot watch Services"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

fn begin(shared: &Shared) -> Result<([Objects; 2], Events), Status> {
    let mut objects: [Objects; 2] = Default::default();
    let mut events: Events = SelectAll::new();
    for (index, (group, plural)) in KINDS.iter().enumerate() {
        let kind = shared.kind(group, plural)?;
        let list = shared.registry.list(&kind, None, &ListOptions::default())?;
        objects[index] = list.items.into_iter().map(|object| (key(&object), object)).collect();
        let options = WatchOptions { from: Some(list.revision), ..WatchOptions::default() };
        let watch = shared.registry.watch(&kind, None, &options)?;
        events.push(watch.map(move |event| (index, event)).boxed());
    }
    Ok((objects, events))
}

/// Takes an event; false where the watch has ended.
fn take(objects: &mut [Objects; 2], event: Option<(usize, Result<WatchEvent, Status>)>) -> bool {
    let Some((index, Ok(event))) = event else { return false };
    match event.kind {
        WatchKind::Added | WatchKind::Modified => drop(objects[index].insert(key(&event.object), event.object)),
        WatchKind::Deleted => drop(objects[index].remove(&key(&event.object))),
        WatchKind::Bookmark => {}
    }
    true
}

/// `lost` holds the ClusterIPs whose loss an event has reported already.
fn publish(shared: &Shared, objects: &[Objects; 2], lost: &mut BTreeSet<Ipv4Addr>) {
    let now_lost = service_ips::adopt(&shared.network, objects[0].values());
    if !now_lost.is_subset(lost) {
        for service in objects[0].values() {
            if let Some(ip) = service_ips::address(service).filter(|ip| now_lost.contains(ip) && !lost.contains(ip)) {
                let (reason, message) = service_ips::out_of_range(&shared.network, ip);
                shared.recorder.record(service, None, true, reason, message);
            }
        }
    }
    *lost = now_lost;
    shared.services.send_replace(Arc::new(Services::build(objects[0].values(), objects[1].values())));
}

fn key(object: &Object) -> (String, String) {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}
