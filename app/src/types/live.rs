//! What the live stream carries (`GET /api/demo/live`, server-sent events).
//!
//! Events: `hello` (one, first: [`Hello`]), `history` (one: the last 60 s as `Vec<Frame>`, two a second),
//! `status` (a whole [`super::Status`], when it changes), `traffic` (a [`Frame`], ten a second), `alive` (after 3 s without another).
use super::Split;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// First event of a stream. A page built for another build reloads itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Id of the server's build.
    pub build: String,
}

/// The traffic at one moment. Counts are since the load began, so a lost frame loses nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// When it was measured: milliseconds since the Unix epoch, the server's clock.
    pub at_ms: u64,
    /// Changes when the counts start again from 0 (a new load, or another client pod).
    pub run: u64,
    /// Answers by the version that gave them; `unknown` where an answer does not say.
    pub counts: BTreeMap<String, u64>,
    /// Requests that failed: refused, reset, timed out, or answered with 5xx.
    pub errors: u64,
    /// Requests a second that were asked for.
    pub target_rate: f64,
    /// Requests a second over the last second.
    pub achieved_rate: f64,
    /// Requests a second over the last second, by version.
    #[serde(default)]
    pub rates: BTreeMap<String, f64>,
    /// Median latency over the last 10 s, from the scheduled time, milliseconds; nothing without requests.
    pub p50_ms: Option<f64>,
    /// 90th percentile of the same.
    pub p90_ms: Option<f64>,
    /// 99th percentile of the same.
    pub p99_ms: Option<f64>,
    /// The machine cannot keep the rate that was asked for.
    #[serde(default)]
    pub limited: bool,
    /// The weights that are wished; nothing without a route.
    pub wished: Option<Split>,
    /// What the counts since the last change of weights say.
    #[serde(default)]
    pub verdict: Option<Verdict>,
}

/// What the split seen since the last change says about the one wished. The page puts it in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What it comes to.
    pub kind: VerdictKind,
    /// The version the numbers are about: the last of the split, `v2` in the demo.
    pub version: String,
    /// Requests since the last change.
    pub requests: u64,
    /// Share seen, percent.
    pub observed: f64,
    /// Half of the 95 % Wilson interval, percentage points.
    pub margin: f64,
    /// Share wished, percent.
    pub wished: f64,
    /// Requests still needed to tell the wish from `versus`; 0 when there are enough.
    pub needed: u64,
    /// The neighbouring preset the wish is told from, percent.
    pub versus: f64,
}

/// The meaning of a [`Verdict`]. Facts come before statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// No request since the last change.
    NoTraffic,
    /// Too few to tell the wish from plain balancing.
    TooFew,
    /// In keeping with the wish.
    InKeeping,
    /// Not in keeping with the wish.
    OffTarget,
    /// A fact: the client has no sidecar, so the weights are not looked at.
    ClientHasNoSidecar,
    /// A fact: there is no route; what is seen is plain balancing.
    NoRoute,
}
