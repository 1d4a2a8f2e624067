//! One route: what it matches, where it leads, and what happens on the way.

use super::{Match, Pattern, is_default};
use serde::{Deserialize, Serialize};

/// One entry of a VirtualService's `http` list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Its name; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Any one must match; empty matches everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
    /// What is done with the request.
    pub action: Action,
    /// Longest time for the whole answer, in milliseconds; none by default, as in Istio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Istio's default (2, before anything was sent) where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// Changes to path and authority.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rewrite: Rewrite,
    /// Changes to headers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: HeaderChanges,
    /// Injected faults.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fault: Fault,
    /// Who else gets a copy of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Mirror>,
}

/// `HTTPMirrorPolicy`: a copy is sent, its answer is thrown away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mirror {
    /// Full name of the Service.
    pub host: String,
    /// Port of the Service where one was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Subset, `""` for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subset: String,
    /// Percentage of requests.
    pub percent: f64,
}

/// What a route does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// To one of these, by weight.
    Forward(Vec<Destination>),
    /// Sends the client elsewhere.
    Redirect(Redirect),
    /// Answers by itself.
    Respond {
        /// Status code.
        status: u16,
        /// Text of the body.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        body: String,
    },
}

impl Default for Action {
    fn default() -> Action {
        Action::Forward(Vec::new())
    }
}

/// A weighted destination.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    /// Full name of the Service.
    pub host: String,
    /// Port of the Service where one was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Subset, `""` for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subset: String,
    /// Share, relative to the sum of the route's weights. 0 is never.
    pub weight: u32,
    /// Changes to headers for this destination alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: HeaderChanges,
}

/// `HTTPRedirect`. Empty fields keep what the request had.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Redirect {
    /// New path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// New host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// New scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Takes the place of the matched prefix; `uri` is not set then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// New port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The port is the one that was asked for (`derivePort: FROM_REQUEST_PORT`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub request_port: bool,
    /// 301 by default.
    pub code: u16,
}

/// `HTTPRetry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// Tries after the first.
    pub attempts: u32,
    /// Longest time for one try, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_try_timeout_ms: Option<u64>,
    /// What is tried again, Envoy's names (`5xx`, `gateway-error`, `connect-failure`, …).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<RetryOn>,
    /// Status codes that are tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<u16>,
}

impl Retries {
    /// Whether a request that was not sent at all is tried again.
    pub(crate) fn tries_again_unsent(&self) -> bool {
        use RetryOn::{ConnectFailure, GatewayError, Reset, ResetBeforeRequest, ServerError};
        self.on.iter().any(|on| matches!(on, ConnectFailure | ServerError | GatewayError | Reset | ResetBeforeRequest))
    }

    /// Whether a request that was sent is tried again where there is no answer.
    pub(crate) fn tries_again_unanswered(&self) -> bool {
        self.on.iter().any(|on| matches!(on, RetryOn::Reset | RetryOn::ServerError | RetryOn::GatewayError))
    }

    /// Whether a stream that the upstream did not want is tried again.
    pub(crate) fn tries_again_refused(&self) -> bool {
        self.on.contains(&RetryOn::RefusedStream)
    }

    /// Whether a request is tried again that has this answer. `grpc` is the status of gRPC in its head.
    pub(crate) fn tries_again_answered(&self, status: u16, grpc: Option<u8>) -> bool {
        self.codes.contains(&status)
            || self.on.iter().any(|on| match on {
                RetryOn::ServerError => (500..600).contains(&status),
                RetryOn::GatewayError => (502..=504).contains(&status),
                RetryOn::Retriable4xx => status == 409,
                RetryOn::Grpc(code) => grpc == Some(*code),
                RetryOn::Reset | RetryOn::ResetBeforeRequest | RetryOn::ConnectFailure | RetryOn::RefusedStream => {
                    false
                }
            })
    }
}

/// A reason to try again (Envoy's `x-envoy-retry-on`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    /// Any 5xx, or no answer.
    #[serde(rename = "5xx")]
    ServerError,
    /// 502, 503, 504.
    GatewayError,
    /// No answer.
    Reset,
    /// No answer, and nothing of the request was sent.
    ResetBeforeRequest,
    /// No connection.
    ConnectFailure,
    /// A stream of HTTP/2 that the upstream refused before it did anything.
    RefusedStream,
    /// 409.
    #[serde(rename = "retriable-4xx")]
    Retriable4xx,
    /// This status of gRPC in the answer's head.
    Grpc(u8),
}

impl Default for Retries {
    /// Istio's default for routes that say nothing: twice, before anything was processed.
    fn default() -> Retries {
        Retries {
            attempts: 2,
            per_try_timeout_ms: None,
            on: vec![RetryOn::ConnectFailure, RetryOn::RefusedStream, RetryOn::Grpc(14), RetryOn::Grpc(1)],
            codes: Vec::new(),
        }
    }
}

/// `HTTPRewrite`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rewrite {
    /// Takes the place of the matched prefix, or of the whole path where it was matched exactly or by a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Pattern and replacement (`\1` is the first group).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<(Pattern, String)>,
    /// New Host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

/// `Headers`: what is done to the headers of request and response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderChanges {
    /// To the request.
    #[serde(default, skip_serializing_if = "is_default")]
    pub request: HeaderOps,
    /// To the response.
    #[serde(default, skip_serializing_if = "is_default")]
    pub response: HeaderOps,
}

/// `HeaderOperations`. Names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderOps {
    /// Replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
    /// Appends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<(String, String)>,
    /// Removes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// `HTTPFaultInjection`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Milliseconds, and the percentage of requests it meets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<(u64, f64)>,
    /// Status code, and the percentage of requests it meets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<(u16, f64)>,
}
