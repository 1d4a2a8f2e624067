//! Decides whether a pod gets a sidecar, and adds it: what Istio's mutating webhook does ("Installing the Sidecar", native sidecars).
//!
//! **Invariant:** pure; injecting twice changes nothing.

use crate::json::{annotation, label, meta};
use serde_json::{Map, Value, json};

/// Name of the container that is the sidecar, as Istio's.
pub const PROXY_CONTAINER: &str = "istio-proxy";

const INJECT: &str = "sidecar.istio.io/inject";
const STATUS: &str = "sidecar.istio.io/status";
const REVISION: &str = "istio.io/rev";
/// Label of a namespace.
const INJECTION: &str = "istio-injection";
/// `false`: the sidecar is a container beside the others, as it was before Kubernetes had init containers that stay.
const NATIVE: &str = "sidecar.istio.io/nativeSidecar";
/// Namespaces that Istio never injects into.
const SYSTEM_NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// What is put into a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarTemplate {
    /// The proxy's image, for example `docker.io/istio/proxyv2:1.31.0`.
    pub image: String,
    /// The mesh's revision, for Istio's label `istio.io/rev`; `default` where nothing else was installed.
    pub revision: String,
}

impl Default for SidecarTemplate {
    fn default() -> SidecarTemplate {
        SidecarTemplate { image: "docker.io/istio/proxyv2:1.31.0".into(), revision: "default".into() }
    }
}

/// What became of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The sidecar was added.
    Injected,
    /// The pod stays as it is, and why.
    Skipped(String),
    /// A sidecar was there already.
    AlreadyInjected,
}

/// Adds the sidecar to `pod` if one of Istio's webhooks selects it and the injector does not leave it out.
pub fn inject(namespace: Option<&Value>, pod: &mut Value, t: &SidecarTemplate) -> Decision {
    if has_sidecar(pod) {
        return Decision::AlreadyInjected;
    }
    if let Err(reason) = selected(namespace, pod, t).and_then(|()| required(namespace, pod)) {
        return Decision::Skipped(reason);
    }
    add_sidecar(pod, t);
    Decision::Injected
}

/// Whether a pod carries a sidecar, as a container or as an init container (native).
pub fn has_sidecar(pod: &Value) -> bool {
    ["/spec/initContainers", "/spec/containers"]
        .iter()
        .filter_map(|path| pod.pointer(path)?.as_array())
        .flatten()
        .any(|container| container.get("name").and_then(Value::as_str) == Some(PROXY_CONTAINER))
}

/// Whether one of the four webhooks of Istio's chart (`mutatingwebhook.yaml` of istiod, installed without a default for all namespaces)
/// selects the pod by the labels of its namespace and its own. The error says why none does.
fn selected(namespace: Option<&Value>, pod: &Value, t: &SidecarTemplate) -> Result<(), String> {
    let inject = label(pod, INJECT);
    if inject == Some("false") {
        return Err(format!("label {INJECT} is \"false\""));
    }
    let of_namespace = |name| namespace.and_then(|n| label(n, name));
    let other_revision = |whose: &str, revision: &str| {
        Err(format!("{whose} label {REVISION} is \"{revision}\", this mesh is \"{}\"", t.revision))
    };
    match (of_namespace(INJECTION), of_namespace(REVISION), label(pod, REVISION)) {
        (Some("enabled"), ..) => Ok(()),
        (Some(other), ..) => Err(format!("namespace label {INJECTION} is \"{other}\"")),
        (None, Some(revision), _) | (None, None, Some(revision)) if revision == t.revision => Ok(()),
        (None, Some(revision), _) => other_revision("namespace", revision),
        (None, None, Some(revision)) => other_revision("pod", revision),
        (None, None, None) if inject == Some("true") => Ok(()),
        (None, None, None) => Err(format!("neither the pod's label {INJECT} nor its namespace asks for it")),
    }
}

/// What the injector decides of a pod that a webhook sent it (`injectRequired` of Istio's injector, policy `enabled`): the label, or
/// where there is none the annotation, may say "false". Any other value leaves it to the policy.
fn required(namespace: Option<&Value>, pod: &Value) -> Result<(), String> {
    if pod.pointer("/spec/hostNetwork").and_then(Value::as_bool) == Some(true) {
        return Err("the pod is on the host's network".into());
    }
    let namespace_name = namespace.map_or_else(|| meta(pod, "namespace"), |n| meta(n, "name"));
    if SYSTEM_NAMESPACES.contains(&namespace_name) {
        return Err(format!("namespace {namespace_name} is never injected into"));
    }
    if label(pod, INJECT).is_none() && annotation(pod, INJECT) == Some("false") {
        return Err(format!("annotation {INJECT} is \"false\""));
    }
    Ok(())
}

fn add_sidecar(pod: &mut Value, t: &SidecarTemplate) {
    let workload = workload(pod);
    let app = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]
        .iter()
        .find_map(|l| label(pod, l))
        .unwrap_or(&workload)
        .to_string();
    let version = ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"]
        .iter()
        .find_map(|l| label(pod, l))
        .unwrap_or("latest")
        .to_string();
    let containers: Vec<String> = names(pod, "/spec/containers");
    let native = annotation(pod, NATIVE) != Some("false");
    let proxy = proxy_container(t, &workload, &containers, native);

    if let Some(spec) = object_at(pod, "spec") {
        match spec.entry(if native { "initContainers" } else { "containers" }).or_insert_with(|| json!([])) {
            // First, so that other init containers have a network already.
            Value::Array(list) if native => list.insert(0, proxy),
            Value::Array(list) => list.push(proxy),
            other => *other = json!([proxy]),
        }
    }
    let Some(metadata) = object_at(pod, "metadata") else { return };
    if let Some(labels) = map_at(metadata, "labels") {
        labels.entry("service.istio.io/canonical-name").or_insert_with(|| app.into());
        labels.entry("service.istio.io/canonical-revision").or_insert_with(|| version.into());
    }
    if let Some(annotations) = map_at(metadata, "annotations") {
        if let Some(first) = containers.first() {
            annotations.entry("kubectl.kubernetes.io/default-container").or_insert_with(|| first.clone().into());
            annotations.entry("kubectl.kubernetes.io/default-logs-container").or_insert_with(|| first.clone().into());
        }
        annotations.entry("prometheus.io/path").or_insert_with(|| "/stats/prometheus".into());
        annotations.entry("prometheus.io/port").or_insert_with(|| "15020".into());
        annotations.entry("prometheus.io/scrape").or_insert_with(|| "true".into());
        annotations.insert(REVISION.into(), t.revision.clone().into());
        let (init, beside) =
            if native { (json!([PROXY_CONTAINER]), Value::Null) } else { (Value::Null, json!([PROXY_CONTAINER])) };
        let status = json!({"initContainers": init, "containers": beside, "volumes": null, "imagePullSecrets": null, "revision": t.revision});
        annotations.insert(STATUS.into(), status.to_string().into());
    }
}

fn proxy_container(t: &SidecarTemplate, workload: &str, containers: &[String], native: bool) -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    let probe = |failures: u32, period_s: u32| {
        json!({"failureThreshold": failures, "httpGet": {"path": "/healthz/ready", "port": 15021, "scheme": "HTTP"},
               "periodSeconds": period_s, "successThreshold": 1, "timeoutSeconds": 3})
    };
    let mut proxy = json!({
        "name": PROXY_CONTAINER,
        "image": t.image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local",
                 "--proxyLogLevel=warning", "--proxyComponentLogLevel=misc:error", "--log_output_level=default:info"],
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            field("INSTANCE_IP", "status.podIP"),
            field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
            {"name": "ISTIO_META_APP_CONTAINERS", "value": containers.join(",")},
            {"name": "ISTIO_META_WORKLOAD_NAME", "value": workload},
            {"name": "ISTIO_META_MESH_ID", "value": "cluster.local"},
        ],
        "ports": [{"containerPort": 15020, "name": "http-envoy-prom", "protocol": "TCP"}],
        "startupProbe": probe(600, 1),
        "readinessProbe": probe(4, 15),
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "2", "memory": "128Mi"}},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    });
    if native {
        proxy["restartPolicy"] = "Always".into();
    }
    proxy
}

/// The Deployment's name for a pod of a ReplicaSet, else the owner's, else the pod's own.
pub(crate) fn workload(pod: &Value) -> String {
    let owner = pod
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .and_then(|o| o.iter().find(|r| r.get("controller").and_then(Value::as_bool) == Some(true)).or(o.first()));
    if let Some(owner) = owner {
        let name = owner.get("name").and_then(Value::as_str).unwrap_or("");
        if owner.get("kind").and_then(Value::as_str) == Some("ReplicaSet") {
            let hash = label(pod, "pod-template-hash").map(|h| format!("-{h}"));
            if let Some(deployment) = hash.as_deref().and_then(|h| name.strip_suffix(h)) {
                return deployment.into();
            }
        }
        if !name.is_empty() {
            return name.into();
        }
    }
    let name = meta(pod, "name");
    if name.is_empty() { meta(pod, "generateName").trim_end_matches('-').into() } else { name.into() }
}

fn names(pod: &Value, path: &str) -> Vec<String> {
    let list = pod.pointer(path).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|c| c.get("name")?.as_str().map(String::from)).collect()
}

fn object_at<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    map_at(value.as_object_mut()?, key)
}

/// The object at `key`, made where there is none.
fn map_at<'a>(map: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    let value = map.entry(key).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(labels: Value, annotations: Value) -> Value {
        json!({"metadata": {"generateName": "flaskapp-v1-5d4f-", "labels": labels, "annotations": annotations,
                            "ownerReferences": [{"kind": "ReplicaSet", "name": "flaskapp-v1-5d4f", "controller": true}]},
               "spec": {"containers": [{"name": "flaskapp", "image": "simple-flask-app"}]}})
    }

    /// `namespaceSelector` and `objectSelector` of the four webhooks, as Istio's chart has them for revision `default`. The value
    /// `-` is `DoesNotExist`, one after `!` is `NotIn`.
    const WEBHOOKS: [(&[(&str, &str)], &[(&str, &str)]); 4] = [
        (&[("istio.io/rev", "default"), ("istio-injection", "-")], &[(INJECT, "!false")]),
        (&[("istio.io/rev", "-"), ("istio-injection", "-")], &[(INJECT, "!false"), ("istio.io/rev", "default")]),
        (&[("istio-injection", "enabled")], &[(INJECT, "!false")]),
        (&[("istio-injection", "-"), ("istio.io/rev", "-")], &[(INJECT, "true"), ("istio.io/rev", "-")]),
    ];

    fn holds(selector: &[(&str, &str)], labels: &Value) -> bool {
        selector.iter().all(|(name, want)| match (labels[name].as_str(), want.strip_prefix('!')) {
            (value, Some(not)) => value != Some(not),
            (value, None) if *want == "-" => value.is_none(),
            (value, None) => value == Some(*want),
        })
    }

    #[test]
    fn a_pod_is_injected_if_a_webhook_selects_it_and_nothing_says_false() {
        let said = |pairs: &[(&str, Option<&str>)]| -> Value {
            pairs.iter().filter_map(|(name, value)| Some(((*name).to_owned(), Value::from((*value)?)))).collect()
        };
        let (mut all, mut injected) = (0, 0);
        for enabled in [None, Some("enabled"), Some("disabled"), Some("other")] {
            for ns_rev in [None, Some("default"), Some("canary")] {
                for pod_label in [None, Some("true"), Some("false"), Some("yes"), Some("True"), Some("")] {
                    for pod_rev in [None, Some("default"), Some("canary")] {
                        for annotated in [None, Some("true"), Some("false"), Some("no")] {
                            let namespace = said(&[(INJECTION, enabled), (REVISION, ns_rev)]);
                            let labels = said(&[(INJECT, pod_label), (REVISION, pod_rev)]);
                            let called = WEBHOOKS.iter().any(|(n, o)| holds(n, &namespace) && holds(o, &labels));
                            let expected = called && pod_label.or(annotated) != Some("false");
                            let mut p = pod(labels.clone(), said(&[(INJECT, annotated)]));
                            let ns = json!({"metadata": {"name": "istio-app", "labels": namespace}});
                            let decision = inject(Some(&ns), &mut p, &SidecarTemplate::default());
                            let row = format!("namespace {namespace}, pod {labels}, annotation {annotated:?}");
                            assert_eq!(decision == Decision::Injected, expected, "{row}: {decision:?}");
                            assert_eq!(has_sidecar(&p), expected, "{row}");
                            (all, injected) = (all + 1, injected + u32::from(expected));
                        }
                    }
                }
            }
        }
        assert_eq!((all, injected), (864, 251), "the table has not shrunk");
    }

    #[test]
    fn a_pod_that_is_left_out_is_told_why() {
        for (namespace, labels, annotated, why) in [
            (
                json!({}),
                json!({}),
                None,
                "neither the pod's label sidecar.istio.io/inject nor its namespace asks for it",
            ),
            (json!({}), json!({}), Some("true"), "neither the pod's label"),
            (json!({}), json!({INJECT: "yes"}), None, "neither the pod's label"),
            (json!({INJECTION: "disabled"}), json!({INJECT: "true"}), None, "label istio-injection is \"disabled\""),
            (json!({INJECTION: "disabled"}), json!({}), Some("true"), "label istio-injection is \"disabled\""),
            (
                json!({INJECTION: "enabled"}),
                json!({}),
                Some("false"),
                "annotation sidecar.istio.io/inject is \"false\"",
            ),
            (json!({INJECTION: "enabled"}), json!({INJECT: "false"}), Some("true"), "label sidecar.istio.io/inject is"),
            (json!({REVISION: "canary"}), json!({INJECT: "true"}), None, "namespace label istio.io/rev is \"canary\""),
            (json!({}), json!({INJECT: "true", REVISION: "canary"}), None, "pod label istio.io/rev is \"canary\""),
        ] {
            let annotations = annotated.map_or(json!({}), |value| json!({INJECT: value}));
            let ns = json!({"metadata": {"name": "istio-app", "labels": namespace}});
            let decision = inject(Some(&ns), &mut pod(labels.clone(), annotations), &SidecarTemplate::default());
            assert!(
                matches!(&decision, Decision::Skipped(said) if said.contains(why)),
                "{namespace} {labels} {annotated:?}: {decision:?}"
            );
        }
    }

    #[test]
    fn an_injected_pod_reads_as_istios() {
        let mut p =
            pod(json!({INJECT: "true", "app": "flaskapp", "version": "v1", "pod-template-hash": "5d4f"}), json!({}));
        assert_eq!(inject(None, &mut p, &SidecarTemplate::default()), Decision::Injected);
        let proxy = &p["spec"]["initContainers"][0];
        assert_eq!(proxy["restartPolicy"], "Always");
        assert_eq!(proxy["startupProbe"]["httpGet"]["port"], 15021);
        assert_eq!(p["metadata"]["labels"]["service.istio.io/canonical-name"], "flaskapp");
        assert_eq!(p["metadata"]["labels"]["service.istio.io/canonical-revision"], "v1");
        assert!(p["metadata"]["annotations"][STATUS].as_str().unwrap().contains("istio-proxy"));
        assert_eq!(proxy["env"][5]["value"], "flaskapp-v1");
        let once = p.clone();
        assert_eq!(inject(None, &mut p, &SidecarTemplate::default()), Decision::AlreadyInjected);
        assert_eq!(p, once);
    }

    #[test]
    fn a_sidecar_of_the_classic_form_is_the_last_container() {
        let mut p = pod(json!({INJECT: "true"}), json!({NATIVE: "false"}));
        let t = SidecarTemplate::default();
        assert_eq!(inject(None, &mut p, &t), Decision::Injected);
        assert_eq!(
            (names(&p, "/spec/containers"), names(&p, "/spec/initContainers")),
            (vec!["flaskapp".into(), PROXY_CONTAINER.into()], vec![])
        );
        assert_eq!(p["spec"]["containers"][1].get("restartPolicy"), None);
        let status: Value = serde_json::from_str(p["metadata"]["annotations"][STATUS].as_str().unwrap()).unwrap();
        assert_eq!((&status["containers"], &status["initContainers"]), (&json!([PROXY_CONTAINER]), &Value::Null));
        assert_eq!(inject(None, &mut p, &t), Decision::AlreadyInjected);
    }

    #[test]
    fn a_pod_of_the_hosts_network_and_odd_objects_are_left_alone() {
        let mut p = json!({"metadata": {"labels": {INJECT: "true"}}, "spec": {"hostNetwork": true}});
        assert!(matches!(inject(None, &mut p, &SidecarTemplate::default()), Decision::Skipped(_)));
        for mut odd in [
            json!(null),
            json!([]),
            json!({"metadata": 3}),
            json!({"metadata": {"labels": {INJECT: "true"}}, "spec": 7}),
        ] {
            inject(None, &mut odd, &SidecarTemplate::default());
        }
    }
}
