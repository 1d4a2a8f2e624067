//! A client's connection, as its streams know it: what they do, and whether the client keeps them waiting.

use super::log_line::Ends;
use super::stream_body::StreamBody;
use crate::sidecar::stats::flag::Flag;
use crate::sidecar::upstream::pin::Pin;
use crate::sidecar::upstream::routing::LiveCluster;
use listen::{Conn, Reason};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The connection.
pub(crate) struct Client {
    pub(crate) ends: Ends,
    /// It has ended, and not only the stream.
    over: AtomicBool,
    conn: Conn,
    state: Mutex<State>,
    /// Its endpoint at a port that speaks no HTTP.
    pin: Mutex<Pin>,
}

/// What the connection's streams are doing.
#[derive(Default)]
struct State {
    /// Streams so far.
    asked: u64,
    under_way: usize,
    /// While there is any: then the connection is not closed in favour of others.
    serves: Option<listen::Request>,
    /// Since when there is none.
    rests: Option<Instant>,
    /// Answers that wait until the client makes room for more, by number, and since when.
    unread: HashMap<u64, Instant>,
    /// Bodies of requests that are not answered yet.
    uploads: HashMap<u64, Weak<StreamBody>>,
}

impl Client {
    /// `http1`: it speaks HTTP/1.1, and has one request alone.
    pub(crate) fn new(ends: Ends, http1: bool, conn: Conn) -> Arc<Client> {
        conn.multiplexed();
        Arc::new(Client { ends, over: AtomicBool::new(http1), conn, state: Mutex::default(), pin: Mutex::default() })
    }

    /// Its endpoint at a port that speaks no HTTP.
    pub(crate) fn endpoint(&self, cluster: &LiveCluster, draw: u64) -> Option<SocketAddr> {
        self.pin.lock().unwrap_or_else(PoisonError::into_inner).endpoint(cluster, draw)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream has begun. Returns its number.
    pub(crate) fn begin(&self) -> u64 {
        let mut state = self.state();
        (state.asked, state.under_way, state.rests) = (state.asked + 1, state.under_way + 1, None);
        if state.serves.is_none() {
            state.serves = Some(self.conn.request(listen::Framing::Length));
        }
        state.asked
    }

    /// A stream is over.
    pub(crate) fn end(&self, number: u64) {
        let mut state = self.state();
        state.unread.remove(&number);
        state.uploads.remove(&number);
        state.under_way -= 1;
        if state.under_way == 0 {
            (state.serves, state.rests) = (None, Some(Instant::now()));
        }
    }

    /// The connection has ended; to be said before its streams hear of it.
    pub(crate) fn ends_now(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// A request's body that is waited for from here on.
    pub(crate) fn uploads(&self, number: u64, body: &Arc<StreamBody>) {
        self.state().uploads.insert(number, Arc::downgrade(body));
    }

    /// The client has a piece of an answer to read.
    pub(crate) fn is_sent_more(&self, number: u64) {
        self.state().unread.insert(number, Instant::now());
    }

    /// It has read what it was sent.
    pub(crate) fn has_read(&self, number: u64) {
        self.state().unread.remove(&number);
    }

    /// Whether any request came.
    pub(crate) fn has_asked(&self) -> bool {
        self.state().asked > 0
    }

    /// How long no stream has been under way.
    pub(crate) fn rests(&self) -> Option<Duration> {
        self.state().rests.map(|since| since.elapsed())
    }

    /// Whether an answer has waited `write_time` for the client to read it (its window is closed, though the connection answers pings),
    /// or a request for more of its body for `body_time`.
    pub(crate) fn is_stalled(&self, write_time: Duration, body_time: Duration) -> bool {
        let state = self.state();
        let stalled = state.unread.values().any(|since| since.elapsed() >= write_time)
            || state
                .uploads
                .values()
                .filter_map(|upload| upload.upgrade()?.waits_since())
                .any(|since| since.elapsed() >= body_time);
        if stalled {
            self.conn.refuse(Reason::Stalled);
        }
        stalled
    }

    /// How Envoy calls a client that did not wait for the end.
    pub(crate) fn left(&self) -> Flag {
        if self.over.load(Ordering::Relaxed) { Flag::DC } else { Flag::DR }
    }
}
