//! The open connections of a listener: the shell around [`crate::admission`].
use crate::activity::Activity;
use crate::admission::{self, Decision, Room, Seen};
use crate::counts::{Books, Reason, Refused, Stats};
use crate::{Limits, Peer, system};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Connections that are closed in a second to make room for newcomers of one peer.
const EVICTIONS: usize = 64;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) stats: Arc<Stats>,
    /// Descriptors with this number or a larger one mean that hardly any are left.
    descriptors: i32,
    start: Instant,
    table: Mutex<Table>,
    /// Connections without a whole first head.
    pub(crate) waiting: AtomicUsize,
    /// Bytes of unfinished heads.
    pub(crate) buffered: AtomicUsize,
    /// Most connections since memory was last given back.
    pub(crate) peak: AtomicUsize,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<u64, Record>,
    peers: HashMap<Peer, Used>,
    identities: HashMap<u64, usize>,
    reserved: usize,
    streams: usize,
}

#[derive(Debug)]
struct Record {
    activity: Arc<Activity>,
    peer: Option<Peer>,
    identity: Option<u64>,
}

#[derive(Debug, Default)]
struct Used {
    connections: usize,
    streams: usize,
    /// Evictions for its newcomers in the second that began at that time, in seconds since the listener was made.
    evictions: (u64, usize),
    /// When a newcomer of it was last refused at its own cap, milliseconds. The next one of the same millisecond is refused without a
    /// look at every connection: a flood brings dozens.
    in_vain: Option<u64>,
}

impl Used {
    fn evictions_in(&self, second: u64) -> usize {
        if self.evictions.0 == second { self.evictions.1 } else { 0 }
    }
}

impl Table {
    fn seen(&self) -> Vec<Seen> {
        let seen = |(id, record): (&u64, &Record)| record.activity.seen(*id, record.peer);
        self.open.iter().filter(|(_, record)| !record.activity.reserved).map(seen).collect()
    }

    fn leave(&mut self, peer: Option<Peer>) {
        if let Some(peer) = peer
            && let Some(used) = self.peers.get_mut(&peer)
        {
            used.connections = used.connections.saturating_sub(1);
            self.forget(peer);
        }
    }

    fn forget(&mut self, peer: Peer) {
        if self.peers.get(&peer).is_some_and(|used| used.connections == 0 && used.streams == 0) {
            self.peers.remove(&peer);
        }
    }

    fn unname(&mut self, identity: Option<u64>) {
        if let Some(identity) = identity
            && let Some(count) = self.identities.get_mut(&identity)
        {
            *count -= 1;
            if *count == 0 {
                self.identities.remove(&identity);
            }
        }
    }
}

impl Shared {
    pub(crate) fn new(name: &'static str, limits: Limits, books: &Books) -> Shared {
        let limit = i32::try_from(system::descriptor_limit()).unwrap_or(i32::MAX);
        Shared {
            limits,
            stats: books.of(name),
            descriptors: limit - (limit / 16).clamp(12, 512),
            start: Instant::now(),
            table: Mutex::default(),
            waiting: AtomicUsize::new(0),
            buffered: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            next: AtomicU64::new(1),
        }
    }

    /// Admits a connection, for code that accepts by itself. `descriptor` is the socket's number: the system gives out the lowest free
    /// one, so a high number means that few are left.
    pub(crate) fn admit(&self, peer: Option<Peer>, descriptor: i32) -> Result<(u64, Arc<Activity>), Refused> {
        let shared = self;
        let peer = peer.filter(|_| !shared.limits.behind_proxy);
        let mut table = shared.table();
        let now = shared.now();
        let second = now / 1000;
        let reserved =
            shared.limits.reserve.as_ref().is_some_and(|r| Some(r.peer) == peer && table.reserved < r.connections);
        if !reserved {
            let room = Room {
                open: table.open.len() - table.reserved,
                of_peer: peer.and_then(|peer| table.peers.get(&peer)).map_or(0, |used| used.connections),
                waiting: shared.waiting.load(Ordering::Relaxed),
                connections: shared.limits.connections,
                per_peer: shared.limits.per_peer,
                most_waiting: shared.limits.waiting,
                pressed: descriptor >= shared.descriptors,
                spent: peer
                    .and_then(|peer| table.peers.get(&peer))
                    .is_some_and(|used| used.evictions_in(second) >= EVICTIONS),
                in_vain: peer.and_then(|peer| table.peers.get(&peer)).is_some_and(|used| used.in_vain == Some(now)),
            };
            match admission::admit(&room, peer, || table.seen()) {
                Decision::Admit => {}
                Decision::Evict(id) => {
                    if let Some(used) = peer.and_then(|peer| table.peers.get_mut(&peer)) {
                        used.evictions = (second, used.evictions_in(second) + 1);
                    }
                    shared.evict(&mut table, id, Reason::Evicted);
                }
                Decision::Refuse(reason) => {
                    if room.of_peer >= room.per_peer
                        && let Some(used) = peer.and_then(|peer| table.peers.get_mut(&peer))
                    {
                        used.in_vain = Some(now);
                    }
                    return Err(shared.stats.refuse(reason));
                }
            }
        }
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let activity = Arc::new(Activity::new(reserved, shared.now()));
        table.reserved += usize::from(reserved);
        if let Some(peer) = peer {
            table.peers.entry(peer).or_default().connections += 1;
        }
        table.open.insert(id, Record { activity: activity.clone(), peer, identity: None });
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        shared.peak.fetch_max(table.open.len(), Ordering::Relaxed);
        shared.stats.open.fetch_add(1, Ordering::Relaxed);
        Ok((id, activity))
    }

    /// Closes the connection that matters least, to get a descriptor back.
    pub(crate) fn relieve(&self) {
        let mut table = self.table();
        let room = Room {
            open: 1,
            of_peer: 0,
            waiting: 0,
            connections: 0,
            per_peer: 1,
            most_waiting: 1,
            pressed: true,
            spent: false,
            in_vain: false,
        };
        if let Decision::Evict(id) = admission::admit(&room, None, || table.seen()) {
            self.evict(&mut table, id, Reason::Descriptors);
        }
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.table().open.len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the listener was made.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn at(&self, ms: u64) -> Instant {
        self.start + std::time::Duration::from_millis(ms)
    }

    fn evict(&self, table: &mut Table, id: u64, reason: Reason) {
        if let Some(activity) = self.take(table, id) {
            self.stats.refuse(reason);
            activity.end();
        }
    }

    fn take(&self, table: &mut Table, id: u64) -> Option<Arc<Activity>> {
        let record = table.open.remove(&id)?;
        table.leave(record.peer);
        table.unname(record.identity);
        table.reserved -= usize::from(record.activity.reserved);
        if record.activity.finish_waiting() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        let freed = record.activity.buffered.swap(0, Ordering::Relaxed);
        self.buffered.fetch_sub(freed, Ordering::Relaxed);
        Some(record.activity)
    }

    pub(crate) fn first_head(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes a closed connection out of the table.
    pub(crate) fn closed(&self, id: u64) {
        self.take(&mut self.table(), id);
        self.stats.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Closes the connections with the largest unfinished heads until they fit their budget.
    pub(crate) fn shed(&self) {
        let mut table = self.table();
        while self.buffered.load(Ordering::Relaxed) > self.limits.head_budget {
            let Some(id) = admission::largest(&table.seen()) else { return };
            self.evict(&mut table, id, Reason::Memory);
        }
    }

    /// Counts a connection for another peer.
    pub(crate) fn rename(&self, id: u64, peer: Peer) -> Result<(), Refused> {
        let mut table = self.table();
        let Some(old) = table.open.get(&id).map(|record| record.peer) else { return Ok(()) };
        if old == Some(peer) {
            return Ok(());
        }
        if table.peers.get(&peer).is_some_and(|used| used.connections >= self.limits.per_peer) {
            return Err(self.stats.refuse(Reason::Peer));
        }
        table.leave(old);
        table.peers.entry(peer).or_default().connections += 1;
        if let Some(record) = table.open.get_mut(&id) {
            record.peer = Some(peer);
        }
        Ok(())
    }

    /// Counts a connection for a user, who may have `most`.
    pub(crate) fn name(&self, id: u64, identity: u64, most: usize) -> Result<(), Refused> {
        let mut table = self.table();
        let Some(old) = table.open.get(&id).map(|record| record.identity) else { return Ok(()) };
        if old == Some(identity) {
            return Ok(());
        }
        let reserved = table.open.get(&id).is_some_and(|record| record.activity.reserved);
        let count = table.identities.entry(identity).or_default();
        if *count >= most && !reserved {
            return Err(self.stats.refuse(Reason::Identity));
        }
        *count += 1;
        table.unname(old);
        if let Some(record) = table.open.get_mut(&id) {
            record.identity = Some(identity);
        }
        Ok(())
    }

    /// Takes a place for a stream. Returns the peer that it is counted for.
    pub(crate) fn stream(&self, id: u64) -> Result<Option<Peer>, Refused> {
        let mut table = self.table();
        let Some((peer, reserved)) = table.open.get(&id).map(|record| (record.peer, record.activity.reserved)) else {
            return Err(self.stats.refuse(Reason::Evicted));
        };
        if !reserved {
            if table.streams >= self.limits.streams {
                return Err(self.stats.refuse(Reason::Streams));
            }
            if peer
                .and_then(|peer| table.peers.get(&peer))
                .is_some_and(|used| used.streams >= self.limits.streams_per_peer)
            {
                return Err(self.stats.refuse(Reason::Peer));
            }
        }
        table.streams += 1;
        if let Some(peer) = peer {
            table.peers.entry(peer).or_default().streams += 1;
        }
        Ok(peer)
    }

    pub(crate) fn stream_ended(&self, peer: Option<Peer>) {
        let mut table = self.table();
        table.streams -= 1;
        if let Some(peer) = peer
            && let Some(used) = table.peers.get_mut(&peer)
        {
            used.streams -= 1;
            table.forget(peer);
        }
    }
}
