//! The batches of one namespace, as its viewers read them: from a ring that they share, each at its own pace.
//!
//! Times are milliseconds of any steady clock, the caller's.
//!
//! **Invariant:** nothing is queued per viewer but the whole state that it begins with. One that falls behind the ring begins again with that.
use super::encode::{AUDIENCES, Audience, Encoder, Known};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Batches that a viewer may be behind, about 1.5 s.
const BEHIND: usize = 16;

/// The encoder of a namespace with the ring of each audience.
pub struct Ring {
    /// `None` once it is closed.
    open: Mutex<Option<Open>>,
}

/// Behind one lock, so that a viewer gets each change either within the whole state or after it.
struct Open {
    encoder: Encoder,
    senders: [broadcast::Sender<Bytes>; AUDIENCES.len()],
}

/// A viewer's place in the ring.
pub struct Joined {
    ring: Arc<Ring>,
    audience: Audience,
    events: broadcast::Receiver<Bytes>,
    /// What comes before the next batch.
    opening: VecDeque<Bytes>,
}

impl Ring {
    /// Nobody reads it yet.
    pub fn new(known: Known, now_ms: u64) -> Arc<Ring> {
        let open = Open {
            encoder: Encoder::new(known, now_ms),
            senders: std::array::from_fn(|_| broadcast::Sender::new(BEHIND)),
        };
        Arc::new(Ring { open: Mutex::new(Some(open)) })
    }

    /// Adds what is due; gives when to do so again. `None` if nobody reads: the ring is closed.
    pub fn publish(&self, known: &Known, now_ms: u64) -> Option<u64> {
        let mut place = self.lock();
        let open = place.as_mut()?;
        let watched = open.watched();
        if watched == [false; AUDIENCES.len()] {
            *place = None;
            return None;
        }
        open.add(known, false, now_ms);
        Some(open.encoder.due_ms(known, watched))
    }

    /// One more viewer, who sees first what is so now. `None` if the ring is closed.
    pub fn join(self: &Arc<Ring>, audience: Audience, known: &Known, now_ms: u64) -> Option<Joined> {
        let mut place = self.lock();
        let open = place.as_mut()?;
        open.add(known, true, now_ms);
        Some(self.begin(open, audience))
    }

    /// Ends every viewer's stream.
    pub fn close(&self) {
        *self.lock() = None;
    }

    /// A place at the end of the ring, with the state that all before it have led to.
    fn begin(self: &Arc<Ring>, open: &mut Open, audience: Audience) -> Joined {
        let events = open.senders[audience.index()].subscribe();
        Joined { ring: self.clone(), audience, events, opening: open.encoder.whole(audience).into() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        // A panic while it was held ends the feed, which closes the ring.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn watched(&self) -> [bool; AUDIENCES.len()] {
        std::array::from_fn(|place| self.senders[place].receiver_count() > 0)
    }

    fn add(&mut self, known: &Known, flush: bool, now_ms: u64) {
        let watched = self.watched();
        for (sender, events) in self.senders.iter().zip(self.encoder.batch(known, watched, flush, now_ms)) {
            if !events.is_empty() {
                // An error: this audience has no viewers, so there is nobody to miss it.
                let _ = sender.send(events);
            }
        }
    }
}

impl Joined {
    /// Puts events before the whole state.
    pub fn after(&mut self, first: impl DoubleEndedIterator<Item = Bytes>) {
        for events in first.rev() {
            self.opening.push_front(events);
        }
    }

    /// The next events, never empty; `None` if the ring is closed.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(events) = self.opening.pop_front() {
                return Some(events);
            }
            match self.events.recv().await {
                Ok(events) => return Some(events),
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    let ring = self.ring.clone();
                    let mut place = ring.lock();
                    *self = ring.begin(place.as_mut()?, self.audience);
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Viewer, recorded};
    use super::*;

    /// The ring after some changes of status, one batch each: a viewer that has not read them, and what is so in the end.
    async fn behind(batches: usize) -> (Viewer, Known) {
        let mut known = recorded();
        let ring = Ring::new(known.clone(), 0);
        let mut joined = ring.join(Audience::Plain, &known, 0).unwrap();
        for n in 1..=batches {
            Arc::make_mut(&mut known.status).desired_by = format!("browser {n}");
            assert!(ring.publish(&known, n as u64 * 500).is_some());
        }
        ring.close();
        let mut viewer = Viewer::default();
        while let Some(events) = joined.next().await {
            viewer.hear(&events);
        }
        (viewer, known)
    }

    #[tokio::test]
    async fn a_viewer_that_is_not_far_behind_gets_every_change() {
        let (viewer, known) = behind(BEHIND).await;
        assert_eq!((viewer.status.as_ref(), viewer.wholes, viewer.patches), (Some(&*known.status), 1, BEHIND));
    }

    #[tokio::test]
    async fn a_closed_ring_takes_no_viewer_and_one_that_nobody_reads_closes() {
        let known = recorded();
        let ring = Ring::new(known.clone(), 0);
        let joined = ring.join(Audience::Plain, &known, 0);
        assert!(joined.is_some() && ring.publish(&known, 1).is_some());
        drop(joined);
        assert!(ring.publish(&known, 2).is_none() && ring.join(Audience::Plain, &known, 0).is_none());
    }

    #[tokio::test]
    async fn a_viewer_that_falls_behind_skips_and_gets_the_whole_state_again() {
        let mut known = recorded();
        let ring = Ring::new(known.clone(), 0);
        let (mut slow, mut viewer) = (ring.join(Audience::Plain, &known, 0).unwrap(), Viewer::default());
        for n in 1..=100 {
            Arc::make_mut(&mut known.status).desired_by = format!("browser {n}");
            ring.publish(&known, n * 500);
        }
        // The opening, which it had not read either, and the whole state: nothing else was kept for it.
        while viewer.status.as_ref() != Some(&*known.status) {
            viewer.hear(&slow.next().await.unwrap());
        }
        assert_eq!((viewer.wholes, viewer.patches), (2, 0));
        // From there on it follows by patches.
        Arc::make_mut(&mut known.status).desired_by = "curl".to_owned();
        ring.publish(&known, 60_000);
        while viewer.patches == 0 {
            viewer.hear(&slow.next().await.unwrap());
        }
        assert_eq!((viewer.status.as_ref(), viewer.wholes), (Some(&*known.status), 2));
    }
}
