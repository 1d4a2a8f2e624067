//! A listener's policy, as code outside of this crate has it.
use crate::conn::Entry;
use crate::counts::{Books, Refused};
use crate::table::Shared;
use crate::{Conn, Limits, Peer};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Connections after which freed memory is given back: fewer leave nothing behind that anybody would notice.
const FLOOD: usize = 32;

/// The policy of a listener and the table of its connections; a cheap handle. See the crate's documentation.
#[derive(Clone, Debug)]
pub struct Listener(pub(crate) Arc<Shared>);

impl Listener {
    /// A listener without connections. `name` is its label at `/metrics`; listeners of one name are counted together.
    pub fn new(name: &'static str, limits: Limits, books: &Books) -> Listener {
        Listener(Arc::new(Shared::new(name, limits, books)))
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.0.open()
    }

    /// Admits a connection, for code that accepts by itself.
    pub(crate) fn admit(&self, peer: Option<Peer>, descriptor: i32) -> Result<Conn, Refused> {
        let (id, activity) = self.0.admit(peer, descriptor)?;
        Ok(Conn(Arc::new(Entry { id, shared: self.0.clone(), activity })))
    }

    /// Closes the connection that matters least, to get a descriptor back.
    pub(crate) fn relieve(&self) {
        self.0.relieve();
    }

    /// Whether as many connections wait for their first head as may.
    pub(crate) fn is_crowded(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed) >= self.0.limits.waiting
    }

    /// Whether there were so many connections that their memory is worth giving back.
    pub(crate) fn has_flooded(&self) -> bool {
        self.0.peak.load(Ordering::Relaxed) >= FLOOD
    }

    /// Whether a flood has ended since memory was last given back. The caller then gives it back.
    pub(crate) fn flood_ended(&self) -> bool {
        let (open, peak) = (self.open(), self.0.peak.load(Ordering::Relaxed));
        let ended = self.has_flooded() && open <= peak / 2;
        if ended {
            self.0.peak.store(open, Ordering::Relaxed);
        }
        ended
    }
}
