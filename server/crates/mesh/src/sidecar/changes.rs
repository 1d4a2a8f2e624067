//! What a route does to headers (`Headers.HeaderOperations`), on a head that is written already: only routes that ask for it pay for it.

use super::http1::{Known, known};
use crate::table::HeaderOps;

/// The changes of a destination, then those of its route: Envoy's order, the more specific ones first.
pub(crate) type Levels<'o> = [Option<&'o HeaderOps>; 2];

/// Applies all levels to a head, which ends with its empty line; what follows it stays.
pub(crate) fn change(head: &mut Vec<u8>, levels: &Levels<'_>) {
    if levels.iter().flatten().all(|o| o.set.is_empty() && o.add.is_empty() && o.remove.is_empty()) {
        return;
    }
    let Some(end) = memchr::memmem::find(head, b"\r\n\r\n") else { return };
    let after = head.split_off(end + 4);
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut rest = &head[..end + 2];
    while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
        lines.push(rest[..at].to_vec());
        rest = &rest[at + 2..];
    }
    // A response's `server` is the proxy's own word, as Envoy has it.
    let response = lines.first().is_some_and(|l| l.starts_with(b"HTTP/"));
    let mut headers = lines.split_off(1.min(lines.len()));
    for ops in levels.iter().flatten() {
        headers.retain(|line| is_framing(name_of(line)) || !ops.remove.iter().any(|name| is(line, name)));
        for (name, value) in ops.set.iter().filter(|(n, v)| is_header(n, v) && !(response && n == "server")) {
            headers.retain(|line| !is(line, name));
            headers.push(format!("{name}: {value}").into_bytes());
        }
        for (name, value) in ops.add.iter().filter(|(n, v)| is_header(n, v) && !(response && n == "server")) {
            headers.push(format!("{name}: {value}").into_bytes());
        }
    }
    head.clear();
    for line in lines.iter().chain(&headers) {
        head.extend_from_slice(line);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(&after);
}

/// The Host that the changes ask for.
pub(crate) fn set_host<'o>(levels: &Levels<'o>) -> Option<&'o str> {
    levels
        .iter()
        .flatten()
        .flat_map(|o| o.set.iter().chain(&o.add))
        .find(|(n, v)| is_host(n) && http::HeaderValue::from_str(v).is_ok())
        .map(|(_, v)| v.as_str())
}

fn name_of(line: &[u8]) -> &str {
    let end = line.iter().position(|c| *c == b':').unwrap_or(line.len());
    std::str::from_utf8(&line[..end]).unwrap_or("")
}

fn is(line: &[u8], name: &str) -> bool {
    name_of(line).eq_ignore_ascii_case(name)
}

pub(crate) fn is_host(name: &str) -> bool {
    name == "host" || name == ":authority"
}

/// What says where a message ends is nobody's to change.
pub(crate) fn is_framing(name: &str) -> bool {
    matches!(known(name), Known::ContentLength | Known::TransferEncoding | Known::Connection | Known::Host)
}

/// Values come from objects: a line end in one would begin a header of its own.
fn is_header(name: &str, value: &str) -> bool {
    !is_host(name)
        && !is_framing(name)
        && http::HeaderName::from_bytes(name.as_bytes()).is_ok()
        && http::HeaderValue::from_str(value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_applied_one_after_the_other() {
        let pairs = |all: &[(&str, &str)]| all.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let destination = HeaderOps {
            set: pairs(&[("x-a", "dest"), ("x-b", "dest")]),
            add: pairs(&[("x-l", "dest")]),
            remove: vec!["x-gone".into()],
        };
        let route = HeaderOps {
            set: pairs(&[("x-a", "route"), ("content-length", "9"), ("x-bad", "a\r\nb"), ("host", "h")]),
            add: pairs(&[("x-l", "route")]),
            remove: vec!["x-b".into(), "content-length".into()],
        };
        let mut head = b"GET / HTTP/1.1\r\nhost: a\r\nX-A: old\r\ncontent-length: 4\r\nX-Gone: 1\r\n\r\nbody".to_vec();
        change(&mut head, &[Some(&destination), Some(&route)]);
        let text = String::from_utf8(head).unwrap();
        assert_eq!(
            text,
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nx-l: dest\r\nx-a: route\r\nx-l: route\r\n\r\nbody"
        );
        assert_eq!(set_host(&[Some(&destination), Some(&route)]), Some("h"));
    }
}
