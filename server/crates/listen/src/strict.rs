//! Finds line feeds that no carriage return precedes in request heads. Lenient parsers take them as line ends, stricter ones in front of
//! them do not: request smuggling lives on the difference. Source: RFC 9112, section 2.2 (a recipient *may* accept a bare LF; ours does not).

/// Follows the heads of a connection through the reads that bring them. A head in the same read as the end of the request before it is
/// not looked at: where it begins is known to the parser alone.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    /// The last four bytes of the head.
    tail: u32,
    over: bool,
    /// Whole heads before this one.
    number: u32,
}

const END: u32 = u32::from_be_bytes(*b"\r\n\r\n");

impl HeadScan {
    /// Position of the first bare line feed in the next bytes of a head, before which `number` whole ones came. What follows the head's
    /// end is a body, and is not looked at.
    pub(crate) fn bare_line_feed(&mut self, number: u32, bytes: &[u8]) -> Option<usize> {
        if self.number != number {
            *self = HeadScan { number, ..HeadScan::default() };
        }
        for (at, byte) in bytes.iter().enumerate() {
            if self.over {
                return None;
            }
            if *byte == b'\n' && self.tail as u8 != b'\r' {
                return Some(at);
            }
            self.tail = self.tail << 8 | u32::from(*byte);
            self.over = self.tail == END;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_line_feeds_are_found_in_heads_and_nowhere_else() {
        for (text, found) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\nbody\nwith\n\nlines", None),
            ("GET / HTTP/1.1\nHost: x\n\n", Some(14)),
            ("GET / HTTP/1.1\r\nHost: x\n\r\n", Some(23)),
            ("GET / HTTP/1.1\r\nHost: x\r\n\n", Some(25)),
            ("\nGET / HTTP/1.1\r\n\r\n", Some(0)),
        ] {
            assert_eq!(HeadScan::default().bare_line_feed(0, text.as_bytes()), found, "{text:?}");
            // However the bytes are cut into reads.
            for cut in 0..text.len() {
                let (mut scan, (first, rest)) = (HeadScan::default(), text.as_bytes().split_at(cut));
                let at = scan.bare_line_feed(0, first).or_else(|| scan.bare_line_feed(0, rest).map(|at| at + cut));
                assert_eq!(at, found, "{text:?} cut at {cut}");
            }
        }
        let mut scan = HeadScan::default();
        assert_eq!(scan.bare_line_feed(0, b"GET / HTTP/1.1\r\n\r\n"), None);
        assert_eq!(scan.bare_line_feed(0, b"a body\n"), None);
        assert_eq!(scan.bare_line_feed(1, b"GET / HTTP/1.1\n"), Some(14), "the next head");
    }
}
