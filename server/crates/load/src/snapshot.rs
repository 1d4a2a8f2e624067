//! What the agent says on the wire: numbers since the load began, ten times a second.
use crate::LoadSpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use wire::{Recent, Whole};

/// The traffic at one moment. Counts are since the run began, so a lost snapshot loses nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// When it was taken: milliseconds since the Unix epoch, the agent's clock.
    pub at_ms: u64,
    /// Which agent took it: when its process began, milliseconds since the Unix epoch. 0 from a client of before it was told.
    pub agent: u64,
    /// Changes when the counts start again from 0.
    pub run: u64,
    /// Good answers (2xx) by the version that gave them; `unknown` where an answer does not say.
    pub counts: BTreeMap<String, u64>,
    /// Requests that failed: refused, reset, timed out, or answered with anything but 2xx.
    pub errors: u64,
    /// Of those the ones that a version answered, by version; the others never reached one, or its answer does not say.
    pub version_errors: BTreeMap<String, u64>,
    /// All failures by kind: `refused`, `reset`, `timeout`, `unreachable`, `protocol`, `local`, `status_503` …
    pub error_kinds: BTreeMap<String, u64>,
    /// Requests written to a connection.
    pub sent: u64,
    /// Requests sent or waiting for a connection, and not yet answered.
    pub in_flight: u64,
    /// Requests a second that are asked for; 0 when stopped.
    pub target_rate: f64,
    /// Requests a second sent over the last second.
    pub achieved_rate: f64,
    /// Good answers a second over the last second, by version.
    pub rates: BTreeMap<String, f64>,
    /// Median latency over the last 10 s from the *scheduled* time, failures included, milliseconds; nothing without requests.
    pub p50_ms: Option<f64>,
    /// 90th percentile of the same.
    pub p90_ms: Option<f64>,
    /// 99th percentile of the same.
    pub p99_ms: Option<f64>,
    /// Median from the moment the request was written: what a closed loop would report.
    pub service_p50_ms: Option<f64>,
    /// 99th percentile of the same.
    pub service_p99_ms: Option<f64>,
    /// 99th percentile of how long after its scheduled time a request was written, milliseconds.
    pub start_p99_ms: Option<f64>,
    /// Requests written more than 5 ms after their scheduled time.
    pub late: u64,
    /// Places in the schedule left empty: too many in flight, or a stall too long to make up for.
    pub shed: u64,
    /// Over the last second the engine itself came too late for more than 2 % of the schedule: this machine cannot keep the rate.
    pub limited: bool,
    /// Over the last second more than 2 % of the schedule waited, or was left out, because all connections wait for answers.
    pub saturated: bool,
    /// The last 10 s, side by side.
    pub recent: Recent,
    /// Latencies of the whole run, from the scheduled time; nothing without requests.
    pub whole: Option<Whole>,
    /// A finite run's number of requests; nothing where it goes on until stopped.
    pub requests: Option<u64>,
    /// The newest mark, and what was seen since.
    pub mark: Option<Mark>,
}

/// A moment set by `PUT /v1/mark`, and what became of the requests of the run that were *sent* after it. It outlives the run, whose counts do not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// Counts up.
    pub id: u64,
    /// When it was set: microseconds since the Unix epoch, the agent's clock.
    pub at_us: u64,
    /// Requests of the run that had been sent by then.
    pub sent: u64,
    /// Good answers to requests sent after the mark, by version.
    pub counts: BTreeMap<String, u64>,
    /// Failures of requests sent after the mark.
    pub errors: u64,
    /// Of each version the first-sent request among those answered.
    pub first: BTreeMap<String, FirstAnswer>,
}

/// The first request after a mark that a version answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstAnswer {
    /// When it was sent: microseconds since the Unix epoch, the agent's clock.
    pub sent_us: u64,
    /// When its answer was complete, same clock.
    pub answered_us: u64,
}

/// Answer to `GET /v1/status` and `PUT /v1/load`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// Version of the program.
    pub version: String,
    /// What is asked for; rate 0 when stopped or when a finite run is over.
    pub load: LoadSpec,
    /// The newest snapshot.
    pub snapshot: Snapshot,
}
