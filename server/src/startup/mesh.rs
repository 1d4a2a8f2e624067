//! Joins the mesh to the embedded cluster: its kinds as data, its admission as hooks, its routes from the registry's objects.
use ::cluster::{
    AdmissionHook, AdmissionRequest, Column, Kind, ListOptions, Object, Operation, Patch, Registry, Status,
    Subresource, WatchEvent, WatchKind, WatchOptions, WriteOptions, schema,
};
use ::mesh::{Control, Decision, MeshInput, Report, SidecarTemplate, inject, validate};
use futures::StreamExt;
use futures::stream::select_all;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::debug;

const GROUP: &str = "networking.istio.io";

/// DestinationRule and VirtualService, with Istio's names and columns.
pub fn kinds() -> Vec<Kind> {
    schema::add_types(include_str!("mesh_schema.txt"));
    let mut rule = Kind::custom(GROUP, &["v1", "v1beta1", "v1alpha3"], "DestinationRule", "destinationrules");
    rule.schema = "DestinationRule";
    rule.short_names = vec!["dr".to_owned()];
    rule.categories = vec!["istio-io".to_owned(), "networking-istio-io".to_owned()];
    rule.columns.insert(1, Column::new("Host", "string", |o| o["spec"]["host"].clone()));
    let mut route = Kind::custom(GROUP, &["v1", "v1beta1", "v1alpha3"], "VirtualService", "virtualservices");
    route.schema = "VirtualService";
    route.short_names = vec!["vs".to_owned()];
    route.categories.clone_from(&rule.categories);
    route.columns.insert(1, Column::new("Gateways", "string", |o| list_cell(&o["spec"]["gateways"])));
    route.columns.insert(2, Column::new("Hosts", "string", |o| list_cell(&o["spec"]["hosts"])));
    vec![rule, route]
}

/// A list as kubectl prints a custom column: `["flaskapp"]`.
fn list_cell(list: &Value) -> Value {
    if list.is_null() { Value::Null } else { list.to_string().into() }
}

/// Istio's webhooks: injection of new pods, validation of its own kinds.
pub fn admission() -> Vec<AdmissionHook> {
    let template = SidecarTemplate::default();
    let injection: AdmissionHook = Arc::new(move |request: &AdmissionRequest<'_>, object: &mut Object| {
        if request.kind.kind == "Pod" && request.operation == Operation::Create {
            let decision = inject(request.namespace.as_deref(), object, &template);
            if let Decision::Skipped(why) = decision {
                debug!(why, "A pod is not injected");
            }
        }
        Ok(Vec::new())
    });
    let validation: AdmissionHook = Arc::new(|request: &AdmissionRequest<'_>, object: &mut Object| {
        let checked = match (request.kind.group.as_str(), request.kind.kind.as_str()) {
            (GROUP, "VirtualService") => validate::virtual_service(object),
            (GROUP, "DestinationRule") => validate::destination_rule(object),
            _ => return Ok(Vec::new()),
        };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        checked.map(|()| Vec::new()).map_err(|words| {
            let (code, reason, message) = validate::refusal(&request.kind.kind, name, &words);
            Status::new(code, reason, message)
        })
    });
    vec![injection, validation]
}

const WATCHED: [(&str, &str); 5] = [
    (GROUP, "virtualservices"),
    (GROUP, "destinationrules"),
    ("", "services"),
    ("discovery.k8s.io", "endpointslices"),
    ("", "pods"),
];

/// Publishes routes as objects change, and writes what is not honoured into the objects' status, until `stop`.
pub async fn run(registry: Registry, control: Control, stop: CancellationToken) -> Result<(), String> {
    tokio::select! {
        ended = publish(&registry, &control) => ended,
        ended = report(&registry, &control) => ended,
        () = stop.cancelled() => Ok(()),
    }
}

/// Longest rest after a table was built. A build takes a millisecond for a hundred namespaces, and more the more pods there are; it
/// rests for as long as it took, so that events which never pause have half of a core at most.
const LONGEST_REST: Duration = Duration::from_millis(50);

/// What of pods is in tables: most of their events are news of a status, which is not.
#[derive(Default)]
struct Pods(HashMap<(String, String), Value>);

impl Pods {
    /// Whether tables may differ after an event.
    fn concerns(&mut self, event: &WatchEvent) -> bool {
        let object = &event.object;
        if object["kind"] != "Pod" {
            return true;
        }
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        let key = (text("namespace"), text("name"));
        if event.kind == WatchKind::Deleted {
            // The slices that name it change as well.
            self.0.remove(&key);
            return false;
        }
        let seen = json!([metadata["labels"], metadata["ownerReferences"], metadata["uid"]]);
        self.0.insert(key, seen.clone()).is_none_or(|before| before != seen)
    }
}

async fn publish(registry: &Registry, control: &Control) -> Result<(), String> {
    let mut pods = Pods::default();
    loop {
        let mut watches = Vec::new();
        for (group, plural) in WATCHED {
            let kind = registry.kinds().find(group, plural).ok_or_else(|| format!("kind {plural} is missing"))?;
            let watch = registry.watch(kind, None, &WatchOptions::default()).map_err(|e| e.to_string())?;
            watches.push(watch);
        }
        let mut events = select_all(watches);
        control.publish(Arc::new(input(registry)?));
        // A watch that fell behind ends with an error: begin anew.
        while let Some(Ok(event)) = events.next().await {
            // What came meanwhile goes out together: the registry is read once.
            let (mut concerns, mut lost) = (pods.concerns(&event), false);
            while let Some(Some(event)) = futures::FutureExt::now_or_never(events.next()) {
                match event {
                    Ok(event) => concerns |= pods.concerns(&event),
                    Err(_) => lost = true,
                }
            }
            if lost {
                break;
            }
            if concerns {
                let began = Instant::now();
                control.publish(Arc::new(input(registry)?));
                let took = began.elapsed();
                if took > Duration::from_millis(1) {
                    tokio::time::sleep(took.min(LONGEST_REST)).await;
                }
            }
        }
        pods = Pods::default();
    }
}

/// All that routes are made from. The objects are shared, not copied.
fn input(registry: &Registry) -> Result<MeshInput, String> {
    let revision = registry.revision();
    let mut lists = WATCHED.iter().map(|(group, plural)| {
        let kind = registry.kinds().find(group, plural).ok_or_else(|| format!("kind {plural} is missing"))?;
        registry.list(kind, None, &ListOptions::default()).map(|l| l.items).map_err(|e| e.to_string())
    });
    let mut next = || lists.next().unwrap_or_else(|| Ok(Vec::new()));
    Ok(MeshInput {
        virtual_services: next()?,
        destination_rules: next()?,
        services: next()?,
        endpoint_slices: next()?,
        pods: next()?,
        revision,
    })
}

type Told = BTreeMap<(&'static str, String, String), Vec<Report>>;

/// Keeps `status.conditions` of routes and rules in step with what the mesh says of them.
async fn report(registry: &Registry, control: &Control) -> Result<(), String> {
    let mut reports = control.reports();
    let mut told = Told::new();
    loop {
        let mut now = Told::new();
        for report in reports.borrow_and_update().iter() {
            let key = (report.kind, report.namespace.clone(), report.name.clone());
            now.entry(key).or_default().push(report.clone());
        }
        let changed = now.keys().chain(told.keys()).filter(|key| now.get(*key) != told.get(*key));
        for (kind, ns, name) in changed.cloned().collect::<std::collections::BTreeSet<_>>() {
            let about = now.get(&(kind, ns.clone(), name.clone()));
            let Some(kind) = registry.kinds().by_kind(GROUP, kind).cloned() else { continue };
            let patch = Patch::Merge(json!({"status": {"conditions": conditions(about.map_or(&[], Vec::as_slice))}}));
            // The object may be gone by now; then there is nothing to tell.
            let written =
                registry.patch(&kind, Some(&ns), &name, Subresource::Status, patch, &WriteOptions::by("istiod")).await;
            if let Err(error) = written {
                debug!(%error, name, "Could not write a route's status");
            }
        }
        told = now;
        if reports.changed().await.is_err() {
            return Ok(());
        }
    }
}

fn conditions(reports: &[Report]) -> Value {
    let one = |r: &Report| json!({"type": "Reconciled", "status": "False", "reason": r.reason, "message": r.message});
    if reports.is_empty() {
        return json!([{"type": "Reconciled", "status": "True"}]);
    }
    reports.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::cluster::{FieldValidation, Kinds, Store};

    #[test]
    fn a_pods_status_concerns_no_table() {
        let pod = |labels: Value, status: &str, kind: WatchKind| WatchEvent {
            kind,
            object: Arc::new(
                json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n", "labels": labels}, "status": {"phase": status}}),
            ),
            revision: 1,
        };
        let mut pods = Pods::default();
        let (v1, v2) = (json!({"version": "v1"}), json!({"version": "v2"}));
        for (event, want) in [
            (pod(v1.clone(), "Pending", WatchKind::Added), true),
            (pod(v1.clone(), "Running", WatchKind::Modified), false),
            (pod(v2.clone(), "Running", WatchKind::Modified), true),
            (pod(v2.clone(), "Running", WatchKind::Deleted), false),
            (pod(v2.clone(), "Pending", WatchKind::Added), true),
        ] {
            assert_eq!(pods.concerns(&event), want, "{event:?}");
        }
        let service =
            WatchEvent { kind: WatchKind::Deleted, object: Arc::new(json!({"kind": "Service"})), revision: 1 };
        assert!(pods.concerns(&service));
    }

    /// A route with what the sidecar honours and what it does not.
    fn route(destination: Value) -> Value {
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "r"}, "spec": {
            "hosts": ["flaskapp"], "exportTo": ["."],
            "http": [{
                "name": "first", "match": [{"uri": {"prefix": "/a"}, "headers": {"x": {"exact": "y"}}, "withoutHeaders": {"z": {}}}],
                "mirror": {"host": "flaskapp", "subset": "v2"}, "mirrorPercentage": {"value": 12.5}, "timeout": "1s",
                "fault": {"delay": {"fixedDelay": "1s", "percentage": {"value": 0.1}}}, "corsPolicy": {"allowOrigins": [{"exact": "*"}]},
                "headers": {"request": {"set": {"a": "b"}}}, "retries": {"attempts": 2, "perTryTimeout": "1s"}, "route": [destination],
            }],
        }})
    }

    #[tokio::test]
    async fn fields_that_istio_does_not_know_are_refused_and_all_others_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(
            Store::open(folder.path().join("store")).unwrap(),
            Kinds::builtin().with(kinds()),
            Vec::new(),
        )
        .unwrap();
        registry.ensure_namespaces(&["default"]).await.unwrap();
        let routes = registry.kinds().find(GROUP, "virtualservices").unwrap().clone();
        let strict = WriteOptions { validation: FieldValidation::Strict, ..WriteOptions::by("test") };
        let create =
            async |destination: Value| registry.create(&routes, Some("default"), route(destination), &strict).await;
        let misspelt = create(json!({"destination": {"host": "flaskapp"}, "wieght": 80})).await.unwrap_err();
        assert_eq!(
            misspelt.message,
            "VirtualService in version \"v1\" cannot be handled as a VirtualService: strict decoding error: unknown field \"spec.http[0].route[0].wieght\""
        );
        assert_eq!(create(json!({"destination": {"host": "flaskapp"}, "weight": "80"})).await.unwrap_err().code, 422);
        let made =
            create(json!({"destination": {"host": "flaskapp", "port": {"number": 80}}, "weight": 80})).await.unwrap();
        assert_eq!(made.object["spec"]["http"][0]["mirrorPercentage"]["value"], 12.5);
        let rules = registry.kinds().find(GROUP, "destinationrules").unwrap().clone();
        let rule = json!({"metadata": {"name": "r"}, "spec": {"host": "flaskapp", "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
            "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}, "tls": {"mode": "ISTIO_MUTUAL"}, "outlierDetection": {"consecutive5xxErrors": 5}}}});
        registry.create(&rules, Some("default"), rule, &strict).await.unwrap();
    }
}
