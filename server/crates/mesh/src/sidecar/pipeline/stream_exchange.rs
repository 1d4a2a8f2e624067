//! A try of a stream's request: by hyper, to an upstream of HTTP/2 or of HTTP/1.1.

use super::attempts::{Answered, Attempt, Exchange, KEPT, Outcome, Unanswered, forward};
use super::header_rules::{self, ATTEMPT};
use super::hyper_heads::{answered, rewritten};
use super::mirror::{self, Original};
use super::reset::Reset;
use super::stream_body::{Copying, StreamBody};
use super::stream_link::{Held, Link, NoAnswer};
use super::stream_record::{Record, Recorded, rings};
use super::telemetry::Telemetry;
use crate::sidecar::route::decision::{Direction, Plan};
use crate::sidecar::shared::Shared;
use crate::sidecar::stats::flag::Flag;
use crate::sidecar::upstream::endpoint::{InFlight, NoConnection, Terms};
use crate::sidecar::upstream::multiplex::AnyBody;
use crate::table::Headers as _;
use http::{HeaderMap, HeaderValue, Request, Response, request};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use std::net::SocketAddr;
use std::sync::Arc;

/// A stream's request.
struct Stream {
    shared: Arc<Shared>,
    /// The head as it is sent.
    head: request::Parts,
    body: Arc<StreamBody>,
    /// The upstream speaks HTTP/2.
    http2: bool,
    record: Record,
}

/// Sends a request to its upstream.
pub(crate) async fn send_on(
    shared: &Arc<Shared>,
    mut record: Record,
    request: Request<Incoming>,
    authority: &str,
    path: &str,
    plan: Plan,
) -> Response<AnyBody> {
    if let Some(delay) = plan.delay {
        record.telemetry.flag = Flag::DI;
        tokio::time::sleep(delay).await;
    }
    // What comes to the app in HTTP/2 it is sent in HTTP/2; on the way out the Service's port decides, unless it takes any bytes.
    let http2 = plan.direction == Direction::Inbound || plan.cluster.http2 || plan.tcp;
    let (head, body) = request.into_parts();
    let Some(head) = rewritten(shared, head, authority, path, &plan, http2, !body.is_end_stream()) else {
        return record.fail(400, Flag::DPE, "malformed authority or path\n");
    };
    if let Some(line) = record.telemetry.line.as_mut().filter(|line| line.request_id.is_empty()) {
        line.request_id = head.headers.value("x-request-id").unwrap_or_default().into_owned();
    }
    let is_kept = plan.retries().is_some_and(|r| r.attempts > 0) || !plan.mirrors.is_empty();
    let most = if plan.mirrors.is_empty() { KEPT } else { mirror::LARGEST };
    let copy = copying(shared, &plan, &head);
    record.telemetry.tcp = plan.tcp;
    let body = StreamBody::new(body, if is_kept { most } else { 0 }, shared.budget.charge(), copy);
    record.uploads(&body);
    let whole = body.is_whole();
    let mut stream = Stream { shared: shared.clone(), head, body, http2, record };
    let ended = forward(shared, &plan, whole, &mut stream).await;
    let Stream { body, mut record, .. } = stream;
    match ended {
        Ok(Answered { answer: (response, held), mut times, retrying }) => {
            record.retrying = retrying;
            record.telemetry.answer(response.status().as_u16(), Flag::None);
            let headers = answers_headers(response.headers(), &plan, &record.telemetry);
            body.answered();
            let alarm = times.are_limited().then_some(async move {
                body.until_whole().await;
                rings(times.alarm(false)).await;
            });
            let mut response = response.map(|body| Recorded::new(body, alarm, held, record).boxed_unsync());
            *response.headers_mut() = headers;
            response
        }
        Err(Unanswered::Reply(reply)) => record.reply(&reply),
        Err(Unanswered::Broken(_)) => record.client_left(),
    }
}

/// Sends copies of the request once all of it is there.
fn copying(shared: &Arc<Shared>, plan: &Plan, head: &request::Parts) -> Option<Copying> {
    if plan.mirrors.is_empty() {
        return None;
    }
    let (shared, clusters, head) = (shared.clone(), plan.mirrors.clone(), head.clone());
    Some(Box::new(move |body| mirror::send(&shared, &clusters, Original::Message(&head, body))))
}

/// The upstream's headers as they go back.
fn answers_headers(came: &HeaderMap, plan: &Plan, telemetry: &Telemetry) -> HeaderMap {
    let (via, set_cookie) = (plan.via.as_ref(), plan.set_cookie.as_deref());
    answered(
        came,
        &header_rules::Answered { tcp: plan.tcp, direction: plan.direction, via, set_cookie, took: telemetry.took() },
    )
}

impl Exchange for Stream {
    type Link = Link;
    type Answer = (Response<Incoming>, Held);

    fn telemetry(&mut self) -> &mut Telemetry {
        &mut self.record.telemetry
    }

    async fn connect(&mut self, in_flight: InFlight, terms: Terms) -> Result<Link, NoConnection> {
        Link::open(in_flight, self.http2, &self.shared.tasks, terms).await
    }

    fn local(link: &Link) -> Option<SocketAddr> {
        link.local()
    }

    async fn send(&mut self, link: Link, attempt: &mut Attempt<'_>) -> Outcome<Self::Answer> {
        let mut request = Request::from_parts(self.head.clone(), self.body.send().boxed_unsync());
        if let Some(number) = request.headers_mut().get_mut(ATTEMPT).filter(|_| attempt.number > 1) {
            *number = HeaderValue::from(attempt.number);
        }
        let body = self.body.clone();
        let too_late = async {
            body.until_whole().await;
            rings(attempt.times.alarm(true)).await;
        };
        let answered = tokio::select! {
            biased;
            answered = link.send(&self.shared.tasks, request) => Some(answered),
            () = too_late => None,
        };
        let (rule, extent) = (attempt.rule, body.extent());
        match answered {
            None => rule.timed_out(extent, attempt.times),
            // The client's fault, not the endpoint's.
            Some(Err(_)) if body.is_broken() => {
                self.record.note_how_it_left();
                Outcome::Broken(self.record.telemetry.left)
            }
            // Sent again only if nothing of its body is lost.
            Some(Err(NoAnswer::Stale)) if extent.kept => Outcome::Stale,
            Some(Err(NoAnswer::Stale)) => rule.unanswered(extent, Reset::Connection),
            Some(Err(NoAnswer::Reset(reset))) => {
                let outcome = rule.unanswered(extent, reset);
                if let (Outcome::Failed { .. }, Reset::Refused, Some(line)) =
                    (&outcome, reset, &mut self.record.telemetry.line)
                {
                    line.details = Some("upstream_reset_before_response_started{remote_refused_stream_reset}");
                }
                outcome
            }
            Some(Ok((response, held))) => {
                let (status, headers) = (response.status().as_u16(), response.headers());
                self.record.telemetry.upstream_head(status);
                let grpc = || headers.get("grpc-status")?.to_str().ok()?.parse().ok();
                if rule.tries_again(extent, status, grpc, headers.contains_key("x-mesh-not-sent")) {
                    return Outcome::Again { too_late: false };
                }
                Outcome::Answered((response, held))
            }
        }
    }
}
