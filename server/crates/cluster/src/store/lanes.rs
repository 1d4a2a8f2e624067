//! Writes to one object that keep getting into each other's way go one after the other.
use super::Key;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// Objects on which writes have collided, for as long as one of those writes goes on.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<Key, Lock>>);

/// A place in an object's lane; it is this write's turn.
pub(super) struct Lane {
    lanes: Arc<Lanes>,
    key: Key,
    lock: Lock,
    /// `None` while it waits.
    turn: Option<OwnedMutexGuard<()>>,
}

impl Lanes {
    /// Waits for its turn where writes to this object have collided.
    pub(super) async fn join(self: &Arc<Lanes>, key: &Key) -> Option<Lane> {
        let lock = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()?;
        Some(self.wait(key, lock).await)
    }

    /// Waits for its turn; from here on, others wait for theirs.
    pub(super) async fn enter(self: &Arc<Lanes>, key: &Key) -> Lane {
        let lock = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone();
        self.wait(key, lock).await
    }

    async fn wait(self: &Arc<Lanes>, key: &Key, lock: Lock) -> Lane {
        let mut lane = Lane { lanes: self.clone(), key: key.clone(), lock: lock.clone(), turn: None };
        lane.turn = Some(lock.lock_owned().await);
        lane
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut lanes = self.lanes.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.turn = None;
        // The map's and this one: nobody waits.
        if Arc::strong_count(&self.lock) <= 2 && lanes.get(&self.key).is_some_and(|lock| Arc::ptr_eq(lock, &self.lock))
        {
            lanes.remove(&self.key);
        }
    }
}
