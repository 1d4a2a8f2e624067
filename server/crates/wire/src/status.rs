//! The state of the demo in one namespace, and the bodies of the verbs.
use crate::{ApiError, Condition, Milestones, Namespace, Rate, Split, Verb};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The cluster the panel drives. Named at the top of the page, always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterView {
    /// `embedded`, `kubeconfig` or `in-cluster`.
    pub kind: String,
    /// Name of the kubeconfig's context, and where its server is: `kind-demo (127.0.0.1:6443)`.
    pub context: String,
    /// Version of the API server, `v1.36.2`.
    pub version: String,
    /// Who the panel acts as.
    #[serde(default)]
    pub user: String,
    /// The mesh that was found, `Istio networking.istio.io/v1`; empty where there is none.
    #[serde(default)]
    pub mesh: String,
}

/// A pod as `kubectl get pods` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PodView {
    /// The pod's name.
    pub name: String,
    /// The Deployment it belongs to: `flaskapp-v1`.
    pub workload: String,
    /// Its `version` label.
    pub version: String,
    /// Ready containers of all, `2/2`; native sidecars count.
    pub ready: String,
    /// The STATUS column: `Running`, `Terminating`, `CrashLoopBackOff`, `ImagePullBackOff` …
    pub phase: String,
    /// Restarts of all its containers.
    pub restarts: u32,
    /// Whether it has a container or init container named `istio-proxy`.
    #[serde(default)]
    pub sidecar: bool,
    /// When it was created: seconds since the Unix epoch.
    #[serde(default)]
    pub created_s: u64,
    /// Why it is not ready, in the cluster's words; empty where it is.
    #[serde(default)]
    pub why: String,
}

impl PodView {
    /// Whether every container is ready, and there is one.
    pub fn is_ready(&self) -> bool {
        self.ready.split_once('/').is_some_and(|(ready, of)| ready == of && ready != "0")
    }
}

/// What is being done, or was done last in error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Operation {
    /// Counts up; a newer verb supersedes an older one.
    pub id: u64,
    /// Which verb.
    pub verb: Verb,
    /// Who asked: `browser 3f2a`, `curl`.
    pub by: String,
    /// Since when: milliseconds since the Unix epoch.
    pub since: u64,
    /// The step it is at, an English sentence.
    pub step: String,
    /// The same in Chinese; empty where the language table has no entry.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zh: String,
    /// Why it stopped; nothing while it runs.
    pub error: Option<ApiError>,
}

/// The load that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LoadView {
    /// Requests a second; 0 when stopped.
    pub rate: Rate,
    /// Requests a second of them that the cap on all generators together grants; of a closed loop the upper bound.
    #[serde(default)]
    pub granted: Rate,
}

/// All load that this panel drives, in all namespaces together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Generators {
    /// Generators that run.
    pub running: u32,
    /// Requests a second that they are granted together.
    pub rate: u32,
    /// Requests a second that all of them together may send.
    pub cap: u32,
}

/// Answer to `stop-all`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StoppedAll {
    /// Namespaces whose generator ran and is stopped.
    pub stopped: Vec<Namespace>,
    /// Namespaces whose generator may run on: its client does not answer, or refuses.
    pub failed: Vec<Namespace>,
}

/// How long one change of weights took, milliseconds from the moment it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TimesMs {
    /// Stored by the API.
    pub accepted: Option<f64>,
    /// Found in the routes of every client-side proxy.
    pub acknowledged: Option<f64>,
    /// First request answered after that, on the new weights.
    pub first_request: Option<f64>,
}

/// One line of "What just happened".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogEntry {
    /// Counts up.
    pub id: u64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Who: `browser 3f2a`, `curl`, or a field manager such as `kubectl-edit`.
    pub by: String,
    /// What was done, where it is one of ours.
    pub verb: Option<Verb>,
    /// What happened, in a few English words: `80/20`, `Load 200/s`.
    pub what: String,
    /// The same in Chinese; empty where the language table has no entry.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zh: String,
    /// The kubectl command that does the same; empty where there is none.
    pub command: String,
    /// The new weights, where it is a change of weights: a line in the chart.
    pub split: Option<Split>,
    /// Its times, where it is a change of weights.
    pub times: Option<TimesMs>,
    /// Why it failed, where it did.
    pub error: Option<ApiError>,
}

/// Another field manager's claim on the weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RouteClaim {
    /// Field manager, `kubectl-edit`.
    pub manager: String,
    /// What it wrote.
    pub theirs: Option<Split>,
    /// What the panel wrote last.
    pub ours: Option<Split>,
}

/// All the page needs to draw itself, but the traffic. `GET /api/demo/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "crate::StatusPatch")]
pub struct Status {
    /// Which cluster this is.
    pub cluster: ClusterView,
    /// Which namespace the rest is about.
    pub namespace: Namespace,
    /// What is so; one of each kind.
    pub conditions: Vec<Condition>,
    /// The demo's pods, oldest first.
    pub pods: Vec<PodView>,
    /// The weights of the route as the cluster has it; nothing without a route.
    pub desired: Option<Split>,
    /// Who set them last.
    #[serde(default)]
    pub desired_by: String,
    /// Set where somebody else changed the route.
    #[serde(default)]
    pub claim: Option<RouteClaim>,
    /// The load asked for.
    pub load: LoadView,
    /// The load of all namespaces together, as it was when this was put together: a change of it alone is no event of the stream.
    #[serde(default)]
    pub generators: Generators,
    /// What is being done.
    pub operation: Option<Operation>,
    /// What was done, newest first, at most 50.
    #[serde(default)]
    pub log: Vec<LogEntry>,
    /// What the lesson has measured since the demo was deployed.
    #[serde(default)]
    pub milestones: Milestones,
    /// The kubectl command that does the same as a button: by verb, and `uninject`, `unroute`, `load_stop`, `teardown_namespace`.
    /// `%rate%` stands for the rate, `%v1%` for the share of version `v1`, and so on.
    #[serde(default)]
    pub commands: BTreeMap<String, String>,
}

impl Status {
    /// Before anything is known.
    pub fn empty(ns: &Namespace, cluster: &ClusterView) -> Status {
        Status {
            cluster: cluster.clone(),
            namespace: ns.clone(),
            conditions: Vec::new(),
            pods: Vec::new(),
            desired: None,
            desired_by: String::new(),
            claim: None,
            load: LoadView::default(),
            generators: Generators::default(),
            operation: None,
            log: Vec::new(),
            milestones: Milestones::default(),
            commands: BTreeMap::new(),
        }
    }

    /// The condition of this kind.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.kind == kind)
    }

    /// Whether the condition of this kind is True.
    pub fn is(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|c| c.status == crate::ConditionStatus::True)
    }
}

/// Answer to `weights`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shifted {
    /// resourceVersion of the VirtualService that has the weights.
    pub revision: String,
    /// Whether every client-side proxy has them.
    pub acknowledged: bool,
    /// Pods whose proxy has not answered yet.
    pub pending: Vec<String>,
    /// How long it took.
    pub times: TimesMs,
}
