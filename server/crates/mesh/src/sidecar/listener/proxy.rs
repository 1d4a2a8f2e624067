//! The life of a client's connection of HTTP/1.1: read a head, route, pick, forward, record; again until one side is done.

use super::{streams, tunnel};
use crate::sidecar::downstream::connection::{After, Asked, Downstream, End, ORDINARY, Side};
use crate::sidecar::pipeline::attempts::{Answered, KEPT, Unanswered, forward};
use crate::sidecar::pipeline::body::{Body, Copying};
use crate::sidecar::pipeline::http1_exchange::{Answer, Http1};
use crate::sidecar::pipeline::http1_heads::write_request;
use crate::sidecar::pipeline::log_line::{Ends, Line};
use crate::sidecar::pipeline::mirror;
use crate::sidecar::pipeline::reply::{body_of, write_reply};
use crate::sidecar::pipeline::telemetry::Telemetry;
use crate::sidecar::route::decision::{Decision, Plan, Reply};
use crate::sidecar::route::outbound::{decide, inward};
use crate::sidecar::route::target::{Target, split_target};
use crate::sidecar::shared::Shared;
use crate::sidecar::stats::flag::Flag;
use crate::sidecar::stats::metrics::Peer;
use crate::table::{Headers as _, Protocol};
use http1::{Refusal, Request, parse_request};
use listen::{Conn, Framing as Behind, Guarded};
use std::sync::Arc;
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// What is known of a request when its head was read.
struct Prepared {
    decision: Decision,
    asked: Asked,
    peer: Peer,
    line: Option<Box<Line>>,
}

/// Serves a connection until it ends.
pub(crate) async fn serve(shared: Arc<Shared>, side: Arc<Side>, stream: Guarded<TcpStream>, conn: Conn) {
    let Ok(from) = stream.get_ref().peer_addr() else { return };
    let ends = Ends { from, at: stream.get_ref().local_addr().ok().filter(|_| shared.log.is_some()) };
    let mut down = Downstream::new(&shared, stream, conn);
    let mut first = Some(Instant::now() + shared.config.head_time);
    if let Side::Inbound { app, speaks } = &*side {
        let is_http = match app.endpoints.first().map(|app| speaks.now(&shared, app.upstream.address().port())) {
            Some(Protocol::Tcp) => Some(false),
            Some(Protocol::Auto) => down.speaks_http(&shared).await,
            Some(Protocol::Http | Protocol::Http2) | None => Some(true),
        };
        match is_http {
            Some(true) => {}
            Some(false) => return tunnel::pass(&shared, &mut down, app).await,
            None => return,
        }
    }
    loop {
        let head = match down.read_head(&shared, first.take()).await {
            Ok(head) => head,
            Err(End::Closed) => return,
            Err(End::Http2) => return streams::serve(shared, side, down, ends).await,
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
        let unknown = prepared.as_mut().map_or_else(|_| Box::default(), |prepared| prepared.decision.take_unknown());
        if !unknown.is_empty() && shared.learn(&unknown).await {
            prepared = parse_request(&buffer.bytes()[..head], |request| prepare(&shared, &side, request, ends, out));
        }
        let mut prepared = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return refuse(&shared, &mut down, ends, refusal).await,
        };
        if let Decision::Forward(plan) = &mut prepared.decision
            && plan.tcp
        {
            plan.endpoint = down.pin.endpoint(&plan.cluster, shared.draw());
        }
        if let Decision::Forward(plan) = &prepared.decision
            && plan.cluster.http2
        {
            return streams::serve_http1(shared, side, down, ends, prepared.decision).await;
        }
        down.buffer.consume(head);
        if run(&shared, &side, &mut down, prepared).await == After::Close {
            return down.linger().await;
        }
        down.shrink();
    }
}

/// Routes and picks, and writes the head that goes upstream: all that needs the request's head.
fn prepare(shared: &Shared, side: &Side, request: &Request<'_>, ends: Ends, out: &mut Vec<u8>) -> Prepared {
    let mut peer = shared.black_hole;
    let decision = match side {
        Side::Outbound => decide(shared, request.method, request.target, request.host, None, request),
        Side::Inbound { app, .. } => {
            peer = shared.caller(request.value("x-envoy-peer-metadata").unwrap_or_default().as_bytes());
            inward(app.clone(), request.method, request.target, request.host, peer)
        }
    };
    if let Decision::Forward(plan) = &decision
        && let Ok(target) = split_target(request.method, request.target, request.host)
    {
        write_request(out, shared, request, target.authority, target.path, plan);
    }
    let line = shared.log.is_some().then(|| Box::new(note(request, &decision, ends, out)));
    let asked = Asked {
        framing: request.framing.clone(),
        keep_alive: request.keep_alive,
        upgrade: request.upgrade,
        expects_continue: request.expects_continue,
        to_head: request.method == "HEAD",
        old_client: request.version == 0,
    };
    Prepared { decision, asked, peer, line }
}

/// What the access log says of a request from its beginning. `sent` is its head as it goes on.
fn note(request: &Request<'_>, decision: &Decision, ends: Ends, sent: &[u8]) -> Line {
    let target = split_target(request.method, request.target, request.host).unwrap_or(Target {
        authority: request.host.unwrap_or(""),
        destination: "",
        path: request.target,
    });
    let protocol = if request.version == 1 { "HTTP/1.1" } else { "HTTP/1.0" };
    let mut line = Line::of(request.method, &target, protocol, request, decision, ends);
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
async fn run(shared: &Arc<Shared>, side: &Side, down: &mut Downstream, request: Prepared) -> After {
    let Prepared { decision, mut asked, peer, line } = request;
    let mut telemetry = Telemetry::new(shared, peer);
    telemetry.line = line;
    match decision {
        Decision::Reply(reply) => {
            if let Some(delay) = reply.delay {
                tokio::time::sleep(delay).await;
            }
            if matches!(side, Side::Outbound) {
                telemetry.peer = reply.peer;
            }
            answer(shared, down, &asked, &reply, &mut telemetry).await
        }
        Decision::Tunnel(cluster) => {
            tunnel::connect(shared, down, &cluster, &mut telemetry).await;
            After::Close
        }
        Decision::Forward(plan) => send_on(shared, down, &mut asked, &plan, &mut telemetry).await,
    }
}

/// Sends a request to its upstream.
async fn send_on(
    shared: &Arc<Shared>,
    down: &mut Downstream,
    asked: &mut Asked,
    plan: &Plan,
    telemetry: &mut Telemetry,
) -> After {
    telemetry.tcp = plan.tcp;
    if let Some(delay) = plan.delay {
        telemetry.flag = Flag::DI;
        tokio::time::sleep(delay).await;
    }
    // What of the body came with the head goes with it: one write, and small requests can be sent again.
    let Ok(taken) = asked.framing.take(down.buffer.bytes()) else {
        let reply = Reply::text(400, Flag::DPE, "malformed chunk", telemetry.peer);
        return answer(shared, down, asked, &reply, telemetry).await;
    };
    down.out.extend_from_slice(&down.buffer.bytes()[..taken]);
    down.buffer.consume(taken);

    let whole = asked.framing.is_done();
    let is_kept = plan.retries().is_some_and(|r| r.attempts > 0) || !plan.mirrors.is_empty();
    let most = if plan.mirrors.is_empty() { KEPT } else { mirror::LARGEST };
    let body = Body::new(taken, &asked.framing, if is_kept { most } else { 0 });
    let copy = |whole: &[u8]| mirror::send(shared, &plan.mirrors, mirror::Original::Lines(whole));
    let copy: Option<Copying<'_>> = if plan.mirrors.is_empty() { None } else { Some(&copy) };
    if let Some(copy) = copy.filter(|_| whole) {
        copy(&down.out);
    }
    let mut exchange =
        Http1 { shared, plan, down: &mut *down, asked: &mut *asked, body: &body, copy, telemetry: &mut *telemetry };
    match forward(shared, plan, whole, &mut exchange).await {
        Ok(Answered { answer: Answer::Done(after), .. }) => after,
        Ok(Answered { answer: Answer::Upgraded(mut link), .. }) => {
            tunnel::join(down, link.connection()).await;
            After::Close
        }
        Err(Unanswered::Reply(reply)) => {
            // The client's next connection would be another one, and go elsewhere.
            down.pin.clear();
            answer(shared, down, asked, &reply, telemetry).await
        }
        Err(Unanswered::Broken(flag)) => {
            telemetry.flag = flag;
            After::Close
        }
    }
}

/// Answers by itself.
async fn answer(
    shared: &Shared,
    down: &mut Downstream,
    asked: &Asked,
    reply: &Reply,
    telemetry: &mut Telemetry,
) -> After {
    let keep = asked.keep_alive && asked.framing.is_done() && !shared.is_draining() && reply.flag != Flag::DPE;
    telemetry.answer(reply.status, reply.flag);
    if let Some(line) = &mut telemetry.line {
        line.sent = body_of(reply, asked.to_head).len() as u64;
    }
    write_reply(&mut down.reply, reply, asked.to_head, !keep, asked.old_client && keep);
    if down.stream.write_all(&down.reply).await.is_err() || !keep { After::Close } else { After::Keep }
}

/// Refuses what is no request, and closes.
async fn refuse(shared: &Arc<Shared>, down: &mut Downstream, ends: Ends, refusal: Refusal) {
    let mut telemetry = Telemetry::new(shared, shared.black_hole);
    telemetry.line =
        shared.log.is_some().then(|| Box::new(Line { sent: refusal.why.len() as u64, ..Line::unread(ends) }));
    telemetry.answer(refusal.status, Flag::DPE);
    let reply = Reply::text(refusal.status, Flag::DPE, refusal.why, shared.black_hole);
    write_reply(&mut down.reply, &reply, false, true, false);
    drop(telemetry);
    if down.stream.write_all(&down.reply).await.is_ok() {
        down.linger().await;
    }
}
