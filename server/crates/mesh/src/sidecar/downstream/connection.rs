//! A client's connection of HTTP/1.1: where it comes from, its buffers, and how a head is read from it.

use super::client_timeout::{ClientTimeout, Waited};
use super::sniff::looks_like_http;
use crate::sidecar::budget::Charge;
use crate::sidecar::buffer::Buffer;
use crate::sidecar::shared::Shared;
use crate::sidecar::upstream::pin::Pin;
use crate::sidecar::upstream::routing::LiveCluster;
use crate::table::Protocol;
use http1::{Framing, HeadEnd, MAX_HEAD, Refusal, head_end, is_preface};
use listen::{Conn, Guarded, Reason};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where a listener's requests come from.
pub(crate) enum Side {
    /// From the app.
    Outbound,
    /// To the app, which is this cluster.
    Inbound { app: Arc<LiveCluster>, speaks: Speaks },
}

/// What a port of the app speaks, as the newest table says it.
#[derive(Default)]
pub(crate) struct Speaks(Mutex<Option<(u64, Protocol)>>);

impl Speaks {
    /// Looks once for each table: that is a walk over all Services.
    pub(crate) fn now(&self, shared: &Shared, port: u16) -> Protocol {
        let routing = shared.routing();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *known {
            Some((revision, protocol)) if revision == routing.revision => protocol,
            _ => {
                let protocol = routing.endpoint_protocol(SocketAddr::new(shared.config.pod_ip, port));
                *known = Some((routing.revision, protocol));
                protocol
            }
        }
    }
}

impl Side {
    /// The app's side, by this port of it.
    pub(crate) fn inbound(shared: &Shared, port: u16) -> Side {
        let app = SocketAddr::new(shared.config.app_ip, port);
        let reach = shared.config.reach.as_ref();
        let app = LiveCluster::single(format!("inbound|{port}||"), app, shared.black_hole, reach);
        Side::Inbound { app: Arc::new(app), speaks: Speaks::default() }
    }
}

/// Longest rest between two requests of a connection.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Heads up to this size cost nothing of the memory budget.
pub(crate) const ORDINARY: usize = 4 * 1024;

/// The connection that a request came by.
pub(crate) struct Downstream {
    pub(crate) stream: Guarded<TcpStream>,
    pub(crate) conn: Conn,
    pub(crate) timeout: ClientTimeout,
    /// For heads beyond the ordinary size.
    pub(crate) charge: Charge,
    pub(crate) buffer: Buffer,
    /// The head that goes upstream, and what of the body came with it; kept until the answer, so that it can be sent again.
    pub(crate) out: Vec<u8>,
    /// The head that goes back.
    pub(crate) reply: Vec<u8>,
    /// Its endpoint at a port that speaks no HTTP.
    pub(crate) pin: Pin,
}

/// What is asked for beside the request itself.
pub(crate) struct Asked {
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    pub(crate) expects_continue: bool,
    pub(crate) to_head: bool,
    pub(crate) old_client: bool,
}

/// What becomes of the client's connection.
#[derive(PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
}

/// Why there is no head.
pub(crate) enum End {
    Closed,
    Http2,
    Refused(Refusal),
}

impl Downstream {
    pub(crate) fn new(shared: &Shared, stream: Guarded<TcpStream>, conn: Conn) -> Downstream {
        let timeout = ClientTimeout::new(shared, Instant::now() + shared.config.head_time);
        Downstream {
            stream,
            conn,
            timeout,
            charge: shared.budget.charge(),
            buffer: Buffer::default(),
            out: Vec::new(),
            reply: Vec::new(),
            pin: Pin::default(),
        }
    }

    /// Gives memory back that a large request or answer took.
    pub(crate) fn shrink(&mut self) {
        self.buffer.shrink(8 * 1024);
        for head in [&mut self.out, &mut self.reply] {
            if head.capacity() > 8 * 1024 {
                *head = Vec::new();
            }
        }
        self.charge.clear();
    }

    /// Ends it so that the last answer is not lost to a reset: says that nothing more comes, and reads on for a moment.
    pub(crate) async fn linger(&mut self) {
        let stream = self.stream.get_mut();
        let _ = stream.shutdown().await;
        let mut sink = [0; 2048];
        let drained = async {
            for _ in 0..512 {
                if !matches!(stream.read(&mut sink).await, Ok(n) if n > 0) {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), drained).await;
    }

    /// Waits until it is plain whether the client speaks HTTP; `None` if it leaves before. One that takes too long to tell is treated as
    /// a slow client of HTTP: a protocol whose server speaks first has to be named, as with Istio.
    pub(crate) async fn speaks_http(&mut self, shared: &Shared) -> Option<bool> {
        let deadline = Instant::now() + shared.config.head_time;
        loop {
            let seen = self.buffer.bytes().len();
            if let Some(is_http) = looks_like_http(self.buffer.bytes()) {
                return Some(is_http);
            }
            self.buffer.grow(MAX_HEAD + 1);
            match self.timeout.wait(shared, deadline, seen == 0, self.buffer.fill(self.stream.get_mut(), 1)).await {
                Waited::Done(Ok(n)) if n > 0 => self.conn.came(&self.buffer.bytes()[seen..]),
                Waited::TooLong => return Some(true),
                _ => return None,
            }
        }
    }

    /// Waits for a whole head and says where it ends. `first` is until when a connection's first head may take.
    pub(crate) async fn read_head(&mut self, shared: &Shared, first: Option<Instant>) -> Result<usize, End> {
        let mut looked = 0;
        let mut deadline = first;
        loop {
            let bytes = self.buffer.bytes();
            match head_end(bytes, looked) {
                HeadEnd::At(end) if first.is_some() && is_preface(&bytes[..end]) => return Err(End::Http2),
                HeadEnd::At(end) if end <= MAX_HEAD => return Ok(end),
                HeadEnd::BareLineFeed => {
                    return Err(End::Refused(Refusal { status: 400, why: "a line ends with a bare line feed" }));
                }
                HeadEnd::More if bytes.len() <= MAX_HEAD => {}
                _ => return Err(End::Refused(Refusal { status: 431, why: "the head is too large" })),
            }
            looked = bytes.len();
            let limit = if looked > 0 {
                *deadline.get_or_insert_with(|| Instant::now() + shared.config.head_time)
            } else {
                deadline.unwrap_or_else(|| Instant::now() + IDLE_TIMEOUT)
            };
            self.buffer.grow(MAX_HEAD + 1);
            match self.timeout.wait(shared, limit, looked == 0, self.buffer.fill(self.stream.get_mut(), 1)).await {
                Waited::Done(Ok(n)) if n > 0 => self.conn.came(&self.buffer.bytes()[looked..]),
                Waited::TooLong if looked > 0 => {
                    self.conn.refuse(Reason::SlowHead);
                    return Err(End::Refused(Refusal { status: 408, why: "the head took too long" }));
                }
                _ => return Err(End::Closed),
            }
        }
    }
}
