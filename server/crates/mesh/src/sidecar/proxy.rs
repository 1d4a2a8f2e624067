//! A connection's life: read a head, route, pick, [`forward`], record; again until one side is done.

use super::client_timeout::Waited;
use super::exchange::Downstream;
use super::flag::Flag;
use super::forward::forward;
use super::heads::{Direction, write_request};
use super::http1::{Framing, HeadEnd, MAX_HEAD, Refusal, Request, head_end, parse_request};
use super::metrics::Peer;
use super::outbound::{Decision, Target, decide, inward, split_target};
use super::reply::{Reply, linger, write_reply};
use super::routing::LiveCluster;
use super::seen::{Ends, Line, Seen};
use super::shared::Shared;
use super::{h2, tunnel};
use crate::table::Headers as _;
use listen::{Conn, Framing as Behind, Guarded, Reason};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Where a listener's requests come from.
pub(crate) enum Side {
    /// From the app.
    Outbound,
    /// To the app, which is this cluster.
    Inbound { app: Arc<LiveCluster> },
}

/// Longest rest between two requests of a connection.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Heads up to this size cost nothing of the memory budget.
pub(crate) const ORDINARY: usize = 4 * 1024;

/// What is known of a request when its head was read.
pub(crate) struct Prepared {
    decision: Decision,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    pub(crate) expects_continue: bool,
    pub(crate) to_head: bool,
    pub(crate) old_client: bool,
    peer: Peer,
    line: Option<Box<Line>>,
}

/// What becomes of the client's connection.
#[derive(PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
}

pub(crate) enum End {
    Closed,
    Http2,
    Refused(Refusal),
}

/// Serves a connection until it ends.
pub(crate) async fn serve(shared: Arc<Shared>, side: Arc<Side>, stream: Guarded<TcpStream>, conn: Conn) {
    let Ok(from) = stream.get_ref().peer_addr() else { return };
    let mut ends =
        Ends { from, at: stream.get_ref().local_addr().ok().filter(|_| shared.log.is_some()), protocol: None };
    let mut down = Downstream::new(&shared, stream, conn);
    let mut first = Some(Instant::now() + shared.config.head_time);
    loop {
        let head = read_head(&shared, &mut down, first).await;
        if first.take().is_some() && !matches!(head, Err(End::Closed)) {
            ends = shared.take_over(from).unwrap_or(ends);
        }
        let head = match head {
            Ok(head) => head,
            Err(End::Closed) => return,
            Err(End::Http2) => return h2::serve(shared, side, down, ends).await,
            Err(End::Refused(refusal)) => return refuse(&shared, &mut down, ends, refusal).await,
        };
        // From here on it is not closed in favour of others.
        let _serves = down.conn.request(Behind::Length);
        if head > ORDINARY && !down.charge.grow_to(2 * head) {
            return refuse(&shared, &mut down, ends, Refusal { status: 431, why: "too many large heads at once" })
                .await;
        }
        let Downstream { buffer, out, .. } = &mut down;
        let mut prepared =
            parse_request(&buffer.bytes()[..head], |request| prepare(&shared, &side, request, ends, out));
        let unknown = match &mut prepared {
            Ok(Prepared { decision: Decision::Reply(reply), .. }) => reply.unknown.take(),
            _ => None,
        };
        if let Some(name) = unknown
            && shared.learn(&name).await
        {
            prepared = parse_request(&buffer.bytes()[..head], |request| prepare(&shared, &side, request, ends, out));
        }
        if let (Side::Outbound, Ok(Prepared { decision: Decision::Forward(plan), .. })) = (&*side, &prepared)
            && plan.cluster.http2
        {
            return h2::serve_http1(shared, side, down, ends).await;
        }
        down.buffer.consume(head);
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return refuse(&shared, &mut down, ends, refusal).await,
        };
        if run(&shared, &side, &mut down, prepared).await == After::Close {
            return linger(&mut down).await;
        }
        down.shrink();
    }
}

/// Waits for a whole head and says where it ends. `first` is until when a connection's first head may take.
pub(crate) async fn read_head(shared: &Shared, down: &mut Downstream, first: Option<Instant>) -> Result<usize, End> {
    let mut looked = 0;
    let mut deadline = first;
    loop {
        let bytes = down.buffer.bytes();
        match head_end(bytes, looked) {
            HeadEnd::At(end) if first.is_some() && h2::is_preface(&bytes[..end]) => return Err(End::Http2),
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
        down.buffer.grow(MAX_HEAD + 1);
        match down.timeout.wait(shared, limit, looked == 0, down.buffer.fill(down.stream.get_mut(), 1)).await {
            Waited::Done(Ok(n)) if n > 0 => down.conn.came(&down.buffer.bytes()[looked..]),
            Waited::TooLong if looked > 0 => {
                down.conn.refuse(Reason::SlowHead);
                return Err(End::Refused(Refusal { status: 408, why: "the head took too long" }));
            }
            _ => return Err(End::Closed),
        }
    }
}

/// Routes and picks, and writes the head that goes upstream: all that needs the request's head.
fn prepare(shared: &Shared, side: &Side, request: &Request<'_>, ends: Ends, out: &mut Vec<u8>) -> Prepared {
    let mut peer = shared.black_hole;
    let decision = match side {
        Side::Outbound => decide(shared, request.method, request.target, request.host, request),
        Side::Inbound { app } => {
            peer = shared.caller(request.value("x-envoy-peer-metadata").unwrap_or_default().as_bytes());
            inward(app.clone(), request.method, request.target, request.host, peer)
        }
    };
    if let Decision::Forward(plan) = &decision
        && let Ok(target) = split_target(request.method, request.target, request.host)
    {
        let direction = if matches!(side, Side::Outbound) { Direction::Outbound } else { Direction::Inbound };
        write_request(out, shared, direction, request, target.authority, target.path, plan);
    }
    let line = shared.log.is_some().then(|| Box::new(note(request, &decision, ends, out)));
    Prepared {
        decision,
        framing: request.framing.clone(),
        keep_alive: request.keep_alive,
        upgrade: request.upgrade,
        expects_continue: request.expects_continue,
        to_head: request.method == "HEAD",
        old_client: request.version == 0,
        peer,
        line,
    }
}

/// What the access log says of a request from its beginning. `sent` is its head as it goes on.
fn note(request: &Request<'_>, decision: &Decision, ends: Ends, sent: &[u8]) -> Line {
    let target = split_target(request.method, request.target, request.host)
        .unwrap_or(Target { authority: request.host.unwrap_or(""), path: request.target });
    let protocol = if request.version == 1 { "HTTP/1.1" } else { "HTTP/1.0" };
    let mut line = Line::of(request.method, &target, protocol, request, Some(decision), ends);
    if line.request_id.is_empty() && matches!(decision, Decision::Forward(_)) {
        // One may have been made.
        let made = memchr::memmem::find(sent, b"\r\nx-request-id: ").map(|at| &sent[at + 16..]);
        line.request_id = made
            .map(|made| String::from_utf8_lossy(&made[..memchr::memchr(b'\r', made).unwrap_or(0)]).into_owned())
            .unwrap_or_default();
    }
    line
}

/// Carries a decision out.
async fn run(shared: &Arc<Shared>, side: &Side, down: &mut Downstream, mut request: Prepared) -> After {
    let mut seen = Seen::new(shared, request.peer);
    seen.line = request.line.take();
    let decision = std::mem::replace(&mut request.decision, Decision::Reply(Reply::empty(request.peer)));
    match decision {
        Decision::Reply(reply) => {
            if let Some(delay) = reply.delay {
                tokio::time::sleep(delay).await;
            }
            if matches!(side, Side::Outbound) {
                seen.peer = reply.peer;
            }
            answer(shared, down, &request, reply, &mut seen, false).await
        }
        Decision::Tunnel(cluster) => {
            tunnel::connect(shared, down, &cluster, &mut seen).await;
            After::Close
        }
        Decision::Forward(plan) => forward(shared, side, down, &mut request, &plan, &mut seen).await,
    }
}

/// Answers by itself. `not_sent`: tells the sidecar that asked that its request may be tried elsewhere.
pub(crate) async fn answer(
    shared: &Shared,
    down: &mut Downstream,
    request: &Prepared,
    reply: Reply,
    seen: &mut Seen<'_>,
    not_sent: bool,
) -> After {
    let keep = request.keep_alive && request.framing.is_done() && !shared.is_draining() && reply.flag != Flag::DPE;
    seen.answer(reply.status, reply.flag);
    if let Some(line) = seen.line.as_mut().filter(|_| !request.to_head) {
        line.sent = reply.body.len() as u64;
    }
    write_reply(&mut down.reply, &reply, request.to_head, !keep, request.old_client && keep, not_sent);
    if down.stream.write_all(&down.reply).await.is_err() || !keep { After::Close } else { After::Keep }
}

/// Refuses what is no request, and closes.
async fn refuse(shared: &Shared, down: &mut Downstream, ends: Ends, refusal: Refusal) {
    let mut seen = Seen::new(shared, shared.black_hole);
    seen.line = shared.log.is_some().then(|| Box::new(Line { sent: refusal.why.len() as u64, ..Line::unread(ends) }));
    seen.answer(refusal.status, Flag::DPE);
    let reply = Reply::text(refusal.status, Flag::DPE, refusal.why, shared.black_hole);
    write_reply(&mut down.reply, &reply, false, true, false, false);
    drop(seen);
    if down.stream.write_all(&down.reply).await.is_ok() {
        linger(down).await;
    }
}
