//! HTTP/1.1 as bytes: heads, and where bodies end (RFC 9112). A head is a view of the buffer that it was read into.
//!
//! **Invariant:** no I/O; no allocation but by [`dechunked`].

mod body;
mod field;
#[doc(hidden)]
pub mod fuzz_invariants;
mod request;
mod response;

pub use body::{BadChunk, Chunks, Framing, dechunked};
pub use httparse::Header;
pub use request::{Refusal, Request, parse_request};
pub use response::{BadHead, Response, parse_response, read_response};

/// Most bytes of a head, as Envoy's default (60 KiB).
pub const MAX_HEAD: usize = 60 * 1024;
/// Most headers of a head, as Envoy's default.
pub const MAX_HEADERS: usize = 100;

/// Most names in all `Connection` headers of a head. Each header is looked up among them when a head is sent on, so without a bound the
/// work would grow with the square of the head.
const MAX_NAMED: usize = 32;

/// How a reader takes what the RFC does not allow but some servers send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Refuses what the next reader could read otherwise, so that nothing is smuggled past a proxy.
    Strict,
    /// Takes what has one sensible reading: a client that passes nothing on.
    Lenient,
}

/// Where a head ends.
#[derive(Debug, PartialEq, Eq)]
pub enum HeadEnd {
    /// Its last byte is before this index.
    At(usize),
    /// Not yet there.
    More,
    /// A line ends with a bare line feed.
    BareLineFeed,
}

/// Looks for the empty line. `from` is where to begin: what is before it was looked at already.
pub fn head_end(bytes: &[u8], from: usize) -> HeadEnd {
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

/// Whether a head is the beginning of HTTP/2's preface.
pub fn is_preface(head: &[u8]) -> bool {
    head == b"PRI * HTTP/2.0\r\n\r\n"
}

/// Whether a list of tokens (`Connection`, …) has one, regardless of case.
pub fn has_token(list: &[u8], token: &str) -> bool {
    tokens(list).any(|t| t.eq_ignore_ascii_case(token.as_bytes()))
}

/// The tokens of a list.
pub fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|c| *c == b',').map(<[u8]>::trim_ascii).filter(|t| !t.is_empty())
}

/// `Content-Length`: digits only.
fn content_length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    digits.then(|| value.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that look like heads, with the mistakes that matter.
    fn head() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            Just("GET / HTTP/1.1\r\n"),
            Just("POST http://a/ HTTP/1.1\r\n"),
            Just("Host: a\r\n"),
            Just("Content-Length: 3\r\n"),
            Just("Content-Length: 3,3\r\n"),
            Just("Transfer-Encoding: chunked\r\n"),
            Just("transfer-encoding:\tchunked \r\n"),
            Just("X: y\n"),
            Just(" fold\r\n"),
            Just("\r\n"),
            Just("\n"),
            Just("\0"),
            Just("Connection: close, x\r\n"),
            Just("Expect: 100-continue\r\n"),
            Just("Upgrade: h2c\r\n"),
            Just(":"),
            Just("\r"),
            Just("HTTP/1.1 200 OK\r\n"),
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn no_bytes_break_a_parser(bytes in prop::collection::vec(any::<u8>(), 0..300), text in head()) {
            for input in [&bytes, &text] {
                let _ = head_end(input, 0);
                let _ = parse_request(input, |_| ());
                let _ = parse_response(input, false, |_| ());
                let _ = read_response(input, false, |_, _| ());
                for strictness in [Strictness::Strict, Strictness::Lenient] {
                    let _ = Framing::chunked(strictness).take(input);
                }
            }
        }

        #[test]
        fn what_is_accepted_has_one_end_and_one_framing(text in head()) {
            let HeadEnd::At(end) = head_end(&text, 0) else { return Ok(()) };
            let Ok((framing, lengths, encodings)) = parse_request(&text[..end], |r| {
                let count = |name: &str| r.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).count();
                (r.framing.clone(), count("content-length"), count("transfer-encoding"))
            }) else { return Ok(()) };
            prop_assert!(lengths + encodings <= 1);
            prop_assert_eq!(matches!(framing, Framing::Chunked(_)), encodings == 1);
            prop_assert!(!text[..end].windows(2).any(|w| w[1] == b'\n' && w[0] != b'\r'));
        }

        #[test]
        fn a_head_ends_at_the_same_place_however_it_arrives(text in head(), cut in 0_usize..200) {
            let cut = cut.min(text.len());
            if head_end(&text[..cut], 0) == HeadEnd::More {
                prop_assert_eq!(head_end(&text, cut), head_end(&text, 0));
            }
        }
    }
}
