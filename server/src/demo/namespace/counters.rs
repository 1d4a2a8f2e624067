//! What the namespace's sidecars counted in the last hour, and whether somebody looks at it.
use crate::demo::dashboards::{About, Reading, Recorder};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch as latest};
use tokio::time::Instant;
use wire::{DashboardQuery, Dashboards};

/// Somebody who asked so lately still looks: the page asks every 5 s.
const WATCHED_FOR: Duration = Duration::from_secs(15);
/// A reading that is older is not the newest that can be had.
const FRESH_MS: u64 = 1_500;
/// Longest wait for a newer reading.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Stays while the namespace rests: the hour is the same one when it wakes up.
pub struct Counters {
    recorder: Mutex<Recorder>,
    watched: Mutex<Option<Instant>>,
    begins: Notify,
    /// Readings so far.
    readings: latest::Sender<u64>,
}

impl Counters {
    /// Nothing was read.
    pub fn new() -> Counters {
        Counters {
            recorder: Mutex::default(),
            watched: Mutex::default(),
            begins: Notify::new(),
            readings: latest::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody looks at the dashboards.
    pub fn is_watched(&self) -> bool {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.is_some_and(|at| at.elapsed() < WATCHED_FOR)
    }

    /// Returns when somebody begins to look.
    pub async fn watching(&self) {
        self.begins.notified().await;
    }

    /// Takes a reading of every pod with a sidecar: its counters where it answered.
    pub fn take(&self, at_ms: u64, pods: BTreeMap<String, Option<Reading>>) {
        self.lock().take(at_ms, pods);
        self.readings.send_modify(|n| *n += 1);
    }

    /// Somebody looks. Where nobody did, this waits for a reading of now.
    pub async fn watch(&self, now_ms: impl Fn() -> u64) {
        let looked = self.is_watched();
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        if looked {
            return;
        }
        let mut readings = self.readings.subscribe();
        self.begins.notify_one();
        let fresh = async {
            let is_old = || self.lock().newest_ms().is_none_or(|at| now_ms().saturating_sub(at) > FRESH_MS);
            while is_old() && readings.changed().await.is_ok() {}
        };
        // What is known is shown with its age.
        let _ = tokio::time::timeout(PATIENCE, fresh).await;
    }

    /// One view.
    pub fn show(&self, query: &DashboardQuery, about: About) -> Dashboards {
        self.lock().show(query, about)
    }
}
