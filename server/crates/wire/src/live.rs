//! What the live stream carries (`GET /api/demo/live`, server-sent events).
//!
//! First the whole state: `hello` ([`Hello`]), `history` (the last 60 s as `Vec<Frame>`, two a second), `status` (a whole [`crate::Status`]) and
//! `traffic` (a [`Traffic`]). Then what changes: `status-patch` (a [`crate::StatusPatch`]; a whole `status` where events were skipped), `traffic`
//! ten times a second (a [`Frame`] with the rates and percentiles of the service, and twice a second a whole [`Traffic`]), `alive` (after 3 s
//! without another). With `lang` in the address also `sentence` (a [`Sentence`]), `lesson` (a [`crate::Lesson`], once), `progress` (a [`crate::Progress`]), `recent` (a [`Recent`]), `board` and `whole` (the figures as HTML), when they change, and no whole [`Traffic`].
use crate::Split;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// First event of a stream. A page built for another build reloads itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hello {
    /// Id of the server's build.
    pub build: String,
}

/// The traffic at one moment, as far as the page computes with it. Counts are since the load began, so a lost frame loses nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Requests a second over the last second, by version.
    #[serde(default)]
    pub rates: BTreeMap<String, f64>,
    /// Answers to requests *sent* since the weights last changed, by version.
    #[serde(default)]
    pub since: BTreeMap<String, u64>,
    /// The weights that are desired; nothing without a route.
    pub desired: Option<Split>,
    /// The requests that fail now; nothing while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
}

/// A [`Frame`] with all else that is measured: what `traffic` carries twice a second. The page gets the rest as words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Traffic {
    /// What the page computes with.
    #[serde(flatten)]
    pub frame: Frame,
    /// Requests a second over the last second.
    pub achieved_rate: f64,
    /// Median latency over the last 10 s, from the scheduled time, milliseconds; nothing without requests.
    pub p50_ms: Option<f64>,
    /// 90th percentile of the same.
    pub p90_ms: Option<f64>,
    /// 99th percentile of the same.
    pub p99_ms: Option<f64>,
    /// The machine cannot keep the rate that was asked for.
    pub limited: bool,
    /// The rate is not kept because all connections wait for answers.
    pub saturated: bool,
    /// How many requests a finite run has; nothing where the load goes on until stopped.
    pub requests: Option<u64>,
    /// Failures by kind: `refused`, `reset`, `timeout`, `unreachable`, `protocol`, `local`, `status_503` …
    pub error_kinds: BTreeMap<String, u64>,
    /// Failures that a version answered, by version. The others never reached one, or the answer does not say.
    pub version_errors: BTreeMap<String, u64>,
    /// Requests written more than 5 ms after their scheduled time.
    pub late: u64,
    /// Places in the schedule left empty.
    pub shed: u64,
    /// 99th percentile of how long after its scheduled time a request was written, over the last 10 s, milliseconds.
    pub start_p99_ms: Option<f64>,
    /// The last 10 s, side by side.
    pub recent: Recent,
    /// Latencies of the whole run; nothing without requests.
    pub whole: Option<Whole>,
    /// What the counts since the last change of weights say.
    pub verdict: Option<Verdict>,
}

/// Requests of the last second that failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failing {
    /// Their share of the requests that ended within that second, percent; above 0.
    pub share: f64,
    /// Since when there has been no second without a failure: milliseconds since the Unix epoch, the agent's clock.
    pub since_ms: u64,
    /// The most frequent kind: a key of [`Traffic::error_kinds`].
    pub kind: String,
    /// The version that answered most of them; nothing where most of them reached none, or the answer does not say.
    #[serde(default)]
    pub version: Option<String>,
}

/// What the page says above all else: one sentence, in the language of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentence {
    /// How it is to be taken.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
    /// How sure it is, or what causes it; may be empty.
    pub detail: String,
}

/// How a [`Sentence`] is to be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// A statement.
    #[default]
    Plain,
    /// What is desired is what is measured.
    Good,
    /// Worth a look.
    Warn,
    /// Something fails.
    Bad,
}

/// The last 10 s: the service and its versions, all over the same time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Recent {
    /// How many seconds it looks back: 9 to 10, less where the load is younger.
    pub seconds: f64,
    /// The service: all requests, those that no version answered included.
    pub all: Part,
    /// Those that a version answered, well or not, by version.
    pub versions: BTreeMap<String, Part>,
}

/// Requests that ended within [`Recent::seconds`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Part {
    /// Requests a second.
    pub rate: f64,
    /// Requests.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Median latency from the scheduled time, failures included, milliseconds; nothing without requests.
    pub p50_ms: Option<f64>,
    /// 90th percentile of the same.
    pub p90_ms: Option<f64>,
    /// 99th percentile of the same.
    pub p99_ms: Option<f64>,
}

/// Latencies of a whole run from the scheduled time, failures included, milliseconds, right to three digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Whole {
    /// Median.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What the split seen since the last change says about the one desired. The page puts it in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Verdict {
    /// What it comes to.
    pub kind: VerdictKind,
    /// The version the numbers are about: the last of the desired split, else of those seen.
    pub version: String,
    /// Requests since the last change.
    pub requests: u64,
    /// Share seen, percent; 0 without requests.
    pub observed: f64,
    /// Half of the 95 % Wilson interval, percentage points.
    pub margin: f64,
    /// Desired share, percent; without a route that of plain balancing.
    pub desired: f64,
    /// Requests still needed to tell the desired split from `versus`; 0 when there are enough.
    pub needed: u64,
    /// The share that the desired split is told from, percent: that of plain balancing while the requests do not suffice for that, then a
    /// preset beside it.
    pub versus: f64,
    /// Pearson's test of the counts against the desired split; nothing without requests or without a route.
    #[serde(default)]
    pub chi_square: Option<ChiSquare>,
    /// How likely it is that plain balancing made these counts rather than the desired split, 0 to 1.
    #[serde(default)]
    pub plain_balancing: f64,
    /// Share that plain balancing would give, percent: the version's part of all ready endpoints.
    #[serde(default)]
    pub plain: f64,
}

/// A test of counts against shares.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChiSquare {
    /// Sum of (seen − expected)² / expected; `None` if it is infinite: a version with a desired share of 0 answered.
    pub statistic: Option<f64>,
    /// Degrees of freedom: versions with a share above 0, less one.
    pub degrees: u32,
    /// How often chance alone is at least so far off, 0 to 1.
    pub p_value: f64,
}

/// The meaning of a [`Verdict`]. Facts come before statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// No request since the last change.
    NoTraffic,
    /// In keeping so far, but too few to tell the desired split from plain balancing (or, where the desired split is even, from its neighbour).
    TooFew,
    /// In keeping with the desired split.
    InKeeping,
    /// The desired share lies outside the 95 % interval, but less than 3.5 standard deviations off: chance does that once in twenty times.
    Borderline,
    /// More than 3.5 standard deviations off the desired split, or a version with a desired share of 0 answered.
    OffTarget,
    /// A fact: the client has no sidecar, so the weights are not looked at.
    ClientHasNoSidecar,
    /// A fact: there is no route; what is seen is plain balancing.
    NoRoute,
}
