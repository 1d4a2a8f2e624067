//! How an upstream ended an exchange before it answered.

use crate::sidecar::stats::flag::Flag;
use std::error::Error;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    /// It refused the stream before it did anything with it, or went away before it looked at it.
    Refused,
    /// It ended the stream.
    Stream,
    /// It ended the connection.
    Connection,
    /// What it sent is no HTTP.
    NoHttp,
}

impl Reset {
    /// Reads hyper's error, which wraps that of its HTTP/2 library.
    pub(crate) fn of(error: &hyper::Error) -> Reset {
        if error.is_parse() {
            return Reset::NoHttp;
        }
        let Some(cause) = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>()) else {
            return Reset::Connection;
        };
        match (cause.is_remote(), cause.is_reset(), cause.reason()) {
            (true, true, Some(h2::Reason::REFUSED_STREAM)) => Reset::Refused,
            (true, true, _) => Reset::Stream,
            // A stream that GOAWAY names is finished; this is one that it does not (RFC 9113, 6.8).
            (true, false, _) if cause.is_go_away() => Reset::Refused,
            _ => Reset::Connection,
        }
    }

    /// The status and the flag that stand for it, and what the client is told.
    pub(crate) fn told(self) -> (u16, Flag, &'static str) {
        match self {
            Reset::Refused => (
                503,
                Flag::UR,
                "upstream connect error or disconnect/reset before headers. reset reason: remote refused stream reset",
            ),
            Reset::Stream => {
                (503, Flag::UR, "upstream connect error or disconnect/reset before headers. reset reason: remote reset")
            }
            Reset::Connection => (
                503,
                Flag::UC,
                "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
            ),
            Reset::NoHttp => (502, Flag::UPE, "upstream protocol error"),
        }
    }
}
