//! Which process gets a connection to an address: asks the kernel for the listening socket, and looks for it in a pod's processes.
//!
//! Pods have addresses of 127.0.0.0/8, so a service of the host that listens on 0.0.0.0 answers at each of them as well. A connection
//! on behalf of a pod must therefore be made only after this check. Source: sock_diag(7), proc(5).
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

/// Length of a request and of the part of an answer that is read. Unit: bytes.
const REQUEST: usize = 72;
const ANSWER: usize = 88;
/// Most of a dump that the kernel gives at once. Source: `NLMSG_GOODSIZE` and netlink_dump() of Linux, which stay below 32 KiB.
const PART: usize = 64 * 1024;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const TCP_LISTEN: u8 = 10;

/// The inode of the socket that a TCP connection to this address would reach; `None` if nothing listens there.
///
/// # Errors
/// The kernel does not answer such questions (no `tcp_diag`).
pub fn listener(ip: Ipv4Addr, port: u16) -> io::Result<Option<u32>> {
    let netlink =
        socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
    send(netlink.as_raw_fd(), &request(ip, port), MsgFlags::empty())?;
    let mut answer = [0; 1024];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    read_answer(answer.get(..length).unwrap_or_default())
}

/// `nlmsghdr` and `inet_diag_req_v2`: the socket at this local address that any peer would reach.
fn request(ip: Ipv4Addr, port: u16) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    put(0, &(REQUEST as u32).to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &NLM_F_REQUEST.to_ne_bytes());
    put(16, &[libc::AF_INET as u8, libc::IPPROTO_TCP as u8]);
    put(20, &u32::MAX.to_ne_bytes());
    put(24, &port.to_be_bytes());
    put(28, &ip.octets());
    // No cookie: the first socket that fits.
    put(64, &[0xff; 8]);
    bytes
}

/// The ports that TCP sockets of this machine listen on, by their exact IPv4 address. Costs microseconds for each of them.
///
/// # Errors
/// The kernel does not answer such questions (no `tcp_diag`).
pub fn all_listeners() -> io::Result<HashMap<Ipv4Addr, BTreeSet<u16>>> {
    let netlink =
        socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
    let mut question = request(Ipv4Addr::UNSPECIFIED, 0);
    question[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    question[20..24].copy_from_slice(&(1_u32 << TCP_LISTEN).to_ne_bytes());
    send(netlink.as_raw_fd(), &question, MsgFlags::empty())?;
    let mut all = HashMap::<Ipv4Addr, BTreeSet<u16>>::new();
    let mut part = vec![0; PART];
    loop {
        let length = recv(netlink.as_raw_fd(), &mut part, MsgFlags::empty())?;
        if read_part(part.get(..length).unwrap_or_default(), &mut all)? {
            return Ok(all);
        }
    }
}

/// Reads a part of a dump, which holds several messages. Returns whether it is the last one.
fn read_part(mut part: &[u8], all: &mut HashMap<Ipv4Addr, BTreeSet<u16>>) -> io::Result<bool> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    while let Some((length, kind)) = part
        .first_chunk::<6>()
        .map(|[a, b, c, d, e, f]| (u32::from_ne_bytes([*a, *b, *c, *d]) as usize, u16::from_ne_bytes([*e, *f])))
    {
        let message = part.get(..length).filter(|message| message.len() >= 16).ok_or_else(invalid)?;
        match kind {
            NLMSG_DONE => return Ok(true),
            SOCK_DIAG_BY_FAMILY => {
                let &[high, low] = message.get(20..22).and_then(<[u8]>::first_chunk).ok_or_else(invalid)?;
                let &[a, b, c, d] = message.get(24..28).and_then(<[u8]>::first_chunk).ok_or_else(invalid)?;
                all.entry(Ipv4Addr::new(a, b, c, d)).or_default().insert(u16::from_be_bytes([high, low]));
            }
            _ => return read_answer(message).and(Err(invalid())),
        }
        // Messages begin at multiples of four bytes.
        part = part.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// An error, or an `inet_diag_msg`.
fn read_answer(answer: &[u8]) -> io::Result<Option<u32>> {
    let number = |at: usize| answer.get(at..at + 4).and_then(|part| part.try_into().ok()).map(u32::from_ne_bytes);
    let kind = answer.get(4..6).and_then(|part| part.try_into().ok()).map(u16::from_ne_bytes);
    match (kind, number(16)) {
        (Some(NLMSG_ERROR), Some(error)) => match (error as i32).wrapping_neg() {
            libc::ENOENT => Ok(None),
            code => Err(io::Error::from_raw_os_error(code)),
        },
        (Some(SOCK_DIAG_BY_FAMILY), _) if answer.len() >= ANSWER => Ok(number(84).filter(|_| answer[17] == TCP_LISTEN)),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}

/// Whether [`listener`] finds what listens. Without `tcp_diag` the kernel's answer is the same as for "nothing there", so a socket that
/// is known to listen is looked for, once. To read `/proc/net/tcp` instead costs milliseconds for each question.
fn kernel_answers() -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    *ANSWERS.get_or_init(|| {
        let ip = Ipv4Addr::LOCALHOST;
        let port = TcpListener::bind((ip, 0)).and_then(|known| Ok((known.local_addr()?.port(), known)));
        port.is_ok_and(|(port, _known)| listener(ip, port).is_ok_and(|found| found.is_some()))
    })
}

/// The same by `/proc/net/tcp`, for kernels without `tcp_diag`. An exact address comes before 0.0.0.0.
fn listener_by_proc(ip: Ipv4Addr, port: u16) -> io::Result<Option<u32>> {
    let four = std::fs::read_to_string("/proc/net/tcp")?;
    // A socket of IPv6 that listens everywhere takes IPv4 as well, unless it was told not to; that cannot be seen here.
    let six = std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    Ok(find(&four, &hex(ip), port)
        .or_else(|| find(&four, "00000000", port))
        .or_else(|| find(&six, &"0".repeat(32), port)))
}

fn hex(ip: Ipv4Addr) -> String {
    format!("{:08X}", u32::from_ne_bytes(ip.octets()))
}

fn find(table: &str, address: &str, port: u16) -> Option<u32> {
    let local = format!("{address}:{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (at, state) = (fields.nth(1)?, fields.nth(1)?);
        if at == local && state == "0A" { fields.nth(5)?.parse().ok() } else { None }
    })
}

/// Whether the process has the socket open. `false` if it cannot be looked at: it has ended, or is another user's.
pub fn has_socket(pid: i32, inode: u32) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str()))
}

/// Processes of a pod's containers: those that the node started, and what runs in their process groups.
fn members(leaders: &[i32]) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(*pid)))
            .is_ok_and(|group| leaders.contains(&group.as_raw()))
    })
    .collect()
}

/// Sockets that were seen in a pod's processes: an inode stays a socket's own for as long as it is open, so it is looked up once.
#[derive(Debug, Default)]
pub struct Sockets(Mutex<HashMap<u32, Seen>>);

/// A socket's process, as the node started it; `None` if it is not the pod's. When it was looked for.
type Seen = (Option<i32>, Instant);

/// Most sockets that are remembered.
const REMEMBERED: usize = 256;
/// How long a socket counts as somebody else's. A process listens a moment before the node has noted that it runs.
const FOREIGN: Duration = Duration::from_millis(250);

impl Sockets {
    /// Whether one of these processes, or of their groups, gets a connection to the address.
    pub fn reached(&self, leaders: &[i32], ip: Ipv4Addr, port: u16) -> bool {
        let found = if kernel_answers() { listener(ip, port) } else { listener_by_proc(ip, port) };
        let Some(inode) = found.ok().flatten() else { return false };
        match self.lock().get(&inode) {
            Some((Some(owner), _)) if leaders.contains(owner) => return true,
            Some((None, since)) if since.elapsed() < FOREIGN => return false,
            _ => {}
        }
        let has = |pid: &i32| has_socket(*pid, inode);
        let owner = leaders
            .iter()
            .copied()
            .find(has)
            .or_else(|| leaders.first().copied().filter(|_| members(leaders).iter().any(has)));
        let mut sockets = self.lock();
        if sockets.len() >= REMEMBERED {
            sockets.clear();
        }
        sockets.insert(inode, (owner, Instant::now()));
        owner.is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Seen>> {
        // Each change is one call, so the map is valid after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an endpoint's address is one that nobody outside this machine could have: it then must be a pod's.
pub fn is_local(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

/// Whether a Service's endpoint may have this address at all.
pub fn is_unicast(to: SocketAddr) -> bool {
    let link_local = match to.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !link_local && !to.ip().to_canonical().is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lookup = fn(Ipv4Addr, u16) -> io::Result<Option<u32>>;

    #[test]
    fn the_socket_that_the_kernel_would_choose_is_found_both_ways() {
        assert!(kernel_answers(), "the machine of the tests has tcp_diag");
        let own = Ipv4Addr::new(127, 64, 255, 77);
        for (name, look) in [("sock_diag", listener as Lookup), ("/proc/net/tcp", listener_by_proc as Lookup)] {
            let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
            let port = everywhere.local_addr().unwrap().port();
            let wide = look(own, port).unwrap().unwrap();
            assert!(has_socket(std::process::id() as i32, wide), "{name}");
            let exact = TcpListener::bind((own, 0)).unwrap();
            let port = exact.local_addr().unwrap().port();
            assert_ne!(look(own, port).unwrap(), Some(wide), "{name}");
            assert_eq!(look(Ipv4Addr::new(127, 64, 255, 78), port).unwrap(), None, "{name}");
            drop(exact);
            assert_eq!(look(own, port).unwrap(), None, "{name}");
        }
    }

    #[test]
    fn all_that_listens_is_told_by_address() {
        let (own, other) = (Ipv4Addr::new(127, 64, 255, 80), Ipv4Addr::new(127, 64, 255, 81));
        let bound: Vec<TcpListener> =
            [(own, 0), (own, 0), (other, 0)].into_iter().map(|at| TcpListener::bind(at).unwrap()).collect();
        let ports: Vec<u16> = bound.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let all = all_listeners().unwrap();
        assert_eq!(all[&own], BTreeSet::from([ports[0], ports[1]]));
        assert_eq!(all[&other], BTreeSet::from([ports[2]]));
        drop(bound);
        assert!(!all_listeners().unwrap().contains_key(&own));
    }

    #[test]
    fn a_socket_of_another_process_is_not_the_pods() {
        let (sockets, ip) = (Sockets::default(), Ipv4Addr::new(127, 64, 255, 79));
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(sockets.reached(&[std::process::id() as i32], ip, port));
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let others = [other.id() as i32];
        assert!(!sockets.reached(&others, ip, port), "the remembered owner is not one of these");
        assert!(!sockets.reached(&[], ip, port));
        other.kill().unwrap();
        other.wait().unwrap();
        drop(listener);
        assert!(!sockets.reached(&[std::process::id() as i32], ip, port));
    }

    #[test]
    fn answers_of_the_kernel_are_read_and_others_refused() {
        let error = |code: i32| {
            let mut bytes = vec![0; 36];
            bytes[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
            bytes[16..20].copy_from_slice(&(-code).to_ne_bytes());
            bytes
        };
        assert_eq!(read_answer(&error(libc::ENOENT)).unwrap(), None);
        assert_eq!(read_answer(&error(libc::EPERM)).unwrap_err().raw_os_error(), Some(libc::EPERM));
        for short in 0..40 {
            assert!(read_answer(&vec![0; short]).is_err(), "{short}");
        }
    }

    #[test]
    fn addresses_are_told_apart_in_every_spelling() {
        for (text, local, unicast) in [
            ("127.0.0.1", true, true),
            ("0.0.0.0", true, true),
            ("::1", true, true),
            ("::", true, true),
            ("::ffff:127.0.0.1", true, true),
            ("10.0.0.1", false, true),
            ("169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("::ffff:169.254.0.1", false, false),
            ("224.0.0.1", false, false),
            ("ff02::1", false, false),
            ("255.255.255.255", false, false),
        ] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!((is_local(ip), is_unicast(SocketAddr::new(ip, 1))), (local, unicast), "{text}");
        }
    }
}
