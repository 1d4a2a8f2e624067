//! Whom connections are counted by.
use http::HeaderMap;
use std::net::{IpAddr, Ipv6Addr};

/// The origin of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    /// An address; of IPv6 the first 64 bits, which one household or cloud machine owns whole.
    Address(IpAddr),
    /// A user of this machine, by a unix socket.
    User(u32),
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Peer {
        Peer::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            v4 => v4,
        })
    }
}

/// The client's address as a trusted proxy names it: the last hop of `X-Forwarded-For`. What stands before it was written by the
/// client and proves nothing. `None` without the header, or where the last hop is no address.
pub fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim();
    let bare = last.strip_prefix('[').and_then(|v6| v6.split_once(']')).map_or(last, |(v6, _)| v6);
    // Some proxies append the port.
    let v4 = || last.rsplit_once(':').and_then(|(ip, _)| ip.parse().ok());
    bare.parse().ok().or_else(v4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hop_counts() {
        for (lines, found) in [
            (vec!["203.0.113.9"], Some("203.0.113.9")),
            (vec!["10.0.0.1, 203.0.113.9"], Some("203.0.113.9")),
            (vec!["10.0.0.1", "203.0.113.9"], Some("203.0.113.9")),
            (vec!["203.0.113.9:4711"], Some("203.0.113.9")),
            (vec!["[2001:db8::1]:4711"], Some("2001:db8::1")),
            (vec!["2001:db8::1"], Some("2001:db8::1")),
            (vec!["203.0.113.9, unknown"], None),
            (vec![""], None),
            (vec![], None),
        ] {
            let headers = lines
                .iter()
                .map(|v| (http::HeaderName::from_static("x-forwarded-for"), v.parse().unwrap()))
                .collect::<HeaderMap>();
            assert_eq!(forwarded_for(&headers), found.map(|ip| ip.parse().unwrap()), "{lines:?}");
        }
    }

    #[test]
    fn ipv6_counts_by_network() {
        let peer = |text: &str| Peer::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(peer("2001:db8:1:2::1"), peer("2001:db8:1:2:ffff::9"));
        assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
        assert_eq!(peer("::ffff:127.0.0.1"), peer("127.0.0.1"));
        assert_ne!(peer("127.0.0.1"), peer("127.0.0.2"));
    }
}
