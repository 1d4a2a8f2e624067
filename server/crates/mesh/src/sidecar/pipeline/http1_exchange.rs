//! A try of HTTP/1.1: the head and the body to an endpoint, and the answer back, both at once. The bytes are moved as they came.

use super::attempts::{Attempt, Exchange, Outcome, RetryRule, Times};
use super::body::{Body, Copying, Upload, UploadEnd, upload};
use super::header_rules::Answered;
use super::http1_heads::{ResponseStyle, number_try, write_response};
use super::reset::Reset;
use super::stall::{Late, Stall};
use super::telemetry::Telemetry;
use crate::sidecar::buffer::Buffer;
use crate::sidecar::downstream::client_timeout::ClientTimeout;
use crate::sidecar::downstream::connection::{After, Asked, Downstream};
use crate::sidecar::headers::known::{Known, known};
use crate::sidecar::route::decision::Plan;
use crate::sidecar::shared::Shared;
use crate::sidecar::stats::flag::Flag;
use crate::sidecar::upstream::endpoint::{Connection, InFlight, NoConnection, Terms};
use http1::{Framing, HeadEnd, MAX_HEAD, Response, head_end, parse_response};
use listen::Reason;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// A request of HTTP/1.1 whose upstream speaks the same.
pub(crate) struct Http1<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) plan: &'a Plan,
    pub(crate) down: &'a mut Downstream,
    pub(crate) asked: &'a mut Asked,
    /// How far the request's body is.
    pub(crate) body: &'a Body,
    /// Who gets a copy of the request once all of it is there.
    pub(crate) copy: Option<Copying<'a>>,
    pub(crate) telemetry: &'a mut Telemetry,
}

/// A connection for one try.
pub(crate) struct Link {
    connection: Connection,
    in_flight: InFlight,
}

/// What is left to do once an answer has gone back.
pub(crate) enum Answer {
    Done(After),
    /// Both sides speak another protocol from here.
    Upgraded(Link),
}

impl Link {
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// What is known of an answer once its head was read.
struct Head {
    status: u16,
    framing: Framing,
    keep_alive: bool,
    again: bool,
    upgraded: bool,
    close: bool,
}

impl Exchange for Http1<'_> {
    type Link = Link;
    type Answer = Answer;

    fn telemetry(&mut self) -> &mut Telemetry {
        self.telemetry
    }

    /// Only where there are limits it can take long, until a place is free: then the client may leave meanwhile.
    async fn connect(&mut self, in_flight: InFlight, terms: Terms) -> Result<Link, NoConnection> {
        let to = in_flight.upstream();
        let acquiring = to.acquire(terms);
        let connection = if to.pool().is_none() {
            acquiring.await?
        } else {
            tokio::select! {
                biased;
                acquired = acquiring => acquired?,
                () = has_left(self.down.stream.get_ref()) => return Err(NoConnection::ClientLeft),
            }
        };
        Ok(Link { connection, in_flight })
    }

    fn local(link: &Link) -> Option<SocketAddr> {
        link.connection.stream.local_addr().ok()
    }

    async fn send(&mut self, mut link: Link, attempt: &mut Attempt<'_>) -> Outcome<Answer> {
        if attempt.number > 1 {
            number_try(&mut self.down.out, attempt.number);
        }
        match send(&mut link.connection.stream, &self.down.out).await {
            Ok(()) => {}
            Err(0) if link.connection.reused => return Outcome::Stale,
            Err(_) => return Outcome::reset(Reset::Connection),
        }
        let answered = self.exchange(&mut link.connection, attempt).await;
        if let Some(line) = &mut self.telemetry.line {
            line.received = self.body.received();
        }
        match answered {
            Err(outcome) => outcome,
            Ok(head) if head.upgraded => Outcome::Answered(Answer::Upgraded(link)),
            Ok(head) => {
                let whole = self.body.is_whole() && head.framing != Framing::UntilClose;
                if whole && head.keep_alive && !self.asked.old_client {
                    link.in_flight.upstream().checkin(link.connection);
                }
                Outcome::Answered(Answer::Done(if whole && !head.close { After::Keep } else { After::Close }))
            }
        }
    }
}

impl Http1<'_> {
    /// Sends the rest of the body and brings the answer back.
    async fn exchange(&mut self, up: &mut Connection, attempt: &mut Attempt<'_>) -> Result<Head, Outcome<Answer>> {
        if self.asked.expects_continue
            && !self.asked.framing.is_done()
            && self.down.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err()
        {
            return Err(Outcome::Broken(Flag::DC));
        }
        let Asked { to_head, upgrade, keep_alive, old_client, .. } = *self.asked;
        let facts = Facts {
            shared: self.shared,
            plan: self.plan,
            body: self.body,
            rule: attempt.rule,
            to_head,
            upgrade,
            keep_alive,
            old_client,
        };
        let telemetry = &mut *self.telemetry;
        let Downstream { stream, buffer, out, reply, timeout, conn, .. } = &mut *self.down;
        let (mut from_client, mut to_client) = stream.get_mut().split();
        let (mut from_upstream, mut to_upstream) = up.stream.split();
        let stall = Stall::new(telemetry.started, self.shared.config.body_time, self.shared.config.write_time);
        let by = Upload { body: self.body, budget: &self.shared.budget, copy: self.copy, stall: &stall };
        let framing = &mut self.asked.framing;
        let uploading = pin!(upload(&mut from_client, buffer, out, &mut to_upstream, framing, by));
        let (alarm, times) = (pin!(None::<Sleep>), &mut *attempt.times);
        let body = self.body;
        let mut beside = Beside { uploading, over: false, alarm, armed: false, body, stall: &stall, timeout, times };

        let reading = response_head(&mut from_upstream, &mut up.buffer, reply, &facts, telemetry);
        let head = beside.until_head(reading, attempt.rule).await?;
        if head.again {
            return Err(Outcome::Again { too_late: false });
        }
        telemetry.answer(head.status, Flag::None);
        let mut framing = head.framing.clone();
        let download = download(&mut from_upstream, &mut up.buffer, &mut to_client, reply, &mut framing, &stall);
        let ended = beside.until_downloaded(download, || conn.refuse(Reason::Stalled)).await;
        let bytes = ended.map_err(Outcome::Broken)?;
        if let Some(line) = &mut telemetry.line {
            line.sent = bytes;
        }
        Ok(head)
    }
}

/// What goes on beside the answer: the rest of the request's body, and the times of the client and of the route.
struct Beside<'b, U> {
    uploading: Pin<&'b mut U>,
    /// The upload has ended.
    over: bool,
    alarm: Pin<&'b mut Option<Sleep>>,
    /// The alarm is set: all of the request is there.
    armed: bool,
    body: &'b Body,
    stall: &'b Stall,
    timeout: &'b mut ClientTimeout,
    times: &'b mut Times,
}

impl<U: Future<Output = UploadEnd>> Beside<'_, U> {
    /// Waits for the answer's head, while the request's body goes on. Times run only once all of that is there.
    async fn until_head(
        &mut self,
        reading: impl Future<Output = Result<Head, HeadError>>,
        rule: RetryRule<'_>,
    ) -> Result<Head, Outcome<Answer>> {
        let mut reading = pin!(reading);
        poll_fn(|cx| {
            if let Poll::Ready(head) = reading.as_mut().poll(cx) {
                return Poll::Ready(head.map_err(|error| match error {
                    HeadError::Ended => rule.unanswered(self.body.extent(), Reset::Connection),
                    HeadError::NoHttp => Outcome::reset(Reset::NoHttp),
                }));
            }
            match self.poll_upload(cx) {
                Some(UploadEnd::ClientGone) => return Poll::Ready(Err(Outcome::Broken(Flag::DC))),
                Some(UploadEnd::BadChunk) => {
                    let why = "malformed chunk";
                    return Poll::Ready(Err(Outcome::Failed { status: 400, flag: Flag::DPE, why }));
                }
                // It may have answered before it stopped reading.
                Some(UploadEnd::UpstreamGone) | None => {}
            }
            self.arm(true);
            if let Some((limit, Late::Body)) = self.stall.deadline()
                && self.timeout.is_over(limit, cx)
            {
                let why = "the body took too long";
                return Poll::Ready(Err(Outcome::Failed { status: 408, flag: Flag::SI, why }));
            }
            if self.rings(cx) {
                return Poll::Ready(Err(rule.timed_out(self.body.extent(), self.times)));
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for the end of the answer's body.
    async fn until_downloaded(
        &mut self,
        download: impl Future<Output = Result<u64, Flag>>,
        stalled: impl Fn(),
    ) -> Result<u64, Flag> {
        if self.armed {
            // The try is over; what is left is the route's time.
            self.alarm.set(self.times.alarm(false));
        }
        let mut download = pin!(download);
        poll_fn(|cx| {
            if let Poll::Ready(end) = download.as_mut().poll(cx) {
                return Poll::Ready(end);
            }
            if let Some(UploadEnd::ClientGone) = self.poll_upload(cx) {
                return Poll::Ready(Err(Flag::DC));
            }
            self.arm(false);
            if let Some(limit) = self.stall.write_deadline()
                && self.timeout.is_over(limit, cx)
            {
                stalled();
                return Poll::Ready(Err(Flag::DC));
            }
            if self.rings(cx) { Poll::Ready(Err(Flag::UT)) } else { Poll::Pending }
        })
        .await
    }

    /// Moves the upload on. Returns how it ended, once.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Option<UploadEnd> {
        if self.over {
            return None;
        }
        match self.uploading.as_mut().poll(cx) {
            Poll::Ready(end) => {
                self.over = true;
                Some(end)
            }
            Poll::Pending => None,
        }
    }

    /// Sets the alarm once all of the request is there.
    fn arm(&mut self, head: bool) {
        if !self.armed && self.body.is_whole() {
            self.armed = true;
            self.alarm.set(self.times.alarm(head));
        }
    }

    fn rings(&mut self, cx: &mut Context<'_>) -> bool {
        self.alarm.as_mut().as_pin_mut().is_some_and(|alarm| alarm.poll(cx).is_ready())
    }
}

/// Brings the answer's body back; what came with the head goes back with it. Returns its bytes.
async fn download<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    from: &mut R,
    buffer: &mut Buffer,
    to: &mut W,
    reply: &mut Vec<u8>,
    framing: &mut Framing,
    stall: &Stall,
) -> Result<u64, Flag> {
    let taken = framing.take(buffer.bytes()).map_err(|_| Flag::UPE)?;
    reply.extend_from_slice(&buffer.bytes()[..taken]);
    buffer.consume(taken);
    stall.write_all(to, reply).await.map_err(|_| Flag::DC)?;
    let mut bytes = taken as u64;
    while !framing.is_done() {
        match buffer.fill(from, 16 * 1024).await {
            Ok(0) if *framing == Framing::UntilClose => break,
            Ok(0) | Err(_) => return Err(Flag::UC),
            Ok(_) => {}
        }
        let taken = framing.take(buffer.bytes()).map_err(|_| Flag::UPE)?;
        stall.write_all(to, &buffer.bytes()[..taken]).await.map_err(|_| Flag::DC)?;
        buffer.consume(taken);
        bytes += taken as u64;
    }
    Ok(bytes)
}

/// Writes all of it; the error is how many bytes were written before it failed.
async fn send(to: &mut TcpStream, bytes: &[u8]) -> Result<(), usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match to.write(&bytes[sent..]).await {
            Ok(n) if n > 0 => sent += n,
            _ => return Err(sent),
        }
    }
    Ok(())
}

/// Ends when the client does; never where it has sent something more, which only the next read may take.
async fn has_left(client: &TcpStream) {
    if matches!(client.peek(&mut [0]).await, Ok(n) if n > 0) {
        std::future::pending::<()>().await;
    }
}

/// What decides how an answer's head is read and sent back.
struct Facts<'a> {
    shared: &'a Shared,
    plan: &'a Plan,
    body: &'a Body,
    rule: RetryRule<'a>,
    to_head: bool,
    upgrade: bool,
    keep_alive: bool,
    old_client: bool,
}

enum HeadError {
    Ended,
    NoHttp,
}

/// Reads the answer's head, past `100 Continue` and its like, and writes the one that goes back into `reply`.
async fn response_head<R: AsyncRead + Unpin>(
    from: &mut R,
    buffer: &mut Buffer,
    reply: &mut Vec<u8>,
    facts: &Facts<'_>,
    telemetry: &mut Telemetry,
) -> Result<Head, HeadError> {
    let mut looked = 0;
    loop {
        match head_end(buffer.bytes(), looked) {
            HeadEnd::At(end) => {
                let noted = |response: &Response<'_>| note_head(response, reply, facts, telemetry);
                let head = parse_response(&buffer.bytes()[..end], facts.to_head, noted).ok_or(HeadError::NoHttp)?;
                buffer.consume(end);
                match head.status {
                    101 if !facts.upgrade => return Err(HeadError::NoHttp),
                    100..200 if head.status != 101 => looked = 0,
                    _ => return Ok(head),
                }
                continue;
            }
            HeadEnd::More if buffer.bytes().len() > MAX_HEAD => return Err(HeadError::NoHttp),
            HeadEnd::More => looked = buffer.bytes().len(),
            HeadEnd::BareLineFeed => return Err(HeadError::NoHttp),
        }
        if !matches!(buffer.fill(from, 4096).await, Ok(n) if n > 0) {
            return Err(HeadError::Ended);
        }
    }
}

fn note_head(response: &Response<'_>, reply: &mut Vec<u8>, facts: &Facts<'_>, telemetry: &mut Telemetry) -> Head {
    let status = response.status;
    let took = telemetry.upstream_head(status);
    let not_sent = status == 503 && response.headers.iter().any(|h| known(h.name) == Known::NotSent);
    let again = facts.rule.tries_again(facts.body.extent(), status, || grpc_status(response), not_sent);
    let upgraded = status == 101 && facts.upgrade;
    let close = !facts.keep_alive || facts.shared.is_draining() || response.framing == Framing::UntilClose;
    if !again {
        let plan = facts.plan;
        let (via, set_cookie) = (plan.via.as_ref(), plan.set_cookie.as_deref());
        let answered = Answered { tcp: plan.tcp, direction: plan.direction, via, set_cookie, took };
        let style = ResponseStyle { close, upgrade: upgraded, old_keep_alive: facts.old_client && !close };
        write_response(reply, response, &answered, &style);
    }
    Head { status, framing: response.framing.clone(), keep_alive: response.keep_alive, again, upgraded, close }
}

fn grpc_status(response: &Response<'_>) -> Option<u8> {
    let header = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("grpc-status"))?;
    std::str::from_utf8(header.value).ok()?.parse().ok()
}
