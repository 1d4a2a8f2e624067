//! Reads one HTTP/1.1 answer from bytes as they come. No I/O.
//!
//! The common answer arrives whole, and then nothing is copied or allocated but the version's name.
use super::failure::Failure;
use http1::{BadChunk, BadHead, Framing, Response, read_response};

/// Longest head of an answer.
const MAX_HEAD: usize = 32 * 1024;
/// Longest name of a version: a Kubernetes label's value.
const MAX_VERSION: usize = 63;

/// What is known of an answer once it is complete.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    /// Whether another request may be sent on the connection.
    pub keep_alive: bool,
}

/// Reads one answer at a time; reused for the next.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// A head that has come in part.
    partial: Vec<u8>,
    head: Option<Head>,
    /// `x-app-version`, or the beginning of the body where that is the version.
    version: Vec<u8>,
}

#[derive(Debug)]
struct Head {
    status: u16,
    keep_alive: bool,
    framing: Framing,
    capture: bool,
}

/// How a request was made, as far as it decides how its answer is read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// An answer to `HEAD` has no body.
    pub head: bool,
    /// The body names the version where no header does.
    pub body_is_version: bool,
}

impl From<BadHead> for Failure {
    fn from(_: BadHead) -> Failure {
        Failure::Protocol
    }
}

impl From<BadChunk> for Failure {
    fn from(_: BadChunk) -> Failure {
        Failure::Protocol
    }
}

impl Reader {
    /// Takes what was read. An answer once it is complete; anything after it makes the connection useless.
    pub fn feed(&mut self, mut data: &[u8], asked: Asked) -> Result<Option<Answer>, Failure> {
        loop {
            if self.head.is_none() {
                let used = self.read_head(data, asked)?;
                let Some(used) = used else { return Ok(None) };
                data = &data[used..];
                if self.head.is_none() {
                    continue; // A 1xx went by.
                }
            }
            let Some(head) = &mut self.head else { continue };
            let used = head.framing.take_data(data, |bytes| {
                if head.capture && self.version.len() <= MAX_VERSION {
                    let room = MAX_VERSION + 1 - self.version.len();
                    self.version.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
            })?;
            if !head.framing.is_done() {
                return Ok(None);
            }
            let answer = Answer { status: head.status, keep_alive: head.keep_alive && used == data.len() };
            self.head = None;
            return Ok(Some(answer));
        }
    }

    /// The connection has ended: an answer only where its end was to be the end of the body.
    pub fn end(&mut self) -> Option<Answer> {
        let head = self.head.take_if(|h| h.framing == Framing::UntilClose)?;
        Some(Answer { status: head.status, keep_alive: false })
    }

    /// The version that answered; nothing where the answer does not say, or not in a word.
    pub fn version(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.version).map_or("", str::trim);
        let word = text.len() <= MAX_VERSION && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        (word && !text.is_empty()).then_some(text)
    }

    /// Makes ready for the next answer.
    pub fn reset(&mut self) {
        self.partial = Vec::new();
        self.head = None;
        self.version.clear();
    }

    /// Bytes of `data` that the head took, or nothing while it is incomplete.
    fn read_head(&mut self, data: &[u8], asked: Asked) -> Result<Option<usize>, Failure> {
        let Reader { partial, head, version } = self;
        let before = partial.len();
        let whole: &[u8] = if before == 0 {
            data
        } else {
            partial.extend_from_slice(data);
            partial
        };
        let read = read_response(whole, asked.head, |response, length| {
            if response.status == 101 {
                return Err(Failure::Protocol); // Nobody asked for an upgrade.
            }
            if response.status >= 200 {
                *head = Some(Head::new(response, asked, version));
            }
            Ok(length.saturating_sub(before))
        })?;
        if let Some(used) = read {
            partial.clear();
            return used.map(Some);
        }
        if whole.len() > MAX_HEAD {
            return Err(Failure::Protocol);
        }
        if before == 0 {
            partial.extend_from_slice(data);
        }
        Ok(None)
    }
}

impl Head {
    fn new(response: &Response<'_>, asked: Asked, version: &mut Vec<u8>) -> Head {
        let Response { status, ref framing, .. } = *response;
        version.clear();
        for header in response.headers {
            if header.name.eq_ignore_ascii_case("x-app-version") && header.value.len() <= MAX_VERSION {
                version.extend_from_slice(header.value);
            }
        }
        let keep_alive = response.keep_alive && *framing != Framing::UntilClose;
        // The body of a failure is its reason, whoever wrote it.
        let capture = asked.body_is_version && version.is_empty() && (200..300).contains(&status);
        Head { status, keep_alive, framing: framing.clone(), capture }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ASKED: Asked = Asked { head: false, body_is_version: true };

    /// Feeds `text` in pieces of `piece` bytes, then the end of the connection.
    fn read(text: &str, piece: usize) -> String {
        let mut reader = Reader::default();
        for part in text.as_bytes().chunks(piece) {
            match reader.feed(part, ASKED) {
                Ok(None) => {}
                Ok(Some(a)) => {
                    return format!(
                        "{} {} {}",
                        a.status,
                        reader.version().unwrap_or("unknown"),
                        if a.keep_alive { "keep" } else { "close" }
                    );
                }
                Err(why) => return why.to_string(),
            }
        }
        match reader.end() {
            Some(a) => format!("{} {} at end", a.status, reader.version().unwrap_or("unknown")),
            None => "cut short".to_owned(),
        }
    }

    #[test]
    fn answers_are_read_whole_or_in_pieces() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\nx-app-version: v2\r\ncontent-length: 2\r\n\r\nhi", "200 v2 keep"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nv1\n", "200 v1 keep"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nnot a tag", "200 unknown keep"),
            ("HTTP/1.1 200 OK\r\nConnection: Close\r\ncontent-length: 2\r\n\r\nv1", "200 v1 close"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nv\r\n1;x=y\r\n2\r\n0\r\n\r\n", "200 v2 keep"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nv1\r\n0\r\nt: 1\r\n\r\n", "200 v1 keep"),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nx-app-version: v1\r\n\r\n", "204 v1 keep"),
            ("HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n", "503 unknown keep"),
            ("HTTP/1.1 503 Unavailable\r\nx-app-version: v2\r\ncontent-length: 0\r\n\r\n", "503 v2 keep"),
            ("HTTP/1.1 503 Unavailable\r\ncontent-length: 4\r\n\r\nbusy", "503 unknown keep"),
            ("HTTP/1.0 200 OK\r\n\r\nv1", "200 v1 at end"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nv1", "cut short"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nv1", "protocol"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "protocol"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "protocol"),
            ("HTTP/1.1 101 Switching\r\n\r\n", "protocol"),
            ("SSH-2.0-x\r\n", "protocol"),
        ] {
            for piece in [1, 2, 7, 1_000] {
                assert_eq!(read(text, piece), expected, "{text:?} in pieces of {piece}");
            }
        }
        assert_eq!(
            read("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nv1HTTP/1.1 200", 1_000),
            "200 v1 close",
            "more than was asked for"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..5), head in any::<bool>()) {
            let mut reader = Reader::default();
            for part in [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()].iter().chain(&parts) {
                if reader.feed(part, Asked { head, body_is_version: true }).is_err() { break; }
            }
            let _ = (reader.end(), reader.version());
        }
    }
}
