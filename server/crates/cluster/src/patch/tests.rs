//! Laws that patches keep whatever the objects are.
use super::*;
use crate::kinds::{Kind, Kinds};
use proptest::prelude::*;
use serde_json::json;

#[test]
fn merge_patches_as_rfc_7386_has_them() {
    for (target, patch, merged) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), json!(null), json!(null)),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        assert_eq!(merge(&target, &patch), merged, "{target} + {patch}");
    }
}

#[test]
fn a_json_patch_cannot_grow_or_deepen_an_object_without_end() {
    let object = json!({"metadata": {"name": "p", "annotations": {"a": "x".repeat(1000)}}});
    let copies: Vec<Value> =
        (0..14).map(|i| json!({"op": "copy", "from": "/metadata", "path": format!("/metadata/x{i}")})).collect();
    assert_eq!(json(&object, &copies.into()).unwrap_err().code, 413);
    let chain = |levels: usize| (0..levels).fold(json!(1), |below, _| json!({"a": below}));
    let add = |path: usize| json!({"op": "add", "path": "/a".repeat(path), "value": chain(60)});
    assert_eq!(json(&json!({}), &json!([add(1), add(60), add(119)])).unwrap_err().code, 400);
    let moves = vec![
        json!({"op": "move", "from": "/a", "path": "/b"}),
        json!({"op": "add", "path": "/a", "value": {}}),
        json!({"op": "move", "from": "/b", "path": "/a/b"}),
    ];
    let rounds: Vec<Value> = (0..40).flat_map(|_| moves.clone()).collect();
    assert_eq!(json(&json!({"a": chain(60)}), &rounds.into()).unwrap_err().code, 400);
    let copied =
        json(&object, &json!([{"op": "copy", "from": "/metadata/name", "path": "/metadata/namespace"}])).unwrap();
    assert_eq!(copied["metadata"]["namespace"], "p");
}

/// Pods with few names, so that they meet.
fn pod() -> impl Strategy<Value = Value> {
    let name = || proptest::sample::select(vec!["a", "b", "c"]);
    let env = proptest::collection::btree_map(name(), name(), 0..3)
        .prop_map(|m| m.into_iter().map(|(k, v)| json!({"name": k, "value": v})).collect::<Vec<_>>());
    let container = (name(), env, proptest::option::of(proptest::collection::vec(name(), 0..3)));
    let labels = proptest::collection::btree_map(name(), name(), 0..3);
    (proptest::collection::btree_map(name(), container, 0..3), labels, proptest::option::of(name())).prop_map(|(containers, labels, host)| {
        let containers: Vec<Value> = containers
            .into_iter()
            .map(|(name, (image, env, args))| {
                let mut c = json!({"name": name, "image": image, "env": env});
                if let Some(args) = args {
                    c["args"] = json!(args);
                }
                c
            })
            .collect();
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": labels}, "spec": {"containers": containers}});
        if let Some(host) = host {
            pod["spec"]["hostname"] = host.into();
        }
        pod
    })
}

fn kind() -> std::sync::Arc<Kind> {
    Kinds::builtin().find("", "pods").unwrap().clone()
}

fn applied(live: Option<&Value>, config: &Value, by: &str) -> Value {
    apply(&kind(), live, config, by, "", true).unwrap()
}

fn without_managers(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"].as_object_mut().unwrap().shift_remove("managedFields");
    object
}

/// Neither empty maps nor empty lists, which an apply leaves or drops as it finds them.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.iter().map(|(k, v)| (k.clone(), bare(v))).filter(|(_, v)| !empty(v)).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(bare).collect()),
        other => other.clone(),
    }
}

fn empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

proptest! {
    #[test]
    fn applying_the_same_again_changes_nothing(first in pod(), second in pod()) {
        let live = applied(Some(&applied(None, &first, "one")), &second, "two");
        let again = applied(Some(&live), &second, "two");
        prop_assert_eq!(without_managers(&again), without_managers(&live));
        prop_assert_eq!(&again["metadata"]["managedFields"], &live["metadata"]["managedFields"]);
    }

    #[test]
    fn the_only_applier_gets_what_it_applies(first in pod(), second in pod()) {
        let live = applied(Some(&applied(None, &first, "one")), &second, "one");
        let sorted = |pod: &Value| {
            let mut pod = bare(&without_managers(pod));
            if let Some(list) = pod.pointer_mut("/spec/containers").and_then(Value::as_array_mut) {
                list.sort_by_key(|c| c["name"].to_string());
            }
            pod
        };
        prop_assert_eq!(sorted(&live), sorted(&second));
    }

    #[test]
    fn an_apply_without_force_never_takes_a_field(first in pod(), second in pod()) {
        let live = applied(None, &first, "one");
        if let Ok(both) = apply(&kind(), Some(&live), &second, "two", "", false) {
            let restored = apply(&kind(), Some(&both), &first, "one", "", false).unwrap();
            prop_assert_eq!(without_managers(&restored), without_managers(&both));
        }
    }

    #[test]
    fn strategic_patches_are_idempotent(before in pod(), patch in pod()) {
        let once = strategic(&kind(), &before, &patch).unwrap();
        prop_assert_eq!(strategic(&kind(), &once, &patch).unwrap(), once);
    }

    #[test]
    fn ownership_survives_writing_and_reading(pod in pod()) {
        let owned = owned::Owned::of_added(&pod, &crate::kinds::schema::Shape::Type("Pod"));
        prop_assert_eq!(owned::Owned::from_json(&owned.to_json()), owned);
    }

    #[test]
    fn no_patch_makes_the_verbs_panic(target in pod(), patch in any_json()) {
        let _ = strategic(&kind(), &target, &patch);
        let _ = json(&target, &patch);
        let _ = merge(&target, &patch);
        let mut wild = patch.clone();
        if check_fields(&kind(), &mut wild, crate::FieldValidation::Warn).is_ok() && wild.is_object() {
            let _ = apply(&kind(), Some(&target), &wild, "m", "", false);
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let field = proptest::sample::select(vec![
        "metadata",
        "spec",
        "containers",
        "name",
        "labels",
        "$patch",
        "$setElementOrder/containers",
        "$retainKeys",
        "env",
        "finalizers",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        field.clone().prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::btree_map(field.clone(), inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}
