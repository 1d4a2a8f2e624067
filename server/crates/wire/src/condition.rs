//! What is so, in Kubernetes' own form: `{type, status, reason, message}`. The page renders these and never guesses.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kubernetes' three values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// It cannot be told.
    Unknown,
}

/// One fact about the demo. Compared without times, so that a heartbeat is no change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Condition {
    /// One of [`kinds`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is so.
    pub status: ConditionStatus,
    /// One of [`reasons`]: a CamelCase word, for programs.
    pub reason: String,
    /// The same in an English sentence.
    pub message: String,
    /// The same in Chinese; left out where it has no words, as with figures.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zh: String,
    /// What the sentence names (`pod`, `version`, `manager`, `ms` …), for programs and other languages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
}

/// The `type` of a [`Condition`].
pub mod kinds {
    /// The cluster's API answers.
    pub const CLUSTER_REACHABLE: &str = "ClusterReachable";
    /// Service and Deployments are there and ready.
    pub const DEPLOYED: &str = "Deployed";
    /// A request from inside a pod was answered.
    pub const VERIFIED: &str = "Verified";
    /// Every pod of the demo has a ready `istio-proxy`.
    pub const INJECTED: &str = "Injected";
    /// The load client has a ready pod.
    pub const CLIENT_READY: &str = "ClientReady";
    /// DestinationRule and VirtualService are there and fit each other.
    pub const ROUTE_PRESENT: &str = "RoutePresent";
    /// The mesh does all that the route's objects ask for.
    pub const ROUTE_HONOURED: &str = "RouteHonoured";
    /// The client's sidecar has the route that was asked for.
    pub const ROUTE_ACKNOWLEDGED: &str = "RouteAcknowledged";
    /// Weights decide where the client's requests go.
    pub const WEIGHTS_APPLY: &str = "WeightsApply";
    /// The generator is sending.
    pub const LOAD_RUNNING: &str = "LoadRunning";
    /// Nobody but the panel has changed the route.
    pub const ROUTE_OURS: &str = "RouteOurs";
    /// Nothing of the demo is left.
    pub const CLEAN: &str = "Clean";
    /// Nothing keeps the demo's pods from running.
    pub const PODS_RUN: &str = "PodsRun";
    /// The panel's user may do all that the panel offers.
    pub const PERMITTED: &str = "Permitted";
    /// The client's sidecars have counted requests themselves.
    pub const SIDECARS_COUNT: &str = "SidecarsCount";
    /// No other panel acts on the namespace.
    pub const HELD: &str = "Held";
    /// The namespace is not being removed.
    pub const NAMESPACE_FREE: &str = "NamespaceFree";
}

/// The `reason` of a [`Condition`]; the comment names the kind, the status and the `args`.
pub mod reasons {
    /// ClusterReachable True.
    pub const REACHABLE: &str = "Reachable";
    /// ClusterReachable False; `since`.
    pub const UNREACHABLE: &str = "Unreachable";
    /// Deployed False: no object of ours.
    pub const NOT_DEPLOYED: &str = "NotDeployed";
    /// Deployed False: pods are coming; `ready`, `wanted`, `waiting` (pod: reason).
    pub const DEPLOYING: &str = "Deploying";
    /// Deployed True; `workloads`.
    pub const DEPLOYED: &str = "Deployed";
    /// Deployed False: it was ready once, a workload is not; `workload`, `why`.
    pub const DEGRADED: &str = "Degraded";
    /// Verified Unknown.
    pub const NOT_VERIFIED: &str = "NotVerified";
    /// Verified True; `path`, `ms`.
    pub const VERIFIED: &str = "Verified";
    /// Verified False; `why`.
    pub const VERIFY_FAILED: &str = "VerifyFailed";
    /// Injected False: no workload asks for a sidecar.
    pub const NOT_INJECTED: &str = "NotInjected";
    /// Injected False: the rollout runs, or some pods lack it; `ready`, `wanted`, `waiting`.
    pub const INJECTING: &str = "Injecting";
    /// Injected True.
    pub const INJECTED: &str = "Injected";
    /// Injected False: asked for, but the pod came without; `pod`, `why`.
    pub const INJECTION_IGNORED: &str = "InjectionIgnored";
    /// ClientReady False.
    pub const NO_CLIENT: &str = "NoClient";
    /// ClientReady False: somebody scaled it to 0.
    pub const CLIENT_SCALED_TO_ZERO: &str = "ClientScaledToZero";
    /// ClientReady False; `pod`, `why`.
    pub const CLIENT_STARTING: &str = "ClientStarting";
    /// ClientReady True; `pod`.
    pub const CLIENT_READY: &str = "ClientReady";
    /// RoutePresent False, WeightsApply False.
    pub const NO_ROUTE: &str = "NoRoute";
    /// RoutePresent True.
    pub const ROUTE_PRESENT: &str = "RoutePresent";
    /// RoutePresent True, but it says more than weights, or other things; `what`.
    pub const ROUTE_SAYS_MORE: &str = "RouteSaysMore";
    /// RoutePresent False: the route names a subset that no DestinationRule has; `subset`.
    pub const SUBSET_MISSING: &str = "SubsetMissing";
    /// RouteHonoured True.
    pub const ROUTE_HONOURED: &str = "RouteHonoured";
    /// RouteHonoured False: a field is left out, or Istio's analysis finds fault; `what`.
    pub const ROUTE_IN_PART: &str = "RouteInPart";
    /// PodsRun False: an admission webhook says no; `workload`, `why`.
    pub const ADMISSION_DENIES: &str = "AdmissionDenies";
    /// PodsRun False: a quota takes no pod whose containers do not say what they ask for; `workload`, `why`.
    pub const QUOTA_WANTS_FIGURES: &str = "QuotaWantsFigures";
    /// RoutePresent Unknown: the cluster does not let routes be listed; `why`.
    pub const ROUTE_UNSEEN: &str = "RouteUnseen";
    /// RoutePresent Unknown: Istio's kinds are not served here.
    pub const NO_MESH: &str = "NoMesh";
    /// RouteAcknowledged True; `ms`.
    pub const ACKNOWLEDGED: &str = "Acknowledged";
    /// RouteAcknowledged False; `pod`.
    pub const PENDING: &str = "Pending";
    /// WeightsApply False; `pod`. The first trap of the walkthrough.
    pub const CLIENT_HAS_NO_SIDECAR: &str = "ClientHasNoSidecar";
    /// WeightsApply False: a version with weight above 0 has no ready pod; `version`.
    pub const VERSION_NOT_READY: &str = "VersionNotReady";
    /// WeightsApply False, RouteAcknowledged Unknown: the Service's port speaks no HTTP to the mesh; `port`, `why`.
    pub const PORT_NOT_HTTP: &str = "PortNotHttp";
    /// WeightsApply True.
    pub const WEIGHTS_APPLY: &str = "WeightsApply";
    /// LoadRunning False.
    pub const LOAD_STOPPED: &str = "LoadStopped";
    /// LoadRunning True; `rate`.
    pub const LOAD_RUNNING: &str = "LoadRunning";
    /// LoadRunning True, but the cap on all load together takes something away; `rate` (a closed loop's is the most it can be), `granted`.
    pub const LOAD_CAPPED: &str = "LoadCapped";
    /// LoadRunning True, but the machine cannot keep the rate; `target`, `achieved`.
    pub const GENERATOR_LIMITED: &str = "GeneratorLimited";
    /// LoadRunning True, but all connections wait for answers; `target`, `achieved`.
    pub const TARGET_SATURATED: &str = "TargetSaturated";
    /// LoadRunning Unknown: the port-forward to the client is down; `why`.
    pub const AGENT_UNREACHABLE: &str = "AgentUnreachable";
    /// RouteOurs True.
    pub const ROUTE_OURS: &str = "RouteOurs";
    /// RouteOurs False; `manager`, `theirs`, `ours`. Offer adopt and revert.
    pub const CHANGED_BY_OTHER: &str = "ChangedByOther";
    /// Clean True.
    pub const CLEAN: &str = "Clean";
    /// Clean False while a clean-up runs; `left`.
    pub const CLEANING: &str = "Cleaning";
    /// Clean False: objects remain; `left` (kind/name, comma separated), `whose`. Or it cannot be told; `unseen` (kinds).
    pub const LEFT_OVER: &str = "LeftOver";
    /// ClusterReachable False: the credentials are not accepted any more; `since`, `why`.
    pub const CREDENTIALS_REFUSED: &str = "CredentialsRefused";
    /// ClusterReachable Unknown: it answers 429, and the panel waits as long as it says.
    pub const SLOWED_DOWN: &str = "SlowedDown";
    /// PodsRun True.
    pub const PODS_RUN: &str = "PodsRun";
    /// PodsRun False: a quota is used up; `workload`, `why`.
    pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
    /// PodsRun False: an admission webhook refuses, or does not answer; `workload`, `why`.
    pub const WEBHOOK_REFUSES: &str = "WebhookRefuses";
    /// PodsRun False: a pod may not be made for another reason; `workload`, `why`.
    pub const POD_REFUSED: &str = "PodRefused";
    /// PodsRun False: no node takes it; `pod`, `why`.
    pub const UNSCHEDULABLE: &str = "Unschedulable";
    /// PodsRun False: its image cannot be had; `pod`, `image`, `why`, and `container` where it is not the demo's own.
    pub const IMAGE_NOT_PULLED: &str = "ImageNotPulled";
    /// PodsRun False: a container ends again and again; `pod`, `why`.
    pub const POD_CRASHES: &str = "PodCrashes";
    /// PodsRun False: a container cannot be started, or ended with an error; `pod`, `why` (kubelet's reason and words).
    pub const POD_STUCK: &str = "PodStuck";
    /// Permitted True.
    pub const PERMITTED: &str = "Permitted";
    /// Permitted False; `what`, `off` (verbs that are off until then, comma separated).
    pub const FORBIDDEN: &str = "Forbidden";
    /// Permitted False: rights are had, and something else is missing that the preflight names; `what`, `off`.
    pub const NOT_READY: &str = "NotReady";
    /// NamespaceFree True.
    pub const NAMESPACE_FREE: &str = "NamespaceFree";
    /// NamespaceFree False: it is being removed and something holds it; `ns`, `held`.
    pub const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";
    /// SidecarsCount True; by version its requests, and `<version>_failed`. The message is a list, the same in every language.
    pub const COUNTED: &str = "Counted";
    /// SidecarsCount Unknown: there is no sidecar to ask, or it has sent nothing.
    pub const NOT_COUNTED: &str = "NotCounted";
    /// Held True.
    pub const HELD_HERE: &str = "HeldHere";
    /// Held False: another panel acts, this one is read-only; `holder`, `since`. Offer to take over.
    pub const HELD_BY_OTHER: &str = "HeldByOther";
    /// Held Unknown: leases may not be written; `why`.
    pub const HOLDER_UNKNOWN: &str = "HolderUnknown";
    /// Clean False: the demo is in use; `left`, what a clean-up would remove (kind/name, comma separated).
    pub const IN_USE: &str = "InUse";
}
