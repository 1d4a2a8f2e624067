//! What a stream holds while it is under way, and the answer's body, with whose end the stream is counted.

use super::reply::{body_of, reply_head};
use super::reset::Reset;
use super::stream_body::StreamBody;
use super::stream_client::Client;
use super::stream_link::Held;
use super::telemetry::Telemetry;
use crate::sidecar::budget::Charge;
use crate::sidecar::route::decision::Reply;
use crate::sidecar::shared::Shared;
use crate::sidecar::stats::flag::Flag;
use crate::sidecar::upstream::multiplex::{AnyBody, BoxError};
use crate::sidecar::upstream::pool::Place;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Sleep;

/// Counts a stream once it is over.
pub(crate) struct Record {
    pub(crate) telemetry: Telemetry,
    client: Arc<Client>,
    /// Of the stream in its connection.
    number: u64,
    /// It asked for a head alone.
    pub(crate) to_head: bool,
    body: Option<Arc<StreamBody>>,
    /// Its place among all streams, and its head's part of the memory budget.
    pub(crate) place: Option<Place>,
    pub(crate) charge: Option<Charge>,
    /// A place under the limit of retries.
    pub(crate) retrying: Option<Place>,
}

impl Record {
    pub(crate) fn new(shared: &Arc<Shared>, client: &Arc<Client>) -> Record {
        Record {
            telemetry: Telemetry::new(shared, shared.black_hole),
            client: client.clone(),
            number: client.begin(),
            to_head: false,
            body: None,
            place: None,
            charge: None,
            retrying: None,
        }
    }

    /// Notes the request's body.
    pub(crate) fn uploads(&mut self, body: &Arc<StreamBody>) {
        self.client.uploads(self.number, body);
        self.body = Some(body.clone());
    }

    /// Says how the client left, for the case that it has.
    pub(crate) fn note_how_it_left(&mut self) {
        self.telemetry.left = self.client.left();
    }

    pub(crate) fn fail(self, status: u16, flag: Flag, why: &'static str) -> Response<AnyBody> {
        let peer = self.telemetry.peer;
        self.reply(&Reply::text(status, flag, why, peer))
    }

    /// Answers by itself.
    pub(crate) fn reply(mut self, reply: &Reply) -> Response<AnyBody> {
        self.telemetry.answer(reply.status, reply.flag);
        self.telemetry.peer = reply.peer;
        let text = body_of(reply, self.to_head);
        if let Some(line) = &mut self.telemetry.line {
            line.sent = text.len() as u64;
        }
        let mut response = Response::new(whole(Bytes::copy_from_slice(text.as_bytes())));
        (*response.status_mut(), *response.headers_mut()) = reply_head(reply, self.to_head);
        response
    }

    /// Ends a stream whose client has; nobody reads the answer.
    pub(crate) fn client_left(self) -> Response<AnyBody> {
        let mut response = Response::new(whole(Bytes::new()));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    }
}

/// A body that is there.
pub(crate) fn whole(text: Bytes) -> AnyBody {
    Full::new(text).map_err(|never| match never {}).boxed_unsync()
}

impl Drop for Record {
    fn drop(&mut self) {
        self.client.end(self.number);
        self.note_how_it_left();
        let received = self.body.as_ref().map_or(0, |body| body.received());
        if let Some(line) = &mut self.telemetry.line {
            line.received = received;
        }
    }
}

/// An upstream's body; the stream is counted when it ends.
pub(crate) struct Recorded {
    body: Incoming,
    /// The route's timeout is about the whole answer.
    alarm: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What is given back when it is over.
    held: Option<Held>,
    record: Record,
    /// Why it was over before its end is known already, or it came to its end.
    over: bool,
}

impl Recorded {
    pub(crate) fn new(
        body: Incoming,
        alarm: Option<impl Future<Output = ()> + Send + 'static>,
        held: Held,
        record: Record,
    ) -> Recorded {
        record.client.is_sent_more(record.number);
        let alarm = alarm.map(|a| Box::pin(a) as Pin<Box<_>>);
        Recorded { body, alarm, held: Some(held), record, over: false }
    }

    /// It broke off, and not because the client left.
    fn breaks(&mut self, flag: Flag) {
        (self.record.telemetry.flag, self.over) = (flag, true);
        self.held = None;
    }

    /// It came to its end.
    fn ends(&mut self) {
        self.over = true;
        if let Some(held) = self.held.take() {
            held.finish();
        }
    }
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(alarm) = &mut self.alarm
            && alarm.as_mut().poll(cx).is_ready()
        {
            self.breaks(Flag::UT);
            return Poll::Ready(Some(Err("upstream request timeout".into())));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        // Asked for more: what it got before is on its way. What it gets now is until it asks again.
        let record = &self.record;
        if matches!(&polled, Poll::Ready(Some(Ok(_)))) {
            record.client.is_sent_more(record.number);
        } else {
            record.client.has_read(record.number);
        }
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.over |= frame.is_trailers();
                if let Some((line, data)) = self.record.telemetry.line.as_mut().zip(frame.data_ref()) {
                    line.sent += data.len() as u64;
                }
            }
            Poll::Ready(Some(Err(error))) => {
                let of_stream = matches!(Reset::of(error), Reset::Stream | Reset::Refused);
                self.breaks(if of_stream { Flag::UR } else { Flag::UC });
            }
            Poll::Ready(None) => self.ends(),
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
        if self.over || self.body.is_end_stream() || self.body.size_hint().exact() == Some(0) {
            self.ends();
        } else {
            self.record.telemetry.flag = self.record.client.left();
        }
    }
}

/// The alarm of an answer's body.
pub(crate) async fn rings(alarm: Option<Sleep>) {
    match alarm {
        Some(alarm) => alarm.await,
        None => std::future::pending().await,
    }
}
