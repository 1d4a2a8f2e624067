//! Which endpoint of a cluster a request goes to.

use super::routing::{LiveCluster, LiveEndpoint};
use crate::table::Balance;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

/// Chooses by the cluster's policy. `draw` is uniform over 64 bits; `key` is what consistent hashing hashes; `avoid` is an endpoint
/// that just failed, taken only where there is no other.
pub(crate) fn choose(cluster: &LiveCluster, draw: u64, key: Option<u64>, avoid: Option<SocketAddr>) -> Option<&LiveEndpoint> {
    let all = &cluster.endpoints;
    let chosen = match all.as_slice() {
        [] => return None,
        [only] => return Some(only),
        _ => match (&cluster.policy.balance, key) {
            (Balance::RoundRobin, _) => &all[cluster.turn.fetch_add(1, Ordering::Relaxed) % all.len()],
            (Balance::LeastRequest, _) => less_busy(all, draw),
            (Balance::HashHeader(_) | Balance::HashCookie(_) | Balance::HashQuery(_), Some(key)) => highest(all, key)?,
            // Without a key Envoy draws, too.
            _ => &all[index(draw as u32, all.len())],
        },
    };
    if avoid == Some(chosen.upstream.address()) {
        let at = all.iter().position(|e| std::ptr::eq(e, chosen)).unwrap_or(0);
        return all.get((at + 1) % all.len());
    }
    Some(chosen)
}

fn index(draw: u32, len: usize) -> usize {
    ((u64::from(draw) * len as u64) >> 32) as usize
}

/// The less busy of two different ones; the first where they are equal.
fn less_busy(all: &[LiveEndpoint], draw: u64) -> &LiveEndpoint {
    let first = index(draw as u32, all.len());
    let second = (first + 1 + index((draw >> 32) as u32, all.len() - 1)) % all.len();
    if all[second].upstream.active() < all[first].upstream.active() { &all[second] } else { &all[first] }
}

/// Rendezvous hashing: an endpoint that comes or goes moves only its own share.
fn highest(all: &[LiveEndpoint], key: u64) -> Option<&LiveEndpoint> {
    all.iter().max_by_key(|e| mix(key ^ hash(e.upstream.address().to_string().as_bytes())))
}

/// FNV-1a, spread by [`mix`]; stable over processes, so that all sidecars agree.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)))
}

/// SplitMix64's finaliser.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
