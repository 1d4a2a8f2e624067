//! Connections by token. A token dies with its connection, so an event that comes late finds nothing.
use super::answer::{Asked, Reader};
use super::arrival;
use super::counters::Timing;
use super::poller::Poller;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// What a connection is doing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    Connecting,
    Idle,
    /// A request is on it: written up to `unsent` bytes before its end.
    Busy {
        timing: Timing,
        unsent: usize,
    },
}

/// One connection.
pub(crate) struct Conn {
    pub stream: TcpStream,
    pub state: State,
    pub opened: Instant,
    /// When it is to be replaced.
    pub expires: Option<Instant>,
    /// Takes no further request; closed as soon as it can be spared.
    pub retired: bool,
    pub reader: Reader,
    pub asked: Asked,
    /// The bytes of the request that could not be written at once, if any.
    pub rest: Vec<u8>,
    /// Whether the kernel notes when answers arrive.
    pub stamped: bool,
}

struct Slot {
    generation: u32,
    conn: Option<Conn>,
}

/// All connections.
#[derive(Default)]
pub(crate) struct Pool {
    slots: Vec<Slot>,
    free: Vec<u32>,
    open: usize,
    /// Connections ever opened: spreads their ends.
    opened: u32,
}

impl Pool {
    /// Connections that exist, in whatever state.
    pub fn len(&self) -> usize {
        self.open
    }

    /// Begins to connect. A `life` is stretched or cut by up to a quarter, so that connections opened together do not end together.
    /// `stamped`: the kernel is to note when answers arrive.
    pub fn open(
        &mut self,
        addr: SocketAddr,
        life: Option<Duration>,
        stamped: bool,
        now: Instant,
        poller: &Poller,
    ) -> io::Result<()> {
        let index = self.free.last().copied().unwrap_or(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        let generation = self.slots.get(index as usize).map_or(0, |s| s.generation);
        let stream = connect(addr)?;
        if stamped {
            arrival::note(&stream);
        }
        poller.add(stream.as_fd(), token(index, generation))?;
        self.opened = self.opened.wrapping_add(1);
        let conn = Conn {
            stream,
            state: State::Connecting,
            opened: now,
            expires: life.map(|l| now + l * (12 + self.opened % 8) / 16),
            retired: false,
            reader: Reader::default(),
            asked: Asked::default(),
            rest: Vec::new(),
            stamped,
        };
        if self.free.pop().is_some() {
            self.slots[index as usize].conn = Some(conn);
        } else {
            self.slots.push(Slot { generation, conn: Some(conn) });
        }
        self.open += 1;
        Ok(())
    }

    /// The connection of a token, while it lives.
    pub fn get(&mut self, token: u64) -> Option<&mut Conn> {
        let slot = self.slots.get_mut((token & u64::from(u32::MAX)) as usize)?;
        (u64::from(slot.generation) == token >> 32).then_some(slot.conn.as_mut()).flatten()
    }

    /// Closes it.
    pub fn close(&mut self, token: u64) -> Option<Conn> {
        self.get(token)?;
        let index = (token & u64::from(u32::MAX)) as u32;
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        self.open -= 1;
        slot.conn.take()
    }

    /// All of them, with their tokens.
    pub fn iter(&mut self) -> impl Iterator<Item = (u64, &mut Conn)> {
        (0_u32..).zip(&mut self.slots).filter_map(|(i, slot)| {
            let generation = slot.generation;
            slot.conn.as_mut().map(|c| (token(i, generation), c))
        })
    }
}

fn token(index: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index)
}

/// A socket that is connecting, and never blocks.
fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let family = if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket::socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
    match socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(addr)) {
        Ok(()) | Err(nix::errno::Errno::EINPROGRESS) => {}
        Err(e) => return Err(e.into()),
    }
    let stream = TcpStream::from(fd);
    stream.set_nodelay(true)?;
    Ok(stream)
}
