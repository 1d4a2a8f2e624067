//! Which endpoint of a cluster a request goes to.

use super::routing::{LiveCluster, LiveEndpoint};
use crate::table::Balance;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Chooses by the cluster's policy. `draw` is uniform over 64 bits; `key` is what consistent hashing hashes; `avoid` are endpoints
/// that just failed, taken only where there is no other.
pub(crate) fn choose<'c>(
    cluster: &'c LiveCluster,
    draw: u64,
    key: Option<u64>,
    avoid: &[SocketAddr],
) -> Option<&'c LiveEndpoint> {
    let all = &cluster.endpoints;
    if let Some(detector) = cluster.detector.as_ref().filter(|d| d.any_out()) {
        let now = Instant::now();
        let inside: Vec<&LiveEndpoint> = all.iter().filter(|e| detector.is_in(&e.health, now)).collect();
        if !detector.panics(inside.len(), all.len()) {
            return among(cluster, inside.len(), |i| inside[i], draw, key, avoid);
        }
    }
    among(cluster, all.len(), |i| &all[i], draw, key, avoid)
}

/// The same among `len` endpoints, which `at` gives.
fn among<'c>(
    cluster: &LiveCluster,
    len: usize,
    at: impl Fn(usize) -> &'c LiveEndpoint,
    draw: u64,
    key: Option<u64>,
    avoid: &[SocketAddr],
) -> Option<&'c LiveEndpoint> {
    let chosen = match (len, &cluster.policy.balance, key) {
        (0, ..) => return None,
        (1, ..) => return Some(at(0)),
        (_, Balance::RoundRobin, _) => cluster.turn.fetch_add(1, Ordering::Relaxed) % len,
        (_, Balance::LeastRequest, _) => less_busy(len, &at, draw),
        (
            _,
            Balance::HashHeader(_) | Balance::HashCookie(_) | Balance::HashQuery(_) | Balance::HashSourceIp,
            Some(key),
        ) => highest(len, &at, key),
        // Without a key Envoy draws, too.
        _ => index(draw as u32, len),
    };
    let others = (0..len).map(|i| (chosen + i) % len);
    let next =
        others.into_iter().find(|i| avoid.is_empty() || !avoid.contains(&at(*i).upstream.address())).unwrap_or(chosen);
    Some(at(next))
}

fn index(draw: u32, len: usize) -> usize {
    ((u64::from(draw) * len as u64) >> 32) as usize
}

/// The less busy of two different ones; the first where they are equal.
fn less_busy<'c>(len: usize, at: impl Fn(usize) -> &'c LiveEndpoint, draw: u64) -> usize {
    let first = index(draw as u32, len);
    let second = (first + 1 + index((draw >> 32) as u32, len - 1)) % len;
    if at(second).upstream.active() < at(first).upstream.active() { second } else { first }
}

/// Rendezvous hashing: an endpoint that comes or goes moves only its own share.
fn highest<'c>(len: usize, at: impl Fn(usize) -> &'c LiveEndpoint, key: u64) -> usize {
    (0..len).max_by_key(|i| mix(key ^ hash(at(*i).upstream.address().to_string().as_bytes()))).unwrap_or(0)
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
