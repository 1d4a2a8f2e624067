//! Readers and small writers of Kubernetes objects as JSON, so that a planner's lines say what they mean.
use crate::Object;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::fmt;
use std::time::Duration;

/// `metadata.name`; empty where there is none.
pub(crate) fn name(object: &Object) -> &str {
    text(object, "/metadata/name")
}

/// `metadata.namespace`; empty for objects of the cluster.
pub(crate) fn namespace(object: &Object) -> &str {
    text(object, "/metadata/namespace")
}

/// `metadata.uid`.
pub(crate) fn uid(object: &Object) -> &str {
    text(object, "/metadata/uid")
}

/// The string at a JSON pointer; empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The integer at a JSON pointer.
pub(crate) fn int(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// The array at a JSON pointer; empty where there is none.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The time at a JSON pointer, RFC 3339 as `metav1.Time` and `MicroTime` write it.
pub(crate) fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    object.pointer(pointer).and_then(Value::as_str).and_then(|t| t.parse().ok())
}

/// `metav1.Time`: whole seconds, UTC.
pub(crate) fn stamp(at: Timestamp) -> Value {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string().into()
}

/// Time from `since` to `now`; zero where `since` lies ahead.
pub(crate) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// `metadata.labels[key]`.
pub(crate) fn label<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(key)?.as_str()
}

/// `metadata.annotations[key]`.
pub(crate) fn annotation<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(key)?.as_str()
}

/// Sets `metadata.annotations[key]`; tells whether that changed anything.
pub(crate) fn annotate(object: &mut Object, key: &str, value: &str) -> bool {
    if annotation(object, key) == Some(value) {
        return false;
    }
    let annotations = &mut object["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = json!({});
    }
    annotations[key] = value.into();
    true
}

/// Whether deletion was asked for and waits for its finalizers or its grace period.
pub(crate) fn is_deleting(object: &Object) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string)
}

/// The owner reference with `controller: true`.
pub(crate) fn controller_of(object: &Object) -> Option<&Value> {
    list(object, "/metadata/ownerReferences").iter().find(|r| r["controller"] == true)
}

/// Whether `owner` is the object's controller, by uid.
pub(crate) fn is_controlled_by(object: &Object, owner: &Object) -> bool {
    !uid(owner).is_empty() && controller_of(object).is_some_and(|r| text(r, "/uid") == uid(owner))
}

/// An owner reference that makes `owner` the controller of what carries it.
pub(crate) fn controller_reference(owner: &Object, api_version: &str, kind: &str) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "name": name(owner), "uid": uid(owner),
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// The condition of this type in `status.conditions`.
pub(crate) fn condition<'a>(object: &'a Object, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|c| c["type"] == kind)
}

/// Whether `status.conditions` has this type with status `True`.
pub(crate) fn is_true(object: &Object, kind: &str) -> bool {
    condition(object, kind).is_some_and(|c| c["status"] == "True")
}

/// Whether `labels` carry every pair of `wanted`. An empty selector selects nothing here, as a Service's does.
pub(crate) fn selects(wanted: &Map<String, Value>, object: &Object) -> bool {
    !wanted.is_empty() && wanted.iter().all(|(k, v)| label(object, k).is_some_and(|has| v == has))
}

/// Kubernetes' `IntOrString` as a share of `total`: an integer, or a percentage rounded as told.
///
/// Source: `intstr.GetScaledValueFromIntOrPercent`. Anything else counts as 0.
pub(crate) fn share_of(value: &Value, total: i64, round_up: bool) -> i64 {
    if let Some(number) = value.as_i64() {
        return number;
    }
    let percent = value.as_str().and_then(|s| s.strip_suffix('%')).and_then(|p| p.parse::<i64>().ok()).unwrap_or(0);
    let hundredths = percent.saturating_mul(total);
    if round_up { hundredths.saturating_add(99).div_euclid(100) } else { hundredths.div_euclid(100) }
}

/// Group and plural of a kind; the shell finds the rest in the registry's table.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct KindName {
    /// API group; empty for the core group.
    pub group: std::borrow::Cow<'static, str>,
    /// Lower-case plural, as in URLs.
    pub plural: std::borrow::Cow<'static, str>,
}

impl KindName {
    const fn of(group: &'static str, plural: &'static str) -> KindName {
        KindName { group: std::borrow::Cow::Borrowed(group), plural: std::borrow::Cow::Borrowed(plural) }
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plural)
    }
}

pub(crate) const CONFIG_MAPS: KindName = KindName::of("", "configmaps");
pub(crate) const DEPLOYMENTS: KindName = KindName::of("apps", "deployments");
pub(crate) const ENDPOINT_SLICES: KindName = KindName::of("discovery.k8s.io", "endpointslices");
pub(crate) const EVENTS: KindName = KindName::of("", "events");
pub(crate) const NAMESPACES: KindName = KindName::of("", "namespaces");
pub(crate) const NODES: KindName = KindName::of("", "nodes");
pub(crate) const PODS: KindName = KindName::of("", "pods");
pub(crate) const REPLICA_SETS: KindName = KindName::of("apps", "replicasets");
pub(crate) const SERVICES: KindName = KindName::of("", "services");
pub(crate) const SERVICE_ACCOUNTS: KindName = KindName::of("", "serviceaccounts");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_rounded_as_asked_and_an_integer_is_taken_as_it_is() {
        for (value, total, up, down) in [
            (json!("25%"), 1, 1, 0),
            (json!("25%"), 4, 1, 1),
            (json!("25%"), 5, 2, 1),
            (json!("100%"), 3, 3, 3),
            (json!("0%"), 3, 0, 0),
            (json!(2), 1, 2, 2),
            (json!("nonsense"), 9, 0, 0),
            (Value::Null, 9, 0, 0),
        ] {
            assert_eq!(
                (share_of(&value, total, true), share_of(&value, total, false)),
                (up, down),
                "{value} of {total}"
            );
        }
    }

    #[test]
    fn an_empty_selector_selects_nothing() {
        let pod = json!({"metadata": {"labels": {"app": "flaskapp", "version": "v1"}}});
        let selects = |s: Value| selects(s.as_object().unwrap(), &pod);
        assert!(selects(json!({"app": "flaskapp"})));
        assert!(!selects(json!({"app": "flaskapp", "version": "v2"})));
        assert!(!selects(json!({})));
    }

    #[test]
    fn times_are_written_in_whole_seconds() {
        let at: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(stamp(at), "2026-01-02T03:04:05Z");
    }
}
