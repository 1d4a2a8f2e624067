//! What is known of a stream of HTTP/2: counted, and written into the access log, once it is over. [`super::seen`] for what outlives the
//! function that began it.

use super::access_log::Outcome;
use super::budget::Charge;
use super::flag::Flag;
use super::h2_forward::Reset;
use super::h2_heads::apply;
use super::h2_upload::Upload;
use super::metrics::Peer;
use super::pool::Place;
use super::reply::Reply;
use super::seen::{Ends, Line};
use super::shared::Shared;
use super::upstream::Held;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use listen::{Conn, Reason};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// The client's connection, as its streams know it.
pub(super) struct Client {
    pub(super) ends: Ends,
    /// It speaks HTTP/1.1, and its one request is known to go to an upstream of HTTP/2.
    pub(super) http1: bool,
    /// It has ended, and not only the stream.
    pub(super) over: AtomicBool,
    conn: Conn,
    state: Mutex<State>,
}

/// What the connection's streams are doing.
#[derive(Default)]
struct State {
    /// Streams so far.
    asked: u64,
    under_way: usize,
    /// While there is any: then the connection is not closed in favour of others.
    serves: Option<listen::Request>,
    /// Since when there is none.
    rests: Option<Instant>,
    /// Answers that wait until the client makes room for more, by number, and since when.
    unread: HashMap<u64, Instant>,
    /// Bodies of requests that are not answered yet.
    uploads: HashMap<u64, Weak<Upload>>,
}

impl Client {
    pub(super) fn new(ends: Ends, http1: bool, conn: Conn) -> Arc<Client> {
        conn.multiplexed();
        Arc::new(Client { ends, http1, over: AtomicBool::new(http1), conn, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream has begun. Returns its number.
    fn begin(&self) -> u64 {
        let mut state = self.state();
        (state.asked, state.under_way, state.rests) = (state.asked + 1, state.under_way + 1, None);
        if state.serves.is_none() {
            state.serves = Some(self.conn.request(listen::Framing::Length));
        }
        state.asked
    }

    fn end(&self, number: u64) {
        let mut state = self.state();
        state.unread.remove(&number);
        state.uploads.remove(&number);
        state.under_way -= 1;
        if state.under_way == 0 {
            (state.serves, state.rests) = (None, Some(Instant::now()));
        }
    }

    /// Whether any request came.
    pub(super) fn has_asked(&self) -> bool {
        self.state().asked > 0
    }

    /// How long no stream has been under way.
    pub(super) fn rests(&self) -> Option<Duration> {
        self.state().rests.map(|since| since.elapsed())
    }

    /// Whether an answer has waited `write_time` for the client to read it (its window is closed, though the connection answers pings),
    /// or a request for more of its body for `body_time`.
    pub(super) fn is_stalled(&self, write_time: Duration, body_time: Duration) -> bool {
        let state = self.state();
        let stalled = state.unread.values().any(|since| since.elapsed() >= write_time)
            || state
                .uploads
                .values()
                .filter_map(|upload| upload.upgrade()?.waits_since())
                .any(|since| since.elapsed() >= body_time);
        if stalled {
            self.conn.refuse(Reason::Stalled);
        }
        stalled
    }

    /// What the client speaks.
    pub(super) fn protocol(&self, version: http::Version) -> &'static str {
        match (self.ends.protocol, version) {
            (Some(protocol), _) => protocol,
            (None, http::Version::HTTP_2) => "HTTP/2",
            (None, http::Version::HTTP_10) => "HTTP/1.0",
            (None, _) => "HTTP/1.1",
        }
    }
}

/// Counts a stream once it is over.
pub(super) struct Record {
    pub(super) shared: Arc<Shared>,
    pub(super) client: Arc<Client>,
    /// Of the stream in its connection.
    number: u64,
    started: Instant,
    pub(super) peer: Peer,
    /// 0 until there is an answer.
    pub(super) status: u16,
    pub(super) flag: Flag,
    /// The answer is an upstream's.
    from_upstream: bool,
    /// It asked for a head alone.
    pub(super) to_head: bool,
    /// Our end of the connection by which this sidecar's own listener gets the request.
    handed: Option<SocketAddr>,
    /// The endpoint's and the pool's places, held until the stream is over.
    pub(super) held: Option<Held>,
    /// A place under the limit of retries, held as long.
    pub(super) retrying: Option<Place>,
    pub(super) upload: Option<Arc<Upload>>,
    /// Its place among all streams, and its head's part of the memory budget.
    pub(super) place: Option<Place>,
    pub(super) charge: Option<Charge>,
    /// Only where an access log is kept.
    pub(super) line: Option<Box<Line>>,
}

impl Record {
    pub(super) fn new(shared: &Arc<Shared>, client: &Arc<Client>) -> Record {
        Record {
            shared: shared.clone(),
            client: client.clone(),
            number: client.begin(),
            started: Instant::now(),
            peer: shared.black_hole,
            status: 0,
            flag: Flag::None,
            from_upstream: false,
            to_head: false,
            handed: None,
            held: None,
            retrying: None,
            upload: None,
            place: None,
            charge: None,
            line: None,
        }
    }

    pub(super) fn took(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes the request's body.
    pub(super) fn uploads(&mut self, upload: &Arc<Upload>) {
        self.client.state().uploads.insert(self.number, Arc::downgrade(upload));
        self.upload = Some(upload.clone());
    }

    /// Leaves the counting to who takes the request over; where nobody has at its end, it is counted here.
    pub(super) fn hand_over(&mut self, by: SocketAddr) {
        self.shared.hand_over(by, Ends { protocol: Some("HTTP/2"), ..self.client.ends });
        self.handed = Some(by);
    }

    /// Notes the upstream's head.
    pub(super) fn answered(&mut self, status: u16) {
        (self.status, self.from_upstream) = (status, true);
        let took = self.took();
        if let Some(line) = &mut self.line {
            line.upstream_ms = Some(took.as_millis());
        }
    }

    pub(super) fn fail(self, status: u16, flag: Flag, why: &'static str) -> Response<AnyBody> {
        let peer = self.peer;
        self.reply(Reply::text(status, flag, why, peer))
    }

    /// Answers by itself.
    pub(super) fn reply(mut self, reply: Reply) -> Response<AnyBody> {
        self.status = reply.status;
        self.peer = reply.peer;
        if reply.flag != Flag::None {
            self.flag = reply.flag;
        }
        let length = reply.body.len();
        let text = if self.to_head { Bytes::new() } else { Bytes::from(reply.body.into_owned()) };
        if let Some(line) = &mut self.line {
            line.sent = text.len() as u64;
        }
        let mut response = Response::new(Full::new(text).map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::SERVER, HeaderValue::from_static("envoy"));
        if let Some(via) = &reply.via {
            apply(headers, &via.response_changes());
        }
        if self.to_head && length > 0 {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if reply.flag == Flag::UO {
            headers.insert("x-envoy-overloaded", HeaderValue::from_static("true"));
        }
        if let Some(location) = reply.location.and_then(|l| HeaderValue::from_str(&l).ok()) {
            headers.insert(header::LOCATION, location);
        }
        response
    }

    /// Ends a stream whose client has; nobody reads the answer.
    pub(super) fn client_left(self) -> Response<AnyBody> {
        let mut response = Response::new(Full::default().map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    }

    /// Notes how the upstream ended the stream.
    pub(super) fn note_reset(&mut self, reset: Reset) {
        if let Some(line) = self.line.as_mut().filter(|_| reset == Reset::Refused) {
            line.details = Some("upstream_reset_before_response_started{remote_refused_stream_reset}");
        }
    }

    /// How Envoy calls a client that did not wait for the end.
    fn left(&self) -> Flag {
        if self.client.over.load(Ordering::Relaxed) { Flag::DC } else { Flag::DR }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.client.end(self.number);
        if self.handed.is_some_and(|by| self.shared.take_over(by).is_none()) {
            return;
        }
        let (took, flag) = (self.took(), if self.status == 0 { self.left() } else { self.flag });
        self.shared.metrics.record(self.peer, self.status, flag, took);
        if let Some((line, log)) = self.line.as_mut().zip(self.shared.log.as_ref()) {
            line.received = self.upload.as_ref().map_or(0, |upload| upload.received());
            log.print(line, &Outcome { status: self.status, flag, from_upstream: self.from_upstream, took });
        }
    }
}

/// An upstream's body; the stream is counted when it ends.
pub(super) struct Recorded {
    body: Incoming,
    /// The route's timeout is about the whole answer.
    alarm: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    record: Record,
    /// Why it was over before its end is known already, or it came to its end.
    over: bool,
}

impl Recorded {
    pub(super) fn new(
        body: Incoming,
        alarm: Option<impl Future<Output = ()> + Send + 'static>,
        record: Record,
    ) -> Recorded {
        record.client.state().unread.insert(record.number, Instant::now());
        Recorded { body, alarm: alarm.map(|a| Box::pin(a) as Pin<Box<_>>), record, over: false }
    }
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(alarm) = &mut self.alarm
            && alarm.as_mut().poll(cx).is_ready()
        {
            (self.record.flag, self.over) = (Flag::UT, true);
            return Poll::Ready(Some(Err("upstream request timeout".into())));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        // Asked for more: what it got before is on its way. What it gets now is until it asks again.
        let record = &self.record;
        if matches!(&polled, Poll::Ready(Some(Ok(_)))) {
            record.client.state().unread.insert(record.number, Instant::now());
        } else {
            record.client.state().unread.remove(&record.number);
        }
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.over |= frame.is_trailers();
                if let Some((line, data)) = self.record.line.as_mut().zip(frame.data_ref()) {
                    line.sent += data.len() as u64;
                }
            }
            Poll::Ready(Some(Err(error))) => {
                (self.record.flag, self.over) =
                    (if Reset::of(error) == Reset::Connection { Flag::UC } else { Flag::UR }, true);
            }
            Poll::Ready(None) => self.over = true,
            Poll::Pending => {}
        }
        polled.map_err(BoxError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // Who knows the length does not ask for the end.
        if !self.over && !self.body.is_end_stream() && self.body.size_hint().exact() != Some(0) {
            self.record.flag = self.record.left();
        }
    }
}
