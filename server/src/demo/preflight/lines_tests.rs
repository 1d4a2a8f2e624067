//! Facts in, lines out.
use super::super::facts::{
    Amount, Limit, NAMESPACE_RIGHTS, NamespaceSeen, NodeSeen, Own, Quota, RIGHTS, Read, Trial, Webhook,
};
use super::super::webhook::of_chart;
use super::*;
use crate::demo::service_port::not_http;
use crate::k8s::Istiod;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

const MEBI: f64 = 1024.0 * 1024.0;

/// A cluster on which everything is as it should be.
fn well() -> Facts {
    let asks = Amount { cpu: 0.1, memory: 128.0 * MEBI };
    Facts {
        ns: "istio-app".into(),
        user: "ann".into(),
        version: Result::Ok("v1.36.3".into()),
        namespace: Read::Known(NamespaceSeen { ours: true, ..NamespaceSeen::default() }),
        rights: RIGHTS.into_iter().chain(NAMESPACE_RIGHTS).map(|right| (right, Some(true))).collect(),
        istio: Read::Known(vec!["v1", "v1beta1"]),
        istiods: Read::Known(vec![Istiod {
            name: "istiod".into(),
            revision: "default".into(),
            version: "1.31.0".into(),
            ready: 1,
            wanted: 1,
        }]),
        webhooks: Read::Known(of_chart("default")),
        trial: Read::Known(Trial::Injected { native: true, image: "istio/proxyv2:1.31.0".into(), asks }),
        own: Own::default(),
        port: None,
        quotas: Read::Known(vec![]),
        limits: Read::Known(vec![]),
        nodes: Read::Known(vec![NodeSeen {
            name: "n".into(),
            free: Amount { cpu: 2.0, memory: 4096.0 * MEBI },
            free_pods: 100,
            ..NodeSeen::default()
        }]),
    }
}

fn show(check: &Check) -> String {
    let status = format!("{:?}", check.status).to_lowercase();
    let stops = check.stops.iter().map(|v| format!("{v:?}").to_lowercase()).collect::<Vec<_>>().join(",");
    let stops = if stops.is_empty() { String::new() } else { format!(" [{stops}]") };
    let mend = if check.mend.is_empty() { String::new() } else { format!(" $ {}", check.mend) };
    format!("{status}: {}{stops}{mend}", check.reason)
}

#[test]
fn a_cluster_in_order_has_nothing_to_mend() {
    let all = checks(&well(), "v1");
    for check in &all {
        assert_eq!((check.status, check.mend.as_str(), check.stops.len()), (CheckStatus::Ok, "", 0), "{check:?}");
        assert!(!check.what.is_empty() && !check.reason.is_empty(), "{check:?}");
    }
    assert_eq!(all[0].reason, "It answers as v1.36.3 and knows the panel as ann.");
    assert_eq!(all.len(), 20, "{:?}", all.iter().map(|c| &c.id).collect::<Vec<_>>());
}

#[test]
fn each_trouble_has_its_line_its_reason_and_its_command() {
    let denied = |resource: &'static str, verb: &'static str| {
        move |f: &mut Facts| {
            for (right, had) in &mut f.rights {
                if right.resource == resource && right.verb == verb && right.sub.is_empty() {
                    *had = Some(false);
                }
            }
        }
    };
    let webhook = |change: fn(&mut Webhook)| {
        move |f: &mut Facts| {
            let mut hooks = of_chart("default");
            hooks.iter_mut().for_each(change);
            f.webhooks = Read::Known(hooks);
        }
    };
    type Change = Box<dyn Fn(&mut Facts)>;
    let rows: Vec<(&str, Change, &str)> = vec![
        (
            "api",
            Box::new(|f| f.version = Err(("connection refused".into(), false))),
            "fail: It does not answer: connection refused. [deploy,client,inject,route,weights,load,verify,teardown] $ kubectl cluster-info",
        ),
        ("namespace", Box::new(|f| f.namespace = Read::Missing), "ok: It is not there yet; deploying makes it."),
        (
            "namespace",
            Box::new(move |f| {
                f.namespace = Read::Missing;
                denied("namespaces", "create")(f);
            }),
            "fail: It is not there, and the panel may not make it. [deploy,client] $ kubectl create namespace istio-app",
        ),
        (
            "namespace",
            Box::new(move |f| {
                f.namespace = Read::Missing;
                denied("namespaces", "patch")(f);
            }),
            "fail: It is not there, and the panel may not make it. [deploy,client] $ kubectl create namespace istio-app",
        ),
        (
            "namespace",
            Box::new(|f| f.namespace = Read::CannotTell("the panel may not read the namespace".into())),
            "unknown: Cannot tell: the panel may not read the namespace. $ kubectl get namespace istio-app",
        ),
        (
            "namespace",
            Box::new(|f| {
                f.namespace = Read::Known(NamespaceSeen {
                    terminating: Some("finalizer a/b waits".into()),
                    ..NamespaceSeen::default()
                })
            }),
            "fail: It is being removed and not gone yet: finalizer a/b waits. [deploy,client] $ kubectl get namespace istio-app -o yaml",
        ),
        (
            "rights-deployments",
            Box::new(denied("deployments", "patch")),
            "fail: May not patch. [deploy,client,inject] $ kubectl -n istio-app create role demo-panel-deployments-apps --verb=patch --resource=deployments.apps && kubectl -n istio-app create rolebinding demo-panel-deployments-apps --role=demo-panel-deployments-apps --user=ann",
        ),
        (
            "rights-leases",
            Box::new(move |f| {
                f.user = "system:serviceaccount:demo:panel".into();
                denied("leases", "create")(f);
            }),
            "warn: May not create. $ kubectl -n istio-app create role demo-panel-leases-coordination-k8s-io --verb=create --resource=leases.coordination.k8s.io && kubectl -n istio-app create rolebinding demo-panel-leases-coordination-k8s-io --role=demo-panel-leases-coordination-k8s-io --serviceaccount=demo:panel",
        ),
        (
            "rights-pods",
            Box::new(|f| f.rights.iter_mut().for_each(|(_, had)| *had = None)),
            "unknown: Cannot tell: the cluster does not answer access reviews. $ kubectl auth can-i --list -n istio-app",
        ),
        (
            "istio",
            Box::new(|f| f.istio = Read::Known(vec![])),
            "fail: VirtualService and DestinationRule are not served here: there are no weights to set. [route,weights] $ istioctl install",
        ),
        (
            "control-plane",
            Box::new(|f| f.istiods = Read::Known(vec![])),
            "ok: None runs in istio-system, but one answers: a trial pod got its sidecar.",
        ),
        (
            "control-plane",
            Box::new(|f| (f.istiods, f.trial) = (Read::Known(vec![]), Read::Known(Trial::Plain))),
            "fail: No istiod runs in istio-system. [inject,route,weights] $ istioctl install",
        ),
        (
            "control-plane",
            Box::new(|f| {
                if let Read::Known(all) = &mut f.istiods {
                    all[0].ready = 0;
                }
            }),
            "fail: istiod, revision default: none of 1 ready in istio-system. [inject,route,weights] $ kubectl -n istio-system rollout restart deployment istiod",
        ),
        (
            "webhook",
            Box::new(webhook(|w| w.fails_open = true)),
            "warn: istio-sidecar-injector-default, revision default, acts on labelled pods of this namespace. While it does not answer, such pods start without a sidecar.",
        ),
        (
            "webhook",
            Box::new(webhook(|w| w.answers = Some(false))),
            "fail: istio-sidecar-injector-default has no one to ask: istio-system/istiod has no ready endpoint. [inject] $ kubectl -n istio-system get endpointslices -l kubernetes.io/service-name=istiod",
        ),
        (
            "webhook",
            Box::new(|f| {
                f.namespace = Read::Known(NamespaceSeen {
                    labels: labels(&[("istio.io/rev", "canary")]),
                    ..NamespaceSeen::default()
                })
            }),
            "fail: No webhook matches revision `canary` of the namespace's label; there is default. [inject] $ kubectl label namespace istio-app istio.io/rev=default --overwrite",
        ),
        (
            "webhook",
            Box::new(|f| {
                f.namespace = Read::Known(NamespaceSeen {
                    labels: labels(&[("istio-injection", "disabled")]),
                    ..NamespaceSeen::default()
                })
            }),
            "fail: istio-sidecar-injector-default would not act on a labelled pod here: the namespace is labelled istio-injection=disabled. [inject] $ kubectl label namespace istio-app istio-injection-",
        ),
        (
            "webhook",
            Box::new(|f| {
                (f.webhooks, f.trial) = (Read::Missing, Read::Known(Trial::LeftOut));
                f.namespace = Read::Known(NamespaceSeen {
                    labels: labels(&[("istio-injection", "disabled")]),
                    ..NamespaceSeen::default()
                })
            }),
            "fail: istio-sidecar-injector-default would not act on a labelled pod here: the namespace is labelled istio-injection=disabled. [inject] $ kubectl label namespace istio-app istio-injection-",
        ),
        (
            "control-plane",
            Box::new(|f| (f.istiods, f.trial) = (Read::Known(vec![]), Read::Known(Trial::LeftOut))),
            "ok: None runs in istio-system, but one answers: a trial pod got its sidecar.",
        ),
        (
            "trial-pod",
            Box::new(|f| f.trial = Read::Known(Trial::LeftOut)),
            "fail: A labelled pod, created with dryRun=All, came back without istio-proxy; one in another namespace got it: this namespace is left out. [inject] $ kubectl get namespace istio-app --show-labels",
        ),
        (
            "service-port",
            Box::new(|f| f.port = not_http(&serde_json::json!({"ports": [{"port": 7777, "name": "tcp-web"}]}))),
            r#"warn: Port 7777 of Service flaskapp does not speak HTTP to the mesh: its name is tcp-web. Routes and weights have no effect on it; connections are spread evenly. $ kubectl -n istio-app patch service flaskapp --type=json -p '[{"op":"add","path":"/spec/ports/0/appProtocol","value":"http"}]'"#,
        ),
        (
            "webhook",
            Box::new(|f| (f.webhooks, f.trial) = (Read::Missing, Read::Known(Trial::Plain))),
            "fail: There is none: pods start without a sidecar whatever they ask for. [inject] $ istioctl install",
        ),
        (
            "webhook",
            Box::new(|f| f.webhooks = Read::Missing),
            "ok: None is listed, but something injects: the trial pod got its sidecar.",
        ),
        (
            "trial-pod",
            Box::new(|f| f.trial = Read::Known(Trial::Plain)),
            "fail: A labelled pod, created with dryRun=All, came back without istio-proxy: nothing injects. [inject] $ kubectl -n istio-system logs deployment/istiod --tail=20",
        ),
        (
            "trial-pod",
            Box::new(|f| f.trial = Read::Known(Trial::NoNamespace)),
            "unknown: It is tried as soon as the namespace is there. $ kubectl create namespace istio-app",
        ),
        (
            "quota",
            Box::new(|f| {
                f.quotas = Read::Known(vec![Quota { name: "small".into(), items: vec![("pods".into(), 2.0, 0.0)] }])
            }),
            r#"fail: small leaves too little for the demo: pods has 2 of 2 left, it needs 3. [deploy,client,inject] $ kubectl -n istio-app patch resourcequota small --type merge -p '{"spec":{"hard":{"pods":"3"}}}'"#,
        ),
        (
            "quota",
            Box::new(|f| {
                f.quotas =
                    Read::Known(vec![Quota { name: "small".into(), items: vec![("requests.cpu".into(), 0.5, 0.1)] }])
            }),
            r#"warn: small leaves room to deploy, not to roll out sidecars, when old and new pods run side by side: requests.cpu has 400m of 500m left, it needs 600m. $ kubectl -n istio-app patch resourcequota small --type merge -p '{"spec":{"hard":{"requests.cpu":"700m"}}}'"#,
        ),
        (
            "quota",
            Box::new(|f| {
                f.own =
                    Own { pods: 3.0, asks: Amount { cpu: 0.3, memory: 384.0 * MEBI }, services: 2.0, deployments: 3.0 };
                f.quotas = Read::Known(vec![Quota {
                    name: "fits".into(),
                    items: vec![("pods".into(), 6.0, 3.0), ("services".into(), 2.0, 2.0)],
                }]);
            }),
            "ok: fits leaves room for the demo: pods 6 of 6, services 2 of 2.",
        ),
        (
            "limits",
            Box::new(|f| {
                f.limits = Read::Known(vec![Limit {
                    name: "tight".into(),
                    max: BTreeMap::from([("memory".into(), 64.0 * MEBI)]),
                    ..Limit::default()
                }])
            }),
            "fail: tight does not let the demo's containers in: at most 64Mi memory a container, the sidecar asks for 128Mi. [deploy,client,inject] $ kubectl -n istio-app edit limitrange tight",
        ),
        (
            "nodes",
            Box::new(|f| {
                f.nodes = Read::Known(vec![NodeSeen {
                    name: "n".into(),
                    free: Amount { cpu: 0.05, memory: MEBI },
                    free_pods: 9,
                    ..NodeSeen::default()
                }])
            }),
            "fail: No node has room for a pod of the demo: 50m cpu and 1Mi memory are free at most, a pod asks for 100m cpu and 128Mi memory. [deploy,client,inject] $ kubectl describe nodes",
        ),
        (
            "nodes",
            Box::new(|f| {
                f.nodes = Read::Known(vec![NodeSeen {
                    name: "n".into(),
                    closed: Some("it is cordoned".into()),
                    ..NodeSeen::default()
                }])
            }),
            "fail: No node takes pods: n: it is cordoned. [deploy,client,inject] $ kubectl uncordon n",
        ),
        (
            "nodes",
            Box::new(|f| f.nodes = Read::CannotTell("the panel may not list nodes".into())),
            "unknown: Cannot tell: the panel may not list nodes. $ kubectl describe nodes",
        ),
    ];
    for (id, change, shown) in rows {
        let mut facts = well();
        change(&mut facts);
        let all = checks(&facts, "v1");
        let check = all.iter().find(|c| c.id == id).unwrap();
        assert_eq!(show(check), shown, "{id}");
    }
}
