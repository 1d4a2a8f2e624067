//! The headers that mean something to a proxy, by name.

/// Headers that mean something to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Connection,
    ContentLength,
    Expect,
    Host,
    /// For this hop alone.
    Hop,
    TransferEncoding,
    Upgrade,
    RequestId,
    TraceId,
    SpanId,
    Sampled,
    B3,
    ForwardedProto,
    /// Told by whoever forwards, believed of nobody: Envoy's own words to itself (`x-envoy-max-retries`, …).
    Internal,
    /// Of an earlier proxy on the way; this one writes its own.
    Attempt,
    OriginalPath,
    Date,
    Te,
    PeerMetadata,
    Server,
    ServiceTime,
    /// Our own word between sidecars: nothing was sent to the app.
    NotSent,
    Other,
}

/// Recognises a header's name, regardless of case.
pub(crate) fn known(name: &str) -> Known {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        2 if is("te") => Known::Te,
        2 if is("b3") => Known::B3,
        4 if is("host") => Known::Host,
        4 if is("date") => Known::Date,
        6 if is("expect") => Known::Expect,
        6 if is("server") => Known::Server,
        7 if is("upgrade") => Known::Upgrade,
        10 if is("connection") => Known::Connection,
        10 if is("keep-alive") => Known::Hop,
        11 if is("x-b3-spanid") => Known::SpanId,
        12 if is("x-b3-sampled") => Known::Sampled,
        12 if is("x-request-id") => Known::RequestId,
        12 if is("x-b3-traceid") => Known::TraceId,
        14 if is("content-length") => Known::ContentLength,
        15 if is("x-mesh-not-sent") => Known::NotSent,
        16 if is("proxy-connection") => Known::Hop,
        17 if is("transfer-encoding") => Known::TransferEncoding,
        17 if is("x-forwarded-proto") => Known::ForwardedProto,
        18 if is("proxy-authenticate") => Known::Hop,
        19 if is("proxy-authorization") => Known::Hop,
        21 if is("x-envoy-peer-metadata") => Known::PeerMetadata,
        29 if is("x-envoy-upstream-service-time") => Known::ServiceTime,
        _ if name.len() > 8 && name.as_bytes()[..8].eq_ignore_ascii_case(b"x-envoy-") => internal(&name[8..]),
        _ => Known::Other,
    }
}

/// `x-envoy-…` headers that Envoy takes away from requests that do not come from itself, and those it writes anew.
fn internal(rest: &str) -> Known {
    const INTERNAL: [&str; 14] = [
        "internal",
        "max-retries",
        "retry-on",
        "retry-grpc-on",
        "retriable-status-codes",
        "retriable-header-names",
        "upstream-alt-stat-name",
        "upstream-rq-timeout-ms",
        "upstream-rq-per-try-timeout-ms",
        "upstream-rq-timeout-alt-response",
        "expected-rq-timeout-ms",
        "force-trace",
        "ip-tags",
        "hedge-on-per-try-timeout",
    ];
    if rest.eq_ignore_ascii_case("attempt-count") {
        Known::Attempt
    } else if rest.eq_ignore_ascii_case("original-path") {
        Known::OriginalPath
    } else if INTERNAL.iter().any(|name| rest.eq_ignore_ascii_case(name)) {
        Known::Internal
    } else {
        Known::Other
    }
}
