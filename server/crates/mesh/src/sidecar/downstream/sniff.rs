//! Whether a connection's first bytes are HTTP, as Envoy's HTTP inspector tells them. Pure.

/// Longest method that is waited for.
const METHOD: usize = 32;

/// `None` while the bytes do not tell yet. The preface of HTTP/2 reads as a first line, too.
pub(crate) fn looks_like_http(bytes: &[u8]) -> Option<bool> {
    let end = memchr::memchr2(b'\r', b'\n', bytes);
    let line = &bytes[..end.unwrap_or(bytes.len())];
    let method = memchr::memchr(b' ', line);
    let word = &line[..method.unwrap_or(line.len())];
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    if !word.iter().all(is_token) || word.len() > METHOD || (method.is_some() && word.is_empty()) {
        return Some(false);
    }
    if end.is_none() {
        // Whoever reads heads says what is too long.
        return (bytes.len() > http1::MAX_HEAD).then_some(true);
    }
    let version = line.rsplit(|b| *b == b' ').next().unwrap_or_default();
    let words = line.split(|b| *b == b' ').count();
    // Versions that nobody speaks are refused as HTTP.
    Some(words >= 3 && version.starts_with(b"HTTP/"))
}

#[cfg(test)]
mod tests {
    use super::looks_like_http;

    #[test]
    fn the_first_line_tells() {
        for (bytes, told) in [
            (&b""[..], None),
            (b"G", None),
            (b"GET", None),
            (b"GET / HTTP/1.1", None),
            (b"GET / HTTP/1.1\r", Some(true)),
            (b"GET / HTTP/1.0\n", Some(true)),
            (b"M-SEARCH * HTTP/1.1\r\n", Some(true)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(true)),
            (b"GET / HTTP/1.2\r\n", Some(true)),
            (b"GET /\r\n", Some(false)),
            (b"GET / FTP/1.1\r\n", Some(false)),
            (b"PING\r\n", Some(false)),
            (b"*3\r\n$3\r\nSET\r\n", Some(false)),
            (b" GET / HTTP/1.1\r\n", Some(false)),
            (b"\x16\x03\x01", Some(false)),
            (b"\0", Some(false)),
            (b"EHLO mail.example.com\r\n", Some(false)),
            (b"abcdefghijklmnopqrstuvwxyzabcdefghijklmn", Some(false)),
        ] {
            assert_eq!(looks_like_http(bytes), told, "{:?}", String::from_utf8_lossy(bytes));
        }
        // However the bytes arrive, they are told alike.
        let line = b"GET /a b HTTP/1.1\r\n";
        assert!((0..line.len() - 2).all(|cut| looks_like_http(&line[..cut]).is_none()));
    }
}
