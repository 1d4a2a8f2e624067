//! A connection's life: read a head, route, pick, connect, forward, record; again until one side is done.

use super::balance::choose;
use super::exchange::{Downstream, Outcome, Try, exchange};
use super::heads::{Direction, number_try, write_request};
use super::http1::{Buffer, Framing, HeadEnd, MAX_HEAD, Refusal, Request, head_end, parse_request};
use super::metrics::{Flag, Peer};
use super::outlier::Ended;
use super::outbound::{Decision, Plan, Via, decide, inward, split_target};
use super::patience::{Patience, Waited};
use super::reply::{Reply, linger, write_reply};
use super::pool::Place;
use super::routing::{LiveCluster, LiveEndpoint};
use super::seen::{Line, Seen};
use super::shared::Shared;
use super::upstream::NoConnection;
use super::{h2, mirror, tunnel};
use crate::table::{Headers, RetryOn};
use std::net::SocketAddr;
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
const IDLE_TIME: Duration = Duration::from_secs(300);
/// Istio's default (`connectTimeout`).
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// What is known of a request when its head was read.
struct Prepared {
    decision: Decision,
    framing: Framing,
    keep_alive: bool,
    upgrade: bool,
    expects_continue: bool,
    to_head: bool,
    old_client: bool,
    peer: Peer,
    line: Option<Box<Line>>,
}

#[derive(PartialEq, Eq)]
enum After {
    Keep,
    Close,
}

enum End {
    Closed,
    Http2,
    Refused(Refusal),
}

/// Serves a connection until it ends.
pub(crate) async fn serve(shared: Arc<Shared>, side: Arc<Side>, stream: TcpStream, from: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let mut down = Downstream { stream, buffer: Buffer::default(), out: Vec::new(), reply: Vec::new() };
    let first_limit = Instant::now() + shared.config.head_time;
    let mut patience = Patience::new(&shared, first_limit);
    let mut first = Some(first_limit);
    loop {
        let head = match read_head(&shared, &mut down, &mut patience, first).await {
            Ok(head) => head,
            Err(End::Closed) => return,
            Err(End::Http2) => return h2::serve(shared, side, down).await,
            Err(End::Refused(refusal)) => return refuse(&shared, &mut down, refusal).await,
        };
        first = None;
        let Downstream { buffer, out, .. } = &mut down;
        let prepared = parse_request(&buffer.bytes()[..head], |request| prepare(&shared, &side, request, from, out));
        if let (Side::Outbound, Ok(Prepared { decision: Decision::Forward(plan), .. })) = (&*side, &prepared)
            && plan.cluster.http2
        {
            return h2::serve_http1(shared, side, down).await;
        }
        down.buffer.consume(head);
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return refuse(&shared, &mut down, refusal).await,
        };
        if run(&shared, &side, &mut down, prepared).await == After::Close {
            return linger(&mut down).await;
        }
        down.shrink();
    }
}

/// Waits for a whole head and says where it ends. `first` is until when a connection's first head may take.
async fn read_head(shared: &Shared, down: &mut Downstream, patience: &mut Patience, first: Option<Instant>) -> Result<usize, End> {
    let mut looked = 0;
    let mut deadline = first;
    loop {
        let bytes = down.buffer.bytes();
        match head_end(bytes, looked) {
            HeadEnd::At(end) if first.is_some() && h2::is_preface(&bytes[..end]) => return Err(End::Http2),
            HeadEnd::At(end) if end <= MAX_HEAD => return Ok(end),
            HeadEnd::BareLineFeed => return Err(End::Refused(Refusal { status: 400, why: "a line ends with a bare line feed" })),
            HeadEnd::More if bytes.len() <= MAX_HEAD => {}
            _ => return Err(End::Refused(Refusal { status: 431, why: "the head is too large" })),
        }
        looked = bytes.len();
        let limit = if looked > 0 { *deadline.get_or_insert_with(|| Instant::now() + shared.config.head_time) } else { deadline.unwrap_or_else(|| Instant::now() + IDLE_TIME) };
        match patience.wait(shared, limit, looked == 0, down.buffer.fill(&mut down.stream, 1)).await {
            Waited::Done(Ok(n)) if n > 0 => {}
            Waited::TooLong if looked > 0 => return Err(End::Refused(Refusal { status: 408, why: "the head took too long" })),
            _ => return Err(End::Closed),
        }
    }
}

/// Routes and picks, and writes the head that goes upstream: all that needs the request's head.
fn prepare(shared: &Shared, side: &Side, request: &Request<'_>, from: SocketAddr, out: &mut Vec<u8>) -> Prepared {
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
    let line = shared.config.access_log.then(|| {
        let value = |name: &str| request.value(name).unwrap_or_default().into_owned();
        Box::new(Line {
            method: request.method.into(),
            path: request.target.into(),
            protocol: if request.version == 1 { "HTTP/1.1" } else { "HTTP/1.0" },
            authority: request.host.unwrap_or("").into(),
            forwarded_for: value("x-forwarded-for"),
            user_agent: value("user-agent"),
            request_id: value("x-request-id"),
            downstream: from.to_string(),
            ..Line::default()
        })
    });
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

/// Connects and exchanges, again where that is allowed.
async fn forward(shared: &Arc<Shared>, side: &Side, down: &mut Downstream, request: &mut Prepared, plan: &Plan, seen: &mut Seen<'_>) -> After {
    let outbound = matches!(side, Side::Outbound);
    if let Some(delay) = plan.delay {
        seen.flag = Flag::DI;
        tokio::time::sleep(delay).await;
    }
    // What of the body came with the head goes with it: one write, and small requests can be sent again.
    let Ok(taken) = request.framing.take(down.buffer.bytes()) else {
        return answer(shared, down, request, Reply::text(400, Flag::DPE, "malformed chunk", seen.peer), seen, false).await;
    };
    down.out.extend_from_slice(&down.buffer.bytes()[..taken]);
    down.buffer.consume(taken);
    if !plan.mirrors.is_empty() && !request.framing.is_done() && gather(down, request).await.is_err() {
        seen.flag = Flag::DC;
        return After::Close;
    }
    let replayable = request.framing.is_done();
    if replayable {
        mirror::send(shared, plan, &down.out);
    }

    let route = plan.via.as_ref().map(Via::route);
    let retries = route.and_then(|r| r.retries.as_ref());
    // Istio's default: twice, before anything was sent.
    let mut left = retries.map_or(if outbound { 2 } else { 0 }, |r| r.attempts);
    let reconnects = retries.is_none_or(|r| r.on.iter().any(|o| matches!(o, RetryOn::ConnectFailure | RetryOn::ServerError | RetryOn::GatewayError | RetryOn::Reset)));
    // The delay of a fault does not count: Envoy's router begins after it.
    let deadline = route.and_then(|r| r.timeout_ms).map(|ms| Instant::now() + Duration::from_millis(ms));
    let connect_time = plan.cluster.policy.connect_timeout_ms.map_or(CONNECT_TIME, Duration::from_millis);
    let mut avoid = None;
    let mut fresh_only = false;
    let mut tries: u32 = 1;
    // A place under the limit of retries; held until the request is over.
    let mut retrying = None;
    let reply = |status, flag, why: &'static str, tries: u32, peer| {
        let body = if tries > 1 { why.replace("reset reason:", "retried and the latest reset reason:").into() } else { why.into() };
        Reply { body, via: plan.via.clone(), ..Reply::text(status, flag, "", peer) }
    };
    loop {
        let Some(endpoint) = choose(&plan.cluster, shared.draw(), plan.hash, avoid) else {
            let reply = reply(503, Flag::UH, "no healthy upstream", tries, plan.cluster.nobody);
            seen.peer = reply.peer;
            return answer(shared, down, request, reply, seen, false).await;
        };
        let upstream = &endpoint.upstream;
        if outbound {
            seen.peer = endpoint.peer;
        }
        if let Some(line) = &mut seen.line {
            (line.cluster, line.upstream) = (plan.cluster.name.clone(), upstream.address().to_string());
        }
        let _in_flight = upstream.begin();
        let time = connect_time.min(deadline.map_or(CONNECT_TIME, |d| d.saturating_duration_since(Instant::now())));
        let mut connection = match upstream.acquire(fresh_only, time).await {
            Ok(connection) => connection,
            // As in Envoy, this is not tried again: it would only add to the load.
            Err(NoConnection::Overflow) => {
                let why = "upstream connect error or disconnect/reset before headers. reset reason: overflow";
                return answer(shared, down, request, reply(503, Flag::UO, why, tries, seen.peer), seen, false).await;
            }
            Err(NoConnection::Io(error)) => {
                plan.cluster.note(endpoint, Ended::Lost);
                if deadline.is_some_and(|d| d <= Instant::now()) {
                    return answer(shared, down, request, reply(504, Flag::UT, "upstream request timeout", tries, seen.peer), seen, false).await;
                }
                if left > 0 && reconnects && may_try_again(endpoint, &retrying) {
                    left -= 1;
                    tries += 1;
                    retrying = retrying.or_else(|| upstream.pool()?.retry());
                    number_try(&mut down.out, tries);
                    pause(avoid.replace(upstream.address()), upstream.address()).await;
                    continue;
                }
                tracing::debug!(upstream = %upstream.address(), %error, "Cannot connect");
                let why = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";
                return answer(shared, down, request, reply(503, Flag::UF, why, tries, seen.peer), seen, !outbound).await;
            }
        };
        let may_retry = left > 0 && replayable && may_try_again(endpoint, &retrying);
        let what = Try {
            direction: if outbound { Direction::Outbound } else { Direction::Inbound },
            via: plan.via.as_ref(),
            set_cookie: plan.set_cookie.as_deref(),
            to_head: request.to_head,
            upgrade: request.upgrade,
            expects_continue: request.expects_continue,
            keep_alive: request.keep_alive,
            old_client: request.old_client,
            draining: shared.is_draining(),
            retry: retries.filter(|_| may_retry),
            unsent_is_retried: outbound && may_retry && reconnects,
            deadline,
            head_deadline: retries.and_then(|r| r.per_try_timeout_ms).map(|ms| Instant::now() + Duration::from_millis(ms)),
        };
        seen.upstream_status = 0;
        let outcome = exchange(down, &mut connection, &mut request.framing, &what, seen).await;
        match (&outcome, seen.upstream_status) {
            (Outcome::Stale | Outcome::Broken(Flag::DC) | Outcome::Failed { flag: Flag::DPE, .. }, 0) => {}
            (Outcome::Failed { flag: Flag::UT, .. }, 0) => plan.cluster.note(endpoint, Ended::Lost),
            (Outcome::Again, 0) if what.head_deadline.is_some_and(|d| d <= Instant::now()) => plan.cluster.note(endpoint, Ended::Lost),
            (_, 0) => plan.cluster.note(endpoint, Ended::Cut),
            (_, status) => plan.cluster.note(endpoint, Ended::Answered(status)),
        }
        match outcome {
            Outcome::Answered { upstream: again, downstream } => {
                if again {
                    upstream.checkin(connection);
                }
                return if downstream { After::Keep } else { After::Close };
            }
            Outcome::Upgraded => {
                tunnel::join(shared, down, &mut connection).await;
                return After::Close;
            }
            Outcome::Stale => fresh_only = true,
            Outcome::Again => {
                left -= 1;
                tries += 1;
                retrying = retrying.or_else(|| upstream.pool()?.retry());
                number_try(&mut down.out, tries);
                pause(avoid.replace(upstream.address()), upstream.address()).await;
            }
            Outcome::Failed { status, flag, why } => return answer(shared, down, request, reply(status, flag, why, tries, seen.peer), seen, false).await,
            Outcome::Broken(flag) => {
                seen.flag = flag;
                return After::Close;
            }
        }
    }
}

/// Reads the rest of a body that is to be copied, as long as it is not too large for that. The error is a client that left or sends nonsense.
async fn gather(down: &mut Downstream, request: &mut Prepared) -> Result<(), ()> {
    if std::mem::take(&mut request.expects_continue) {
        down.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| ())?;
    }
    while !request.framing.is_done() && down.out.len() < mirror::LARGEST {
        if down.buffer.is_empty() && !matches!(down.buffer.fill(&mut down.stream, 16 * 1024).await, Ok(n) if n > 0) {
            return Err(());
        }
        let taken = request.framing.take(down.buffer.bytes()).map_err(|_| ())?;
        down.out.extend_from_slice(&down.buffer.bytes()[..taken]);
        down.buffer.consume(taken);
    }
    Ok(())
}

/// Whether the cluster's limit of retries allows one more request to be tried again; one that is has its place already.
fn may_try_again(endpoint: &LiveEndpoint, place: &Option<Place>) -> bool {
    place.is_some() || endpoint.upstream.pool().is_none_or(|pool| pool.may_retry())
}

/// Envoy's back-off (25 ms), but only where the same endpoint was tried before.
async fn pause(before: Option<SocketAddr>, now: SocketAddr) {
    if before == Some(now) {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Answers by itself. `not_sent`: tells the sidecar that asked that its request may be tried elsewhere.
async fn answer(shared: &Shared, down: &mut Downstream, request: &Prepared, reply: Reply, seen: &mut Seen<'_>, not_sent: bool) -> After {
    let keep = request.keep_alive && request.framing.is_done() && !shared.is_draining() && reply.flag != Flag::DPE;
    seen.answer(reply.status, reply.flag);
    write_reply(&mut down.reply, &reply, request.to_head, !keep, request.old_client && keep, not_sent);
    if down.stream.write_all(&down.reply).await.is_err() || !keep { After::Close } else { After::Keep }
}

/// Refuses what is no request, and closes.
async fn refuse(shared: &Shared, down: &mut Downstream, refusal: Refusal) {
    let mut seen = Seen::new(shared, shared.black_hole);
    seen.answer(refusal.status, Flag::DPE);
    let reply = Reply::text(refusal.status, Flag::DPE, refusal.why, shared.black_hole);
    write_reply(&mut down.reply, &reply, false, true, false, false);
    drop(seen);
    if down.stream.write_all(&down.reply).await.is_ok() {
        linger(down).await;
    }
}
