//! What a route does to headers (`Headers.HeaderOperations`): only routes that ask for it pay for it.

use super::known::{Known, known};
use super::list::HeaderList;
use crate::table::HeaderOps;

/// The changes of a destination, then those of its route: Envoy's order, the more specific ones first.
pub(crate) type Levels<'o> = [Option<&'o HeaderOps>; 2];

/// What the changes are made to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Request,
    Response,
}

/// Applies all levels.
pub(crate) fn apply(headers: &mut impl HeaderList, levels: &Levels<'_>, of: Of) {
    // A response's `server` is the proxy's own word, as Envoy has it.
    let free = |(name, value): &&(String, String)| is_header(name, value) && (of == Of::Request || name != "server");
    for ops in levels.iter().flatten() {
        for name in ops.remove.iter().filter(|name| !is_framing(name)) {
            headers.remove(name);
        }
        for (name, value) in ops.set.iter().filter(free) {
            headers.remove(name);
            headers.append(name, value.as_bytes());
        }
        for (name, value) in ops.add.iter().filter(free) {
            headers.append(name, value.as_bytes());
        }
    }
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

fn is_host(name: &str) -> bool {
    name == "host" || name == ":authority"
}

/// What says where a message ends is nobody's to change.
fn is_framing(name: &str) -> bool {
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
    use crate::sidecar::headers::list::Lines;
    use http::HeaderMap;

    #[test]
    fn levels_are_applied_one_after_the_other_to_lines_and_to_a_map() {
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
        let levels = [Some(&destination), Some(&route)];
        let before = [("X-A", "old"), ("content-length", "4"), ("X-Gone", "1"), ("x-a", "older")];
        let mut head = b"GET / HTTP/1.1\r\nhost: a\r\n".to_vec();
        let mut lines = Lines::behind(&mut head);
        before.iter().for_each(|(name, value)| lines.append(name, value.as_bytes()));
        apply(&mut lines, &levels, Of::Request);
        assert_eq!(
            String::from_utf8(head).unwrap(),
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nx-l: dest\r\nx-a: route\r\nx-l: route\r\n"
        );
        let mut map = HeaderMap::new();
        before.iter().for_each(|(name, value)| HeaderList::append(&mut map, name, value.as_bytes()));
        apply(&mut map, &levels, Of::Request);
        let all: Vec<String> = map.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        assert_eq!(all, ["content-length: 4", "x-l: dest", "x-l: route", "x-a: route"]);
    }

    #[test]
    fn the_server_of_a_response_is_nobodys_to_set_and_the_host_is_found() {
        let ops = HeaderOps {
            set: vec![("server".into(), "mine".into()), (":authority".into(), "other".into())],
            ..HeaderOps::default()
        };
        for (of, servers) in [(Of::Request, 1), (Of::Response, 0)] {
            let mut map = HeaderMap::new();
            apply(&mut map, &[Some(&ops), None], of);
            assert_eq!(map.get_all("server").iter().count(), servers);
        }
        assert_eq!(set_host(&[None, Some(&ops)]), Some("other"));
    }
}
