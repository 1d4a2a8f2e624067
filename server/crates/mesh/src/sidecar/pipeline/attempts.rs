//! A request on its way: which endpoint, how often, and within what time. Written once; what is HTTP/1.1's or HTTP/2's own is behind
//! [`Exchange`].

use super::reset::Reset;
use super::telemetry::Telemetry;
use crate::sidecar::route::decision::{Direction, Plan, Reply};
use crate::sidecar::shared::Shared;
use crate::sidecar::stats::flag::Flag;
use crate::sidecar::upstream::balance::choose;
use crate::sidecar::upstream::endpoint::{CONNECT_TIMEOUT, InFlight, NoConnection, Terms};
use crate::sidecar::upstream::outlier::Ended;
use crate::sidecar::upstream::pool::Place;
use crate::sidecar::upstream::routing::LiveEndpoint;
use crate::table::Retries;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// Most of a body that is kept to be sent again.
pub(crate) const KEPT: usize = 64 * 1024;

/// One client's request, as the attempts need it: it can be sent again and again, each time by another connection.
pub(crate) trait Exchange: Send {
    /// A connection to an endpoint, or a stream's place on one.
    type Link: Send;
    /// What is left to do once there is an answer.
    type Answer: Send;

    fn telemetry(&mut self) -> &mut Telemetry;

    /// Gets a link to the endpoint of `in_flight`, which lasts as long as what it is used for.
    fn connect(
        &mut self,
        in_flight: InFlight,
        terms: Terms,
    ) -> impl Future<Output = Result<Self::Link, NoConnection>> + Send;

    /// Our end of a link.
    fn local(link: &Self::Link) -> Option<SocketAddr>;

    /// Sends the request, and brings the answer back as far as it must not be tried again any more.
    fn send(
        &mut self,
        link: Self::Link,
        attempt: &mut Attempt<'_>,
    ) -> impl Future<Output = Outcome<Self::Answer>> + Send;
}

/// How a try ended.
pub(crate) enum Outcome<A> {
    /// Answered.
    Answered(A),
    /// Nothing was sent: the connection had been closed meanwhile.
    Stale,
    /// To be tried again, and whether because the try took too long; nothing has gone back to the client.
    Again { too_late: bool },
    /// No answer; nothing has gone back to the client.
    Failed { status: u16, flag: Flag, why: &'static str },
    /// The client is gone, or the answer broke off in the middle: only closing tells it.
    Broken(Flag),
}

/// What is left of an answered request.
pub(crate) struct Answered<A> {
    pub(crate) answer: A,
    pub(crate) times: Times,
    /// A place under the limit of retries; held until the request is over.
    pub(crate) retrying: Option<Place>,
}

/// Why a request has no upstream's answer.
pub(crate) enum Unanswered {
    /// The sidecar answers by itself.
    Reply(Reply),
    /// The client is gone, or cannot be told any more.
    Broken(Flag),
}

/// How much of a request is there.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    /// All of it came.
    pub(crate) whole: bool,
    /// What came can be sent again.
    pub(crate) kept: bool,
}

/// How long it may take. Both times begin when all of the request is there, as Envoy's do; that of the route after a fault's delay.
pub(crate) struct Times {
    /// The whole answer's, the route's timeout.
    whole: Option<Duration>,
    /// That of the head of one try's answer.
    per_try: Option<Duration>,
    /// The whole answer's latest end, once it is known.
    deadline: Option<Instant>,
}

impl Times {
    fn of(plan: &Plan) -> Times {
        let per_try = plan.retries().and_then(|r| r.per_try_timeout_ms).map(Duration::from_millis);
        Times { whole: plan.route().and_then(|r| r.timeout_ms).map(Duration::from_millis), per_try, deadline: None }
    }

    /// All of the request is there.
    fn begin(&mut self) {
        self.deadline = self.deadline.or_else(|| self.whole.map(|t| Instant::now() + t));
    }

    pub(crate) fn are_over(&self) -> bool {
        self.deadline.is_some_and(|d| d <= Instant::now())
    }

    /// Whether there is any limit.
    pub(crate) fn are_limited(&self) -> bool {
        self.whole.is_some()
    }

    /// All of the request is there: when the answer is too late; where only its head is waited for, that of this try.
    pub(crate) fn alarm(&mut self, head: bool) -> Option<Sleep> {
        self.begin();
        let per_try = self.per_try.filter(|_| head).map(|t| Instant::now() + t);
        let nearer = [self.deadline, per_try].into_iter().flatten().min()?;
        Some(tokio::time::sleep_until(nearer.into()))
    }
}

/// What a try must know.
pub(crate) struct Attempt<'a> {
    /// Counted from 1.
    pub(crate) number: u32,
    pub(crate) rule: RetryRule<'a>,
    pub(crate) times: &'a mut Times,
}

/// What of a try is tried again.
#[derive(Clone, Copy)]
pub(crate) struct RetryRule<'a> {
    /// `None` where nothing may be.
    retry: Option<&'a Retries>,
    /// The next sidecar may say that it could not reach its app: then this is tried elsewhere.
    unsent_is_retried: bool,
}

impl RetryRule<'_> {
    /// Whether a request that has this answer is tried again. What was sent nowhere may go elsewhere even before all of it is there;
    /// anything else is tried again only as a whole, as by Envoy. `grpc` is the status of gRPC in the answer's head.
    pub(crate) fn tries_again(
        self,
        extent: Extent,
        status: u16,
        grpc: impl FnOnce() -> Option<u8>,
        not_sent: bool,
    ) -> bool {
        (not_sent && status == 503 && self.unsent_is_retried && extent.kept)
            || (extent.is_replayable() && self.retry.is_some_and(|r| r.tries_again_answered(status, grpc())))
    }

    /// The end of a try whose upstream gave no answer.
    pub(crate) fn unanswered<A>(self, extent: Extent, reset: Reset) -> Outcome<A> {
        let again = |r: &Retries| match reset {
            Reset::NoHttp => false,
            Reset::Refused => r.tries_again_unanswered() || r.tries_again_refused(),
            Reset::Stream | Reset::Connection => r.tries_again_unanswered(),
        };
        if extent.is_replayable() && self.retry.is_some_and(again) {
            return Outcome::Again { too_late: false };
        }
        Outcome::reset(reset)
    }

    /// The end of a try that took too long.
    pub(crate) fn timed_out<A>(self, extent: Extent, times: &Times) -> Outcome<A> {
        let again = self.retry.is_some_and(Retries::tries_again_unanswered);
        if !times.are_over() && extent.is_replayable() && again {
            return Outcome::Again { too_late: true };
        }
        Outcome::Failed { status: 504, flag: Flag::UT, why: TOO_LATE }
    }
}

impl Extent {
    fn is_replayable(self) -> bool {
        self.whole && self.kept
    }
}

impl<A> Outcome<A> {
    /// A reset that is not tried again.
    pub(crate) fn reset(reset: Reset) -> Outcome<A> {
        let (status, flag, why) = reset.told();
        Outcome::Failed { status, flag, why }
    }
}

const TOO_LATE: &str = "upstream request timeout";
const OVERFLOW: &str = "upstream connect error or disconnect/reset before headers. reset reason: overflow";
const NO_CONNECTION: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";

/// The tries of one request.
struct Attempts<'p> {
    shared: &'p Shared,
    plan: &'p Plan,
    retries: Option<&'p Retries>,
    /// Tries that are left.
    left: u32,
    number: u32,
    /// Endpoints that failed.
    tried: Vec<SocketAddr>,
    retrying: Option<Place>,
    /// A kept connection was closed: only a new one is used.
    fresh: bool,
    times: Times,
}

/// Connects and sends, again where that is allowed. `whole`: all of the request is there.
pub(crate) async fn forward<X: Exchange>(
    shared: &Shared,
    plan: &Plan,
    whole: bool,
    exchange: &mut X,
) -> Result<Answered<X::Answer>, Unanswered> {
    let mut attempts = Attempts::new(shared, plan);
    if whole {
        attempts.times.begin();
    }
    loop {
        let Some(endpoint) = attempts.next_endpoint().await else {
            exchange.telemetry().peer = plan.cluster.nobody;
            return Err(attempts.failure(exchange, 503, Flag::UH, "no healthy upstream"));
        };
        if plan.direction == Direction::Outbound {
            exchange.telemetry().peer = endpoint.peer;
        }
        exchange.telemetry().goes_to(&plan.cluster.name, endpoint.upstream.address());
        let in_flight = InFlight::begin(&endpoint.upstream);
        let link = match exchange.connect(in_flight, attempts.terms()).await {
            Ok(link) => link,
            Err(why) => {
                attempts.unconnected(exchange, endpoint, why)?;
                continue;
            }
        };
        exchange.telemetry().goes_from(|| X::local(&link));
        let outcome = exchange.send(link, &mut attempts.attempt(endpoint)).await;
        note(plan, endpoint, &outcome, exchange.telemetry().upstream_status);
        match outcome {
            Outcome::Answered(answer) => {
                return Ok(Answered { answer, times: attempts.times, retrying: attempts.retrying });
            }
            Outcome::Stale => attempts.fresh = true,
            Outcome::Again { .. } => attempts.again(endpoint),
            Outcome::Failed { status, flag, why } => return Err(attempts.failure(exchange, status, flag, why)),
            Outcome::Broken(flag) => return Err(Unanswered::Broken(flag)),
        }
    }
}

impl<'p> Attempts<'p> {
    fn new(shared: &'p Shared, plan: &'p Plan) -> Attempts<'p> {
        let retries = plan.retries();
        Attempts {
            shared,
            plan,
            retries,
            left: retries.map_or(0, |r| r.attempts),
            number: 1,
            tried: Vec::new(),
            retrying: None,
            fresh: false,
            times: Times::of(plan),
        }
    }

    /// Whom to try next; before one that was tried already a while passes.
    async fn next_endpoint(&self) -> Option<&'p LiveEndpoint> {
        if let Some(endpoint) = self.plan.endpoint {
            return self.plan.cluster.endpoints.iter().find(|e| e.upstream.address() == endpoint);
        }
        let avoid = if self.plan.keeps_to_its_endpoint() { &[] } else { self.tried.as_slice() };
        let endpoint = choose(&self.plan.cluster, self.shared.draw(), self.plan.hash, avoid)?;
        if self.tried.contains(&endpoint.upstream.address()) {
            pause(self.shared, self.number).await;
        }
        Some(endpoint)
    }

    fn terms(&self) -> Terms {
        let connect = self.plan.cluster.policy.connect_timeout_ms.map_or(CONNECT_TIMEOUT, Duration::from_millis);
        Terms { fresh: self.fresh, connect, deadline: self.times.deadline }
    }

    fn attempt(&mut self, endpoint: &LiveEndpoint) -> Attempt<'_> {
        let retry = self.retries.filter(|_| self.may_try_again(endpoint));
        let outbound = self.plan.direction == Direction::Outbound;
        let unsent_is_retried = outbound && retry.is_some_and(Retries::tries_again_unsent);
        Attempt { number: self.number, rule: RetryRule { retry, unsent_is_retried }, times: &mut self.times }
    }

    /// Whether a try is left, and the cluster's limit of retries allows it; a request that is tried again has its place already.
    fn may_try_again(&self, endpoint: &LiveEndpoint) -> bool {
        let place = || self.retrying.is_some() || endpoint.upstream.pool().is_none_or(|pool| pool.may_retry());
        self.left > 0 && place()
    }

    /// The next try goes elsewhere.
    fn again(&mut self, endpoint: &LiveEndpoint) {
        self.left -= 1;
        self.number += 1;
        self.retrying = self.retrying.take().or_else(|| endpoint.upstream.pool()?.retry());
        self.tried.push(endpoint.upstream.address());
    }

    /// There is no link: the answer, or `Ok` where another endpoint is tried.
    fn unconnected<X: Exchange>(
        &mut self,
        exchange: &mut X,
        endpoint: &LiveEndpoint,
        why: NoConnection,
    ) -> Result<(), Unanswered> {
        match why {
            NoConnection::ClientLeft => Err(Unanswered::Broken(exchange.telemetry().left)),
            // As in Envoy, this is not tried again: it would only add to the load.
            NoConnection::Overflow => Err(self.failure(exchange, 503, Flag::UO, OVERFLOW)),
            NoConnection::TooLate => Err(self.failure(exchange, 504, Flag::UT, TOO_LATE)),
            NoConnection::Io(error) => {
                self.plan.cluster.note(endpoint, Ended::Lost);
                if self.times.are_over() {
                    return Err(self.failure(exchange, 504, Flag::UT, TOO_LATE));
                }
                if self.may_try_again(endpoint) && self.retries.is_some_and(Retries::tries_again_unsent) {
                    self.again(endpoint);
                    return Ok(());
                }
                tracing::debug!(upstream = %endpoint.upstream.address(), %error, "Cannot connect");
                let mut reply = self.reply(exchange, 503, Flag::UF, NO_CONNECTION);
                // The sidecar that asked may try it elsewhere.
                reply.not_sent = self.plan.direction == Direction::Inbound;
                Err(Unanswered::Reply(reply))
            }
        }
    }

    fn failure<X: Exchange>(&self, exchange: &mut X, status: u16, flag: Flag, why: &'static str) -> Unanswered {
        Unanswered::Reply(self.reply(exchange, status, flag, why))
    }

    /// The answer after so many tries without one.
    fn reply<X: Exchange>(&self, exchange: &mut X, status: u16, flag: Flag, why: &'static str) -> Reply {
        let body = if self.number > 1 {
            why.replace("reset reason:", "retried and the latest reset reason:").into()
        } else {
            why.into()
        };
        let peer = exchange.telemetry().peer;
        Reply { body, via: self.plan.via.clone(), ..Reply::text(status, flag, "", peer) }
    }
}

/// Counts for or against the endpoint. What the client spoilt counts for nobody.
fn note<A>(plan: &Plan, endpoint: &LiveEndpoint, outcome: &Outcome<A>, upstream_status: u16) {
    let ended = match (outcome, upstream_status) {
        (Outcome::Stale | Outcome::Broken(Flag::DC | Flag::DR), 0) => return,
        (Outcome::Failed { flag: Flag::DPE | Flag::SI, .. }, 0) => return,
        (Outcome::Failed { flag: Flag::UT, .. } | Outcome::Again { too_late: true }, 0) => Ended::Lost,
        (_, 0) => Ended::Cut,
        (_, status) => Ended::Answered(status),
    };
    plan.cluster.note(endpoint, ended);
}

/// Envoy's back-off: drawn from 0 to 25 ms, twice that with each try, 250 ms at most; but only before an endpoint that was tried already.
async fn pause(shared: &Shared, tries: u32) {
    let most_us = (25_000_u64 << tries.saturating_sub(2).min(4)).min(250_000);
    tokio::time::sleep(Duration::from_micros(shared.draw() % most_us)).await;
}
