//! The parts of a Pod's spec that the node acts on, read once. What is missing gets the API's default.
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use crate::Object;

/// When a container belongs to the pod's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next starts.
    Init,
    /// An init container with `restartPolicy: Always`: runs from its turn until after the apps.
    Sidecar,
    /// What the pod is for.
    App,
}

/// A pod's `restartPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Whatever the exit code.
    Always,
    /// Unless it is 0.
    OnFailure,
    /// Not at all.
    Never,
}

/// A pod as the node runs it.
#[derive(Clone, Debug)]
pub struct PodSpec {
    /// Init containers first, each list in its order.
    pub containers: Vec<ContainerSpec>,
    /// Of app containers.
    pub restart: RestartPolicy,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
    /// `serviceAccountName`.
    pub service_account: String,
}

/// A container as the node runs it.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// Unique in the pod.
    pub name: String,
    /// Image reference.
    pub image: String,
    /// When it runs.
    pub role: Role,
    /// In place of the image's entry point.
    pub command: Vec<String>,
    /// Behind the command or the entry point.
    pub args: Vec<String>,
    /// `env`, as written.
    pub env: Vec<Value>,
    /// `envFrom`, as written.
    pub env_from: Vec<Value>,
    /// TCP `containerPort`s.
    pub ports: Vec<u16>,
    /// `startupProbe`, `readinessProbe`, `livenessProbe`.
    pub probes: Vec<ProbeSpec>,
    /// `resources.limits.memory` in bytes.
    pub memory: Option<u64>,
    /// Seconds of `lifecycle.preStop.sleep`.
    pub pre_stop: Duration,
}

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// Holds the others back until it succeeded once.
    Startup,
    /// Says whether the pod gets traffic.
    Readiness,
    /// Restarts the container.
    Liveness,
}

/// A probe. Source: Kubernetes API reference, `Probe`.
#[derive(Clone, Debug)]
pub struct ProbeSpec {
    /// What for.
    pub kind: ProbeKind,
    /// What to do.
    pub action: ProbeAction,
    /// From the container's start to the first probe.
    pub initial_delay: Duration,
    /// Between probes.
    pub period: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Successes in a row that count.
    pub success: u32,
    /// Failures in a row that count.
    pub failure: u32,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeAction {
    /// GET; 200 to 399 is success.
    Http {
        /// The pod's address where it is none.
        host: Option<Ipv4Addr>,
        /// Port.
        port: u16,
        /// Path and query.
        path: String,
        /// More headers.
        headers: Vec<(String, String)>,
    },
    /// A connection is success.
    Tcp {
        /// The pod's address where it is none.
        host: Option<Ipv4Addr>,
        /// Port.
        port: u16,
    },
    /// Exit code 0 is success.
    Exec(Vec<String>),
    /// Cannot succeed here; the text says why.
    Unsupported(String),
}

impl PodSpec {
    /// Reads a Pod.
    pub fn read(pod: &Object) -> PodSpec {
        let spec = &pod["spec"];
        let list = |key: &str| spec[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let init = list("initContainers").iter().map(|container| {
            let role = if container["restartPolicy"] == "Always" { Role::Sidecar } else { Role::Init };
            read_container(container, role)
        });
        let apps = list("containers").iter().map(|container| read_container(container, Role::App));
        PodSpec {
            containers: init.chain(apps).collect(),
            restart: match spec["restartPolicy"].as_str() {
                Some("Never") => RestartPolicy::Never,
                Some("OnFailure") => RestartPolicy::OnFailure,
                _ => RestartPolicy::Always,
            },
            grace: seconds(&spec["terminationGracePeriodSeconds"], 30),
            service_account: spec["serviceAccountName"].as_str().unwrap_or("default").to_owned(),
        }
    }
}

fn read_container(container: &Value, role: Role) -> ContainerSpec {
    let array = |key: &str| container[key].as_array().cloned().unwrap_or_default();
    let ports: Vec<(Option<String>, u16)> = array("ports")
        .iter()
        .filter(|port| port["protocol"].as_str().unwrap_or("TCP") == "TCP")
        .filter_map(|port| {
            let number = u16::try_from(port["containerPort"].as_u64()?).ok()?;
            Some((port["name"].as_str().map(str::to_owned), number))
        })
        .collect();
    let kinds = [
        ("startupProbe", ProbeKind::Startup),
        ("readinessProbe", ProbeKind::Readiness),
        ("livenessProbe", ProbeKind::Liveness),
    ];
    ContainerSpec {
        name: text(&container["name"]),
        image: text(&container["image"]),
        role,
        command: strings(&container["command"]),
        args: strings(&container["args"]),
        env: array("env"),
        env_from: array("envFrom"),
        probes: kinds
            .iter()
            .filter(|(key, _)| container[*key].is_object())
            .map(|(key, kind)| read_probe(&container[*key], *kind, &ports))
            .collect(),
        ports: ports.into_iter().map(|(_, number)| number).collect(),
        memory: super::memory::limit(container),
        pre_stop: seconds(&container["lifecycle"]["preStop"]["sleep"]["seconds"], 0),
    }
}

fn read_probe(probe: &Value, kind: ProbeKind, ports: &[(Option<String>, u16)]) -> ProbeSpec {
    let port_of = |action: &Value| match &action["port"] {
        Value::String(name) => ports
            .iter()
            .find(|(known, _)| known.as_deref() == Some(name))
            .map(|(_, number)| *number)
            .or_else(|| name.parse().ok()),
        port => port.as_u64().and_then(|port| u16::try_from(port).ok()),
    };
    let host_of = |action: &Value| match action["host"].as_str() {
        None | Some("") => Ok(None),
        Some(host) => {
            host.parse().map(Some).map_err(|_| format!("probes of host {host:?} are not supported: give no host"))
        }
    };
    let action = if let Some(exec) = probe.get("exec") {
        ProbeAction::Exec(strings(&exec["command"]))
    } else if let Some(http) = probe.get("httpGet") {
        match (port_of(http), host_of(http), http["scheme"].as_str().unwrap_or("HTTP")) {
            (Some(port), Ok(host), "HTTP") => ProbeAction::Http {
                host,
                port,
                path: http["path"].as_str().filter(|path| path.starts_with('/')).unwrap_or("/").to_owned(),
                headers: http["httpHeaders"]
                    .as_array()
                    .map(|all| all.iter().map(|header| (text(&header["name"]), text(&header["value"]))).collect())
                    .unwrap_or_default(),
            },
            (None, ..) => ProbeAction::Unsupported("the probe's port is unknown".to_owned()),
            (_, Err(why), _) => ProbeAction::Unsupported(why),
            (.., scheme) => ProbeAction::Unsupported(format!("{scheme} probes are not supported on this node")),
        }
    } else if let Some(tcp) = probe.get("tcpSocket") {
        match (port_of(tcp), host_of(tcp)) {
            (Some(port), Ok(host)) => ProbeAction::Tcp { host, port },
            (None, _) => ProbeAction::Unsupported("the probe's port is unknown".to_owned()),
            (_, Err(why)) => ProbeAction::Unsupported(why),
        }
    } else {
        ProbeAction::Unsupported("this kind of probe is not supported on this node".to_owned())
    };
    let count = |key: &str, default: u64| probe[key].as_u64().unwrap_or(default).clamp(1, 1_000_000) as u32;
    ProbeSpec {
        kind,
        action,
        initial_delay: seconds(&probe["initialDelaySeconds"], 0),
        period: seconds(&probe["periodSeconds"], 10).max(Duration::from_secs(1)),
        timeout: seconds(&probe["timeoutSeconds"], 1).max(Duration::from_secs(1)),
        success: count("successThreshold", 1),
        failure: count("failureThreshold", 3),
    }
}

fn seconds(value: &Value, default: u64) -> Duration {
    Duration::from_secs(value.as_u64().unwrap_or(default).min(u64::from(u32::MAX)))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().map(|all| all.iter().map(text).collect()).unwrap_or_default()
}
