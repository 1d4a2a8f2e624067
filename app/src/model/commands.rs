//! The kubectl command that does the same as a button.
use crate::api::Ask;
use crate::types::{Namespace, Split, WorkloadName};

/// The command for `ask`.
pub fn kubectl(ns: &Namespace, ask: &Ask) -> String {
    match ask {
        Ask::Deploy => "kubectl apply -f kubernetes/demo/namespace.yaml -f kubernetes/demo/flaskapp.yaml -f kubernetes/demo/client.yaml".to_owned(),
        Ask::Client => "kubectl apply -f kubernetes/demo/client.yaml".to_owned(),
        Ask::Verify => format!("kubectl -n {ns} exec deploy/flaskapp-v1 -c flaskapp -- curl -s http://127.0.0.1:7777/env/PATH"),
        Ask::Inject(request) => {
            let all = [WorkloadName::FlaskappV1, WorkloadName::FlaskappV2, WorkloadName::Client];
            let names: Vec<&str> = request.workloads.as_deref().unwrap_or(&all).iter().map(|w| deployment(*w)).collect();
            let label = format!(r#"{{"spec":{{"template":{{"metadata":{{"labels":{{"sidecar.istio.io/inject":"{}"}}}}}}}}}}"#, request.inject);
            format!("kubectl -n {ns} patch deploy {} -p '{label}'", names.join(" "))
        }
        Ask::Route(request) if request.present => "kubectl apply -f kubernetes/demo/destination-rule.yaml -f kubernetes/demo/virtual-service.yaml".to_owned(),
        Ask::Route(_) => format!("kubectl -n {ns} delete virtualservice/flaskapp-vs destinationrule/flaskapp"),
        Ask::Takeover => format!("kubectl -n {ns} get lease demo-panel -o yaml"),
        Ask::Adopt | Ask::Revert => format!("kubectl -n {ns} get virtualservice flaskapp-vs -o yaml --show-managed-fields"),
        Ask::Load(request) => format!(
            "kubectl -n {ns} port-forward deploy/simple-flask-app-client 7070 & curl -X PUT -d '{{\"rate\":{}}}' http://127.0.0.1:7070/v1/load",
            request.rate.per_second()
        ),
        Ask::Teardown => format!("kubectl -n {ns} delete virtualservice,destinationrule,deployment,service -l app.kubernetes.io/managed-by=demo-panel"),
    }
}

/// The command that sets these weights.
pub fn kubectl_shift(ns: &Namespace, to: &Split) -> String {
    let routes: Vec<String> = to
        .iter()
        .map(|(subset, weight)| format!(r#"{{"destination":{{"host":"flaskapp","subset":"{subset}"}},"weight":{}}}"#, weight.percent()))
        .collect();
    format!(r#"kubectl -n {ns} patch virtualservice flaskapp-vs --type merge -p '{{"spec":{{"http":[{{"route":[{}]}}]}}}}'"#, routes.join(","))
}

fn deployment(workload: WorkloadName) -> &'static str {
    match workload {
        WorkloadName::FlaskappV1 => "flaskapp-v1",
        WorkloadName::FlaskappV2 => "flaskapp-v2",
        WorkloadName::Client => "simple-flask-app-client",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::InjectRequest;

    #[test]
    fn commands_are_what_kubectl_takes() {
        let ns = Namespace::default();
        assert_eq!(
            kubectl_shift(&ns, &Split::v1_v2(20).unwrap()),
            r#"kubectl -n istio-app patch virtualservice flaskapp-vs --type merge -p '{"spec":{"http":[{"route":[{"destination":{"host":"flaskapp","subset":"v1"},"weight":80},{"destination":{"host":"flaskapp","subset":"v2"},"weight":20}]}]}}'"#
        );
        assert_eq!(
            kubectl(&ns, &Ask::Inject(InjectRequest { inject: false, workloads: Some(vec![WorkloadName::Client]) })),
            r#"kubectl -n istio-app patch deploy simple-flask-app-client -p '{"spec":{"template":{"metadata":{"labels":{"sidecar.istio.io/inject":"false"}}}}}'"#
        );
    }
}
