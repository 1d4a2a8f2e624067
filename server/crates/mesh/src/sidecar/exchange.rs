//! One try: a request's head and body to an endpoint, and the answer back, both at once.

use super::heads::{Direction, ResponseStyle, write_response};
use super::http1::{Buffer, Framing, HeadEnd, Known, MAX_HEAD, head_end, known, parse_response};
use super::metrics::Flag;
use super::outbound::Via;
use super::seen::Seen;
use super::upstream::Connection;
use crate::table::{Retries, RetryOn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// The connection that a request came by.
pub(crate) struct Downstream {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: Buffer,
    /// The head that goes upstream, and what of the body came with it; kept until the answer, so that it can be sent again.
    pub(crate) out: Vec<u8>,
    /// The head that goes back.
    pub(crate) reply: Vec<u8>,
}

impl Downstream {
    /// Gives memory back that a large request or answer took.
    pub(crate) fn shrink(&mut self) {
        self.buffer.shrink();
        for head in [&mut self.out, &mut self.reply] {
            if head.capacity() > 16 * 1024 {
                *head = Vec::new();
            }
        }
    }
}

/// What a try must know of its request.
pub(crate) struct Try<'a> {
    pub(crate) direction: Direction,
    pub(crate) via: Option<&'a Via>,
    /// A cookie for the client, so that it comes to the same endpoint again.
    pub(crate) set_cookie: Option<&'a str>,
    pub(crate) to_head: bool,
    pub(crate) upgrade: bool,
    pub(crate) expects_continue: bool,
    pub(crate) keep_alive: bool,
    pub(crate) old_client: bool,
    pub(crate) draining: bool,
    /// Whether all of the request is in `out`, and what is tried again then.
    pub(crate) retry: Option<&'a Retries>,
    /// The next sidecar may say that it could not reach its app: then this is tried elsewhere.
    pub(crate) unsent_is_retried: bool,
    /// Latest end of the whole answer.
    pub(crate) deadline: Option<Instant>,
    /// Latest arrival of the answer's head.
    pub(crate) head_deadline: Option<Instant>,
}

/// How a try ended.
pub(crate) enum Outcome {
    /// Answered. Which of the connections can be used again.
    Answered { upstream: bool, downstream: bool },
    /// Answered, and both sides speak another protocol from here.
    Upgraded,
    /// Nothing was sent: the connection had been closed meanwhile.
    Stale,
    /// To be tried again; nothing has gone back to the client.
    Again,
    /// No answer; nothing has gone back to the client.
    Failed { status: u16, flag: Flag, why: &'static str },
    /// The client is gone, or the answer broke off in the middle: only closing tells it.
    Broken(Flag),
}

enum UploadEnd {
    ClientGone,
    UpstreamGone,
    BadChunk,
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

/// Sends `down.out` and the rest of the body (`framing`), and brings back the answer.
pub(crate) async fn exchange(down: &mut Downstream, up: &mut Connection, framing: &mut Framing, what: &Try<'_>, seen: &mut Seen<'_>) -> Outcome {
    match send(&mut up.stream, &down.out).await {
        Ok(()) => {}
        Err(0) if up.reused => return Outcome::Stale,
        Err(_) => return failed(Flag::UC),
    }
    let Downstream { stream, buffer, reply, .. } = down;
    let (mut from_client, mut to_client) = stream.split();
    let (mut from_upstream, mut to_upstream) = up.stream.split();
    if what.expects_continue && !framing.is_done() && to_client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
        return Outcome::Broken(Flag::DC);
    }
    // A quick answer may be read before the upload is looked at once: what is whole already must be known before.
    let uploaded = AtomicBool::new(framing.is_done());
    let mut upload = pin!(upload(&mut from_client, buffer, &mut to_upstream, framing, &uploaded));
    let mut upload_over = false;

    // The answer's head, while the request's body goes on.
    let deadline = [what.deadline, what.head_deadline].into_iter().flatten().min();
    let head = {
        let mut reading = pin!(within(deadline, response_head(&mut from_upstream, &mut up.buffer, reply, what, seen)));
        loop {
            tokio::select! {
                biased;
                head = &mut reading => break head,
                end = &mut upload, if !upload_over => match end {
                    UploadEnd::ClientGone => return Outcome::Broken(Flag::DC),
                    UploadEnd::BadChunk => return Outcome::Failed { status: 400, flag: Flag::DPE, why: "malformed chunk" },
                    // It may have answered before it stopped reading.
                    UploadEnd::UpstreamGone => upload_over = true,
                },
            }
        }
    };
    let mut head = match head {
        None => return timed_out(what),
        Some(Ok(head)) => head,
        Some(Err(HeadError::Ended)) => return no_answer(what, Flag::UC),
        Some(Err(HeadError::NoHttp)) => return Outcome::Failed { status: 502, flag: Flag::UPE, why: "upstream protocol error" },
    };
    if head.again {
        return Outcome::Again;
    }
    seen.answer(head.status, Flag::None);

    let until_close = head.framing == Framing::UntilClose;
    // The answer's body. What came with the head goes back with it.
    let download = async {
        let Ok(taken) = head.framing.take(up.buffer.bytes()) else { return Err(Flag::UPE) };
        reply.extend_from_slice(&up.buffer.bytes()[..taken]);
        up.buffer.consume(taken);
        to_client.write_all(reply).await.map_err(|_| Flag::DC)?;
        let mut bytes = taken as u64;
        while !head.framing.is_done() {
            match up.buffer.fill(&mut from_upstream, 16 * 1024).await {
                Ok(0) if head.framing == Framing::UntilClose => break,
                Ok(0) | Err(_) => return Err(Flag::UC),
                Ok(_) => {}
            }
            let taken = head.framing.take(up.buffer.bytes()).map_err(|_| Flag::UPE)?;
            to_client.write_all(&up.buffer.bytes()[..taken]).await.map_err(|_| Flag::DC)?;
            up.buffer.consume(taken);
            bytes += taken as u64;
        }
        Ok(bytes)
    };
    let download = {
        let mut download = pin!(within(what.deadline, download));
        loop {
            tokio::select! {
                biased;
                end = &mut download => break end,
                end = &mut upload, if !upload_over => match end {
                    UploadEnd::ClientGone => break Some(Err(Flag::DC)),
                    UploadEnd::UpstreamGone | UploadEnd::BadChunk => upload_over = true,
                },
            }
        }
    };
    match download {
        None => Outcome::Broken(Flag::UT),
        Some(Err(flag)) => Outcome::Broken(flag),
        Some(Ok(bytes)) => {
            if let Some(line) = &mut seen.line {
                line.sent = bytes;
            }
            if head.upgraded {
                return Outcome::Upgraded;
            }
            let whole = uploaded.load(Ordering::Relaxed) && !until_close;
            Outcome::Answered { upstream: whole && head.keep_alive && !what.old_client, downstream: whole && !head.close }
        }
    }
}

fn failed(flag: Flag) -> Outcome {
    let why = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
    Outcome::Failed { status: 503, flag, why }
}

fn no_answer(what: &Try<'_>, flag: Flag) -> Outcome {
    let again = what.retry.is_some_and(|r| r.on.iter().any(|o| matches!(o, RetryOn::Reset | RetryOn::ServerError | RetryOn::GatewayError)));
    if again { Outcome::Again } else { failed(flag) }
}

fn timed_out(what: &Try<'_>) -> Outcome {
    let whole = what.deadline.is_some_and(|d| d <= Instant::now());
    let again = !whole && what.retry.is_some_and(|r| r.on.iter().any(|o| matches!(o, RetryOn::Reset | RetryOn::ServerError | RetryOn::GatewayError)));
    if again { Outcome::Again } else { Outcome::Failed { status: 504, flag: Flag::UT, why: "upstream request timeout" } }
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

/// `None` where it took too long.
async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), work).await.ok(),
        None => Some(work.await),
    }
}

/// Pumps the rest of the body, then watches for the client to leave. Never ends well: it is the answer that ends an exchange.
async fn upload<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(from: &mut R, buffer: &mut Buffer, to: &mut W, framing: &mut Framing, uploaded: &AtomicBool) -> UploadEnd {
    while !framing.is_done() {
        if buffer.is_empty() && !matches!(buffer.fill(from, 16 * 1024).await, Ok(n) if n > 0) {
            return UploadEnd::ClientGone;
        }
        let Ok(taken) = framing.take(buffer.bytes()) else { return UploadEnd::BadChunk };
        if to.write_all(&buffer.bytes()[..taken]).await.is_err() {
            return UploadEnd::UpstreamGone;
        }
        buffer.consume(taken);
    }
    uploaded.store(true, Ordering::Relaxed);
    // What comes now is the next request; let it wait in the kernel once there is some.
    while buffer.bytes().len() < 4096 {
        if !matches!(buffer.fill(from, 1).await, Ok(n) if n > 0) {
            return UploadEnd::ClientGone;
        }
    }
    std::future::pending().await
}

enum HeadError {
    Ended,
    NoHttp,
}

/// Reads the answer's head, past `100 Continue` and its like, and writes the one that goes back into `reply`.
async fn response_head<R: AsyncRead + Unpin>(from: &mut R, buffer: &mut Buffer, reply: &mut Vec<u8>, what: &Try<'_>, seen: &mut Seen<'_>) -> Result<Head, HeadError> {
    let mut looked = 0;
    loop {
        match head_end(buffer.bytes(), looked) {
            HeadEnd::At(end) => {
                let head = parse_response(&buffer.bytes()[..end], what.to_head, |r| note_head(r, reply, what, seen)).ok_or(HeadError::NoHttp)?;
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
    let again = (not_sent && what.unsent_is_retried) || what.retry.is_some_and(|r| retried(r, status));
    let upgraded = status == 101 && what.upgrade;
    let close = !what.keep_alive || what.draining || response.framing == Framing::UntilClose;
    if !again {
        let style = ResponseStyle { direction: what.direction, via: what.via, set_cookie: what.set_cookie, close, upgrade: upgraded, old_keep_alive: what.old_client && !close, took };
        write_response(reply, response, &style);
    }
    Head { status, framing: response.framing.clone(), keep_alive: response.keep_alive, again, upgraded, close }
}

fn retried(retries: &Retries, status: u16) -> bool {
    retries.codes.contains(&status)
        || retries.on.iter().any(|on| match on {
            RetryOn::ServerError => (500..600).contains(&status),
            RetryOn::GatewayError => (502..=504).contains(&status),
            RetryOn::Retriable4xx => status == 409,
            _ => false,
        })
}
