//! Reads one HTTP/1.1 answer from bytes as they come. No I/O.
//!
//! The common answer arrives whole, and then nothing is copied or allocated but the version's name.
use super::failure::Failure;

/// Longest head of an answer.
const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// Longest name of a version: a Kubernetes label's value.
const MAX_VERSION: usize = 63;

/// What is known of an answer once it is complete.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    /// Whether another request may be sent on the connection.
    pub keep_alive: bool,
}

#[derive(Debug)]
enum Body {
    /// So many bytes to come.
    Length(u64),
    Chunked(Chunk),
    /// Until the connection ends.
    ToEnd,
}

#[derive(Debug)]
enum Chunk {
    /// Reading the size's line; the value so far, and whether a digit has been seen or an extension began.
    Size {
        value: u64,
        digits: u8,
        extension: bool,
    },
    Data(u64),
    /// The line end after a chunk's data: bytes still to come.
    DataEnd(u8),
    /// Trailers: length of the line so far, without its end.
    Trailer(usize),
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
    body: Body,
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
            let (used, done) = head.body.take(data, |bytes| {
                if head.capture && self.version.len() <= MAX_VERSION {
                    let room = MAX_VERSION + 1 - self.version.len();
                    self.version.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
            })?;
            if !done {
                return Ok(None);
            }
            let answer = Answer { status: head.status, keep_alive: head.keep_alive && used == data.len() };
            self.head = None;
            return Ok(Some(answer));
        }
    }

    /// The connection has ended: an answer only where its end was to be the end of the body.
    pub fn end(&mut self) -> Option<Answer> {
        let head = self.head.take_if(|h| matches!(h.body, Body::ToEnd))?;
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
        let before = self.partial.len();
        let whole: &[u8] = if before == 0 {
            data
        } else {
            self.partial.extend_from_slice(data);
            &self.partial
        };
        let mut headers = [const { std::mem::MaybeUninit::uninit() }; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let parsed =
            httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, whole, &mut headers);
        match parsed.map_err(|_| Failure::Protocol)? {
            httparse::Status::Partial => {
                if whole.len() > MAX_HEAD {
                    return Err(Failure::Protocol);
                }
                if before == 0 {
                    self.partial.extend_from_slice(data);
                }
                Ok(None)
            }
            httparse::Status::Complete(length) => {
                let status = response.code.unwrap_or(0);
                if status == 101 {
                    return Err(Failure::Protocol); // Nobody asked for an upgrade.
                }
                if status >= 200 {
                    self.head = Some(Head::new(&response, status, asked, &mut self.version)?);
                }
                self.partial.clear();
                Ok(Some(length.saturating_sub(before)))
            }
        }
    }
}

impl Head {
    fn new(
        response: &httparse::Response<'_, '_>,
        status: u16,
        asked: Asked,
        version: &mut Vec<u8>,
    ) -> Result<Head, Failure> {
        let mut keep_alive = response.version == Some(1);
        let mut length = None;
        let mut chunked = false;
        version.clear();
        for header in response.headers.iter() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let text = std::str::from_utf8(header.value).map_err(|_| Failure::Protocol)?;
                let value: u64 = text.trim().parse().map_err(|_| Failure::Protocol)?;
                if length.is_some_and(|l| l != value) {
                    return Err(Failure::Protocol);
                }
                length = Some(value);
            } else if is("transfer-encoding") {
                if !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(Failure::Protocol);
                }
                chunked = true;
            } else if is("connection") {
                for word in header.value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                    if word.eq_ignore_ascii_case(b"close") {
                        keep_alive = false;
                    } else if word.eq_ignore_ascii_case(b"keep-alive") && response.version == Some(0) {
                        keep_alive = true;
                    }
                }
            } else if is("x-app-version") && header.value.len() <= MAX_VERSION {
                version.extend_from_slice(header.value);
            }
        }
        // RFC 9112, section 6.3.
        let body = if asked.head || status == 204 || status == 304 {
            Body::Length(0)
        } else if chunked {
            Body::Chunked(Chunk::START)
        } else if let Some(length) = length {
            Body::Length(length)
        } else {
            keep_alive = false;
            Body::ToEnd
        };
        // The body of a failure is its reason, whoever wrote it.
        let capture = asked.body_is_version && version.is_empty() && (200..300).contains(&status);
        Ok(Head { status, keep_alive, body, capture })
    }
}

impl Chunk {
    const START: Chunk = Chunk::Size { value: 0, digits: 0, extension: false };
}

impl Body {
    /// Takes bytes of the body: how many, and whether it is complete.
    fn take(&mut self, data: &[u8], mut content: impl FnMut(&[u8])) -> Result<(usize, bool), Failure> {
        let mut used = 0;
        loop {
            let rest = &data[used..];
            let at_most = |n: u64| usize::try_from(n).map_or(rest.len(), |n| n.min(rest.len()));
            match self {
                Body::ToEnd => {
                    content(rest);
                    return Ok((data.len(), false));
                }
                Body::Length(left) => {
                    let n = at_most(*left);
                    content(&rest[..n]);
                    *left -= n as u64;
                    return Ok((used + n, *left == 0));
                }
                Body::Chunked(Chunk::Data(left)) if *left > 0 => {
                    if rest.is_empty() {
                        return Ok((used, false));
                    }
                    let n = at_most(*left);
                    content(&rest[..n]);
                    *left -= n as u64;
                    used += n;
                }
                Body::Chunked(chunk) => {
                    let Some(&byte) = rest.first() else { return Ok((used, false)) };
                    used += 1;
                    if chunk.step(byte)? {
                        return Ok((used, true));
                    }
                }
            }
        }
    }
}

impl Chunk {
    /// One byte of the framing; true when the last trailer's end has come.
    fn step(&mut self, byte: u8) -> Result<bool, Failure> {
        *self = match (&*self, byte) {
            (Chunk::Size { digits: 0, .. }, b'\r' | b'\n' | b';') => return Err(Failure::Protocol),
            (Chunk::Size { value, digits, extension }, b'\r') => {
                Chunk::Size { value: *value, digits: *digits, extension: *extension }
            }
            (Chunk::Size { value: 0, .. }, b'\n') => Chunk::Trailer(0),
            (Chunk::Size { value, .. }, b'\n') => Chunk::Data(*value),
            (Chunk::Size { value, digits, extension: true }, _)
            | (Chunk::Size { value, digits, .. }, b';' | b' ' | b'\t') => {
                Chunk::Size { value: *value, digits: *digits, extension: true }
            }
            (Chunk::Size { value, digits, .. }, _) => {
                let digit = char::from(byte).to_digit(16).filter(|_| *digits < 15).ok_or(Failure::Protocol)?;
                Chunk::Size { value: value * 16 + u64::from(digit), digits: digits + 1, extension: false }
            }
            (Chunk::Data(_), b'\r') => Chunk::DataEnd(1),
            (Chunk::DataEnd(1), b'\n') => Chunk::START,
            (Chunk::Trailer(0), b'\n') => return Ok(true),
            (Chunk::Trailer(_), b'\n') => Chunk::Trailer(0),
            (Chunk::Trailer(n), b'\r') => Chunk::Trailer(*n),
            (Chunk::Trailer(n), _) if *n < MAX_HEAD => Chunk::Trailer(n + 1),
            _ => return Err(Failure::Protocol),
        };
        Ok(false)
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
