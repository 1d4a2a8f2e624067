//! A response's head.

use super::body::{Chunks, Framing};
use super::{Known, MAX_HEADERS, MAX_NAMED, content_length, known};
use httparse::Header;
use std::mem::MaybeUninit;

/// A response's head, borrowed from the buffer it was read into.
pub(crate) struct Response<'b> {
    pub(crate) status: u16,
    pub(crate) reason: &'b str,
    pub(crate) headers: &'b [Header<'b>],
    pub(crate) framing: Framing,
    pub(crate) chunked: bool,
    /// Whether the server will keep the connection.
    pub(crate) keep_alive: bool,
    /// `Connection` names headers that are for this hop alone.
    pub(crate) connection_names_more: bool,
}

/// Parses a whole head and hands it to `then`. `None` where it is no response, or one that could be read in two ways.
pub(crate) fn parse_response<T>(head: &[u8], to_head: bool, then: impl FnOnce(&Response<'_>) -> T) -> Option<T> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    if !matches!(
        config.parse_response_with_uninit_headers(&mut parsed, head, &mut headers),
        Ok(httparse::Status::Complete(_))
    ) {
        return None;
    }
    let (status, version) = (parsed.code?, parsed.version?);
    let reason = parsed.reason.unwrap_or("");
    let response = check(status, version, reason, parsed.headers, to_head)?;
    Some(then(&response))
}

fn check<'b>(
    status: u16,
    version: u8,
    reason: &'b str,
    headers: &'b [Header<'b>],
    to_head: bool,
) -> Option<Response<'b>> {
    let (mut length, mut chunked, mut close, mut keep) = (None, false, false, false);
    let mut connection_names_more = false;
    let mut named = 0;
    for header in headers {
        match known(header.name) {
            Known::ContentLength => {
                let value = content_length(header.value)?;
                if length.replace(value).is_some_and(|other| other != value) {
                    return None;
                }
            }
            Known::TransferEncoding => {
                if chunked || !header.value.eq_ignore_ascii_case(b"chunked") {
                    return None;
                }
                chunked = true;
            }
            Known::Connection => {
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
    if named > MAX_NAMED || (chunked && (length.is_some() || version == 0)) {
        return None;
    }
    let bodyless = to_head || (100..200).contains(&status) || status == 204 || status == 304;
    let framing = match (bodyless, chunked, length) {
        (true, ..) => Framing::Done,
        (_, true, _) => Framing::Chunked(Chunks::new()),
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
        let chunked = Framing::Chunked(Chunks::new());
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
}
