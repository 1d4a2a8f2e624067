//! The node's addresses: one /20 of 127.64.0.0/10 claimed for this instance, and who has which address in it.
//!
//! A claim is a bound UDP socket in the block, so it ends with the process whatever happens to it.
use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// First address of 127.64.0.0/10.
const POOL: u32 = 0x7F40_0000;
/// Addresses in a block (/20).
const BLOCK: u32 = 4096;
/// Blocks in the pool.
const BLOCKS: u32 = 1024;
/// Port of the lock socket; below the ephemeral range, so that no outgoing socket sits on it by chance.
const LOCK_PORT: u16 = 20127;
/// Offsets of Services' addresses in the block.
const SERVICES: std::ops::Range<u32> = 16..512;
/// Offsets of pods' addresses; the private address of a pod's apps is [`PRIVATE`] further on.
const PODS: std::ops::Range<u32> = 512..2048;
const PRIVATE: u32 = 1536;

/// Why no block could be claimed.
#[derive(Debug, thiserror::Error)]
#[error("no free /20 in 127.64.0.0/10: {reason}. Pods need loopback addresses of their own (Linux, WSL2 or a container)")]
pub struct NetError {
    reason: String,
}

/// The claimed block.
#[derive(Debug)]
pub struct Network {
    base: u32,
    _lock: UdpSocket,
    pods: Mutex<Slots>,
    services: Mutex<Slots>,
}

/// Which offsets of a range are taken. Handed out in turn, so that an address rests before it is somebody else's.
#[derive(Debug)]
struct Slots {
    range: std::ops::Range<u32>,
    next: u32,
    used: BTreeMap<u32, Taken>,
}

/// An address in use.
#[derive(Clone, Copy, Debug)]
struct Taken {
    since: Instant,
    /// Whether an object that has it was seen in the store: then it is free as soon as none is.
    seen: bool,
}

impl Taken {
    fn now() -> Taken {
        Taken { since: Instant::now(), seen: false }
    }
}

impl Slots {
    fn new(range: std::ops::Range<u32>) -> Slots {
        Slots { next: range.start, range, used: BTreeMap::new() }
    }

    fn take(&mut self) -> Option<u32> {
        let len = self.range.end - self.range.start;
        let found = (0..len)
            .map(|step| self.range.start + (self.next - self.range.start + step) % len)
            .find(|slot| !self.used.contains_key(slot))?;
        self.used.insert(found, Taken::now());
        self.next = if found + 1 == self.range.end { self.range.start } else { found + 1 };
        Some(found)
    }
}

impl Network {
    /// Claims a block: the one this state folder had before if it is free, else the next free one after a place that
    /// depends on the folder, so that addresses mostly stay the same from one start to the next.
    pub fn claim(state_dir: &Path) -> Result<Arc<Network>, NetError> {
        let seed = state_dir.as_os_str().as_encoded_bytes().iter().fold(0x811C_9DC5_u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
        let mut reason = String::from("all are in use by other instances");
        for step in 0..BLOCKS {
            let base = POOL + (seed.wrapping_add(step) % BLOCKS) * BLOCK;
            match UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::from(base + 1), LOCK_PORT)) {
                Ok(lock) => {
                    return Ok(Arc::new(Network {
                        base,
                        _lock: lock,
                        pods: Mutex::new(Slots::new(PODS)),
                        services: Mutex::new(Slots::new(SERVICES)),
                    }));
                }
                Err(error) => {
                    if error.kind() != std::io::ErrorKind::AddrInUse {
                        reason = error.to_string();
                    }
                }
            }
        }
        Err(NetError { reason })
    }

    /// The node's own address.
    pub fn node_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    /// The block, as `podCIDR` has it.
    pub fn cidr(&self) -> String {
        format!("{}/20", Ipv4Addr::from(self.base))
    }

    /// Addresses for a pod, given back when the lease is dropped; none where 1,536 pods run.
    pub fn pod(self: &Arc<Self>) -> Option<PodLease> {
        let slot = lock(&self.pods).take()?;
        Some(PodLease { network: Arc::clone(self), slot })
    }

    /// Whether an address is of this instance: the node's, a pod's or a Service's.
    pub fn contains(&self, ip: Ipv4Addr) -> bool {
        u32::from(ip).checked_sub(self.base).is_some_and(|offset| offset < BLOCK)
    }

    /// Whether an address is one for Services of this block.
    pub fn is_service_ip(&self, ip: Ipv4Addr) -> bool {
        u32::from(ip).checked_sub(self.base).is_some_and(|offset| SERVICES.contains(&offset))
    }

    /// A new ClusterIP; none where all are taken.
    pub fn take_service_ip(&self) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::from(self.base + lock(&self.services).take()?))
    }

    /// Notes an address as taken; false where it is not of this block or somebody has it already.
    pub fn reserve_service_ip(&self, ip: Ipv4Addr) -> bool {
        let mut slots = lock(&self.services);
        let is_free = self.is_service_ip(ip) && !slots.used.contains_key(&(u32::from(ip) - self.base));
        if is_free {
            slots.used.insert(u32::from(ip) - self.base, Taken::now());
        }
        is_free
    }

    /// Takes the addresses in use, and frees others: those whose Service has gone, and those that were taken longer ago than
    /// `patience` for a Service that never came.
    pub fn settle_service_ips(&self, in_use: &HashSet<Ipv4Addr>, patience: Duration) {
        let mut slots = lock(&self.services);
        let is_used = |slot: u32| in_use.contains(&Ipv4Addr::from(self.base + slot));
        slots.used.retain(|slot, taken| is_used(*slot) || !taken.seen && taken.since.elapsed() < patience);
        for ip in in_use.iter().filter(|ip| self.is_service_ip(**ip)) {
            slots.used.entry(u32::from(*ip) - self.base).or_insert_with(Taken::now).seen = true;
        }
    }

    /// Gives an address back.
    pub fn release_service_ip(&self, ip: Ipv4Addr) {
        if self.is_service_ip(ip) {
            lock(&self.services).used.remove(&(u32::from(ip) - self.base));
        }
    }
}

/// A pod's addresses, for as long as this lives.
#[derive(Debug)]
pub struct PodLease {
    network: Arc<Network>,
    slot: u32,
}

impl PodLease {
    /// `status.podIP`.
    pub fn pod_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.network.base + self.slot)
    }

    /// Where the apps listen when a proxy owns the pod's address.
    pub fn private_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.network.base + self.slot + PRIVATE)
    }
}

impl Drop for PodLease {
    fn drop(&mut self) {
        lock(&self.network.pods).used.remove(&self.slot);
    }
}

/// Whether a port can be listened on; the error is for a pod's waiting message.
pub fn port_is_free(ip: Ipv4Addr, port: u16) -> Result<(), String> {
    match std::net::TcpListener::bind(SocketAddrV4::new(ip, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(format!(
            "port {port} of {ip} is in use: another program on this machine listens on 0.0.0.0:{port} or on that address"
        )),
        Err(error) => Err(format!("port {port} of {ip} cannot be listened on: {error}")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The sets are valid after any panic: each change is one call.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_instances_never_share_a_block() {
        let (one, two) = (Network::claim(Path::new("/same")).unwrap(), Network::claim(Path::new("/same")).unwrap());
        assert_ne!(one.cidr(), two.cidr());
    }

    #[test]
    fn an_address_rests_before_it_is_used_again() {
        let network = Network::claim(Path::new("/rest")).unwrap();
        let first = network.pod().unwrap().pod_ip();
        let second = network.pod().unwrap();
        assert_ne!(first, second.pod_ip());
        assert_ne!(second.pod_ip(), second.private_ip());
    }

    #[test]
    fn service_addresses_are_reserved_once() {
        let network = Network::claim(Path::new("/services")).unwrap();
        let ip = network.take_service_ip().unwrap();
        assert!(!network.reserve_service_ip(ip));
        network.release_service_ip(ip);
        assert!(network.reserve_service_ip(ip));
        let patience = Duration::from_secs(600);
        network.settle_service_ips(&HashSet::new(), patience);
        assert!(!network.reserve_service_ip(ip), "its Service may still come");
        network.settle_service_ips(&HashSet::from([ip]), patience);
        network.settle_service_ips(&HashSet::new(), patience);
        assert!(network.reserve_service_ip(ip), "its Service is gone");
        assert!(!network.reserve_service_ip(Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn a_blocked_port_is_named() {
        let network = Network::claim(Path::new("/blocked")).unwrap();
        let lease = network.pod().unwrap();
        let taken = std::net::TcpListener::bind((lease.pod_ip(), 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(port_is_free(lease.pod_ip(), port).unwrap_err().contains(&port.to_string()));
    }
}
