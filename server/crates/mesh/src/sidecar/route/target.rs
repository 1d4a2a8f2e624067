//! A request's target: whose it is, and its path. Pure.

use std::borrow::Cow;

/// A request line's parts, whatever form the target has.
pub(crate) struct Target<'r> {
    /// What a request without a proxy would say in Host: the Host header; where there is none, the target's own authority.
    pub(crate) authority: &'r str,
    /// Whom a client without a proxy would have connected to: the target's own authority; where it has none, the Host header.
    pub(crate) destination: &'r str,
    /// Path and query.
    pub(crate) path: &'r str,
}

impl Target<'_> {
    /// Whether the Host header names another host than the target. A port that is not written is the scheme's.
    pub(crate) fn authority_differs(&self) -> bool {
        let named =
            |authority: &str| split_authority(authority).map(|(name, port)| (name.into_owned(), port.unwrap_or(80)));
        self.authority != self.destination && named(self.authority) != named(self.destination)
    }
}

/// Reads absolute-form, origin-form and authority-form.
pub(crate) fn split_target<'r>(
    method: &str,
    target: &'r str,
    host: Option<&'r str>,
) -> Result<Target<'r>, &'static str> {
    let found = if method == "CONNECT" {
        Target { authority: target, destination: target, path: "" }
    } else if target.starts_with('/') || target == "*" {
        let host = host.ok_or("no Host")?;
        Target { authority: host, destination: host, path: target }
    } else if let Some(rest) = target.get(..7).filter(|s| s.eq_ignore_ascii_case("http://")).map(|_| &target[7..]) {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let path = if end == rest.len() { "/" } else { &rest[end..] };
        let destination = &rest[..end];
        Target { authority: host.filter(|host| !host.is_empty()).unwrap_or(destination), destination, path }
    } else {
        return Err("only http:// can be asked for");
    };
    let malformed = |authority: &str| authority.is_empty() || authority.contains(['@', ' ', '\\', '#']);
    if malformed(found.destination) || malformed(found.authority) || found.path.starts_with('?') {
        return Err("malformed authority");
    }
    Ok(found)
}

/// Host, in lower case and without brackets, and port.
pub(crate) fn split_authority(authority: &str) -> Option<(Cow<'_, str>, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) if port.bytes().all(|c| c.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
        None => None,
    };
    let host = if host.bytes().any(|c| c.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    };
    Some((host, port))
}
