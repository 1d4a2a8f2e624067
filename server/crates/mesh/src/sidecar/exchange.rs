//! One try: a request's head and body to an endpoint, and the answer back, both at once.

use super::budget::Charge;
use super::client_timeout::ClientTimeout;
use super::flag::Flag;
use super::heads::{Direction, ResponseStyle, write_response};
use super::http1::{Buffer, Framing, HeadEnd, Known, MAX_HEAD, head_end, known, parse_response};
use super::outbound::Via;
use super::seen::Seen;
use super::shared::Shared;
use super::stall::{Late, Stall};
use super::upload::{Body, Copying, UploadEnd, upload};
use super::upstream::Connection;
use crate::table::Retries;
use listen::{Conn, Guarded, Reason};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// The connection that a request came by.
pub(crate) struct Downstream {
    pub(crate) stream: Guarded<TcpStream>,
    pub(crate) conn: Conn,
    pub(crate) timeout: ClientTimeout,
    /// For heads beyond the ordinary size.
    pub(crate) charge: Charge,
    pub(crate) buffer: Buffer,
    /// The head that goes upstream, and what of the body came with it; kept until the answer, so that it can be sent again.
    pub(crate) out: Vec<u8>,
    /// The head that goes back.
    pub(crate) reply: Vec<u8>,
}

impl Downstream {
    pub(crate) fn new(shared: &Shared, stream: Guarded<TcpStream>, conn: Conn) -> Downstream {
        let timeout = ClientTimeout::new(shared, Instant::now() + shared.config.head_time);
        Downstream {
            stream,
            conn,
            timeout,
            charge: shared.budget.charge(),
            buffer: Buffer::default(),
            out: Vec::new(),
            reply: Vec::new(),
        }
    }

    /// Gives memory back that a large request or answer took.
    pub(crate) fn shrink(&mut self) {
        self.buffer.shrink(8 * 1024);
        for head in [&mut self.out, &mut self.reply] {
            if head.capacity() > 8 * 1024 {
                *head = Vec::new();
            }
        }
        self.charge.clear();
    }
}

/// What a try must know of its request.
pub(crate) struct Try<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) direction: Direction,
    pub(crate) via: Option<&'a Via>,
    /// A cookie for the client, so that it comes to the same endpoint again.
    pub(crate) set_cookie: Option<&'a str>,
    pub(crate) to_head: bool,
    pub(crate) upgrade: bool,
    pub(crate) expects_continue: bool,
    pub(crate) keep_alive: bool,
    pub(crate) old_client: bool,
    /// How far the request's body is.
    pub(crate) body: &'a Body,
    /// Who gets a copy of the request once all of it is there.
    pub(crate) copy: Option<Copying<'a>>,
    /// What is tried again.
    pub(crate) retry: Option<&'a Retries>,
    /// The next sidecar may say that it could not reach its app: then this is tried elsewhere.
    pub(crate) unsent_is_retried: bool,
    /// Longest time from the request's end to that of the answer.
    pub(crate) timeout: Option<Duration>,
    /// Longest time from the request's end to the answer's head.
    pub(crate) per_try: Option<Duration>,
}

impl Try<'_> {
    /// Whether all of the request is there, and kept.
    fn is_replayable(&self) -> bool {
        self.body.is_whole() && self.body.is_kept()
    }

    /// Whether it is tried again where there is no answer.
    fn is_tried_again_unanswered(&self) -> bool {
        self.is_replayable() && self.retry.is_some_and(Retries::tries_again_unanswered)
    }

    /// The nearer end of the request's time, which begins here where it has not begun, and the try's.
    fn alarm(&self, deadline: &mut Option<Instant>, per_try: Option<Duration>) -> Option<Sleep> {
        self.timeout.or(per_try)?;
        let now = Instant::now();
        *deadline = deadline.or(self.timeout.map(|t| now + t));
        let nearer = [*deadline, per_try.map(|t| now + t)].into_iter().flatten().min();
        nearer.map(|at| tokio::time::sleep_until(at.into()))
    }
}

/// How a try ended.
pub(crate) enum Outcome {
    /// Answered. Which of the connections can be used again.
    Answered { upstream: bool, downstream: bool },
    /// Answered, and both sides speak another protocol from here.
    Upgraded,
    /// Nothing was sent: the connection had been closed meanwhile.
    Stale,
    /// To be tried again, and whether because the try took too long; nothing has gone back to the client.
    Again { too_late: bool },
    /// No answer; nothing has gone back to the client.
    Failed { status: u16, flag: Flag, why: &'static str },
    /// The client is gone, or the answer broke off in the middle: only closing tells it.
    Broken(Flag),
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

/// Sends `down.out` and the rest of the body (`framing`), and brings back the answer. `deadline` is the whole answer's latest end; it is
/// set here where the request's end is only seen here.
pub(crate) async fn exchange(
    down: &mut Downstream,
    up: &mut Connection,
    framing: &mut Framing,
    what: &Try<'_>,
    deadline: &mut Option<Instant>,
    seen: &mut Seen<'_>,
) -> Outcome {
    match send(&mut up.stream, &down.out).await {
        Ok(()) => {}
        Err(0) if up.reused => return Outcome::Stale,
        Err(_) => return failed(Flag::UC),
    }
    if what.expects_continue
        && !framing.is_done()
        && down.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err()
    {
        return Outcome::Broken(Flag::DC);
    }
    let Downstream { stream, buffer, out, reply, timeout, conn, .. } = down;
    let (mut from_client, mut to_client) = stream.get_mut().split();
    let (mut from_upstream, mut to_upstream) = up.stream.split();
    let stall = Stall::new(seen.started, what.shared.config.body_time, what.shared.config.write_time);
    let mut upload = pin!(upload(&mut from_client, buffer, out, &mut to_upstream, framing, what, &stall));
    let mut upload_over = false;
    let mut alarm = pin!(None::<Sleep>);
    let mut armed = false;

    // The answer's head, while the request's body goes on. Times run only once all of that is there.
    let head = {
        let mut reading = pin!(response_head(&mut from_upstream, &mut up.buffer, reply, what, seen));
        poll_fn(|cx| {
            if let Poll::Ready(head) = reading.as_mut().poll(cx) {
                return Poll::Ready(head.map_err(|error| match error {
                    HeadError::Ended => no_answer(what, Flag::UC),
                    HeadError::NoHttp => {
                        Outcome::Failed { status: 502, flag: Flag::UPE, why: "upstream protocol error" }
                    }
                }));
            }
            if !upload_over && let Poll::Ready(end) = upload.as_mut().poll(cx) {
                match end {
                    UploadEnd::ClientGone => return Poll::Ready(Err(Outcome::Broken(Flag::DC))),
                    UploadEnd::BadChunk => {
                        return Poll::Ready(Err(Outcome::Failed {
                            status: 400,
                            flag: Flag::DPE,
                            why: "malformed chunk",
                        }));
                    }
                    // It may have answered before it stopped reading.
                    UploadEnd::UpstreamGone => upload_over = true,
                }
            }
            if !armed && what.body.is_whole() {
                armed = true;
                alarm.set(what.alarm(deadline, what.per_try));
            }
            if let Some((limit, Late::Body)) = stall.deadline()
                && timeout.is_over(limit, cx)
            {
                return Poll::Ready(Err(Outcome::Failed {
                    status: 408,
                    flag: Flag::SI,
                    why: "the body took too long",
                }));
            }
            match alarm.as_mut().as_pin_mut().map(|alarm| alarm.poll(cx)) {
                Some(Poll::Ready(())) => Poll::Ready(Err(timed_out(what, *deadline))),
                _ => Poll::Pending,
            }
        })
        .await
    };
    let mut head = match head {
        Ok(head) => head,
        Err(outcome) => return outcome,
    };
    if head.again {
        return Outcome::Again { too_late: false };
    }
    seen.answer(head.status, Flag::None);

    let until_close = head.framing == Framing::UntilClose;
    // The answer's body. What came with the head goes back with it.
    let download = async {
        let Ok(taken) = head.framing.take(up.buffer.bytes()) else { return Err(Flag::UPE) };
        reply.extend_from_slice(&up.buffer.bytes()[..taken]);
        up.buffer.consume(taken);
        stall.write_all(&mut to_client, reply).await.map_err(|_| Flag::DC)?;
        let mut bytes = taken as u64;
        while !head.framing.is_done() {
            match up.buffer.fill(&mut from_upstream, 16 * 1024).await {
                Ok(0) if head.framing == Framing::UntilClose => break,
                Ok(0) | Err(_) => return Err(Flag::UC),
                Ok(_) => {}
            }
            let taken = head.framing.take(up.buffer.bytes()).map_err(|_| Flag::UPE)?;
            stall.write_all(&mut to_client, &up.buffer.bytes()[..taken]).await.map_err(|_| Flag::DC)?;
            up.buffer.consume(taken);
            bytes += taken as u64;
        }
        Ok(bytes)
    };
    if armed && what.per_try.is_some() {
        // The try is over; what is left is the route's time.
        alarm.set(what.alarm(deadline, None));
    }
    let download = {
        let mut download = pin!(download);
        poll_fn(|cx| {
            if let Poll::Ready(end) = download.as_mut().poll(cx) {
                return Poll::Ready(end);
            }
            if !upload_over && let Poll::Ready(end) = upload.as_mut().poll(cx) {
                match end {
                    UploadEnd::ClientGone => return Poll::Ready(Err(Flag::DC)),
                    UploadEnd::UpstreamGone | UploadEnd::BadChunk => upload_over = true,
                }
            }
            if !armed && what.body.is_whole() {
                armed = true;
                alarm.set(what.alarm(deadline, None));
            }
            if let Some(limit) = stall.write_deadline()
                && timeout.is_over(limit, cx)
            {
                conn.refuse(Reason::Stalled);
                return Poll::Ready(Err(Flag::DC));
            }
            match alarm.as_mut().as_pin_mut().map(|alarm| alarm.poll(cx)) {
                Some(Poll::Ready(())) => Poll::Ready(Err(Flag::UT)),
                _ => Poll::Pending,
            }
        })
        .await
    };
    match download {
        Err(flag) => Outcome::Broken(flag),
        Ok(bytes) => {
            if let Some(line) = &mut seen.line {
                line.sent = bytes;
            }
            if head.upgraded {
                return Outcome::Upgraded;
            }
            let whole = what.body.is_whole() && !until_close;
            Outcome::Answered {
                upstream: whole && head.keep_alive && !what.old_client,
                downstream: whole && !head.close,
            }
        }
    }
}

fn failed(flag: Flag) -> Outcome {
    let why = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
    Outcome::Failed { status: 503, flag, why }
}

fn no_answer(what: &Try<'_>, flag: Flag) -> Outcome {
    if what.is_tried_again_unanswered() { Outcome::Again { too_late: false } } else { failed(flag) }
}

fn timed_out(what: &Try<'_>, deadline: Option<Instant>) -> Outcome {
    let whole = deadline.is_some_and(|d| d <= Instant::now());
    if !whole && what.is_tried_again_unanswered() {
        return Outcome::Again { too_late: true };
    }
    Outcome::Failed { status: 504, flag: Flag::UT, why: "upstream request timeout" }
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

enum HeadError {
    Ended,
    NoHttp,
}

/// Reads the answer's head, past `100 Continue` and its like, and writes the one that goes back into `reply`.
async fn response_head<R: AsyncRead + Unpin>(
    from: &mut R,
    buffer: &mut Buffer,
    reply: &mut Vec<u8>,
    what: &Try<'_>,
    seen: &mut Seen<'_>,
) -> Result<Head, HeadError> {
    let mut looked = 0;
    loop {
        match head_end(buffer.bytes(), looked) {
            HeadEnd::At(end) => {
                let head = parse_response(&buffer.bytes()[..end], what.to_head, |r| note_head(r, reply, what, seen))
                    .ok_or(HeadError::NoHttp)?;
                buffer.consume(end);
                match head.status {
                    101 if !what.upgrade => return Err(HeadError::NoHttp),
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

fn note_head(response: &super::http1::Response<'_>, reply: &mut Vec<u8>, what: &Try<'_>, seen: &mut Seen<'_>) -> Head {
    let took: Duration = seen.took();
    if let Some(line) = &mut seen.line {
        line.upstream_ms = Some(took.as_millis());
    }
    let status = response.status;
    if status >= 200 {
        seen.upstream_status = status;
    }
    let not_sent = status == 503 && response.headers.iter().any(|h| known(h.name) == Known::NotSent);
    // What was sent nowhere may go elsewhere even before all of it is there; anything else is tried again only as a whole, as by Envoy.
    let again = (not_sent && what.unsent_is_retried && what.body.is_kept())
        || (what.is_replayable() && what.retry.is_some_and(|r| retried(r, response)));
    let upgraded = status == 101 && what.upgrade;
    let close = !what.keep_alive || what.shared.is_draining() || response.framing == Framing::UntilClose;
    if !again {
        let style = ResponseStyle {
            direction: what.direction,
            via: what.via,
            set_cookie: what.set_cookie,
            close,
            upgrade: upgraded,
            old_keep_alive: what.old_client && !close,
            took,
        };
        write_response(reply, response, &style);
    }
    Head { status, framing: response.framing.clone(), keep_alive: response.keep_alive, again, upgraded, close }
}

fn retried(retries: &Retries, response: &super::http1::Response<'_>) -> bool {
    let grpc = response
        .headers
        .iter()
        .find(|h| h.name.eq_ignore_ascii_case("grpc-status"))
        .and_then(|h| std::str::from_utf8(h.value).ok()?.parse::<u8>().ok());
    retries.tries_again_answered(response.status, grpc)
}
