//! Preflights, invented: by the namespace's name a cluster in order, one with troubles, one where little can be told.
use app::text::messages::preflight::check;
use app::text::messages::{causes, preflight as said};
use wire::*;

/// What the page is told of a namespace.
pub fn told(ns: &Namespace) -> Preflight {
    use CheckStatus::{Fail, Ok, Unknown, Warn};
    let rights = "get, list, watch, create, patch, delete";
    let granted = |on: &str| check(&format!("rights-{on}"), said::rights_on(on), Ok, said::rights_granted(rights));
    let mut checks = vec![check("api", said::api_server(), Ok, said::api_answers("v1.36.3", "ann@example.com"))];
    match ns.as_str() {
        "troubles" => checks.extend([
            Check {
                mend: "kubectl get namespace troubles -o yaml".into(),
                stops: vec![Verb::Deploy, Verb::Client],
                ..check("namespace", said::namespace("troubles"), Fail, said::namespace_terminating("Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"))
            },
            granted("services"),
            Check {
                mend: "kubectl -n troubles create role demo-panel-deployments-apps --verb=patch,delete --resource=deployments.apps && kubectl -n troubles create rolebinding demo-panel-deployments-apps --role=demo-panel-deployments-apps --user=ann@example.com".into(),
                stops: vec![Verb::Deploy, Verb::Client, Verb::Inject, Verb::Teardown],
                ..check("rights-deployments", said::rights_on("deployments.apps"), Fail, said::rights_missing("patch, delete"))
            },
            check("istio", said::istio_kinds(), Ok, said::istio_served("v1beta1, v1alpha3", "v1beta1")),
            control_plane("1.20.8"),
            Check {
                mend: "kubectl label namespace troubles istio.io/rev=default --overwrite".into(),
                stops: vec![Verb::Inject],
                ..check("webhook", said::injection_webhook(), Fail, said::webhook_no_revision("canary", "default"))
            },
            Check {
                mend: r#"kubectl -n troubles patch resourcequota team --type merge -p '{"spec":{"hard":{"pods":"8"}}}'"#.into(),
                ..check("quota", said::resource_quota(), Warn, said::quota_tight("team", said::quota_lacks("pods", "4", "6", "6")))
            },
            Check {
                mend: "kubectl describe nodes".into(),
                ..check("nodes", said::node_room(), Unknown, said::cannot_tell(causes::may_not(causes::list_nodes())))
            },
        ]),
        name => checks.extend([
            check("namespace", said::namespace(name), Ok, said::namespace_ours()),
            granted("services"),
            granted("deployments.apps"),
            granted("virtualservices.networking.istio.io"),
            check("istio", said::istio_kinds(), Ok, said::istio_served("v1, v1beta1, v1alpha3", "v1")),
            control_plane("1.31.0"),
            check("webhook", said::injection_webhook(), Ok, said::webhook_acts("istio-sidecar-injector", "default")),
            check("trial-pod", said::trial_pod(), Ok, said::trial_injected(said::native_sidecar(), "istio/proxyv2:1.31.0")),
            check("quota", said::resource_quota(), Ok, said::quota_none()),
            check("limits", said::limit_range(), Ok, said::limits_none()),
            check("nodes", said::node_room(), Ok, said::nodes_room("3", said::amount("9.5", "31.2Gi"), said::amount("300m", "384Mi"))),
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

fn control_plane(version: &str) -> Check {
    let reason = said::istiod_ready("istiod", version, "default", "1", "1");
    check("control-plane", said::control_plane(), CheckStatus::Ok, reason)
}
