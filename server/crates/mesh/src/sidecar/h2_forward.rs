//! A stream on its way to an upstream: what [`super::forward`] does for requests of HTTP/1.1, done by hyper.

use super::balance::choose;
use super::flag::Flag;
use super::forward::{KEPT, failure, keeps_to_its_endpoint, may_try_again, pause, retries_of};
use super::h2_heads::{apply, rewritten, strip_hop_headers};
use super::h2_record::{AnyBody, Record, Recorded};
use super::h2_upload::Upload;
use super::outbound::{Plan, Via};
use super::outlier::Ended;
use super::shared::Shared;
use super::upstream::{CONNECT_TIMEOUT, NoConnection};
use crate::table::{Headers, Retries};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

const ATTEMPT: &str = "x-envoy-attempt-count";

/// Connects and sends, again where the route allows it.
pub(super) async fn forward(
    mut record: Record,
    request: Request<Incoming>,
    authority: &str,
    path: &str,
    plan: Plan,
    outbound: bool,
) -> Response<AnyBody> {
    let shared = record.shared.clone();
    if let Some(delay) = plan.delay {
        record.flag = Flag::DI;
        tokio::time::sleep(delay).await;
    }
    // What comes to the app in HTTP/2 it is sent in HTTP/2; on the way out the Service's port decides.
    let http2 = !outbound || plan.cluster.http2;
    let Some(request) = rewritten(&shared, request, authority, path, &plan, outbound, http2) else {
        return record.fail(400, Flag::DPE, "malformed authority or path\n");
    };
    if let Some(line) = record.line.as_mut().filter(|line| line.request_id.is_empty()) {
        line.request_id = request.headers().value("x-request-id").unwrap_or_default().into_owned();
    }
    let route = plan.via.as_ref().map(Via::route);
    let retries = retries_of(&plan, outbound);
    let mut left = retries.map_or(0, |r| r.attempts);
    let reconnects = retries.is_some_and(Retries::tries_again_unsent);
    let (head, body) = request.into_parts();
    let upload = Upload::new(body, if left > 0 { KEPT } else { 0 }, shared.budget.charge());
    record.uploads(&upload);
    let mut times = Times {
        whole: route.and_then(|r| r.timeout_ms).map(Duration::from_millis),
        per_try: retries.and_then(|r| r.per_try_timeout_ms).map(Duration::from_millis),
        deadline: None,
    };
    if upload.is_whole() {
        times.begin();
    }
    let connect_time = plan.cluster.policy.connect_timeout_ms.map_or(CONNECT_TIMEOUT, Duration::from_millis);
    let same_again = keeps_to_its_endpoint(&plan, route);
    let mut tried = Vec::new();
    let mut tries: u32 = 1;
    loop {
        let avoid = if same_again { &[] } else { tried.as_slice() };
        let Some(endpoint) = choose(&plan.cluster, shared.draw(), plan.hash, avoid) else {
            return record.reply(failure(&plan, 503, Flag::UH, "no healthy upstream", tries, plan.cluster.nobody));
        };
        let upstream = &endpoint.upstream;
        if tried.contains(&upstream.address()) {
            pause(&shared, tries).await;
        }
        if outbound {
            record.peer = endpoint.peer;
        }
        if let Some(line) = &mut record.line {
            (line.cluster, line.upstream) = (plan.cluster.name.clone(), upstream.address().to_string());
        }
        // The last try's place may be the one that this one waits for.
        record.held = None;
        let in_flight = upstream.begin();
        let acquired = upstream.acquire(true, connect_time, times.deadline).await;
        let may_retry = left > 0 && may_try_again(endpoint, &record.retrying);
        let connection = match acquired {
            Ok(connection) => connection,
            // As in Envoy, this is not tried again: it would only add to the load.
            Err(NoConnection::Overflow) => {
                let why = "upstream connect error or disconnect/reset before headers. reset reason: overflow";
                return fail(record, &plan, 503, Flag::UO, why, tries);
            }
            Err(NoConnection::TooLate) => return fail(record, &plan, 504, Flag::UT, "upstream request timeout", tries),
            Err(NoConnection::Io(_)) => {
                plan.cluster.note(endpoint, Ended::Lost);
                if times.are_over() {
                    return fail(record, &plan, 504, Flag::UT, "upstream request timeout", tries);
                }
                if may_retry && reconnects {
                    (left, tries) = (left - 1, tries + 1);
                    record.retrying = record.retrying.take().or_else(|| upstream.pool()?.retry());
                    tried.push(upstream.address());
                    continue;
                }
                let why = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";
                let mut response = fail(record, &plan, 503, Flag::UF, why, tries);
                if !outbound {
                    // The sidecar that asked may try it elsewhere.
                    response.headers_mut().insert("x-mesh-not-sent", HeaderValue::from_static("1"));
                }
                return response;
            }
        };
        let (stream, held) = upstream.hold(connection);
        drop(in_flight);
        record.held = Some(held);
        if let Some((line, local)) = record.line.as_mut().zip(stream.local_addr().ok()) {
            line.upstream_local = local.to_string();
        }
        let mut request = Request::from_parts(head.clone(), upload.send());
        if let Some(number) = request.headers_mut().get_mut(ATTEMPT).filter(|_| tries > 1) {
            *number = HeaderValue::from(tries);
        }
        let retry = retries.filter(|_| may_retry);
        let answered = tokio::select! {
            biased;
            answered = send(&shared, stream, request, http2) => Some(answered),
            () = times.alarm(&upload) => None,
        };
        let is_replayable = upload.is_whole() && upload.is_kept();
        let again = match &answered {
            None => {
                plan.cluster.note(endpoint, Ended::Lost);
                !times.are_over() && is_replayable && retry.is_some_and(Retries::tries_again_unanswered)
            }
            // The client's fault, not the endpoint's.
            Some(Err(_)) if upload.is_broken() => false,
            Some(Err(error)) => {
                plan.cluster.note(endpoint, Ended::Cut);
                let refused = Reset::of(error) == Reset::Refused;
                is_replayable
                    && retry.is_some_and(|r| r.tries_again_unanswered() || (refused && r.tries_again_refused()))
            }
            Some(Ok(response)) => {
                let (status, headers) = (response.status().as_u16(), response.headers());
                plan.cluster.note(endpoint, Ended::Answered(status));
                let not_sent = outbound && status == 503 && headers.contains_key("x-mesh-not-sent");
                let grpc = headers.get("grpc-status").and_then(|s| s.to_str().ok()?.parse().ok());
                (not_sent && may_retry && reconnects && upload.is_kept())
                    || (is_replayable && retry.is_some_and(|r| r.tries_again_answered(status, grpc)))
            }
        };
        if again {
            (left, tries) = (left - 1, tries + 1);
            record.retrying = record.retrying.take().or_else(|| upstream.pool()?.retry());
            tried.push(upstream.address());
            continue;
        }
        return match answered {
            None => fail(record, &plan, 504, Flag::UT, "upstream request timeout", tries),
            Some(Err(_)) if upload.is_broken() => record.client_left(),
            Some(Err(error)) => {
                let reset = Reset::of(&error);
                let (flag, why) = reset.words();
                record.note_reset(reset);
                fail(record, &plan, 503, flag, why, tries)
            }
            Some(Ok(response)) => answer(record, response, &plan, times, &upload, outbound),
        };
    }
}

fn fail(record: Record, plan: &Plan, status: u16, flag: Flag, why: &'static str, tries: u32) -> Response<AnyBody> {
    let peer = record.peer;
    record.reply(failure(plan, status, flag, why, tries, peer))
}

/// How long it may take. Both times begin when all of the request is there, as Envoy's do.
struct Times {
    /// The whole answer's, the route's timeout.
    whole: Option<Duration>,
    /// That of the head of one try's answer.
    per_try: Option<Duration>,
    /// The whole answer's latest end, once it is known.
    deadline: Option<Instant>,
}

impl Times {
    fn begin(&mut self) {
        self.deadline = self.deadline.or(self.whole.map(|t| Instant::now() + t));
    }

    fn are_over(&self) -> bool {
        self.deadline.is_some_and(|d| d <= Instant::now())
    }

    /// Ends when the answer's head is too late.
    async fn alarm(&mut self, upload: &Upload) {
        upload.until_whole().await;
        self.begin();
        let nearer = [self.deadline, self.per_try.map(|t| Instant::now() + t)].into_iter().flatten().min();
        match nearer {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }
}

/// The upstream's answer as it goes back.
fn answer(
    mut record: Record,
    mut response: Response<Incoming>,
    plan: &Plan,
    mut times: Times,
    upload: &Arc<Upload>,
    outbound: bool,
) -> Response<AnyBody> {
    record.answered(response.status().as_u16());
    let headers = response.headers_mut();
    strip_hop_headers(headers);
    headers.insert(
        "x-envoy-upstream-service-time",
        HeaderValue::from(u64::try_from(record.took().as_millis()).unwrap_or(u64::MAX)),
    );
    if let Some(cookie) = plan.set_cookie.as_ref().and_then(|c| HeaderValue::from_str(c).ok()) {
        headers.append(header::SET_COOKIE, cookie);
    }
    if let Some(via) = &plan.via {
        apply(headers, &via.response_changes());
    }
    headers.insert(header::SERVER, HeaderValue::from_static(if outbound { "envoy" } else { "istio-envoy" }));
    upload.answered();
    // What is left is the route's time.
    times.per_try = None;
    let upload = upload.clone();
    response.map(|body| {
        Recorded::new(body, times.whole.map(|_| async move { times.alarm(&upload).await }), record).boxed_unsync()
    })
}

/// How an upstream ended a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reset {
    Refused,
    Stream,
    Connection,
}

impl Reset {
    /// hyper tells the reason in the words of its HTTP/2 library alone; a test holds it to them.
    pub(super) fn of(error: &hyper::Error) -> Reset {
        let words = error.source().map(ToString::to_string).unwrap_or_default();
        match words.strip_prefix("stream error received: ") {
            Some(reason) if reason.starts_with("refused stream") => Reset::Refused,
            Some(_) => Reset::Stream,
            None => Reset::Connection,
        }
    }

    fn words(self) -> (Flag, &'static str) {
        match self {
            Reset::Refused => (
                Flag::UR,
                "upstream connect error or disconnect/reset before headers. reset reason: remote refused stream reset",
            ),
            Reset::Stream => {
                (Flag::UR, "upstream connect error or disconnect/reset before headers. reset reason: remote reset")
            }
            Reset::Connection => (
                Flag::UC,
                "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
            ),
        }
    }
}

/// Sends a request by a connection of its own.
pub(super) async fn send<B>(
    shared: &Shared,
    stream: TcpStream,
    request: Request<B>,
    http2: bool,
) -> Result<Response<Incoming>, hyper::Error>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let io = TokioIo::new(stream);
    if http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await?;
        shared.tasks.spawn(connection);
        sender.send_request(request).await
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        shared.tasks.spawn(connection);
        sender.send_request(request).await
    }
}
