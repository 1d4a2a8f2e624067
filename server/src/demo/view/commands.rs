//! The kubectl commands that do the same as the panel's buttons. They need the panel's address and nothing of its sources.
//!
//! Every command that is printed anywhere is made here. `server/tests/commands.rs` runs them.
use crate::demo::namespace::state::NamespaceState;
use crate::demo::objects::Id;
use crate::demo::plan::observe::observe;
use crate::demo::pods::INJECT_LABEL;
use crate::demo::virtual_service;
use crate::k8s::{Cache, KindName, LEASE, MANAGED_BY, MANAGER};
use serde_json::json;
use std::collections::BTreeMap;
use wire::Split;

/// Which manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All but the route.
    Deploy,
    /// The load client alone.
    Client,
    /// DestinationRule and VirtualService.
    Route,
}

impl Part {
    fn path(self) -> &'static str {
        match self {
            Part::Deploy => "",
            Part::Client => "/client",
            Part::Route => "/route",
        }
    }

    /// The objects of the part, in the order they are made.
    pub fn objects(self) -> &'static [Id] {
        match self {
            Part::Deploy => &[Id::SERVICE, Id::V1, Id::V2, Id::CLIENT_SERVICE, Id::CLIENT],
            Part::Client => &[Id::CLIENT_SERVICE, Id::CLIENT],
            Part::Route => &[Id::RULE, Id::ROUTE],
        }
    }
}

/// Applies a part.
pub fn apply(state: &NamespaceState, part: Part) -> String {
    let (ns, address) = (&state.ns, &state.address);
    format!(
        "curl -fsS{} '{}/api/demo/manifests{}?namespace={ns}' | kubectl apply -f -",
        address.options,
        address.url,
        part.path()
    )
}

/// Asks a pod from inside.
pub fn verify(state: &NamespaceState, pod: &str) -> String {
    format!("kubectl -n {} exec {pod} -c flaskapp -- curl -s http://127.0.0.1:7777/env/PATH", state.ns)
}

/// Adds or removes sidecars.
pub fn inject(state: &NamespaceState, workloads: &[&str], inject: bool) -> String {
    let patch = json!({"spec": {"template": {"metadata": {"labels": {INJECT_LABEL: inject.to_string()}}}}});
    format!("kubectl -n {} patch deployment {} -p '{patch}'", state.ns, workloads.join(" "))
}

/// Sets how many pods a Deployment has.
pub fn scale(state: &NamespaceState, id: Id, replicas: &str) -> String {
    format!("kubectl -n {} scale {id} --replicas={replicas}", state.ns)
}

/// Removes the route, weights before subsets.
pub fn unroute(state: &NamespaceState) -> String {
    format!("kubectl -n {} delete virtualservice/{} destinationrule/{}", state.ns, Id::ROUTE.name, Id::RULE.name)
}

/// Tells the load client its rate, a number or a placeholder, and after how many requests to stop. The agent listens on the pod's
/// loopback alone, so a port-forward leads there; it is waited for, and ends with the command.
pub fn load(state: &NamespaceState, rate: &str, requests: Option<u64>) -> String {
    let requests = requests.map_or_else(String::new, |n| format!(r#","requests":{n}"#));
    load_of(state, &format!(r#"{{"rate":{rate}{requests}}}"#))
}

/// The same with all that is asked for, as JSON.
pub fn load_of(state: &NamespaceState, body: &str) -> String {
    let (ns, client, port) = (&state.ns, Id::CLIENT.name, ::load::AGENT_PORT);
    let body = body.replace('\'', r"'\''");
    format!(
        "(kubectl -n {ns} port-forward deployment/{client} {port} >/dev/null & trap 'kill $!' EXIT; \
         curl -sSf --retry 9 --retry-connrefused --retry-delay 1 -X PUT -H 'content-type: application/json' \
         -d '{body}' http://127.0.0.1:{port}/v1/load)"
    )
}

/// Sets the weights, `%v1%` where v1's goes; whatever else the route says stays. Nothing where one patch cannot do it.
pub fn weights(state: &NamespaceState, cache: &Cache) -> Option<String> {
    let ns = state.ns.as_str();
    let (name, rule, subsets, make) = match virtual_service::find(cache, ns) {
        Some(seen) => {
            let name = seen.object.metadata.name.clone()?;
            let (rule, subsets) = virtual_service::destinations(&seen.object, ns)?;
            (name, rule, subsets, String::new())
        }
        None => (
            Id::ROUTE.name.to_owned(),
            0,
            vec!["v1".to_owned(), "v2".to_owned()],
            format!("{} && ", apply(state, Part::Route)),
        ),
    };
    let places = subsets.iter().enumerate();
    let ops: Vec<String> = places
        .map(|(i, subset)| format!(r#"{{"op":"add","path":"/spec/http/{rule}/route/{i}/weight","value":%{subset}%}}"#))
        .collect();
    Some(format!("{make}kubectl -n {ns} patch virtualservice {name} --type json -p '[{}]'", ops.join(",")))
}

/// The same with these weights. Nothing where one patch cannot do it.
pub fn weights_to(state: &NamespaceState, cache: &Cache, split: &Split) -> Option<String> {
    let command = split.iter().fold(weights(state, cache)?, |text, (name, weight)| {
        text.replace(&format!("%{name}%"), &weight.percent().to_string())
    });
    (!command.contains('%')).then_some(command)
}

/// Takes the Lease.
pub fn takeover(state: &NamespaceState, me: &str) -> String {
    let now = "'\"$(date -u +%Y-%m-%dT%H:%M:%S.000000Z)\"'";
    format!(
        r#"kubectl -n {} patch lease {} --type merge -p '{{"spec":{{"holderIdentity":"{me}","renewTime":"{now}"}}}}'"#,
        state.ns, LEASE
    )
}

/// A verb of the panel itself, where kubectl has no single command for it.
pub fn ask(state: &NamespaceState, verb: &str) -> String {
    let (ns, address) = (&state.ns, &state.address);
    format!("curl -fsS{} -X POST '{}/api/demo/{verb}?namespace={ns}'", address.options, address.url)
}

/// Removes what carries our label.
pub fn teardown(state: &NamespaceState) -> String {
    format!(
        "kubectl -n {} delete virtualservices,destinationrules,deployments,services -l {MANAGED_BY}={MANAGER}",
        state.ns
    )
}

/// All of them, for the page.
pub fn all(state: &NamespaceState, cache: &Cache) -> BTreeMap<String, String> {
    let seen = observe(cache);
    let workloads: Vec<&str> =
        [Id::V1, Id::V2, Id::CLIENT].into_iter().filter(|id| seen.objects.contains_key(id)).map(|id| id.name).collect();
    let mut all = vec![
        ("deploy", apply(state, Part::Deploy)),
        ("client", apply(state, Part::Client)),
        ("verify", verify(state, "deployment/flaskapp-v1")),
        ("route", apply(state, Part::Route)),
        ("unroute", unroute(state)),
        ("load", load(state, "%rate%", None)),
        ("load_stop", load(state, "0", None)),
        ("scale", scale(state, Id::V2, "0")),
        ("adopt", ask(state, "adopt")),
        ("revert", ask(state, "revert")),
        ("teardown", teardown(state)),
        ("teardown_namespace", format!("kubectl delete namespace {}", state.ns)),
    ];
    if !workloads.is_empty() {
        all.push(("inject", inject(state, &workloads, true)));
        all.push(("uninject", inject(state, &workloads, false)));
    }
    all.extend(weights(state, cache).map(|command| ("weights", command)));
    all.extend(state.identity.as_deref().map(|me| ("takeover", takeover(state, me))));
    if cache.problem(KindName::VirtualService).is_some() {
        all.retain(|(name, _)| !matches!(*name, "route" | "unroute" | "weights"));
    }
    all.into_iter().map(|(name, command)| (name.to_owned(), command)).collect()
}
