//! Decides whether a newcomer is admitted, and which connection makes room for it. Pure: no clock, no I/O.
use crate::{Peer, Reason};
use std::collections::HashMap;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// No whole head yet: a handshake, or the first head.
    Waiting,
    /// Between two requests.
    Idle,
    /// The body of a request is being read.
    Receiving,
    /// An answer without an end, or a tunnel.
    Streaming,
    /// A request is being answered.
    Active,
}

/// A connection as the decision sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) id: u64,
    /// `None`: behind a trusted proxy, before it named the client.
    pub(crate) peer: Option<Peer>,
    pub(crate) phase: Phase,
    /// Somebody has signed in.
    pub(crate) known: bool,
    /// When the phase began; smaller is older.
    pub(crate) since: u64,
    /// Bytes of an unfinished head.
    pub(crate) buffered: usize,
}

/// Order of sacrifice; `None`: never. What nobody signed in for and does nothing goes first, then what does nothing, then streams.
fn tier(seen: &Seen) -> Option<u8> {
    match (seen.phase, seen.known) {
        (Phase::Waiting, _) | (Phase::Idle | Phase::Receiving, false) => Some(0),
        (Phase::Idle | Phase::Receiving, true) => Some(1),
        (Phase::Streaming, _) => Some(2),
        (Phase::Active, _) => None,
    }
}

/// Numbers at the moment of a decision; the newcomer is not among them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) open: usize,
    pub(crate) of_peer: usize,
    pub(crate) waiting: usize,
    /// Caps: [`crate::Limits::connections`], `per_peer` and `waiting`.
    pub(crate) connections: usize,
    pub(crate) per_peer: usize,
    pub(crate) most_waiting: usize,
    /// The process has hardly any descriptors left.
    pub(crate) pressed: bool,
    /// Newcomers of this peer have had as many others closed as they may for now. To look for the connection that matters least takes
    /// time, so a flood is refused without.
    pub(crate) spent: bool,
    /// A moment ago, none of this peer's connections could make room.
    pub(crate) in_vain: bool,
}

impl Room {
    /// Why a newcomer of a peer that is [`Room::spent`] is refused; `None` if no cap is reached but the peer's own: at that one it makes
    /// room itself, and is found quickly.
    fn full(&self) -> Option<Reason> {
        if self.pressed {
            Some(Reason::Descriptors)
        } else if self.open >= self.connections {
            Some(Reason::Full)
        } else {
            (self.waiting >= self.most_waiting).then_some(Reason::Peer)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Admit,
    /// Admit the newcomer and close this connection.
    Evict(u64),
    Refuse(Reason),
}

/// Decides about a newcomer. `seen` is asked only where a cap is reached.
pub(crate) fn admit(room: &Room, newcomer: Option<Peer>, seen: impl FnOnce() -> Vec<Seen>) -> Decision {
    if room.spent
        && let Some(reason) = room.full()
    {
        return Decision::Refuse(reason);
    }
    if newcomer.is_some() && room.of_peer >= room.per_peer {
        if room.in_vain {
            return Decision::Refuse(Reason::Peer);
        }
        // Its own idle connections make room, so that a program that leaves some behind (or shares the address) does not lock itself out.
        let own = seen().into_iter().filter(|s| s.peer == newcomer && tier(s) == Some(0));
        return own
            .min_by_key(|s| (s.phase, s.since))
            .map_or(Decision::Refuse(Reason::Peer), |s| Decision::Evict(s.id));
    }
    if room.pressed || room.open >= room.connections {
        let refusal = if room.pressed { Reason::Descriptors } else { Reason::Full };
        return victim(&seen(), newcomer, 2).map_or(Decision::Refuse(refusal), Decision::Evict);
    }
    if room.waiting >= room.most_waiting {
        let waiting: Vec<Seen> = seen().into_iter().filter(|s| s.phase == Phase::Waiting).collect();
        return victim(&waiting, newcomer, 0).map_or(Decision::Admit, Decision::Evict);
    }
    Decision::Admit
}

/// The connection to close: of the lowest tier, there of the peer with most connections, there the one that does least, the oldest.
/// Above tier 0 only a peer that has more connections than the newcomer's gives one up.
fn victim(seen: &[Seen], newcomer: Option<Peer>, highest: u8) -> Option<u64> {
    let mut all: HashMap<Option<Peer>, usize> = HashMap::new();
    let mut in_tier: HashMap<(Option<Peer>, u8), usize> = HashMap::new();
    for s in seen {
        *all.entry(s.peer).or_default() += 1;
        if let Some(tier) = tier(s) {
            *in_tier.entry((s.peer, tier)).or_default() += 1;
        }
    }
    let of = |peer| all.get(&peer).copied().unwrap_or(0);
    let mine = of(newcomer) + 1;
    let may = |s: &&Seen| tier(s).is_some_and(|tier| tier <= highest && (tier == 0 || of(s.peer) > mine));
    let order = |s: &&Seen| {
        let tier = tier(s).unwrap_or(u8::MAX);
        (tier, std::cmp::Reverse(in_tier.get(&(s.peer, tier)).copied().unwrap_or(0)), s.peer, s.phase, s.known, s.since)
    };
    seen.iter().filter(may).min_by_key(order).map(|s| s.id)
}

/// The connection whose unfinished head takes most memory.
pub(crate) fn largest(seen: &[Seen]) -> Option<u64> {
    seen.iter().filter(|s| s.buffered > 0).max_by_key(|s| (s.buffered, std::cmp::Reverse(s.since))).map(|s| s.id)
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
