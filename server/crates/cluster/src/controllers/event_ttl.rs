//! Events are news, not history: each is deleted an hour after it was last seen, and the oldest where there are too many.
//!
//! [`plan`] is pure. Source: kube-apiserver's `--event-ttl`, one hour.
use super::object::{EVENTS, elapsed, time};
use super::reconciler::{Controller, Key, Source, View};
use super::step::{How, Step};
use crate::Object;
use crate::status::Status;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Kubernetes' own default.
const KEEP: Duration = Duration::from_secs(3600);
/// Events kept, so that a pod that fails for ever does not fill memory and disk within the hour.
const AT_MOST: usize = 4000;
/// Pause between two looks.
const EVERY: Duration = Duration::from_secs(60);
/// Deletions of one look: they share the disk with everybody's writes.
const BATCH: usize = 200;

/// Deletes what is too old and what is too much, the oldest first.
pub(crate) fn plan(events: &[Arc<Object>], now: Timestamp) -> Vec<Step> {
    let mut aged: Vec<(Duration, &Arc<Object>)> =
        events.iter().map(|e| (elapsed(last_seen(e).unwrap_or(now), now), e)).collect();
    aged.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    let surplus = aged.len().saturating_sub(AT_MOST);
    let stale = aged.iter().enumerate().filter(|(i, (age, _))| *i < surplus || *age >= KEEP).map(|(_, (_, e))| e);
    let mut steps: Vec<Step> = stale.map(|e| Step::Delete(EVENTS, Arc::clone(e), How::Background)).collect();
    let pause = if steps.len() > BATCH { Duration::from_secs(1) } else { EVERY };
    steps.truncate(BATCH);
    steps.push(Step::Again(pause));
    steps
}

fn last_seen(event: &Object) -> Option<Timestamp> {
    ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]
        .iter()
        .find_map(|p| time(event, p))
}

/// Forgets events.
pub(crate) struct EventTtl;

impl Controller for EventTtl {
    type Key = Key;
    const NAME: &'static str = "event-ttl-controller";

    fn seeds(&self) -> Vec<Key> {
        vec![Key::new("", "all")]
    }

    /// None: it looks by the clock.
    fn sources(&self) -> Vec<Source<Key>> {
        Vec::new()
    }

    fn plan(&mut self, _key: &Key, view: &View, now: Timestamp, _failure: Option<&str>) -> Result<Vec<Step>, Status> {
        Ok(plan(&view.list(&EVENTS, "")?, now))
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::show;
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_kept_for_an_hour_after_it_was_last_seen() {
        let event = |name: &str, last: &str| {
            Arc::new(
                json!({"metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}, "lastTimestamp": last}),
            )
        };
        let events = [event("old", "2026-01-01T00:59:59Z"), event("repeated", "2026-01-01T01:30:00Z")];
        let now = "2026-01-01T02:00:00Z".parse().unwrap();
        assert_eq!(show(&plan(&events, now)), ["delete events old", "again in 60000 ms"]);
    }
}
