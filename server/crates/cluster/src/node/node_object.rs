//! The Node object and its Lease: what `kubectl get nodes` and `kubectl describe node` show.
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::capacity::Bound;
use super::pod_status::seconds;
use super::shared::Shared;
use crate::Object;
use crate::registry::{Patch, Subresource};
use crate::status::Status;

/// How often the Lease is renewed. Source: Kubernetes, "Node heartbeats": 10 s; nobody here waits for it, so less often.
const RENEW: Duration = Duration::from_secs(40);
/// How often the machine is measured.
const MEASURE: Duration = Duration::from_secs(10);
/// Where Leases of nodes are.
const LEASES: &str = "kube-node-lease";

/// Registers the node and keeps its Lease until stopped. What fails is tried again at the next renewal.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let boot = Timestamp::now();
    let mut renewed: Option<tokio::time::Instant> = None;
    loop {
        if let Err(error) = register(&shared, boot).await {
            tracing::warn!(%error, "The Node object could not be written");
        }
        if renewed.is_none_or(|at| at.elapsed() >= RENEW) {
            renewed = Some(tokio::time::Instant::now());
            if let Err(error) = renew(&shared).await {
                tracing::warn!(%error, "The node's Lease could not be written");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(MEASURE) => {}
        }
    }
}

async fn register(shared: &Shared, boot: Timestamp) -> Result<(), Status> {
    let kind = shared.kind("", "nodes")?;
    let name = &shared.name;
    let by = Shared::writes();
    let old = match shared.registry.get(&kind, None, name) {
        Ok(old) => old,
        Err(error) if error.code == 404 => {
            let labels = json!({
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": arch(),
                "node-role.kubernetes.io/control-plane": "",
            });
            let node = json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
                "spec": {"podCIDR": shared.network.cidr(), "podCIDRs": [shared.network.cidr()], "providerID": format!("process://{name}")},
            });
            shared.registry.create(&kind, None, node, &by).await?.object
        }
        Err(error) => return Err(error),
    };
    // Another instance may have taken the block that this one had before.
    let cidr = shared.network.cidr();
    if old["spec"]["podCIDR"] != cidr.as_str() {
        let spec = json!({"podCIDR": cidr, "podCIDRs": [cidr]});
        shared.registry.patch(&kind, None, name, Subresource::None, Patch::Merge(json!({"spec": spec})), &by).await?;
    }
    let status = status(shared, &old, boot);
    if old["status"] == status {
        return Ok(());
    }
    shared
        .registry
        .patch(&kind, None, name, Subresource::Status, Patch::Merge(json!({"status": status})), &by)
        .await
        .map(drop)
}

fn status(shared: &Shared, old: &Object, boot: Timestamp) -> Value {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = meminfo("MemTotal:").unwrap_or(0);
    let capacity = shared.measure();
    let room = json!({"cpu": cpus.to_string(), "memory": format!("{memory}Ki"), "pods": capacity.pods.to_string(), "ephemeral-storage": "0"});
    let bound = match capacity.bound {
        Bound::Configured => "as configured",
        Bound::Memory => "more do not fit into the free memory, of which a tenth is left to others",
        Bound::Processes => {
            "more would exceed the limit on processes and threads of this user, its cgroup or the kernel"
        }
        Bound::Descriptors => {
            "more would exceed half of the limit on open files of this process, the other half is for connections"
        }
        Bound::Addresses => "more have no addresses",
    };
    let known = |kind: &str| {
        let all = old["status"]["conditions"].as_array();
        all.and_then(|all| all.iter().find(|one| one["type"] == kind)).cloned().unwrap_or(Value::Null)
    };
    let condition = |kind: &str, value: &str, reason: &str, message: &str| {
        let old = known(kind);
        let same = old["status"] == value;
        let time = |key: &str| if same && old[key].is_string() { old[key].clone() } else { seconds(boot) };
        json!({
            "type": kind, "status": value, "reason": reason, "message": message,
            "lastHeartbeatTime": time("lastHeartbeatTime"), "lastTransitionTime": time("lastTransitionTime"),
        })
    };
    let version = format!("v1.36.0+demo-panel-{}", env!("CARGO_PKG_VERSION"));
    json!({
        "addresses": [
            {"type": "InternalIP", "address": shared.network.node_ip().to_string()},
            {"type": "Hostname", "address": shared.name},
        ],
        "capacity": room, "allocatable": room,
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("PodCapacity", "True", capacity.bound.reason(), &format!("{} pods: {bound}", capacity.pods)),
            condition("Ready", "True", "KubeletReady", "pods run as processes of this program"),
        ],
        "nodeInfo": {
            "machineID": "", "systemUUID": "", "bootID": read("/proc/sys/kernel/random/boot_id"),
            "kernelVersion": read("/proc/sys/kernel/osrelease"), "osImage": os_image(),
            "containerRuntimeVersion": format!("process://{}", env!("CARGO_PKG_VERSION")),
            "kubeletVersion": version, "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": arch(),
        },
    })
}

async fn renew(shared: &Shared) -> Result<(), Status> {
    shared.registry.ensure_namespaces(&[LEASES]).await?;
    let kind = shared.kind("coordination.k8s.io", "leases")?;
    let spec = json!({"holderIdentity": shared.name, "leaseDurationSeconds": 120, "renewTime": format!("{:.6}", Timestamp::now())});
    let by = Shared::writes();
    let patch = Patch::Merge(json!({"spec": spec}));
    match shared.registry.patch(&kind, Some(LEASES), &shared.name, Subresource::None, patch, &by).await {
        Err(error) if error.code == 404 => {
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": shared.name, "namespace": LEASES}, "spec": spec,
            });
            shared.registry.create(&kind, Some(LEASES), lease, &by).await.map(drop)
        }
        other => other.map(drop),
    }
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn meminfo(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB")?.parse().ok())
}

fn os_image() -> String {
    let text = read("/etc/os-release");
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
