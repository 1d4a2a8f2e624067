//! Many sockets on one thread: viewers that read, viewers that do not, and hostile connections from an address of their own.
use crate::sh::{Context, Result, cmd, error, output};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Lets this process, and the panel that it starts, open as many descriptors as the system allows.
pub fn raise_descriptor_limit() -> Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).context("raise the limit of open files")
}

/// One open live stream.
pub struct Viewer {
    stream: TcpStream,
    open: bool,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    last: Option<u32>,
}

/// Open live streams.
pub struct Viewers {
    poll: Poll,
    all: Vec<Viewer>,
}

/// Opens `count` live streams of the default namespace.
pub fn viewers(address: SocketAddr, query: &str, count: usize) -> Result<Viewers> {
    let poll = Poll::new().context("make a poll")?;
    let mut all = Vec::new();
    for n in 0..count {
        let mut stream = open_stream(address, query)?;
        poll.registry().register(&mut stream, Token(n), Interest::READABLE).context("watch a viewer")?;
        all.push(Viewer { stream, open: true, line: Vec::new(), last: None });
    }
    Ok(Viewers { poll, all })
}

fn open_stream(address: SocketAddr, query: &str) -> Result<TcpStream> {
    let mut stream = std::net::TcpStream::connect(address).context("open a live stream")?;
    let head = format!("GET /api/demo/live{query} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n");
    stream.write_all(head.as_bytes()).and_then(|()| stream.set_nonblocking(true)).context("ask for a live stream")?;
    Ok(TcpStream::from_std(stream))
}

impl Viewers {
    /// Reads what comes until `end`.
    pub fn read_until(&mut self, end: Instant, mut each: impl FnMut(&mut Viewer, &[u8])) -> Result<()> {
        let (mut events, mut buffer) = (Events::with_capacity(1_024), vec![0; 64 * 1024]);
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            match self.poll.poll(&mut events, Some(left)) {
                Err(e) if e.kind() != ErrorKind::Interrupted => {
                    return Err(error(format!("cannot wait for viewers: {e}")));
                }
                _ => {}
            }
            for event in &events {
                let Some(viewer) = self.all.get_mut(event.token().0) else { continue };
                while viewer.open {
                    match viewer.stream.read(&mut buffer) {
                        Ok(0) => viewer.open = false,
                        Ok(n) => each(viewer, &buffer[..n]),
                        Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                        Err(e) if e.kind() == ErrorKind::Interrupted => {}
                        Err(_) => viewer.open = false,
                    }
                }
            }
        }
        Ok(())
    }

    /// How many the panel has closed.
    pub fn closed(&self) -> usize {
        self.all.iter().filter(|viewer| !viewer.open).count()
    }
}

impl Viewer {
    /// The desired shares of v2 (`desired` on the wire) that these bytes bring, where they differ from the one before.
    pub fn desired(&mut self, bytes: &[u8]) -> Vec<u32> {
        self.line.extend_from_slice(bytes);
        let mut found = Vec::new();
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let text = String::from_utf8_lossy(&line);
            let Some(desired) = text.split_once(r#""desired":{"#).and_then(|(_, rest)| rest.split_once('}')) else {
                continue;
            };
            let desired: Option<Value> = serde_json::from_str(&format!("{{{}}}", desired.0)).ok();
            let v2 = desired.and_then(|desired| desired["v2"].as_u64()).and_then(|v2| u32::try_from(v2).ok());
            if v2.is_some() && v2 != self.last {
                self.last = v2;
                found.extend(v2);
            }
        }
        found
    }
}

/// Live streams that nobody reads.
pub struct Stalled(Vec<TcpStream>);

/// Opens `count` of them, with the receive buffers that the system gives.
pub fn stalled(address: SocketAddr, count: usize) -> Result<Stalled> {
    (0..count).map(|_| open_stream(address, "")).collect::<Result<_>>().map(Stalled)
}

impl Stalled {
    /// How many the panel has dropped. Asks the kernel and reads nothing, so that they stay stalled.
    pub fn count_closed(&mut self) -> Result<usize> {
        let mut poll = Poll::new().context("make a poll")?;
        for (n, stream) in self.0.iter_mut().enumerate() {
            poll.registry().register(stream, Token(n), Interest::READABLE).context("watch a viewer")?;
        }
        let mut events = Events::with_capacity(self.0.len());
        poll.poll(&mut events, Some(Duration::ZERO)).context("look at the viewers")?;
        let closed = events.iter().filter(|event| event.is_read_closed() || event.is_error()).count();
        for stream in &mut self.0 {
            poll.registry().deregister(stream).context("leave a viewer")?;
        }
        Ok(closed)
    }
}

/// KiB of kernel memory that the sockets of a local port hold: what was received and not read, queued to be sent, and reserved.
/// Source: `ss(8)`, `skmem`.
pub fn kernel_kib(port: u16) -> Result<f64> {
    let text = output(cmd("ss").args(["-tmnH", "sport", "=", &format!(":{port}")]))?;
    let fields =
        text.split("skmem:(").skip(1).filter_map(|rest| rest.split(')').next()).flat_map(|list| list.split(','));
    let bytes = fields.filter_map(|field| {
        let (name, digits) = field.split_at(field.find(|c: char| c.is_ascii_digit())?);
        ["r", "w", "f"].contains(&name).then(|| digits.parse::<f64>().ok())?
    });
    Ok(bytes.sum::<f64>() / 1024.0)
}

/// A client's own address, so that its connections count as one peer's.
pub const HOSTILE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Connections that each send the beginning of something and never its end.
pub struct Flood {
    connections: Vec<(TcpStream, usize)>,
    part: Vec<u8>,
}

impl Flood {
    /// Starts up to `count` connections from [`HOSTILE`]; fewer where the system refuses more.
    pub fn start(to: SocketAddr, count: usize, part: Vec<u8>) -> Result<Flood> {
        let mut connections = Vec::new();
        for _ in 0..count {
            let socket =
                Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).context("make a hostile connection")?;
            // One local address has some 28,000 ports; this lets the kernel choose at connect.
            let bound = socket.bind(&SocketAddr::from((HOSTILE, 0)).into()).and_then(|()| socket.set_nonblocking(true));
            bound.context("bind a hostile connection")?;
            // In progress, refused, or the backlog is full: each is the listener's answer to a flood.
            let _ = socket.connect(&to.into());
            connections.push((TcpStream::from_std(socket.into()), 0));
        }
        Ok(Flood { connections, part })
    }

    /// Sends as much more as the other side takes; a connection that was closed is opened anew by the next flood only.
    pub fn push(&mut self) {
        for (stream, sent) in &mut self.connections {
            while *sent < self.part.len() {
                match stream.write(&self.part[*sent..]) {
                    Ok(n) if n > 0 => *sent += n,
                    _ => break,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_sees_each_desired_share_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut viewer = Viewer { stream: TcpStream::from_std(stream), open: true, line: Vec::new(), last: None };
        let text = "event: traffic\ndata: {\"x\":1,\"desired\":{\"v1\":80,\"v2\":20}}\n\nevent: traffic\ndata: {\"desired\":{\"v1\":80,\"v2\":20}}\n\n";
        let (first, rest) = text.as_bytes().split_at(40);
        assert!(viewer.desired(first).is_empty());
        assert_eq!(viewer.desired(rest), [20]);
        assert_eq!(viewer.desired(b"data: {\"desired\":{\"v1\":79,\"v2\":21}}\n"), [21]);
    }
}
