//! HTTP/1.1 as bytes: heads, bodies, buffers. Strict where it is lenient elsewhere, so that nothing can be smuggled past it (RFC 9112).
//!
//! **Invariant:** no I/O but [`Buffer::fill`], no allocation but what the caller's buffers grow.

mod body;
mod buffer;
mod request;
mod response;

pub(crate) use body::Framing;
pub(crate) use buffer::Buffer;
pub(crate) use request::{Known, Refusal, Request, known, parse_request};
pub(crate) use response::{Response, parse_response};

/// Most bytes of a head, as Envoy's default (60 KiB).
pub(crate) const MAX_HEAD: usize = 60 * 1024;
/// Most headers of a head, as Envoy's default.
pub(crate) const MAX_HEADERS: usize = 100;

/// Where a head ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeadEnd {
    /// Its last byte is before this index.
    At(usize),
    /// Not yet there.
    More,
    /// A line ends with a bare line feed.
    BareLineFeed,
}

/// Looks for the empty line. `from` is where to begin: what is before it was looked at already.
pub(crate) fn head_end(bytes: &[u8], from: usize) -> HeadEnd {
    // The two bytes before may be the beginning of the end.
    let from = from.saturating_sub(3);
    for at in memchr::memchr_iter(b'\n', &bytes[from..]).map(|i| i + from) {
        if at == 0 || bytes[at - 1] != b'\r' {
            return HeadEnd::BareLineFeed;
        }
        if at >= 3 && bytes[at - 2] == b'\n' {
            return HeadEnd::At(at + 1);
        }
    }
    HeadEnd::More
}

/// Whether a list of tokens (`Connection`, …) has one, regardless of case.
pub(crate) fn has_token(list: &[u8], token: &str) -> bool {
    tokens(list).any(|t| t.eq_ignore_ascii_case(token.as_bytes()))
}

pub(crate) fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|c| *c == b',').map(<[u8]>::trim_ascii).filter(|t| !t.is_empty())
}

/// `Content-Length`: digits only.
fn content_length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    digits.then(|| value.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
}
