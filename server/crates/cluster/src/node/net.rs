//! The node's addresses: blocks (/20) of 127.64.0.0/10 claimed for this instance, and who has which address in them.
//!
//! A claim is a bound UDP socket in the block, so it ends with the process whatever happens to it.
use std::collections::{BTreeMap, BTreeSet, HashSet};
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

/// Pods that one block has addresses for.
pub const PODS_PER_BLOCK: u64 = (PODS.end - PODS.start) as u64;
/// Pods that all blocks together have addresses for.
pub const PODS_OF_ALL_BLOCKS: u64 = PODS_PER_BLOCK * BLOCKS as u64;

/// Why no block could be claimed.
#[derive(Debug, thiserror::Error)]
#[error(
    "no free /20 in 127.64.0.0/10: {reason}. Pods need loopback addresses of their own (Linux, WSL2 or a container)"
)]
pub struct NetError {
    reason: String,
}

/// The claimed blocks. The first one is kept for the life of the process; others are claimed when all addresses are taken, and
/// released when they are empty.
#[derive(Debug)]
pub struct Network {
    /// Of the first block.
    base: u32,
    /// In the order in which they were claimed; never empty.
    blocks: Mutex<Vec<Block>>,
    /// Most blocks to claim.
    most: usize,
}

/// A claimed /20.
#[derive(Debug)]
struct Block {
    base: u32,
    /// Dropping it releases the claim.
    _lock: UdpSocket,
    pods: Slots,
    services: Slots,
}

impl Block {
    /// Claims the block; the error is the operating system's.
    fn claim(base: u32) -> std::io::Result<Block> {
        let lock = UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::from(base + 1), LOCK_PORT))?;
        Ok(Block { base, _lock: lock, pods: Slots::new(PODS), services: Slots::new(SERVICES) })
    }

    /// Claims the first free block of the pool, starting at block number `from`. The error says why there is none.
    fn claim_next(from: u32) -> Result<Block, String> {
        let mut reason = String::from("all are in use by other instances");
        for step in 0..BLOCKS {
            match Block::claim(POOL + (from.wrapping_add(step) % BLOCKS) * BLOCK) {
                Ok(block) => return Ok(block),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
                Err(error) => reason = error.to_string(),
            }
        }
        Err(reason)
    }

    fn owns(&self, ip: Ipv4Addr) -> bool {
        u32::from(ip).checked_sub(self.base).is_some_and(|offset| offset < BLOCK)
    }

    fn has_service_ip(&self, ip: Ipv4Addr) -> bool {
        u32::from(ip).checked_sub(self.base).is_some_and(|offset| SERVICES.contains(&offset))
    }

    fn is_empty(&self) -> bool {
        self.pods.used.is_empty() && self.services.used.is_empty()
    }
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
        if self.used.len() >= len as usize {
            return None;
        }
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
        let seed = state_dir
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        let block = Block::claim_next(seed % BLOCKS).map_err(|reason| NetError { reason })?;
        Ok(Arc::new(Network { base: block.base, blocks: Mutex::new(vec![block]), most: BLOCKS as usize }))
    }

    /// One that never claims a second block.
    #[cfg(test)]
    pub fn of_one_block(state_dir: &Path) -> Arc<Network> {
        let network = Network::claim(state_dir).unwrap();
        Arc::new(Network { most: 1, ..Arc::into_inner(network).unwrap() })
    }

    /// The node's own address.
    pub fn node_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    /// The first block, as `podCIDR` has it.
    pub fn cidr(&self) -> String {
        format!("{}/20", Ipv4Addr::from(self.base))
    }

    /// Whether an address lies in a block that this instance has claimed.
    pub fn owns(&self, ip: Ipv4Addr) -> bool {
        lock(&self.blocks).iter().any(|block| block.owns(ip))
    }

    /// Addresses for a pod, given back when the lease is dropped. Claims another block when all addresses are taken; returns `None`
    /// if other instances have claimed all of them.
    pub fn pod(self: &Arc<Self>) -> Option<PodLease> {
        let ip = take(&mut lock(&self.blocks), self.most, |block| block.pods.take())?;
        Some(PodLease { network: Arc::clone(self), ip })
    }

    /// Whether an address is one for Services in a claimed block.
    pub fn is_service_ip(&self, ip: Ipv4Addr) -> bool {
        lock(&self.blocks).iter().any(|block| block.has_service_ip(ip))
    }

    /// A new ClusterIP. Claims another block when all addresses are taken; returns `None` if other instances have claimed all of them.
    pub fn take_service_ip(&self) -> Option<Ipv4Addr> {
        take(&mut lock(&self.blocks), self.most, |block| block.services.take()).map(Ipv4Addr::from)
    }

    /// Notes an address as taken; false where it is of no claimed block or somebody has it already.
    pub fn reserve_service_ip(&self, ip: Ipv4Addr) -> bool {
        let mut blocks = lock(&self.blocks);
        let Some(block) = blocks.iter_mut().find(|block| block.has_service_ip(ip)) else { return false };
        let slot = u32::from(ip) - block.base;
        let is_free = !block.services.used.contains_key(&slot);
        if is_free {
            block.services.used.insert(slot, Taken::now());
        }
        is_free
    }

    /// Takes the addresses in use, and frees others: those whose Service has gone, and those that were taken longer ago than
    /// `patience` for a Service that never came. Claims again the blocks of addresses in use that an earlier run had claimed.
    /// Returns the addresses of the pool whose block another instance has; in order.
    pub fn settle_service_ips(&self, in_use: &HashSet<Ipv4Addr>, patience: Duration) -> BTreeSet<Ipv4Addr> {
        let mut blocks = lock(&self.blocks);
        let mut lost = BTreeSet::new();
        for ip in in_use {
            let Some(base) = service_block(*ip) else { continue };
            if blocks.iter().any(|block| block.base == base) {
                continue;
            }
            match Block::claim(base) {
                Ok(block) => blocks.push(block),
                Err(_) => drop(lost.insert(*ip)),
            }
        }
        for block in blocks.iter_mut() {
            let base = block.base;
            let is_used = |slot: u32| in_use.contains(&Ipv4Addr::from(base + slot));
            block.services.used.retain(|slot, taken| is_used(*slot) || !taken.seen && taken.since.elapsed() < patience);
        }
        for ip in in_use {
            if let Some(block) = blocks.iter_mut().find(|block| block.has_service_ip(*ip)) {
                block.services.used.entry(u32::from(*ip) - block.base).or_insert_with(Taken::now).seen = true;
            }
        }
        release_empty(&mut blocks);
        lost
    }

    /// Gives an address back.
    pub fn release_service_ip(&self, ip: Ipv4Addr) {
        let mut blocks = lock(&self.blocks);
        if let Some(block) = blocks.iter_mut().find(|block| block.has_service_ip(ip)) {
            block.services.used.remove(&(u32::from(ip) - block.base));
        }
        release_empty(&mut blocks);
    }
}

/// An address from the first block that has one, else from a new block.
fn take(blocks: &mut Vec<Block>, most: usize, mut from: impl FnMut(&mut Block) -> Option<u32>) -> Option<u32> {
    if let Some(ip) = blocks.iter_mut().find_map(|block| Some(block.base + from(block)?)) {
        return Some(ip);
    }
    if blocks.len() >= most {
        return None;
    }
    let after = blocks.last().map_or(0, |block| (block.base - POOL) / BLOCK + 1);
    match Block::claim_next(after) {
        Ok(mut block) => {
            tracing::info!("All addresses are taken: claimed {}/20 as well", Ipv4Addr::from(block.base));
            let ip = from(&mut block).map(|slot| block.base + slot);
            blocks.push(block);
            ip
        }
        Err(reason) => {
            tracing::warn!("All addresses are taken, and no other /20 of 127.64.0.0/10 can be claimed: {reason}");
            None
        }
    }
}

/// Releases the claims on empty blocks; the first one stays, the node's own address is in it.
fn release_empty(blocks: &mut Vec<Block>) {
    let mut index = 0;
    blocks.retain(|block| {
        index += 1;
        index == 1 || !block.is_empty()
    });
}

/// The block of a ClusterIP that this program gave out; `None` for any other address.
fn service_block(ip: Ipv4Addr) -> Option<u32> {
    let offset = u32::from(ip).checked_sub(POOL).filter(|offset| *offset < BLOCKS * BLOCK)?;
    SERVICES.contains(&(offset % BLOCK)).then_some(POOL + offset / BLOCK * BLOCK)
}

/// A pod's addresses, for as long as this lives.
#[derive(Debug)]
pub struct PodLease {
    network: Arc<Network>,
    ip: u32,
}

impl PodLease {
    /// `status.podIP`.
    pub fn pod_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.ip)
    }

    /// Where the apps listen when a proxy owns the pod's address.
    pub fn private_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.ip + PRIVATE)
    }
}

impl Drop for PodLease {
    fn drop(&mut self) {
        let mut blocks = lock(&self.network.blocks);
        if let Some(block) = blocks.iter_mut().find(|block| block.owns(Ipv4Addr::from(self.ip))) {
            block.pods.used.remove(&(self.ip - block.base));
        }
        release_empty(&mut blocks);
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
    // The blocks are valid after any panic: each change is one call.
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
    fn another_block_is_claimed_when_all_addresses_are_taken_and_released_when_it_is_empty() {
        let network = Network::claim(Path::new("/grows")).unwrap();
        let services: Vec<_> = (SERVICES.start..=SERVICES.end).map(|_| network.take_service_ip().unwrap()).collect();
        let last = services[services.len() - 1];
        assert_eq!(services.iter().collect::<HashSet<_>>().len(), services.len());
        assert!(network.is_service_ip(last) && network.owns(last));
        assert!(!network.reserve_service_ip(last), "it is taken");
        let pods: Vec<_> = (PODS.start..=PODS.end).map(|_| network.pod().unwrap()).collect();
        let far = pods[pods.len() - 1].private_ip();
        assert!(
            network.owns(far) && service_block(last) == service_block(Ipv4Addr::from(u32::from(far) & !0xFFF | 16)),
            "both share the second block"
        );
        drop(pods);
        assert!(network.owns(last), "its Service still has it");
        network.release_service_ip(last);
        assert!(!network.owns(last), "an empty block is released");
        assert!(network.owns(services[0]));
    }

    #[test]
    fn the_blocks_of_stored_services_are_claimed_again_unless_another_instance_has_them() {
        let network = Network::claim(Path::new("/again")).unwrap();
        let services: Vec<_> = (SERVICES.start..=SERVICES.end).map(|_| network.take_service_ip().unwrap()).collect();
        let in_use: HashSet<_> = services.iter().copied().collect();
        drop(network);
        let next = Network::claim(Path::new("/again")).unwrap();
        assert_eq!(next.settle_service_ips(&in_use, Duration::ZERO), BTreeSet::new());
        assert!(services.iter().all(|ip| next.is_service_ip(*ip) && !next.reserve_service_ip(*ip)));
        // While it is away, another instance claims the second block.
        drop(next);
        let last = services[services.len() - 1];
        let other = Block::claim(service_block(last).unwrap()).unwrap();
        let third = Network::claim(Path::new("/again")).unwrap();
        assert_eq!(third.settle_service_ips(&in_use, Duration::ZERO), BTreeSet::from([last]));
        drop(other);
        assert_eq!(third.settle_service_ips(&in_use, Duration::ZERO), BTreeSet::new(), "it is free again");
    }

    #[test]
    fn addresses_of_nobodys_block_are_never_ours() {
        let network = Network::claim(Path::new("/foreign")).unwrap();
        for ip in ["127.0.0.1", "10.0.0.1", "127.64.0.0", "127.255.255.255", "0.0.0.0"] {
            let ip: Ipv4Addr = ip.parse().unwrap();
            assert_eq!(service_block(ip), None, "{ip}");
            assert!(!network.is_service_ip(ip), "{ip}");
        }
        assert!(network.owns(network.node_ip()) && !network.owns(Ipv4Addr::LOCALHOST));
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
