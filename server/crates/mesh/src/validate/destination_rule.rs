//! A DestinationRule, as Istio checks it.

use super::{Errors, names};
use crate::json::{fields, list, present, text};
use serde_json::Value;
use std::collections::BTreeSet;

/// Subsets of a rule: every endpoint is compared with each, for each port. Istio has no such limit.
const MOST_SUBSETS: usize = 250;

/// Checks a DestinationRule object. The error is Istio's text, for [`super::refusal`].
pub fn destination_rule(object: &Value) -> Result<(), String> {
    let mut errors = Errors::default();
    let spec = object.get("spec").unwrap_or(&Value::Null);
    match spec.get("host") {
        None | Some(Value::Null) => errors.schema("spec.host: Required value".into()),
        Some(Value::String(host)) => errors.check(names::wildcard_domain(host)),
        Some(_) => errors.schema("spec.host: Invalid value: must be of type string".into()),
    }
    traffic_policy(spec.get("trafficPolicy"), &mut errors);
    let subsets = list(spec, "subsets").len();
    if subsets > MOST_SUBSETS {
        errors.schema(format!("spec.subsets: Too many: {subsets}: must have at most {MOST_SUBSETS} items"));
        return errors.finish();
    }
    let mut seen = BTreeSet::new();
    for (index, subset) in list(spec, "subsets").iter().enumerate() {
        if subset.is_null() {
            errors.add("subset may not be null");
            continue;
        }
        if present(subset, "name").is_none() {
            errors.schema(format!("spec.subsets[{index}].name: Required value"));
            continue;
        }
        let name = text(subset, "name");
        if !seen.insert(name) {
            errors.add(format!("duplicate subset names: {name}"));
        }
        errors.check(names::subset_name(name));
        for (key, value) in fields(subset, "labels") {
            match value.as_str() {
                Some(value) => errors.check(names::label(key, value)),
                None => {
                    errors.schema(format!("spec.subsets[{index}].labels.{key}: Invalid value: must be of type string"))
                }
            }
        }
        traffic_policy(subset.get("trafficPolicy"), &mut errors);
    }
    errors.finish()
}

fn traffic_policy(policy: Option<&Value>, errors: &mut Errors) {
    let Some(policy) = policy.filter(|p| !p.is_null()) else { return };
    if let Some(balancer) = present(policy, "loadBalancer") {
        load_balancer(balancer, errors);
    }
    if let Some(tcp) = policy.pointer("/connectionPool/tcp") {
        if tcp.get("maxConnections").and_then(Value::as_i64).is_some_and(|n| n < 0) {
            errors.add("max connections must be non-negative");
        }
        if let Some(timeout) = present(tcp, "connectTimeout") {
            errors.check(names::duration(timeout));
        }
    }
    if let Some(outlier) = present(policy, "outlierDetection") {
        for key in ["interval", "baseEjectionTime"] {
            if let Some(value) = present(outlier, key) {
                errors.check(names::duration(value));
            }
        }
        for (key, words) in [("maxEjectionPercent", "max ejection percent"), ("minHealthPercent", "min health percent")]
        {
            if outlier.get(key).and_then(Value::as_i64).is_some_and(|n| !(0..=100).contains(&n)) {
                errors.add(format!("{words} must be in the range 0..100"));
            }
        }
    }
    for port in list(policy, "portLevelSettings") {
        match port.pointer("/port/number").and_then(Value::as_i64) {
            Some(number) => errors.check(names::port(number)),
            None => errors.add("portTrafficPolicy must have valid port"),
        }
        if ["outlierDetection", "connectionPool", "loadBalancer", "tls"].iter().all(|k| present(port, k).is_none()) {
            errors.add("port traffic policy must have at least one field");
        }
        if let Some(balancer) = present(port, "loadBalancer") {
            load_balancer(balancer, errors);
        }
    }
}

fn load_balancer(balancer: &Value, errors: &mut Errors) {
    if let Some(simple) = present(balancer, "simple") {
        const KNOWN: [&str; 6] = ["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"];
        if !simple.as_str().is_some_and(|s| KNOWN.contains(&s)) {
            errors.schema(format!(
                "spec.trafficPolicy.loadBalancer.simple: Unsupported value: {simple}: supported values: \"{}\"",
                KNOWN.join("\", \"")
            ));
        }
    }
    let Some(hash) = present(balancer, "consistentHash") else { return };
    if let Some(cookie) = present(hash, "httpCookie")
        && text(cookie, "name").is_empty()
    {
        errors.add("name required for HttpCookie");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_are_refused_in_istios_words() {
        let subset = |name: &str| json!({"name": name, "labels": {"version": name}});
        for (spec, answer) in [
            (json!({"host": "flaskapp", "subsets": [subset("v1"), subset("v2")]}), "ok"),
            (json!({"host": "flaskapp.istio-app.svc.cluster.local"}), "ok"),
            (json!({}), "spec.host: Required value"),
            (json!({"host": ""}), "empty domain name not allowed"),
            (json!({"host": "a_b"}), "domain name \"a_b\" invalid (label \"a_b\" invalid)"),
            (json!({"host": "flaskapp", "subsets": [subset("v1"), subset("v1")]}), "duplicate subset names: v1"),
            (json!({"host": "flaskapp", "subsets": [subset("")]}), "subset name cannot be empty"),
            (json!({"host": "flaskapp", "subsets": [{"labels": {}}]}), "spec.subsets[0].name: Required value"),
            (json!({"host": "flaskapp", "subsets": [subset("V_1")]}), "subset name is invalid: V_1"),
            (json!({"host": "f", "trafficPolicy": {"loadBalancer": {"simple": "ROUND_ROBIN"}}}), "ok"),
            (
                json!({"host": "f", "trafficPolicy": {"loadBalancer": {"consistentHash": {"httpCookie": {"ttl": "0s"}}}}}),
                "name required for HttpCookie",
            ),
            (
                json!({"host": "f", "trafficPolicy": {"portLevelSettings": [{"port": {"number": 0}, "tls": {}}]}}),
                "port number 0 must be in the range 1..65535",
            ),
        ] {
            let result = destination_rule(&json!({"spec": spec}));
            assert_eq!(result.err().as_deref().unwrap_or("ok"), answer, "{spec}");
        }
    }
}
