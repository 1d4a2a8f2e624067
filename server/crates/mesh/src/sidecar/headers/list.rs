//! The headers of a message in the form in which they are sent on: lines of HTTP/1.1, or the map that hyper takes.

use http::{HeaderMap, HeaderName, HeaderValue};

/// A list of headers that is being written.
pub(crate) trait HeaderList {
    /// Adds a header. One that is malformed is left out of a map; lines are written as they are, so their caller checks.
    fn append(&mut self, name: &str, value: &[u8]);

    /// Removes all headers of a name, regardless of case.
    fn remove(&mut self, name: &str);
}

impl HeaderList for HeaderMap {
    fn append(&mut self, name: &str, value: &[u8]) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            HeaderMap::append(self, name, value);
        }
    }

    fn remove(&mut self, name: &str) {
        HeaderMap::remove(self, name);
    }
}

/// The lines of a head of HTTP/1.1 from some place on; the empty line that ends it is not there yet.
pub(crate) struct Lines<'h> {
    head: &'h mut Vec<u8>,
    start: usize,
}

impl<'h> Lines<'h> {
    /// The lines behind what the head has.
    pub(crate) fn behind(head: &'h mut Vec<u8>) -> Lines<'h> {
        let start = head.len();
        Lines { head, start }
    }
}

impl HeaderList for Lines<'_> {
    fn append(&mut self, name: &str, value: &[u8]) {
        self.head.extend_from_slice(name.as_bytes());
        self.head.extend_from_slice(b": ");
        self.head.extend_from_slice(value);
        self.head.extend_from_slice(b"\r\n");
    }

    fn remove(&mut self, name: &str) {
        let mut at = self.start;
        while let Some(end) = memchr::memmem::find(&self.head[at..], b"\r\n").map(|end| at + end + 2) {
            if is(&self.head[at..end], name) {
                self.head.drain(at..end);
            } else {
                at = end;
            }
        }
    }
}

/// Whether a line is the header of this name.
fn is(line: &[u8], name: &str) -> bool {
    line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
}
