//! The names under which the API may be addressed: against DNS rebinding, where a web page reaches a loopback port under its own name.
use std::net::IpAddr;

/// The Host allow-list: every loopback name and address, and what is given.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    extra: Vec<String>,
}

impl Hosts {
    /// The loopback names and `extra` (host names or addresses without a port).
    pub fn new(extra: impl IntoIterator<Item = String>) -> Hosts {
        Hosts { extra: extra.into_iter().map(|host| host.to_ascii_lowercase()).collect() }
    }

    /// Whether a `Host` header or an authority names this server. The port is not looked at: it may be forwarded.
    pub fn allows(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else { return false };
        let host = host.to_ascii_lowercase();
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(ip) if ip.is_loopback() => true,
            _ => host == "localhost" || self.extra.contains(&host),
        }
    }

    /// Whether an `Origin` may talk to the API. `null` and other schemes may not.
    pub fn allows_origin(&self, origin: &str) -> bool {
        origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).is_some_and(|rest| self.allows(rest))
    }
}

/// The host of `host`, `host:port`, `[v6]` or `[v6]:port`; `None` where it is none of these.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            (&authority[..end + 2], &rest[end + 1..])
        }
        None => match authority.find(':') {
            Some(colon) => authority.split_at(colon),
            None => (authority, ""),
        },
    };
    let port_ok = port.is_empty()
        || port.strip_prefix(':').is_some_and(|p| p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit()));
    (port_ok && !host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_and_listed_ones() {
        let hosts = Hosts::new(["Panel.Example".to_owned()]);
        for (authority, allowed) in [
            ("localhost:6443", true),
            ("LOCALHOST", true),
            ("127.0.0.1", true),
            ("127.64.0.9:1", true),
            ("[::1]:6443", true),
            ("[::1]", true),
            ("panel.example:443", true),
            ("evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("10.0.0.1", false),
            ("", false),
            (":6443", false),
            ("[::1", false),
            ("localhost:99999999", false),
            ("localhost:x", false),
            ("user@localhost", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(hosts.allows(authority), allowed, "{authority}");
        }
        for (origin, allowed) in [
            ("https://localhost:1", true),
            ("http://127.0.0.1", true),
            ("null", false),
            ("https://evil.example", false),
            ("file://localhost", false),
        ] {
            assert_eq!(hosts.allows_origin(origin), allowed, "{origin}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_name_breaks_it(raw: String) {
            let hosts = Hosts::default();
            let _ = (hosts.allows(&raw), hosts.allows_origin(&raw), hosts.allows(&format!("[{raw}")));
        }
    }
}
