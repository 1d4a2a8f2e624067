//! How a cluster's endpoints are used: a DestinationRule's `trafficPolicy`, as far as it is honoured.

use super::is_default;
use serde::{Deserialize, Serialize};

/// How a cluster's endpoints are used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// How one endpoint is chosen.
    #[serde(default, skip_serializing_if = "is_default")]
    pub balance: Balance,
    /// Longest wait for a connection, in milliseconds. Istio's default is 10 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout_ms: Option<u64>,
    /// How many connections and requests there may be at once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// Which endpoints are left out for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier: Option<Outlier>,
}

/// `ConnectionPoolSettings`. What is absent is without limit. A request beyond a limit is answered 503 with `x-envoy-overloaded`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Connections open at once (`tcp.maxConnections`). An endpoint that has none gets one whatever the limit, as in Envoy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Requests that wait for a connection (`http1MaxPendingRequests`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
    /// Requests under way (`http2MaxRequests`, for HTTP/1.1 too).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Requests that are being tried again (`maxRetries`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Requests that one connection carries (`maxRequestsPerConnection`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_connection: Option<u32>,
    /// Milliseconds a connection is kept without use (`http.idleTimeout`); never longer than this proxy keeps any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// Milliseconds a connection is used at all (`tcp.maxConnectionDuration`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
}

/// `OutlierDetection`, with Istio's defaults filled in. A threshold of 0 is never reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlier {
    /// Answers of 5xx one after the other until an endpoint is left out.
    pub server_errors: u32,
    /// Answers of 502, 503 and 504 one after the other.
    pub gateway_errors: u32,
    /// Requests without an answer one after the other; where absent they count as 5xx and as gateway errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_errors: Option<u32>,
    /// Milliseconds between two looks at who may come back.
    pub interval_ms: u64,
    /// Milliseconds an endpoint is left out the first time; the second time twice that, and so on.
    pub base_ms: u64,
    /// Most endpoints that are left out, in percent.
    pub max_percent: u32,
    /// Where fewer are left, in percent, all are used again.
    pub min_health_percent: u32,
}

/// How one endpoint is chosen (`LoadBalancerSettings`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The less busy of two drawn at random: Istio's default.
    #[default]
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// Drawn.
    Random,
    /// By the value of a header.
    HashHeader(String),
    /// By the value of a cookie.
    HashCookie(HashCookie),
    /// By a parameter of the query.
    HashQuery(String),
    /// By the caller's address: always this pod's.
    HashSourceIp,
}

impl Balance {
    /// Whether a request's key decides.
    pub(crate) fn is_consistent(&self) -> bool {
        matches!(self, Balance::HashHeader(_) | Balance::HashCookie(_) | Balance::HashQuery(_) | Balance::HashSourceIp)
    }
}

/// `ConsistentHashLB.HTTPCookie`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashCookie {
    /// Its name.
    pub name: String,
    /// A client without it is given one that lasts this long, in milliseconds; 0 is a session's. Absent: none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Its path; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
}
