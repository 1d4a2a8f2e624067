//! A container's environment: what the node gives, what the image says, what the pod's spec says. Pure.
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::image::{Image, PATH};
use super::spec::{ContainerSpec, PodSpec, Role};
use crate::Object;

/// Port of a pod's outbound proxy.
pub const OUTBOUND: u16 = 15001;
/// Ports of a sidecar that are not the app's.
pub const SIDECAR_PORTS: std::ops::RangeInclusive<u16> = 15000..=15090;

/// Where a pod runs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The Pod.
    pub pod: &'a Object,
    /// Its spec, as read.
    pub spec: &'a PodSpec,
    /// `status.podIP`.
    pub pod_ip: Ipv4Addr,
    /// Where apps listen: the pod's address, or the private one behind a proxy.
    pub app_ip: Ipv4Addr,
    /// `status.hostIP`.
    pub host_ip: Ipv4Addr,
    /// The pod's private folder.
    pub run_dir: &'a Path,
}

/// Gives a ConfigMap (`configmaps`) or Secret (`secrets`) of the pod's namespace by name.
pub type Lookup<'a> = dyn Fn(&str, &str) -> Option<Arc<Object>> + Sync + 'a;

/// Environment and command line.
pub type Built = (Vec<(String, String)>, Vec<String>);

/// Environment and command line of a container. Error: the message of `CreateContainerConfigError`.
pub fn build(
    place: &Place<'_>,
    container: &ContainerSpec,
    image: &Image,
    lookup: &Lookup<'_>,
) -> Result<Built, String> {
    let mut env = Environment(Vec::new());
    let metadata = &place.pod["metadata"];
    env.set("PATH", PATH.join(":"));
    env.set("HOME", "/");
    env.set("HOSTNAME", metadata["name"].as_str().unwrap_or_default());
    env.set("POD_WORKLOAD", workload(place.pod));
    env.set("POD_APP_LABEL", metadata["labels"]["app"].as_str().unwrap_or_default());
    env.set("POD_VERSION_LABEL", metadata["labels"]["version"].as_str().unwrap_or_default());
    env.set("POD_SERVICE_ACCOUNT", place.spec.service_account.as_str());
    for name in ["http_proxy", "HTTP_PROXY"] {
        env.set(name, format!("http://{}:{OUTBOUND}", place.pod_ip));
    }
    from_spec(&mut env, place, container, lookup)?;
    // What the image and the node say of the place cannot be overridden: another RUN_DIR would be another pod's.
    image.env.iter().for_each(|(name, value)| env.set(name, value.as_str()));
    env.set("POD_NAME", metadata["name"].as_str().unwrap_or_default());
    env.set("POD_NAMESPACE", metadata["namespace"].as_str().unwrap_or_default());
    env.set("POD_IP", place.pod_ip.to_string());
    env.set("APP_BIND_IP", place.app_ip.to_string());
    env.set("RUN_DIR", place.run_dir.to_string_lossy());
    if image.proxy {
        env.set("INBOUND_PORTS", inbound_ports(place.spec));
    }
    let argv: Vec<String> = if container.command.is_empty() { &image.entrypoint } else { &container.command }
        .iter()
        .chain(&container.args)
        .map(|argument| env.expand(argument))
        .collect();
    if let Some((name, _)) = env.0.iter().find(|(name, _)| name.starts_with("LD_")) {
        return Err(format!(
            "environment variable {name} is refused on this node: it changes which code the process runs"
        ));
    }
    if argv.iter().any(|argument| argument.contains('\0')) || env.0.iter().any(|(_, value)| value.contains('\0')) {
        return Err("a command line or environment variable holds a NUL".to_owned());
    }
    Ok((env.0, argv))
}

/// TCP ports of the app containers, for a proxy to take over: `7777,8080`.
fn inbound_ports(spec: &PodSpec) -> String {
    let mut ports: Vec<u16> = spec
        .containers
        .iter()
        .filter(|container| container.role == Role::App)
        .flat_map(|container| container.ports.iter().copied())
        .filter(|port| !SIDECAR_PORTS.contains(port))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

/// The workload that metrics name: the Deployment behind the ReplicaSet, else the owner, else the pod.
fn workload(pod: &Object) -> String {
    let metadata = &pod["metadata"];
    let owner = metadata["ownerReferences"]
        .as_array()
        .and_then(|owners| owners.iter().find(|owner| owner["controller"] == true));
    let Some(owner) = owner else { return metadata["name"].as_str().unwrap_or_default().to_owned() };
    let name = owner["name"].as_str().unwrap_or_default();
    let hash = metadata["labels"]["pod-template-hash"].as_str().unwrap_or_default();
    let deployment =
        name.strip_suffix(hash).and_then(|rest| rest.strip_suffix('-')).filter(|_| owner["kind"] == "ReplicaSet");
    deployment.unwrap_or(name).to_owned()
}

/// Variables in order; a later one replaces an earlier one of the same name.
struct Environment(Vec<(String, String)>);

impl Environment {
    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.into()));
    }

    /// Replaces `$(NAME)`; `$$` is a dollar, and an unknown name stays. Source: Container v1 core, `command`.
    fn expand(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let tail = &rest[at + 1..];
            let named = tail.strip_prefix('(').and_then(|inner| inner.split_once(')'));
            if let Some(tail) = tail.strip_prefix('$') {
                out.push('$');
                rest = tail;
            } else if let Some((name, tail)) = named {
                match self.0.iter().find(|(known, _)| known == name) {
                    Some((_, value)) => out.push_str(value),
                    None => out.push_str(&format!("$({name})")),
                }
                rest = tail;
            } else {
                out.push('$');
                rest = tail;
            }
        }
        out.push_str(rest);
        out
    }
}

fn from_spec(
    env: &mut Environment,
    place: &Place<'_>,
    container: &ContainerSpec,
    lookup: &Lookup<'_>,
) -> Result<(), String> {
    for source in &container.env_from {
        let prefix = source["prefix"].as_str().unwrap_or_default();
        for (field, plural) in [("configMapRef", "configmaps"), ("secretRef", "secrets")] {
            let reference = &source[field];
            let Some(name) = reference["name"].as_str() else { continue };
            match lookup(plural, name) {
                Some(object) => {
                    for (key, value) in object["data"].as_object().into_iter().flatten() {
                        env.set(&format!("{prefix}{key}"), data(plural, value));
                    }
                }
                None if reference["optional"] == true => {}
                None => return Err(format!("{} {name:?} not found", singular(plural))),
            }
        }
    }
    for variable in &container.env {
        let name = variable["name"].as_str().unwrap_or_default();
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("environment variable name {name:?} is malformed"));
        }
        let value = match variable.get("valueFrom").filter(|from| from.is_object()) {
            None => Some(env.expand(variable["value"].as_str().unwrap_or_default())),
            Some(from) => value_from(from, place, container, lookup)?,
        };
        if let Some(value) = value {
            env.set(name, value);
        }
    }
    Ok(())
}

fn value_from(
    from: &Value,
    place: &Place<'_>,
    container: &ContainerSpec,
    lookup: &Lookup<'_>,
) -> Result<Option<String>, String> {
    if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
        return field(path, place).map(Some);
    }
    if let Some(resource) = from["resourceFieldRef"]["resource"].as_str() {
        return Err(format!(
            "resourceFieldRef {resource:?} of container {} is not supported on this node",
            container.name
        ));
    }
    for (source, plural) in [("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")] {
        let reference = &from[source];
        let (Some(name), Some(key)) = (reference["name"].as_str(), reference["key"].as_str()) else { continue };
        let value = lookup(plural, name).and_then(|object| object["data"].get(key).map(|value| data(plural, value)));
        return match value {
            None if reference["optional"] != true => {
                Err(format!("couldn't find key {key} in {} {name}", singular(plural)))
            }
            value => Ok(value),
        };
    }
    Ok(None)
}

/// Source: Kubernetes, "Downward API".
fn field(path: &str, place: &Place<'_>) -> Result<String, String> {
    let metadata = &place.pod["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(match path {
        "metadata.name" => text(&metadata["name"]),
        "metadata.namespace" => text(&metadata["namespace"]),
        "metadata.uid" => text(&metadata["uid"]),
        "spec.nodeName" => text(&place.pod["spec"]["nodeName"]),
        "spec.serviceAccountName" => place.spec.service_account.clone(),
        "status.podIP" | "status.podIPs" => place.pod_ip.to_string(),
        "status.hostIP" | "status.hostIPs" => place.host_ip.to_string(),
        _ => {
            let keyed = path.strip_prefix("metadata.").and_then(|rest| rest.strip_suffix("']")?.split_once("['"));
            match keyed {
                Some((map @ ("labels" | "annotations"), key)) => text(&metadata[map][key]),
                _ => return Err(format!("fieldPath {path:?} is not supported")),
            }
        }
    })
}

fn data(plural: &str, value: &Value) -> String {
    use base64::Engine;
    let text = value.as_str().unwrap_or_default();
    if plural == "configmaps" {
        return text.to_owned();
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn singular(plural: &str) -> &'static str {
    if plural == "secrets" { "secret" } else { "configmap" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(container: Value) -> Result<Built, String> {
        let pod = json!({
            "metadata": {
                "name": "flaskapp-v1-5d-x", "namespace": "istio-app",
                "labels": {"app": "flaskapp", "version": "v1", "pod-template-hash": "5d"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "flaskapp-v1-5d", "controller": true}],
            },
            "spec": {"containers": [container]},
        });
        let spec = PodSpec::read(&pod);
        let ip = Ipv4Addr::new(127, 64, 2, 0);
        let place = Place { pod: &pod, spec: &spec, pod_ip: ip, app_ip: ip, host_ip: ip, run_dir: Path::new("/run/x") };
        let image = Image { entrypoint: vec!["flaskapp".into()], ..Image::default() };
        let map = Arc::new(json!({"data": {"color": "blue"}}));
        build(&place, &spec.containers[0], &image, &|plural, name| {
            (plural == "configmaps" && name == "settings").then(|| map.clone())
        })
    }

    #[test]
    fn variables_come_from_everywhere_and_expand() {
        let (env, argv) = run(json!({
            "name": "c", "args": ["--$(version)", "$$(version)", "$(unknown)", "$"],
            "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "P_"}],
            "env": [
                {"name": "version", "value": "v1"},
                {"name": "both", "value": "$(version)-$(P_color)"},
                {"name": "me", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "POD_IP", "value": "6.6.6.6"},
                {"name": "gone", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": true}}},
            ],
        }))
        .unwrap();
        assert_eq!(argv, ["flaskapp", "--v1", "$(version)", "$(unknown)", "$"]);
        for (name, value) in [
            ("both", Some("v1-blue")),
            ("me", Some("flaskapp")),
            ("gone", None),
            ("POD_IP", Some("127.64.2.0")),
            ("http_proxy", Some("http://127.64.2.0:15001")),
            ("POD_WORKLOAD", Some("flaskapp-v1")),
            ("INBOUND_PORTS", None),
        ] {
            let found: Vec<&str> =
                env.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
            assert_eq!(found, value.into_iter().collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_given_is_named() {
        for (env, error) in [
            (json!({"name": "LD_PRELOAD", "value": "x"}), "LD_PRELOAD is refused"),
            (
                json!({"name": "x", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k"}}}),
                "couldn't find key k in configmap none",
            ),
            (
                json!({"name": "x", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}),
                "fieldPath \"spec.x\" is not supported",
            ),
        ] {
            let message = run(json!({"name": "c", "env": [env]})).unwrap_err();
            assert!(message.contains(error), "{message}");
        }
    }
}
