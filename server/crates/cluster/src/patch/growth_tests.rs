//! Searches for inputs whose work grows faster than their size, up to the largest request that there may be.
//!
//! Work is the thread's own processor time, which does not depend on what else the machine does. A limit is some twenty times what
//! an unoptimised build needs, and a fortieth of what anything quadratic needs.
use super::{apply, check_fields, json as json_patch, managed, merge, strategic};
use crate::kinds::{Kind, Kinds, validate_metadata};
use crate::registry::FieldValidation;
use crate::status::Status;
use nix::time::{ClockId, clock_gettime};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The largest request that the API takes.
const LARGEST: usize = 1024 * 1024;

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// How the elements of the patch lie to those of the object.
#[derive(Clone, Copy, Debug)]
enum Order {
    Same,
    Reversed,
    Disjoint,
    Interleaved,
}

/// Where many elements may be.
#[derive(Clone, Copy, Debug)]
enum Place {
    Env,
    Ports,
    Volumes,
    Tolerations,
    Containers,
    Finalizers,
    Owners,
    Labels,
    Annotations,
    Data,
    HostAliases,
    Unknown,
}

#[derive(Clone, Copy, Debug)]
enum Verb {
    Strategic,
    StrategicDelete,
    StrategicOrder,
    StrategicReplace,
    StrategicPrimitives,
    Merge,
    MergeNulls,
    Apply,
    ApplyLess,
    ApplyForeign,
    Update,
}

const PLACES: [Place; 12] = [
    Place::Env,
    Place::Ports,
    Place::Volumes,
    Place::Tolerations,
    Place::Containers,
    Place::Finalizers,
    Place::Owners,
    Place::Labels,
    Place::Annotations,
    Place::Data,
    Place::HostAliases,
    Place::Unknown,
];
const VERBS: [Verb; 11] = [
    Verb::Strategic,
    Verb::StrategicDelete,
    Verb::StrategicOrder,
    Verb::StrategicReplace,
    Verb::StrategicPrimitives,
    Verb::Merge,
    Verb::MergeNulls,
    Verb::Apply,
    Verb::ApplyLess,
    Verb::ApplyForeign,
    Verb::Update,
];
const ORDERS: [Order; 4] = [Order::Same, Order::Reversed, Order::Disjoint, Order::Interleaved];

fn element(place: Place, i: usize) -> Value {
    match place {
        Place::Env => json!({"name": format!("E{i}"), "value": "v"}),
        Place::Ports => json!({"containerPort": i, "protocol": "TCP"}),
        Place::Volumes => json!({"name": format!("v{i}"), "emptyDir": {}}),
        Place::Tolerations => json!({"key": format!("k{i}")}),
        Place::Containers => json!({"name": format!("c{i}"), "image": "i"}),
        Place::Owners => json!({"uid": format!("u{i}"), "name": "o", "kind": "K", "apiVersion": "v1"}),
        Place::HostAliases => json!({"ip": format!("10.0.{}.{}", i / 256, i % 256), "hostnames": []}),
        _ => format!("x/{i}").into(),
    }
}

/// An object with these elements; `directive` stands beside their list.
fn object(place: Place, elements: Vec<Value>, directive: Option<(&str, Value)>) -> Value {
    let is_map = matches!(place, Place::Labels | Place::Annotations | Place::Data | Place::Unknown);
    let content = if is_map {
        Value::Object(elements.iter().map(|e| (e.as_str().unwrap_or_default().replace('/', "."), "v".into())).collect())
    } else {
        elements.into()
    };
    let (field, above) = match place {
        Place::Env => ("env", "container"),
        Place::Ports => ("ports", "container"),
        Place::Volumes => ("volumes", "spec"),
        Place::Tolerations => ("tolerations", "spec"),
        Place::Containers => ("containers", "spec"),
        Place::HostAliases => ("hostAliases", "spec"),
        Place::Finalizers => ("finalizers", "metadata"),
        Place::Owners => ("ownerReferences", "metadata"),
        Place::Labels => ("labels", "metadata"),
        Place::Annotations => ("annotations", "metadata"),
        Place::Data => ("nodeSelector", "spec"),
        Place::Unknown => ("unknown", "spec"),
    };
    let mut holder = Map::from_iter([(field.to_owned(), content)]);
    holder.extend(directive.map(|(directive, value)| (format!("{directive}{field}"), value)));
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "u", "resourceVersion": "1"}});
    match above {
        "container" => {
            holder.extend([("name".to_owned(), "main".into()), ("image".to_owned(), "i".into())]);
            pod["spec"] = json!({"containers": [holder]});
        }
        "spec" => pod["spec"] = holder.into(),
        _ => pod["metadata"].as_object_mut().unwrap().extend(holder),
    }
    pod
}

fn numbers(order: Order, n: usize) -> Vec<usize> {
    match order {
        Order::Same => (0..n).collect(),
        Order::Reversed => (0..n).rev().collect(),
        Order::Disjoint => (n..2 * n).collect(),
        Order::Interleaved => (0..n).map(|i| if i % 2 == 0 { i } else { 2 * n - i }).collect(),
    }
}

/// One request and all that is done with it before it is stored.
fn run(kind: &Kind, place: Place, verb: Verb, order: Order, size: usize) -> Result<Duration, Status> {
    let n = size / (element(place, 10_000).to_string().len() + 2);
    let elements = |numbers: Vec<usize>| numbers.into_iter().map(|i| element(place, i)).collect::<Vec<_>>();
    let mut old = object(place, elements((0..n).collect()), None);
    managed::written(kind, None, &mut old, "first", "");
    let changed = elements(numbers(order, n));
    let begun = cpu();
    let mut new = match verb {
        Verb::Strategic => strategic(kind, &old, &object(place, changed, None))?,
        Verb::StrategicDelete => {
            let gone = changed
                .into_iter()
                .map(|mut e| {
                    if e.is_object() {
                        e["$patch"] = "delete".into();
                    }
                    e
                })
                .collect();
            strategic(kind, &old, &object(place, gone, None))?
        }
        Verb::StrategicOrder => {
            strategic(kind, &old, &object(place, changed.clone(), Some(("$setElementOrder/", changed.into()))))?
        }
        Verb::StrategicReplace => {
            strategic(kind, &old, &object(place, [vec![json!({"$patch": "replace"})], changed].concat(), None))?
        }
        Verb::StrategicPrimitives => {
            strategic(kind, &old, &object(place, Vec::new(), Some(("$deleteFromPrimitiveList/", changed.into()))))?
        }
        Verb::Merge => merge(&old, &object(place, changed, None)),
        Verb::MergeNulls => merge(&old, &nulls(object(place, changed, None))),
        Verb::Apply | Verb::ApplyForeign => {
            apply(kind, Some(&old), &object(place, changed, None), "second", "", matches!(verb, Verb::Apply))?
        }
        Verb::ApplyLess => {
            let all = apply(kind, Some(&old), &object(place, changed, None), "second", "", true)?;
            apply(kind, Some(&all), &object(place, elements(vec![0]), None), "second", "", true)?
        }
        Verb::Update => object(place, changed, None),
    };
    check_fields(kind, &mut new, FieldValidation::Warn)?;
    (kind.prepare_update)(&old, &mut new);
    (kind.defaults)(&mut new);
    let causes =
        [validate_metadata(&kind.kind, &new), (kind.validate)(&new), (kind.validate_update)(&old, &new)].concat();
    managed::written(kind, Some(&old), &mut new, "third", "");
    if !causes.is_empty() {
        Status::invalid(&kind.kind, "", "p", &causes);
    }
    Ok(cpu() - begun)
}

/// Sets every leaf to null.
fn nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .map(|(name, below)| if below.is_object() { (name, nulls(below)) } else { (name, Value::Null) })
            .collect(),
        other => other,
    }
}

fn check(place: Place, verb: Verb, order: Order, sizes: &[usize]) {
    let kinds = Kinds::builtin();
    let kind = kinds.find("", "pods").unwrap();
    for size in sizes.iter().copied() {
        let limit = Duration::from_secs(1)
            + Duration::from_secs(15) * u32::try_from(size / 1024).unwrap() / u32::try_from(LARGEST / 1024).unwrap();
        // A refusal is an answer, too; what it takes is found in the cases that are none.
        let took = run(kind, place, verb, order, size).unwrap_or_default();
        assert!(took < limit, "{verb:?} of {place:?}, {order:?}, {} KiB: {took:?} of processor time", size / 1024);
    }
}

#[test]
fn no_patch_takes_more_work_than_its_size_asks_for() {
    for place in PLACES {
        for verb in VERBS {
            check(place, verb, Order::Reversed, &[LARGEST / 16]);
        }
    }
}

/// Operations of a JSON patch of that size on a long list.
fn operations(what: usize, size: usize) -> (Value, Value) {
    let list = json!({"metadata": {"name": "x"}, "a": (0..size / 2).map(|_| 0).collect::<Vec<_>>(), "b": [], "c": {}});
    let one = match what {
        0 => json!({"op": "remove", "path": "/a/0"}),
        1 => json!({"op": "add", "path": "/a/0", "value": 1}),
        2 => json!({"op": "move", "from": "/a/0", "path": "/b/0"}),
        3 => json!({"op": "copy", "from": "/a", "path": "/b/-"}),
        4 => json!({"op": "test", "path": "/a/0", "value": 0}),
        5 => json!({"op": "replace", "path": "/a/0", "value": 0}),
        _ => json!({"op": "add", "path": "/b/-", "value": []}),
    };
    let count = size / (one.to_string().len() + 1);
    (list, vec![one; count].into())
}

#[test]
fn no_json_patch_of_a_megabyte_takes_more_work_than_its_size_asks_for() {
    for what in 0..7 {
        for size in [LARGEST / 64, LARGEST / 8, LARGEST] {
            let (object, operations) = operations(what, size);
            let begun = cpu();
            let patched = json_patch(&object, &operations);
            let took = cpu() - begun;
            assert!(
                took < Duration::from_secs(10),
                "{} {} KiB: {took:?} of processor time, {:?}",
                operations[0],
                size / 1024,
                patched.err()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]
    #[test]
    fn no_patch_of_a_megabyte_takes_more_work_than_its_size_asks_for(place in 0..PLACES.len(), verb in 0..VERBS.len(), order in 0..ORDERS.len()) {
        check(PLACES[place], VERBS[verb], ORDERS[order], &[LARGEST / 8, LARGEST]);
    }
}
