//! Asks the cluster everything the preflight page tells. Nothing is changed: the trial pod is a dry run.
use super::facts::{
    Amount, Facts, Limit, NAMESPACE_RIGHTS, NamespaceSeen, NodeSeen, Own, Quota, RIGHTS, Read, Requirement, Right,
    Trial, Webhook,
};
use super::quantity::quantity;
use crate::demo::errors::api_error;
use crate::demo::namespace::termination::held;
use crate::demo::objects::{Id, Manifests};
use crate::demo::pods::INJECT_LABEL;
use crate::demo::service_port::{NotHttp, not_http};
use crate::k8s::{Cluster, MANAGED_BY, MANAGER, istio_versions, istiods, label, ours, post, reason_of, whoami};
use app::text::Message;
use app::text::messages::{causes, preflight as said};
use futures::StreamExt;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{LimitRange, Namespace, Node, Pod, PodSpec, ResourceQuota};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use serde_json::json;
use std::collections::BTreeMap;

/// Reviews asked at once.
const AT_ONCE: usize = 8;
/// Most pods that are summed up; a larger cluster is not read for this.
const MOST_PODS: u32 = 2_000;

/// Everything, asked at once.
pub async fn gather(cluster: &Cluster, manifests: &Manifests, ns: &str) -> Facts {
    let version = cluster.client.apiserver_version().await.map(|info| info.git_version);
    let version = version
        .map_err(|error| (reason_of(&error), matches!(&error, kube::Error::Api(s) if s.code == 401 || s.code == 403)));
    if let Err((why, _)) = &version {
        return unanswered(cluster, ns, version.clone(), why);
    }
    let (user, namespace, rights, istio, istiods, webhooks, trial, own, port, quotas, limits, nodes) = tokio::join!(
        whoami(&cluster.client),
        namespace(cluster, ns),
        rights(cluster, ns),
        istio_versions(&cluster.client),
        istiods(&cluster.client),
        webhooks(cluster),
        trial(cluster, manifests, ns),
        own(cluster, ns),
        port(cluster, ns),
        quotas(cluster, ns),
        limits(cluster, ns),
        nodes(cluster),
    );
    let user = user.unwrap_or_else(|| cluster.view.user.clone());
    let (istio, istiods) = (read(causes::ask_for_istio(), istio), read(causes::list_istiods(), istiods));
    Facts {
        ns: ns.to_owned(),
        user,
        version,
        namespace,
        rights,
        istio,
        istiods,
        webhooks,
        trial,
        own,
        port,
        quotas,
        limits,
        nodes,
    }
}

fn unanswered(cluster: &Cluster, ns: &str, version: Result<String, (String, bool)>, why: &str) -> Facts {
    Facts {
        ns: ns.to_owned(),
        user: cluster.view.user.clone(),
        version,
        namespace: Read::CannotTell(why.into()),
        rights: Vec::new(),
        istio: Read::CannotTell(why.into()),
        istiods: Read::CannotTell(why.into()),
        webhooks: Read::CannotTell(why.into()),
        trial: Read::CannotTell(why.into()),
        own: Own::default(),
        port: None,
        quotas: Read::CannotTell(why.into()),
        limits: Read::CannotTell(why.into()),
        nodes: Read::CannotTell(why.into()),
    }
}

/// What an answer means to somebody who asked out of curiosity: a missing right is no failure.
fn read<T>(what: Message, answer: Result<T, kube::Error>) -> Read<T> {
    match answer {
        Ok(value) => Read::Known(value),
        Err(kube::Error::Api(status)) if status.code == 404 => Read::Missing,
        Err(kube::Error::Api(status)) if status.code == 403 => Read::CannotTell(causes::may_not(what)),
        Err(error) => {
            let error = api_error(what, &error);
            Read::CannotTell(Message::worded(error.message.trim_end_matches('.'), error.zh.trim_end_matches('.')))
        }
    }
}

async fn namespace(cluster: &Cluster, ns: &str) -> Read<NamespaceSeen> {
    let api: Api<DynamicObject> = cluster.api(crate::k8s::KindName::Namespace, "");
    let found = match api.get(ns).await {
        Ok(found) => found,
        Err(error) => return read(causes::read_namespace(), Err(error)),
    };
    let is_ours = ours(&found);
    let typed: Namespace = match found.try_parse() {
        Ok(typed) => typed,
        Err(error) => return Read::CannotTell(error.to_string().into()),
    };
    let terminating = typed.metadata.deletion_timestamp.is_some().then(|| held(&typed));
    Read::Known(NamespaceSeen { labels: typed.metadata.labels.unwrap_or_default(), ours: is_ours, terminating })
}

/// Asks for every right, a few at a time.
pub async fn rights(cluster: &Cluster, ns: &str) -> Vec<(Right, Option<bool>)> {
    let asked =
        RIGHTS.into_iter().chain(NAMESPACE_RIGHTS).map(|right| async move { (right, may(cluster, ns, &right).await) });
    futures::stream::iter(asked).buffered(AT_ONCE).collect().await
}

/// What the cluster says of the panel's rights in one answer, to be compared with another such answer; nothing where it does not say.
pub async fn rules(cluster: &Cluster, ns: &str) -> Option<serde_json::Value> {
    let review =
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": ns}});
    let said = post(&cluster.client, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &review).await.ok()?;
    Some(said["status"].clone())
}

async fn may(cluster: &Cluster, ns: &str, right: &Right) -> Option<bool> {
    let mut asked = json!({"verb": right.verb, "group": right.group, "resource": right.resource, "subresource": right.sub, "namespace": ns});
    if right.resource == "namespaces" {
        asked["namespace"] = "".into();
        asked["name"] = ns.into();
    }
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": asked}});
    let said = post(&cluster.client, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await.ok()?;
    said["status"]["allowed"].as_bool()
}

async fn webhooks(cluster: &Cluster) -> Read<Vec<Webhook>> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(cluster.client.clone());
    let listed = match api.list(&ListParams::default()).await {
        Ok(listed) => listed,
        Err(error) => return read(causes::list_webhooks(), Err(error)),
    };
    let mut found = Vec::new();
    for configuration in listed.items {
        let labels = configuration.metadata.labels.clone();
        let injector = label(labels.as_ref(), "app").as_deref() == Some("sidecar-injector")
            || label(labels.as_ref(), "istio.io/rev").is_some();
        if !injector {
            continue;
        }
        let revision = label(labels.as_ref(), "istio.io/rev").unwrap_or_else(|| "default".to_owned());
        for hook in configuration.webhooks.unwrap_or_default() {
            let service = hook.client_config.service.map(|s| format!("{}/{}", s.namespace, s.name));
            found.push(Webhook {
                configuration: configuration.metadata.name.clone().unwrap_or_default(),
                revision: revision.clone(),
                fails_open: hook.failure_policy.as_deref() == Some("Ignore"),
                namespaces: selector(hook.namespace_selector),
                objects: selector(hook.object_selector),
                answers: None,
                service,
            });
        }
    }
    let mut known: BTreeMap<String, Option<bool>> = BTreeMap::new();
    for hook in &mut found {
        let Some(service) = hook.service.clone() else { continue };
        if !known.contains_key(&service) {
            known.insert(service.clone(), has_endpoint(cluster, &service).await);
        }
        hook.answers = known.get(&service).copied().flatten();
    }
    Read::Known(found)
}

/// Whether a Service has a ready endpoint; nothing where it may not be looked at.
async fn has_endpoint(cluster: &Cluster, service: &str) -> Option<bool> {
    let (ns, name) = service.split_once('/')?;
    let api: Api<EndpointSlice> = Api::namespaced(cluster.client.clone(), ns);
    let listed = api.list(&ListParams::default().labels(&format!("kubernetes.io/service-name={name}"))).await.ok()?;
    let mut endpoints = listed.items.into_iter().flat_map(|slice| slice.endpoints.into_iter().flatten());
    Some(endpoints.any(|e| e.conditions.and_then(|c| c.ready).unwrap_or(true)))
}

fn selector(selector: Option<LabelSelector>) -> Vec<Requirement> {
    let selector = selector.unwrap_or_default();
    let equal = selector.match_labels.unwrap_or_default().into_iter();
    let equal = equal.map(|(key, value)| Requirement { key, operator: "In".to_owned(), values: vec![value] });
    let said = selector.match_expressions.unwrap_or_default().into_iter();
    equal
        .chain(said.map(|r| Requirement { key: r.key, operator: r.operator, values: r.values.unwrap_or_default() }))
        .collect()
}

/// Whom one may ask before the demo's namespace is there: like that one, it is made without labels.
const ANY_NAMESPACE: &str = "default";

/// Would a pod be injected? Where the namespace is not there yet, a sidecar in another one is as good; its absence says nothing. Where a
/// pod stays as it is, a sidecar in another one tells that only this namespace is left out.
async fn trial(cluster: &Cluster, manifests: &Manifests, ns: &str) -> Read<Trial> {
    let tried = trial_in(cluster, manifests, ns).await;
    if !matches!(tried, Read::Known(Trial::NoNamespace | Trial::Plain)) || ns == ANY_NAMESPACE {
        return tried;
    }
    match (tried, trial_in(cluster, manifests, ANY_NAMESPACE).await) {
        (Read::Known(Trial::NoNamespace), injected @ Read::Known(Trial::Injected { .. })) => injected,
        (Read::Known(Trial::Plain), Read::Known(Trial::Injected { .. })) => Read::Known(Trial::LeftOut),
        (tried, _) => tried,
    }
}

/// A pod created with `dryRun=All`, and looked at.
async fn trial_in(cluster: &Cluster, manifests: &Manifests, ns: &str) -> Read<Trial> {
    let template = manifests.object(Id::V1, ns, Some(true))["spec"]["template"].clone();
    let mut metadata = template["metadata"].clone();
    metadata["name"] = "demo-panel-trial".into();
    metadata["labels"][INJECT_LABEL] = "true".into();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]});
    let pod: Pod = match serde_json::from_value(pod) {
        Ok(pod) => pod,
        Err(error) => return Read::CannotTell(error.to_string().into()),
    };
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), ns);
    match api.create(&PostParams { dry_run: true, ..PostParams::default() }, &pod).await {
        Ok(made) => Read::Known(judge(&made.spec.unwrap_or_default())),
        Err(kube::Error::Api(status)) if status.code == 404 => Read::Known(Trial::NoNamespace),
        // A missing right and a refusal by admission have the same code; the first names the verb.
        Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains("cannot create resource") => {
            Read::CannotTell(causes::may_not(causes::create_pods()))
        }
        Err(kube::Error::Api(status)) if status.message.contains("does not support dry run") => {
            Read::CannotTell(status.message.clone().into())
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422 | 500) => {
            Read::Known(Trial::Refused(status.message.clone()))
        }
        Err(error) => read(causes::try_pod(), Err(error)),
    }
}

/// What came back.
pub fn judge(spec: &PodSpec) -> Trial {
    let proxy = |name: &str| name == "istio-proxy";
    let plain = spec.containers.iter().find(|c| proxy(&c.name));
    let native = spec.init_containers.iter().flatten().find(|c| proxy(&c.name));
    let Some(sidecar) = native.or(plain) else { return Trial::Plain };
    Trial::Injected { native: native.is_some(), image: sidecar.image.clone().unwrap_or_default(), asks: requests(spec) }
}

/// What a pod's containers request together, sidecars included.
fn requests(spec: &PodSpec) -> Amount {
    let restarting = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let mut sum = Amount::default();
    for container in spec.containers.iter().chain(restarting) {
        let asked = container.resources.as_ref().and_then(|r| r.requests.as_ref());
        sum.cpu += amount(asked, "cpu");
        sum.memory += amount(asked, "memory");
    }
    sum
}

fn amount(of: Option<&BTreeMap<String, Quantity>>, key: &str) -> f64 {
    of.and_then(|m| m.get(key)).and_then(|q| quantity(&q.0)).unwrap_or(0.0)
}

fn amounts(of: Option<BTreeMap<String, Quantity>>) -> BTreeMap<String, f64> {
    of.unwrap_or_default().into_iter().filter_map(|(key, q)| Some((key, quantity(&q.0)?))).collect()
}

async fn own(cluster: &Cluster, ns: &str) -> Own {
    let ours = ListParams::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), ns);
    let (services, deployments) =
        (cluster.api(crate::k8s::KindName::Service, ns), cluster.api(crate::k8s::KindName::Deployment, ns));
    let (pods, services, deployments) =
        tokio::join!(pods.list(&ours), services.list_metadata(&ours), deployments.list_metadata(&ours));
    let specs: Vec<PodSpec> =
        pods.map(|list| list.items.into_iter().filter_map(|pod| pod.spec).collect()).unwrap_or_default();
    let asks = specs
        .iter()
        .map(requests)
        .fold(Amount::default(), |sum, a| Amount { cpu: sum.cpu + a.cpu, memory: sum.memory + a.memory });
    // A namespace holds far fewer than 2^52 of anything.
    let number = |n: usize| n as f64;
    Own {
        pods: number(specs.len()),
        asks,
        services: number(services.map_or(0, |l| l.items.len())),
        deployments: number(deployments.map_or(0, |l| l.items.len())),
    }
}

/// The port of the demo's Service, if it is there, can be seen, and speaks no HTTP. Listed, for that is the right that the panel has.
async fn port(cluster: &Cluster, ns: &str) -> Option<NotHttp> {
    let named = ListParams::default().fields(&format!("metadata.name={}", Id::SERVICE.name));
    let listed = cluster.api(crate::k8s::KindName::Service, ns).list(&named).await.ok()?;
    listed.items.iter().find_map(|service| not_http(&service.data["spec"]))
}

async fn quotas(cluster: &Cluster, ns: &str) -> Read<Vec<Quota>> {
    let api: Api<ResourceQuota> = Api::namespaced(cluster.client.clone(), ns);
    let one = |quota: ResourceQuota| {
        let status = quota.status.unwrap_or_default();
        let hard = amounts(status.hard.or(quota.spec.and_then(|s| s.hard)));
        let used = amounts(status.used);
        let items = hard.into_iter().map(|(key, hard)| (key.clone(), hard, used.get(&key).copied().unwrap_or(0.0)));
        Quota { name: quota.metadata.name.unwrap_or_default(), items: items.collect() }
    };
    let listed = api.list(&ListParams::default()).await;
    read(causes::list_quotas(), listed.map(|list| list.items.into_iter().map(one).collect()))
}

async fn limits(cluster: &Cluster, ns: &str) -> Read<Vec<Limit>> {
    let api: Api<LimitRange> = Api::namespaced(cluster.client.clone(), ns);
    let of = |range: LimitRange| {
        let name = range.metadata.name.unwrap_or_default();
        let items = range.spec.map(|s| s.limits).unwrap_or_default().into_iter().filter(|i| i.type_ == "Container");
        items
            .map(move |i| Limit {
                name: name.clone(),
                max: amounts(i.max),
                min: amounts(i.min),
                has_default: i.default_request.is_some() || i.default.is_some(),
            })
            .collect::<Vec<_>>()
    };
    let listed = api.list(&ListParams::default()).await;
    read(causes::list_limits(), listed.map(|list| list.items.into_iter().flat_map(of).collect()))
}

async fn nodes(cluster: &Cluster) -> Read<Vec<NodeSeen>> {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let nodes = match nodes.list(&ListParams::default()).await {
        Ok(nodes) => nodes.items,
        Err(error) => return read(causes::list_nodes(), Err(error)),
    };
    let pods: Api<Pod> = Api::all(cluster.client.clone());
    let pods = match pods
        .list(&ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed").limit(MOST_PODS))
        .await
    {
        Ok(pods) => pods,
        Err(error) => return read(causes::list_all_pods(), Err(error)),
    };
    if pods.metadata.continue_.is_some_and(|c| !c.is_empty()) {
        return Read::CannotTell(said::more_pods_than(MOST_PODS.to_string()));
    }
    let mut used: BTreeMap<String, (Amount, u32)> = BTreeMap::new();
    for spec in pods.items.into_iter().filter_map(|p| p.spec) {
        let asks = requests(&spec);
        let entry = used.entry(spec.node_name.unwrap_or_default()).or_default();
        entry.0.cpu += asks.cpu;
        entry.0.memory += asks.memory;
        entry.1 += 1;
    }
    Read::Known(nodes.into_iter().map(|node| node_seen(node, &used)).collect())
}

fn node_seen(node: Node, used: &BTreeMap<String, (Amount, u32)>) -> NodeSeen {
    let name = node.metadata.name.unwrap_or_default();
    let (spec, status) = (node.spec.unwrap_or_default(), node.status.unwrap_or_default());
    let (asked, pods) = used.get(&name).copied().unwrap_or_default();
    let taint = spec.taints.iter().flatten().find(|t| t.effect != "PreferNoSchedule");
    let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready").is_none_or(|c| c.status == "True");
    let closed = match (spec.unschedulable, taint, ready) {
        (Some(true), ..) => Some(said::cordoned()),
        (_, Some(taint), _) => Some(said::tainted(format!("{}:{}", taint.key, taint.effect))),
        (.., false) => Some(said::node_not_ready()),
        _ => None,
    };
    let may = status.allocatable;
    let free =
        Amount { cpu: amount(may.as_ref(), "cpu") - asked.cpu, memory: amount(may.as_ref(), "memory") - asked.memory };
    // More than 2^32 pods on a node there are none; a fraction of one neither.
    let most = amount(may.as_ref(), "pods").clamp(0.0, f64::from(u32::MAX)) as u32;
    NodeSeen { name, closed, free, free_pods: most.saturating_sub(pods) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_pod_is_judged_by_its_containers() {
        let resources = json!({"requests": {"cpu": "100m", "memory": "128Mi"}});
        let app = json!({"name": "flaskapp", "image": "a"});
        let proxy = json!({"name": "istio-proxy", "image": "istio/proxyv2:1.31", "restartPolicy": "Always", "resources": resources});
        let asks = Amount { cpu: 0.1, memory: 134_217_728.0 };
        for (spec, judged) in [
            (json!({"containers": [app]}), Trial::Plain),
            (
                json!({"containers": [app], "initContainers": [{"name": "istio-init", "image": "i"}, proxy]}),
                Trial::Injected { native: true, image: "istio/proxyv2:1.31".into(), asks },
            ),
            (
                json!({"containers": [proxy, app]}),
                Trial::Injected { native: false, image: "istio/proxyv2:1.31".into(), asks },
            ),
        ] {
            let read: PodSpec = serde_json::from_value(spec.clone()).unwrap();
            assert_eq!(judge(&read), judged, "{spec}");
        }
    }
}
