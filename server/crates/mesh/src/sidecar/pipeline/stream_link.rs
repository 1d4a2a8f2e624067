//! One exchange by hyper: a stream of a shared connection of HTTP/2, or a connection of HTTP/1.1 that is kept afterwards.

use super::reset::Reset;
use crate::sidecar::tasks::Tasks;
use crate::sidecar::upstream::endpoint::{Connection, InFlight, NoConnection, Terms, Upstream};
use crate::sidecar::upstream::multiplex::{AnyBody, Lease};
use crate::sidecar::upstream::pool::Place;
use http::{Request, Response, header};
use http1::{MAX_HEAD, has_token};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A way to send one request.
pub(crate) struct Link {
    way: Way,
    in_flight: InFlight,
}

enum Way {
    Http2(Lease),
    Http1(Connection),
}

/// What an exchange holds until its answer has come to its end.
pub(crate) struct Held {
    carrier: Carrier,
    _in_flight: InFlight,
    /// Of the request, under its cluster's limits.
    _request: Option<Place>,
}

enum Carrier {
    Http2 { _lease: Lease },
    Http1(Http1),
}

/// A connection of HTTP/1.1 that carries an exchange.
struct Http1 {
    sender: client::SendRequest<AnyBody>,
    /// It can carry another one.
    again: Arc<AtomicBool>,
    tasks: Tasks,
    /// Both sides keep it.
    keep_alive: bool,
}

/// Why there is no answer.
pub(crate) enum NoAnswer {
    /// Nothing was sent: the connection had been closed meanwhile.
    Stale,
    Reset(Reset),
}

impl Link {
    /// A link to the endpoint of `in_flight`, which speaks HTTP/2 or HTTP/1.1.
    pub(crate) async fn open(
        in_flight: InFlight,
        http2: bool,
        tasks: &Tasks,
        terms: Terms,
    ) -> Result<Link, NoConnection> {
        let to = in_flight.upstream();
        let way = if http2 { Way::Http2(to.stream(tasks, terms).await?) } else { Way::Http1(to.acquire(terms).await?) };
        Ok(Link { way, in_flight })
    }

    /// Our end of the connection.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match &self.way {
            Way::Http2(lease) => lease.local(),
            Way::Http1(connection) => connection.stream.local_addr().ok(),
        }
    }

    /// Sends a request and waits for the answer's head.
    pub(crate) async fn send(
        self,
        tasks: &Tasks,
        request: Request<AnyBody>,
    ) -> Result<(Response<Incoming>, Held), NoAnswer> {
        let Link { way, in_flight } = self;
        let upstream = in_flight.upstream().clone();
        let held = |carrier, place| Held { carrier, _in_flight: in_flight, _request: place };
        match way {
            Way::Http2(mut lease) => {
                let (reused, place) = (lease.reused, lease.request.take());
                let sent = lease.sender().try_send_request(request).await;
                let response = sent.map_err(|error| no_answer(reused && error.message().is_some(), error.error()))?;
                Ok((response, held(Carrier::Http2 { _lease: lease }, place)))
            }
            Way::Http1(mut connection) => {
                let reused = connection.reused;
                let place = connection.counted.as_mut().and_then(|counted| counted.request.take());
                let mut carrier = Http1::start(upstream, connection, tasks).await.map_err(NoAnswer::Reset)?;
                let sent = carrier.sender.try_send_request(request).await;
                let response = sent.map_err(|error| no_answer(reused && error.message().is_some(), error.error()))?;
                carrier.keep_alive = keeps_alive(&response);
                Ok((response, held(Carrier::Http1(carrier), place)))
            }
        }
    }
}

fn no_answer(stale: bool, error: &hyper::Error) -> NoAnswer {
    if stale { NoAnswer::Stale } else { NoAnswer::Reset(Reset::of(error)) }
}

fn keeps_alive(response: &Response<Incoming>) -> bool {
    let closes = |value: &http::HeaderValue| has_token(value.as_bytes(), "close");
    response.version() == http::Version::HTTP_11 && !response.headers().get_all(header::CONNECTION).iter().any(closes)
}

impl Http1 {
    /// Lets hyper speak on a connection; it comes back to its endpoint if it can carry another exchange.
    async fn start(upstream: Arc<Upstream>, connection: Connection, tasks: &Tasks) -> Result<Http1, Reset> {
        let Connection { stream, counted, .. } = connection;
        let mut builder = client::Builder::new();
        builder.max_buf_size(MAX_HEAD + 8 * 1024);
        let (sender, driver) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| Reset::of(&error))?;
        let again = Arc::new(AtomicBool::new(false));
        let can = again.clone();
        tasks.spawn(async move {
            // An error is told to the exchange.
            let Ok(parts) = driver.without_shutdown().await else { return };
            if can.load(Ordering::Acquire) && parts.read_buf.is_empty() {
                upstream.checkin(Connection::new(parts.io.into_inner(), counted));
            }
        });
        Ok(Http1 { sender, again, tasks: tasks.clone(), keep_alive: false })
    }
}

impl Held {
    /// The answer came to its end.
    pub(crate) fn finish(self) {
        if let Carrier::Http1(Http1 { mut sender, again, tasks, keep_alive: true }) = self.carrier {
            tasks.spawn(async move {
                // hyper is ready for another request once both sides of this one are over; without its sender it gives the socket back.
                if sender.ready().await.is_ok() {
                    again.store(true, Ordering::Release);
                }
            });
        }
    }
}
