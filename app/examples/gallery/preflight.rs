//! Preflights, invented: by the namespace's name a cluster in order, one with troubles, one where little can be told.
use app::text::{Lang, check};
use wire::*;

/// What the page is told of a namespace.
pub fn told(ns: &Namespace) -> Preflight {
    use CheckStatus::{Fail, Ok, Unknown, Warn};
    let rights = "get, list, watch, create, patch, delete";
    let granted = |on: &'static str| {
        line(&format!("rights-{on}"), Ok, "RightsGranted", &[("resource", on), ("verbs", rights)], "", &[])
    };
    let mut checks =
        vec![line("api", Ok, "ApiAnswers", &[("version", "v1.36.3"), ("user", "ann@example.com")], "", &[])];
    match ns.as_str() {
        "troubles" => checks.extend([
            line("namespace", Fail, "NamespaceTerminating", &[("ns", "troubles"), ("held", "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances")], "kubectl get namespace troubles -o yaml", &[Verb::Deploy, Verb::Client]),
            granted("services"),
            line("rights-deployments", Fail, "RightsMissing", &[("resource", "deployments.apps"), ("missing", "patch, delete")], "kubectl -n troubles create role demo-panel-deployments-apps --verb=patch,delete --resource=deployments.apps && kubectl -n troubles create rolebinding demo-panel-deployments-apps --role=demo-panel-deployments-apps --user=ann@example.com", &[Verb::Deploy, Verb::Client, Verb::Inject, Verb::Teardown]),
            line("istio", Ok, "IstioServed", &[("versions", "v1beta1, v1alpha3"), ("used", "v1beta1")], "", &[]),
            line("control-plane", Ok, "IstiodReady", &[("name", "istiod"), ("version", "1.20.8"), ("revision", "default"), ("ready", "1"), ("wanted", "1"), ("where", "istio-system")], "", &[]),
            line("webhook", Fail, "WebhookNoRevision", &[("wanted", "canary"), ("names", "default")], "kubectl label namespace troubles istio.io/rev=default --overwrite", &[Verb::Inject]),
            line("quota", Warn, "QuotaTight", &[("name", "team"), ("left", "pods has 4 of 6 left, it needs 6")], r#"kubectl -n troubles patch resourcequota team --type merge -p '{"spec":{"hard":{"pods":"8"}}}'"#, &[]),
            line("nodes", Unknown, "CannotTell", &[("why", "the panel may not list nodes")], "kubectl describe nodes", &[]),
        ]),
        _ => checks.extend([
            line("namespace", Ok, "NamespaceOurs", &[("ns", ns.as_str())], "", &[]),
            granted("services"),
            granted("deployments.apps"),
            granted("virtualservices.networking.istio.io"),
            line("istio", Ok, "IstioServed", &[("versions", "v1, v1beta1, v1alpha3"), ("used", "v1")], "", &[]),
            line("control-plane", Ok, "IstiodReady", &[("name", "istiod"), ("version", "1.31.0"), ("revision", "default"), ("ready", "1"), ("wanted", "1"), ("where", "istio-system")], "", &[]),
            line("webhook", Ok, "WebhookActs", &[("name", "istio-sidecar-injector"), ("revision", "default")], "", &[]),
            line("trial-pod", Ok, "TrialInjected", &[("form", "an init container that stays (a native sidecar)"), ("image", "istio/proxyv2:1.31.0")], "", &[]),
            line("quota", Ok, "QuotaNone", &[], "", &[]),
            line("limits", Ok, "LimitsNone", &[], "", &[]),
            line("nodes", Ok, "NodesRoom", &[("nodes", "3"), ("left", "9.5 cpu and 31.2Gi memory"), ("asks", "300m cpu and 384Mi memory")], "", &[]),
        ]),
    }
    let cluster = ClusterView {
        kind: "kubeconfig".into(),
        context: "kind-demo".into(),
        version: "v1.36.3".into(),
        user: "ann@example.com".into(),
        mesh: "Istio 1.31.0, revision default".into(),
    };
    Preflight { cluster, namespace: ns.clone(), checks }
}

fn line(id: &str, status: CheckStatus, code: &str, args: &[(&str, &str)], mend: &str, stops: &[Verb]) -> Check {
    let args = args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut line = Check {
        id: id.into(),
        status,
        what: String::new(),
        reason: String::new(),
        mend: mend.into(),
        stops: stops.to_vec(),
        code: code.into(),
        args,
    };
    (line.what, line.reason) = check(Lang::En, &line);
    line
}
