//! What the panel's user may do, asked once for all namespaces in which the cluster says the same about it.
use super::gather;
use crate::demo::namespace::facts::Denied;
use crate::k8s::Cluster;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer stands where nothing says that it changed.
const STANDS: Duration = Duration::from_secs(300);
/// Different answers kept: more roles than that in one cluster are asked about again.
const MOST: usize = 64;

struct Answer {
    key: Value,
    at: Instant,
    denied: Vec<Denied>,
}

/// Answers to the forty access reviews behind [`crate::demo::namespace::facts::Facts::denied`].
#[derive(Default)]
pub struct Rights {
    answers: Mutex<Vec<Answer>>,
}

impl Rights {
    /// Which verbs cannot work in a namespace, by the rights they lack. `rules`: what the cluster's rules review says of that namespace.
    /// Namespaces that ask at the same time wait for the first one's answer instead of asking themselves.
    pub async fn denied(&self, cluster: &Cluster, ns: &str, rules: Option<&Value>) -> Vec<Denied> {
        let key = key(ns, rules);
        let mut answers = self.answers.lock().await;
        answers.retain(|a| a.at.elapsed() < STANDS);
        if let Some(known) = answers.iter().find(|a| a.key == key) {
            return known.denied.clone();
        }
        let asked = gather::rights(cluster, ns).await;
        // What cannot be asked is not held against anybody.
        let lacking = asked.into_iter().filter(|(right, had)| *had == Some(false) && !right.stops.is_empty());
        let denied: Vec<Denied> = lacking
            .map(|(right, _)| Denied {
                what: format!("{} {}", right.verb, right.on()).into(),
                stops: right.stops.to_vec(),
            })
            .collect();
        if rules.is_some() {
            answers.truncate(MOST - 1);
            answers.insert(0, Answer { key, at: Instant::now(), denied: denied.clone() });
        }
        denied
    }

    /// Asks anew the next time: a refusal shows that something has changed.
    pub async fn forget(&self) {
        self.answers.lock().await.clear();
    }
}

/// Two namespaces with equal keys have equal answers. Rules that name objects, or that are not all of them, are those of one namespace.
fn key(ns: &str, rules: Option<&Value>) -> Value {
    let Some(rules) = rules else { return ns.into() };
    let named = rules["resourceRules"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|rule| rule["resourceNames"].as_array().is_some_and(|n| !n.is_empty()));
    let partly = rules["incomplete"] == true || rules["evaluationError"].as_str().is_some_and(|e| !e.is_empty());
    if named || partly { serde_json::json!([ns, rules]) } else { rules.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_rules_that_cannot_differ_are_shared_by_namespaces() {
        let rules = |more: Value| {
            let mut rules = json!({"incomplete": false, "resourceRules": [{"verbs": ["*"], "resources": ["*"], "apiGroups": ["*"]}]});
            if let (Some(rules), Some(more)) = (rules.as_object_mut(), more.as_object()) {
                rules.extend(more.clone());
            }
            rules
        };
        for (what, rules, shared) in [
            ("the same rules everywhere", Some(rules(json!({}))), true),
            ("no answer", None, false),
            ("not all of them", Some(rules(json!({"incomplete": true}))), false),
            ("an authorizer failed", Some(rules(json!({"evaluationError": "webhook"}))), false),
            (
                "named objects",
                Some(rules(
                    json!({"resourceRules": [{"verbs": ["get"], "resources": ["namespaces"], "resourceNames": ["a"]}]}),
                )),
                false,
            ),
        ] {
            assert_eq!(key("a", rules.as_ref()) == key("b", rules.as_ref()), shared, "{what}");
        }
    }
}
