//! A request's path in its normal form, before anything is matched against it: what a rule forbids must not be had by spelling it otherwise.
//!
//! Pure. Istio's `pathNormalization: BASE`, that is Envoy's `normalize_path`: dot segments go, `%41` is `A`, `\` is `/`; `%2F` and `//` stay.

use std::borrow::Cow;

/// The path and query in normal form; `None` where they cannot be a request's: a NUL, a fragment, bytes beyond ASCII.
pub(crate) fn normalized(target: &str) -> Option<Cow<'_, str>> {
    let query_at = target.bytes().position(|b| b == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(query_at);
    if query.bytes().any(|b| b == b'#' || b >= 0x80) {
        return None;
    }
    let mut before = b'/';
    let odd = path.bytes().any(|b| {
        let odd = match b {
            b'.' => before == b'/',
            b'%' | b'\\' | b'"' | b'{' | b'}' | b'|' | b'^' | b'<' | b'>' | b'`' | b'#' => true,
            _ => b >= 0x80,
        };
        before = b;
        odd
    });
    if !odd || !path.starts_with('/') {
        Some(Cow::Borrowed(target))
    } else {
        Some(Cow::Owned(resolve(&unescape(path.as_bytes())?) + query))
    }
}

/// Escapes what must be, unescapes what need not be; `\` becomes `/`.
fn unescape(path: &[u8]) -> Option<Vec<u8>> {
    let digit = |at: usize| path.get(at).and_then(|c| (*c as char).to_digit(16));
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        at += 1;
        match byte {
            b'%' => match digit(at).zip(digit(at + 1)).map(|(high, low)| (high * 16 + low) as u8) {
                Some(0) => return None,
                Some(c) if c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~') => {
                    out.push(c);
                    at += 2;
                }
                _ => out.push(b'%'),
            },
            b'\\' => out.push(b'/'),
            b'"' | b'{' | b'}' | b'|' | b'^' | b'<' | b'>' | b'`' => {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes())
            }
            b'#' | 0 | 0x80.. => return None,
            other => out.push(other),
        }
    }
    Some(out)
}

/// Takes the dot segments out (RFC 3986, 5.2.4).
fn resolve(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = text.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    kept.iter().flat_map(|s| ["/", s]).collect()
}

#[cfg(test)]
mod tests {
    use super::normalized;
    use proptest::prelude::*;

    #[test]
    fn a_path_has_one_spelling() {
        for (written, normal) in [
            ("/a/b?c=%41/../d", Some("/a/b?c=%41/../d")),
            ("/a/../admin", Some("/admin")),
            ("/a/./b/.", Some("/a/b/")),
            ("/../..", Some("/")),
            ("/x/%2e%2E/%61dmin", Some("/admin")),
            ("/a%2fb%2Fc", Some("/a%2fb%2Fc")),
            ("/a//b", Some("/a//b")),
            ("//../b", Some("/b")),
            ("/x\\..\\b", Some("/b")),
            ("/a|b", Some("/a%7Cb")),
            ("/a%zz%4", Some("/a%zz%4")),
            ("/...", Some("/...")),
            ("*", Some("*")),
            ("/a%00", None),
            ("/a#b", None),
            ("/?a#b", None),
            ("/ä", None),
        ] {
            assert_eq!(normalized(written).as_deref(), normal, "{written}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_path_stays_and_has_no_dots(target in "[/.%25eE\\\\a?]{0,12}") {
            let target = format!("/{target}");
            let Some(normal) = normalized(&target) else { return Ok(()) };
            let path = normal.split('?').next().unwrap();
            prop_assert!(path.starts_with('/'));
            prop_assert!(!path.split('/').any(|s| s == "." || s == ".."), "{target} became {normal}");
        }
    }
}
