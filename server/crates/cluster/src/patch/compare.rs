//! Which fields differ between two objects, in the terms of field ownership.
use super::owned::{Owned, Step, granular, step_of};
use crate::kinds::schema::Shape;
use serde_json::Value;
use std::collections::BTreeMap;

/// What differs.
#[derive(Default)]
pub(crate) struct Difference {
    /// New fields and changed ones.
    pub(crate) written: Owned,
    /// Fields that are gone.
    pub(crate) removed: Owned,
}

impl Difference {
    pub(crate) fn between(old: &Value, new: &Value, shape: &Shape) -> Difference {
        let mut difference = Difference::default();
        compare(Some(old), Some(new), shape, &mut difference);
        difference
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.written.is_empty() && self.removed.is_empty()
    }
}

fn compare(old: Option<&Value>, new: Option<&Value>, shape: &Shape, found: &mut Difference) {
    match (old, new) {
        (None, None) => {}
        (None, Some(new)) => found.written = Owned::of_added(new, shape),
        (Some(old), None) => found.removed = Owned { member: true, ..Owned::of_added(old, shape) },
        (Some(old), Some(new)) if old == new => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) if !shape.atomic() => {
            for name in after.keys().chain(before.keys().filter(|name| !after.contains_key(*name))) {
                let below = shape.field(name).unwrap_or(&Shape::Any);
                step(Step::Field(name.clone()), before.get(name), after.get(name), below, found);
            }
            // A map that had content and has none is a field by itself from now on, and the other way round.
            found.written.member |= after.is_empty();
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) if granular(shape) => {
            let (old, new) = (by_step(before, shape), by_step(after, shape));
            for element in after {
                if let Some(name) = step_of(element, shape) {
                    let old = old.get(&name).copied();
                    step(name, old, Some(element), shape.element(), found);
                }
            }
            for element in before {
                if let Some(name) = step_of(element, shape)
                    && !new.contains_key(&name)
                {
                    step(name, Some(element), None, shape.element(), found);
                }
            }
        }
        (Some(_), Some(new)) => {
            found.written = Owned::of_added(new, shape);
            found.written.member = true;
        }
    }
}

/// The first element of each name.
fn by_step<'a>(list: &'a [Value], shape: &Shape) -> BTreeMap<Step, &'a Value> {
    let mut first = BTreeMap::new();
    for element in list {
        if let Some(name) = step_of(element, shape) {
            first.entry(name).or_insert(element);
        }
    }
    first
}

fn step(name: Step, old: Option<&Value>, new: Option<&Value>, shape: &Shape, found: &mut Difference) {
    let mut below = Difference::default();
    compare(old, new, shape, &mut below);
    if old.is_none() && !matches!(name, Step::Field(_)) {
        below.written.member = true;
    }
    found.written.put(name.clone(), below.written);
    found.removed.put(name, below.removed);
}
