//! A response's head.

use super::body::Framing;
use super::field::Field;
use super::{MAX_HEADERS, MAX_NAMED, Strictness, content_length};
use httparse::Header;
use std::mem::MaybeUninit;

/// A response's head, borrowed from the buffer it was read into.
pub struct Response<'b> {
    /// Status code.
    pub status: u16,
    /// What stands behind the code.
    pub reason: &'b str,
    /// As they came.
    pub headers: &'b [Header<'b>],
    /// Where the body ends.
    pub framing: Framing,
    /// `Transfer-Encoding: chunked`, also where the request or the status rules a body out.
    pub chunked: bool,
    /// Whether the server will keep the connection.
    pub keep_alive: bool,
    /// `Connection` names headers that are for this hop alone.
    pub connection_names_more: bool,
}

/// The bytes are no response's head, or one that could be read in two ways.
#[derive(Debug, PartialEq, Eq)]
pub struct BadHead;

/// Parses a whole head strictly and hands it to `then`. `None` where it is no response, or one that could be read in two ways.
/// `to_head`: the request's method is `HEAD`.
pub fn parse_response<T>(head: &[u8], to_head: bool, then: impl FnOnce(&Response<'_>) -> T) -> Option<T> {
    parse(head, to_head, Strictness::Strict, |response, _| then(response)).ok()?
}

/// Reads a head leniently from bytes that may end before it does, or go on behind it; `then` gets it and its length. `None` while it is
/// incomplete.
///
/// # Errors
/// The bytes begin no head.
pub fn read_response<T>(
    bytes: &[u8],
    to_head: bool,
    then: impl FnOnce(&Response<'_>, usize) -> T,
) -> Result<Option<T>, BadHead> {
    parse(bytes, to_head, Strictness::Lenient, then)
}

#[inline]
fn parse<T>(
    bytes: &[u8],
    to_head: bool,
    strictness: Strictness,
    then: impl FnOnce(&Response<'_>, usize) -> T,
) -> Result<Option<T>, BadHead> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut headers) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(BadHead),
    };
    let (Some(status), Some(version)) = (parsed.code, parsed.version) else { return Err(BadHead) };
    let reason = parsed.reason.unwrap_or("");
    let response = check(status, version, reason, parsed.headers, to_head, strictness).ok_or(BadHead)?;
    Ok(Some(then(&response, length)))
}

#[inline]
fn check<'b>(
    status: u16,
    version: u8,
    reason: &'b str,
    headers: &'b [Header<'b>],
    to_head: bool,
    strictness: Strictness,
) -> Option<Response<'b>> {
    let strict = strictness == Strictness::Strict;
    let (mut length, mut chunked, mut close, mut keep) = (None, false, false, false);
    let mut connection_names_more = false;
    let mut named = 0;
    for header in headers {
        match Field::of(header.name) {
            Field::ContentLength => {
                let value = content_length(header.value)?;
                if length.replace(value).is_some_and(|other| other != value) {
                    return None;
                }
            }
            Field::TransferEncoding => {
                if (strict && chunked) || !header.value.eq_ignore_ascii_case(b"chunked") {
                    return None;
                }
                chunked = true;
            }
            Field::Connection => {
                for token in super::tokens(header.value) {
                    named += 1;
                    match token {
                        t if t.eq_ignore_ascii_case(b"close") => close = true,
                        t if t.eq_ignore_ascii_case(b"keep-alive") => keep = true,
                        t => connection_names_more |= !t.eq_ignore_ascii_case(b"upgrade"),
                    }
                }
            }
            _ => {}
        }
    }
    if strict && (named > MAX_NAMED || (chunked && (length.is_some() || version == 0))) {
        return None;
    }
    let bodyless = to_head || (100..200).contains(&status) || status == 204 || status == 304;
    // Chunks go before a length: RFC 9112, section 6.3.
    let framing = match (bodyless, chunked, length) {
        (true, ..) => Framing::Done,
        (_, true, _) => Framing::chunked(strictness),
        (_, _, Some(length)) => Framing::length(length),
        _ => Framing::UntilClose,
    };
    let keep_alive = if version == 1 { !close } else { keep && !close };
    Some(Response { status, reason, headers, framing, chunked, keep_alive, connection_names_more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_says_where_it_ends() {
        let chunked = Framing::chunked(Strictness::Strict);
        for (head, to_head, framing) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false, Some(Framing::Length(3))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, Some(Framing::Done)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, Some(chunked)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", false, None),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", false, None),
            ("HTTP/1.1 204 No Content\r\n\r\n", false, Some(Framing::Done)),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, Some(Framing::Done)),
            ("HTTP/1.0 200 OK\r\n\r\n", false, Some(Framing::UntilClose)),
            ("nonsense\r\n\r\n", false, None),
        ] {
            assert_eq!(parse_response(head.as_bytes(), to_head, |r| r.framing.clone()), framing, "{head:?}");
        }
    }

    #[test]
    fn a_lenient_reader_takes_what_a_strict_one_refuses() {
        let chunked = Framing::chunked(Strictness::Lenient);
        for (head, read) in [
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", Ok(Some(chunked.clone()))),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                Ok(Some(chunked.clone())),
            ),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Ok(Some(chunked))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", Err(BadHead)),
            ("HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\n", Err(BadHead)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Err(BadHead)),
            ("nonsense\r\n\r\n", Err(BadHead)),
        ] {
            assert_eq!(parse_response(head.as_bytes(), false, |_| ()), None, "{head:?}");
            assert_eq!(read_response(head.as_bytes(), false, |r, _| r.framing.clone()), read, "{head:?}");
        }
    }

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        let bytes = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc".as_bytes();
        let end = bytes.len() - 3;
        for cut in 0..bytes.len() {
            let length = read_response(&bytes[..cut], false, |_, length| length);
            assert_eq!(length, Ok((cut >= end).then_some(end)), "{cut}");
        }
    }
}
