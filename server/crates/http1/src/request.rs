//! A request's head, checked before anything is done with it (RFC 9112; what is smuggled by two readings of one head is refused).

use super::body::Framing;
use super::field::Field;
use super::{MAX_HEADERS, MAX_NAMED, Strictness, content_length, has_token};
use httparse::Header;
use std::mem::MaybeUninit;

/// A request's head, borrowed from the buffer it was read into.
pub struct Request<'b> {
    /// As it came: methods have no other case.
    pub method: &'b str,
    /// What stands behind the method: a path, a URL, `*`, or an authority.
    pub target: &'b str,
    /// Minor version: 0 or 1.
    pub version: u8,
    /// As they came.
    pub headers: &'b [Header<'b>],
    /// The one `Host`.
    pub host: Option<&'b str>,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the client will keep the connection.
    pub keep_alive: bool,
    /// It asks for another protocol (`Connection: upgrade`).
    pub upgrade: bool,
    /// It waits for `100 Continue`.
    pub expects_continue: bool,
    /// `Connection` names further headers that are for this hop alone.
    pub connection_names_more: bool,
}

/// Why a request is refused; the connection is closed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status code of the answer.
    pub status: u16,
    /// In words.
    pub why: &'static str,
}

const fn bad(why: &'static str) -> Refusal {
    Refusal { status: 400, why }
}

impl<'b> Request<'b> {
    /// Values of all headers of this name that are text.
    pub fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'b str> + 's {
        self.headers
            .iter()
            .filter(move |h| h.name.eq_ignore_ascii_case(name))
            .filter_map(|h| std::str::from_utf8(h.value).ok())
    }
}

/// Parses a whole head strictly and hands it to `then`; the head must be complete (see [`super::head_end`]).
///
/// # Errors
/// It is no request, or one that could be read in two ways.
pub fn parse_request<T>(head: &[u8], then: impl FnOnce(&Request<'_>) -> T) -> Result<T, Refusal> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut headers) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(bad("malformed head")),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal { status: 431, why: "too many headers" }),
        Err(httparse::Error::Version) => return Err(Refusal { status: 505, why: "HTTP version not supported" }),
        Err(_) => return Err(bad("malformed head")),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(bad("malformed head"));
    };
    let request = check(method, target, version, parsed.headers)?;
    Ok(then(&request))
}

fn check<'b>(method: &'b str, target: &'b str, version: u8, headers: &'b [Header<'b>]) -> Result<Request<'b>, Refusal> {
    let mut read = Read::default();
    for header in headers {
        read.note(header)?;
    }
    let Read { host, length, chunked, .. } = read;
    if read.named > MAX_NAMED {
        return Err(bad("too many names in Connection"));
    }
    if chunked && length.is_some() {
        return Err(bad("both Content-Length and Transfer-Encoding"));
    }
    if chunked && version == 0 {
        return Err(bad("Transfer-Encoding in HTTP/1.0"));
    }
    if host.is_none() && version == 1 {
        return Err(bad("no Host"));
    }
    let has_body = chunked || length.is_some_and(|n| n > 0);
    // A proxy that passed h2c on would open a tunnel past itself.
    let upgrade = read.has_upgrade && read.connection_upgrade && version == 1 && !read.h2c;
    if has_body && (read.has_upgrade || method == "CONNECT") {
        return Err(bad("a body with Upgrade or CONNECT"));
    }
    let framing = if chunked { Framing::chunked(Strictness::Strict) } else { Framing::length(length.unwrap_or(0)) };
    let keep_alive = if version == 1 { !read.close } else { read.keep && !read.close };
    let expects_continue = read.expects_continue && version == 1 && has_body;
    let connection_names_more = read.connection_names_more;
    Ok(Request {
        method,
        target,
        version,
        headers,
        host,
        framing,
        keep_alive,
        upgrade,
        expects_continue,
        connection_names_more,
    })
}

/// What the headers say, as far as they were read.
#[derive(Default)]
struct Read<'b> {
    host: Option<&'b str>,
    length: Option<u64>,
    chunked: bool,
    expects_continue: bool,
    has_upgrade: bool,
    h2c: bool,
    /// Names in `Connection`, and what they mean.
    named: usize,
    close: bool,
    keep: bool,
    connection_upgrade: bool,
    connection_names_more: bool,
}

impl<'b> Read<'b> {
    #[inline]
    fn note(&mut self, header: &Header<'b>) -> Result<(), Refusal> {
        match Field::of(header.name) {
            Field::Host => {
                let value = std::str::from_utf8(header.value).map_err(|_| bad("malformed Host"))?;
                if self.host.replace(value).is_some() {
                    return Err(bad("more than one Host"));
                }
            }
            Field::ContentLength => {
                let value = content_length(header.value).ok_or(bad("malformed Content-Length"))?;
                if self.length.replace(value).is_some() {
                    return Err(bad("more than one Content-Length"));
                }
            }
            Field::TransferEncoding => {
                if self.chunked {
                    return Err(bad("more than one Transfer-Encoding"));
                }
                if !header.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal { status: 501, why: "Transfer-Encoding other than chunked" });
                }
                self.chunked = true;
            }
            Field::Connection => {
                for token in super::tokens(header.value) {
                    self.named += 1;
                    match token {
                        t if t.eq_ignore_ascii_case(b"close") => self.close = true,
                        t if t.eq_ignore_ascii_case(b"keep-alive") => self.keep = true,
                        t if t.eq_ignore_ascii_case(b"upgrade") => self.connection_upgrade = true,
                        _ => self.connection_names_more = true,
                    }
                }
            }
            Field::Upgrade => {
                self.has_upgrade = true;
                self.h2c |= has_token(header.value, "h2c");
            }
            Field::Expect => {
                if !header.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refusal { status: 417, why: "Expect other than 100-continue" });
                }
                self.expects_continue = true;
            }
            // Old clients of proxies mean Connection by it.
            Field::ProxyConnection => self.keep |= has_token(header.value, "keep-alive"),
            Field::Other => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (head, answer) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.0\r\n\r\n", 200),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n", 400),
            ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n", 417),
        ] {
            let status = parse_request(head.as_bytes(), |_| 200).unwrap_or_else(|r| r.status);
            assert_eq!(status, answer, "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(100));
        assert_eq!(parse_request(many.as_bytes(), |_| ()).unwrap_err().status, 431);
    }

    #[test]
    fn who_keeps_the_connection_is_read_from_version_and_connection() {
        for (head, keep) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ] {
            assert_eq!(parse_request(head.as_bytes(), |r| r.keep_alive), Ok(keep), "{head:?}");
        }
    }
}
