//! Whether an injection webhook would act on a pod of the demo, by its selectors. Pure.
//!
//! Source: Kubernetes documentation, "Dynamic Admission Control", matching by objectSelector and namespaceSelector.
use super::facts::{Requirement, Selector, Webhook};
use app::text::Message;
use app::text::messages::preflight as said;
use std::collections::BTreeMap;

type Labels = BTreeMap<String, String>;

/// What the webhooks' selectors come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Acts<'a> {
    /// This one acts.
    By(&'a Webhook),
    /// The namespace asks for a revision that no webhook has.
    NoRevision {
        /// The one it asks for.
        wanted: String,
    },
    /// There are webhooks, and all of them leave such pods out.
    Not {
        /// Why.
        why: Message,
    },
    /// There is none.
    None,
}

fn holds(requirement: &Requirement, labels: &Labels) -> bool {
    let value = labels.get(&requirement.key);
    let listed = value.is_some_and(|v| requirement.values.contains(v));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

fn fails<'a>(selector: &'a Selector, labels: &Labels) -> Option<&'a Requirement> {
    selector.iter().find(|requirement| !holds(requirement, labels))
}

/// Looks for the webhook that acts on a pod with `pod` labels in a namespace with `namespace` labels.
pub fn acts<'a>(webhooks: &'a [Webhook], namespace: &Labels, pod: &Labels) -> Acts<'a> {
    if webhooks.is_empty() {
        return Acts::None;
    }
    if let Some(webhook) =
        webhooks.iter().find(|w| fails(&w.namespaces, namespace).is_none() && fails(&w.objects, pod).is_none())
    {
        return Acts::By(webhook);
    }
    // Whatever the revision.
    if let Some(value) = namespace.get("istio-injection").filter(|v| *v != "enabled") {
        return Acts::Not { why: said::namespace_labelled(format!("istio-injection={value}")) };
    }
    let asked = namespace.get("istio.io/rev").or(pod.get("istio.io/rev"));
    if let Some(wanted) = asked.filter(|wanted| !webhooks.iter().any(|w| w.revision == **wanted)) {
        return Acts::NoRevision { wanted: wanted.clone() };
    }
    // The webhook that comes nearest: the one whose pods it would be, but for the namespace.
    let near = webhooks.iter().find(|w| fails(&w.objects, pod).is_none()).or(webhooks.first());
    let of_namespace = near.and_then(|w| fails(&w.namespaces, namespace)).map(|r| said::its_namespaces_have(words(r)));
    let of_pod = near.and_then(|w| fails(&w.objects, pod)).map(|r| said::its_pods_have(words(r)));
    Acts::Not { why: of_namespace.or(of_pod).unwrap_or_else(said::selectors_leave_out) }
}

fn words(requirement: &Requirement) -> Message {
    let (key, values) = (&requirement.key, requirement.values.join(", "));
    match requirement.operator.as_str() {
        "In" => said::label_in(key, values),
        "NotIn" => said::label_not_in(key, values),
        "Exists" => said::a_label(key),
        _ => said::no_label(key),
    }
}

fn need(key: &str, operator: &str, values: &[&str]) -> Requirement {
    Requirement { key: key.into(), operator: operator.into(), values: values.iter().map(|v| (*v).to_owned()).collect() }
}

/// The four entries that Istio's chart makes for one revision; the embedded cluster selects as those of `default` do.
pub fn of_chart(revision: &str) -> Vec<Webhook> {
    let (inject, rev, injection) = ("sidecar.istio.io/inject", "istio.io/rev", "istio-injection");
    let entry = |namespaces, objects| Webhook {
        configuration: format!("istio-sidecar-injector-{revision}"),
        revision: revision.into(),
        namespaces,
        objects,
        service: Some("istio-system/istiod".into()),
        answers: Some(true),
        ..Webhook::default()
    };
    let mut all = vec![
        entry(
            vec![need(rev, "In", &[revision]), need(injection, "DoesNotExist", &[])],
            vec![need(inject, "NotIn", &["false"])],
        ),
        entry(
            vec![need(rev, "DoesNotExist", &[]), need(injection, "DoesNotExist", &[])],
            vec![need(inject, "NotIn", &["false"]), need(rev, "In", &[revision])],
        ),
    ];
    if revision == "default" {
        all.push(entry(vec![need(injection, "In", &["enabled"])], vec![need(inject, "NotIn", &["false"])]));
        all.push(entry(
            vec![need(injection, "DoesNotExist", &[]), need(rev, "DoesNotExist", &[])],
            vec![need(inject, "In", &["true"]), need(rev, "DoesNotExist", &[])],
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_acts_where_its_selectors_say() {
        let labels =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Labels>();
        let pod = labels(&[("sidecar.istio.io/inject", "true"), ("app", "flaskapp")]);
        let both = [of_chart("default"), of_chart("canary")].concat();
        for (what, webhooks, namespace, shown) in [
            ("a plain namespace", of_chart("default"), labels(&[]), "by default"),
            ("an enabled one", of_chart("default"), labels(&[("istio-injection", "enabled")]), "by default"),
            (
                "a disabled one",
                of_chart("default"),
                labels(&[("istio-injection", "disabled")]),
                "not: the namespace is labelled istio-injection=disabled",
            ),
            (
                "a disabled one, of a revision that is not there",
                of_chart("default"),
                labels(&[("istio-injection", "disabled"), ("istio.io/rev", "canary")]),
                "not: the namespace is labelled istio-injection=disabled",
            ),
            ("of a revision", both.clone(), labels(&[("istio.io/rev", "canary")]), "by canary"),
            (
                "of a revision that is not there",
                of_chart("default"),
                labels(&[("istio.io/rev", "canary")]),
                "no revision canary",
            ),
            (
                "only a revision, a plain namespace",
                of_chart("canary"),
                labels(&[]),
                "not: its namespaces have label istio.io/rev in (canary)",
            ),
            ("none at all", vec![], labels(&[]), "none"),
        ] {
            let seen = match acts(&webhooks, &namespace, &pod) {
                Acts::By(w) => format!("by {}", w.revision),
                Acts::NoRevision { wanted } => format!("no revision {wanted}"),
                Acts::Not { why } => format!("not: {why}"),
                Acts::None => "none".to_owned(),
            };
            assert_eq!(seen, shown, "{what}");
        }
    }
}
