//! A request on its way: connect and exchange, again where the route allows it, until there is an answer.

use super::balance::choose;
use super::exchange::{Downstream, Outcome, Try, exchange};
use super::flag::Flag;
use super::heads::{Direction, number_try};
use super::metrics::Peer;
use super::mirror;
use super::outbound::{Plan, Via};
use super::outlier::Ended;
use super::pool::Place;
use super::proxy::{After, Prepared, Side, answer};
use super::reply::Reply;
use super::routing::LiveEndpoint;
use super::seen::Seen;
use super::shared::Shared;
use super::upload::{Body, Copying};
use super::upstream::{CONNECT_TIMEOUT, Connection, NoConnection, Upstream};
use crate::table::{Action, Retries, Route};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Most of a body that is kept to be sent again.
pub(crate) const KEPT: usize = 64 * 1024;

static DEFAULT_RETRIES: LazyLock<Retries> = LazyLock::new(Retries::default);

/// Connects and exchanges, again where that is allowed.
pub(crate) async fn forward(
    shared: &Arc<Shared>,
    side: &Side,
    down: &mut Downstream,
    request: &mut Prepared,
    plan: &Plan,
    seen: &mut Seen<'_>,
) -> After {
    let outbound = matches!(side, Side::Outbound);
    if let Some(delay) = plan.delay {
        seen.flag = Flag::DI;
        tokio::time::sleep(delay).await;
    }
    // What of the body came with the head goes with it: one write, and small requests can be sent again.
    let Ok(taken) = request.framing.take(down.buffer.bytes()) else {
        return answer(shared, down, request, Reply::text(400, Flag::DPE, "malformed chunk", seen.peer), seen, false)
            .await;
    };
    down.out.extend_from_slice(&down.buffer.bytes()[..taken]);
    down.buffer.consume(taken);

    let route = plan.via.as_ref().map(Via::route);
    let retries = retries_of(plan, outbound);
    let mut left = retries.map_or(0, |r| r.attempts);
    let reconnects = retries.is_some_and(Retries::tries_again_unsent);
    let timeout = route.and_then(|r| r.timeout_ms).map(Duration::from_millis);
    let per_try = retries.and_then(|r| r.per_try_timeout_ms).map(Duration::from_millis);
    // Both times begin when all of the request is there, as Envoy's do; that of the route after a fault's delay.
    let mut deadline = timeout.filter(|_| request.framing.is_done()).map(|t| Instant::now() + t);
    let connect_time = plan.cluster.policy.connect_timeout_ms.map_or(CONNECT_TIMEOUT, Duration::from_millis);
    let most = if plan.mirrors.is_empty() { KEPT } else { mirror::LARGEST };
    let body = Body::new(taken, &request.framing, if left > 0 || !plan.mirrors.is_empty() { most } else { 0 });
    let copy = |whole: &[u8]| mirror::send(shared, plan, whole);
    let copy: Option<Copying<'_>> = if plan.mirrors.is_empty() { None } else { Some(&copy) };
    if let Some(copy) = copy.filter(|_| request.framing.is_done()) {
        copy(&down.out);
    }
    let same_again = keeps_to_its_endpoint(plan, route);
    let mut tried = Vec::new();
    let mut fresh_only = false;
    let mut tries: u32 = 1;
    // A place under the limit of retries; held until the request is over.
    let mut retrying = None;
    let reply = |status, flag, why, tries, peer| failure(plan, status, flag, why, tries, peer);
    loop {
        let avoid = if same_again { &[] } else { tried.as_slice() };
        let Some(endpoint) = choose(&plan.cluster, shared.draw(), plan.hash, avoid) else {
            let reply = reply(503, Flag::UH, "no healthy upstream", tries, plan.cluster.nobody);
            seen.peer = reply.peer;
            return answer(shared, down, request, reply, seen, false).await;
        };
        let upstream = &endpoint.upstream;
        if tried.contains(&upstream.address()) {
            pause(shared, tries).await;
        }
        if outbound {
            seen.peer = endpoint.peer;
        }
        if let Some(line) = &mut seen.line {
            (line.cluster, line.upstream) = (plan.cluster.name.clone(), upstream.address().to_string());
        }
        let _in_flight = upstream.begin();
        let Some(acquired) = acquire(upstream, down.stream.get_ref(), fresh_only, connect_time, deadline).await else {
            seen.flag = Flag::DC;
            return After::Close;
        };
        let mut connection = match acquired {
            Ok(connection) => connection,
            // As in Envoy, this is not tried again: it would only add to the load.
            Err(NoConnection::Overflow) => {
                let why = "upstream connect error or disconnect/reset before headers. reset reason: overflow";
                return answer(shared, down, request, reply(503, Flag::UO, why, tries, seen.peer), seen, false).await;
            }
            Err(NoConnection::TooLate) => {
                return answer(
                    shared,
                    down,
                    request,
                    reply(504, Flag::UT, "upstream request timeout", tries, seen.peer),
                    seen,
                    false,
                )
                .await;
            }
            Err(NoConnection::Io(error)) => {
                plan.cluster.note(endpoint, Ended::Lost);
                if deadline.is_some_and(|d| d <= Instant::now()) {
                    return answer(
                        shared,
                        down,
                        request,
                        reply(504, Flag::UT, "upstream request timeout", tries, seen.peer),
                        seen,
                        false,
                    )
                    .await;
                }
                if left > 0 && reconnects && may_try_again(endpoint, &retrying) {
                    left -= 1;
                    tries += 1;
                    retrying = retrying.or_else(|| upstream.pool()?.retry());
                    number_try(&mut down.out, tries);
                    tried.push(upstream.address());
                    continue;
                }
                tracing::debug!(upstream = %upstream.address(), %error, "Cannot connect");
                let why = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";
                return answer(shared, down, request, reply(503, Flag::UF, why, tries, seen.peer), seen, !outbound)
                    .await;
            }
        };
        if let Some((line, local)) = seen.line.as_mut().zip(connection.stream.local_addr().ok()) {
            line.upstream_local = local.to_string();
        }
        let may_retry = left > 0 && may_try_again(endpoint, &retrying);
        let what = Try {
            shared,
            direction: if outbound { Direction::Outbound } else { Direction::Inbound },
            via: plan.via.as_ref(),
            set_cookie: plan.set_cookie.as_deref(),
            to_head: request.to_head,
            upgrade: request.upgrade,
            expects_continue: request.expects_continue,
            keep_alive: request.keep_alive,
            old_client: request.old_client,
            body: &body,
            copy,
            retry: retries.filter(|_| may_retry),
            unsent_is_retried: outbound && may_retry && reconnects,
            timeout,
            per_try,
        };
        seen.upstream_status = 0;
        let outcome = exchange(down, &mut connection, &mut request.framing, &what, &mut deadline, seen).await;
        if let Some(line) = &mut seen.line {
            line.received = body.received();
        }
        match (&outcome, seen.upstream_status) {
            (Outcome::Stale | Outcome::Broken(Flag::DC) | Outcome::Failed { flag: Flag::DPE | Flag::SI, .. }, 0) => {}
            (Outcome::Failed { flag: Flag::UT, .. } | Outcome::Again { too_late: true }, 0) => {
                plan.cluster.note(endpoint, Ended::Lost)
            }
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
                super::tunnel::join(down, &mut connection).await;
                return After::Close;
            }
            Outcome::Stale => fresh_only = true,
            Outcome::Again { .. } => {
                left -= 1;
                tries += 1;
                retrying = retrying.or_else(|| upstream.pool()?.retry());
                number_try(&mut down.out, tries);
                tried.push(upstream.address());
            }
            Outcome::Failed { status, flag, why } => {
                return answer(shared, down, request, reply(status, flag, why, tries, seen.peer), seen, false).await;
            }
            Outcome::Broken(flag) => {
                seen.flag = flag;
                return After::Close;
            }
        }
    }
}

/// What is tried again, and how often.
pub(crate) fn retries_of(plan: &Plan, outbound: bool) -> Option<&Retries> {
    match plan.via.as_ref().map(Via::route) {
        Some(route) => Some(route.retries.as_ref().unwrap_or(&DEFAULT_RETRIES)),
        None => outbound.then_some(&*DEFAULT_RETRIES),
    }
}

/// The answer after so many tries without one.
pub(crate) fn failure(plan: &Plan, status: u16, flag: Flag, why: &'static str, tries: u32, peer: Peer) -> Reply {
    let body = if tries > 1 {
        why.replace("reset reason:", "retried and the latest reset reason:").into()
    } else {
        why.into()
    };
    Reply { body, via: plan.via.clone(), ..Reply::text(status, flag, "", peer) }
}

/// A connection, or why there is none; `None` where the client left. Only where there are limits it can take long: until a place is free.
async fn acquire(
    upstream: &Upstream,
    client: &TcpStream,
    fresh: bool,
    connect_time: Duration,
    deadline: Option<Instant>,
) -> Option<Result<Connection, NoConnection>> {
    let acquiring = upstream.acquire(fresh, connect_time, deadline);
    if upstream.pool().is_none() {
        return Some(acquiring.await);
    }
    tokio::select! {
        biased;
        acquired = acquiring => Some(acquired),
        () = has_left(client) => None,
    }
}

/// Ends when the client does; never where it has sent something more, which only the next read may take.
async fn has_left(client: &TcpStream) {
    if matches!(client.peek(&mut [0]).await, Ok(n) if n > 0) {
        std::future::pending::<()>().await;
    }
}

/// Istio leaves Envoy's retries on the endpoint that the key leads to, where a route has one destination.
pub(crate) fn keeps_to_its_endpoint(plan: &Plan, route: Option<&Route>) -> bool {
    plan.cluster.policy.balance.is_consistent()
        && route.is_some_and(|r| matches!(&r.action, Action::Forward(to) if to.len() == 1))
}

/// Whether the cluster's limit of retries allows one more request to be tried again; one that is has its place already.
pub(crate) fn may_try_again(endpoint: &LiveEndpoint, place: &Option<Place>) -> bool {
    place.is_some() || endpoint.upstream.pool().is_none_or(|pool| pool.may_retry())
}

/// Envoy's back-off: drawn from 0 to 25 ms, twice that with each try, 250 ms at most; but only before an endpoint that was tried already.
pub(crate) async fn pause(shared: &Shared, tries: u32) {
    let most_us = (25_000_u64 << tries.saturating_sub(2).min(4)).min(250_000);
    tokio::time::sleep(Duration::from_micros(shared.draw() % most_us)).await;
}
