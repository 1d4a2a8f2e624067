//! Objects in the form that was asked for: as they are, as a `Table`, or their metadata alone.
use super::negotiate::{Form, Syntax};
use super::query::Query;
use super::respond::{self, Answer};
use crate::Object;
use crate::kinds::Kind;
use crate::registry::ObjectList;
use crate::status::Status;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// How much of the object goes with a Table's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Include {
    None,
    Metadata,
    Object,
}

/// A kind's objects, as one client wants them.
#[derive(Clone)]
pub(super) struct Shape {
    pub kind: Arc<Kind>,
    /// Of the request's path: a kind may be served in several versions.
    pub api_version: String,
    pub form: Form,
    pub syntax: Syntax,
    include: Include,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    kind: String,
    api_version: String,
    metadata: Value,
    items: Vec<Arc<Object>>,
}

impl Shape {
    /// # Errors
    /// 400 for an `includeObject` that is none.
    pub(super) fn new(
        kind: Arc<Kind>,
        api_version: String,
        (form, syntax): (Form, Syntax),
        query: &Query,
    ) -> Result<Shape, Status> {
        let include = match query.get("includeObject") {
            None | Some("Metadata") => Include::Metadata,
            Some("None") => Include::None,
            Some("Object") => Include::Object,
            Some(other) => {
                return Err(Status::bad_request(format!(
                    "includeObject: \"{other}\" is none of None, Metadata, Object"
                )));
            }
        };
        Ok(Shape { kind, api_version, form, syntax, include })
    }

    /// One object as the body of an answer.
    pub(super) fn answer(&self, code: StatusCode, object: &Arc<Object>) -> Answer {
        respond::object(code, self.syntax, &*self.object(object))
    }

    /// One object in that form.
    pub(super) fn object(&self, object: &Arc<Object>) -> Arc<Object> {
        match self.form {
            Form::Object => self.versioned(object),
            Form::Table => Arc::new(self.table(
                std::slice::from_ref(object),
                json!({"resourceVersion": object["metadata"]["resourceVersion"]}),
            )),
            Form::Partial => Arc::new(partial(object)),
        }
    }

    /// A list as the body of an answer.
    pub(super) fn list(&self, list: ObjectList) -> Answer {
        let mut metadata = json!({"resourceVersion": list.revision.to_string()});
        if let Some(next) = list.next {
            metadata["continue"] = next.into();
        }
        if let Some(remaining) = list.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
        match self.form {
            Form::Table => respond::object(StatusCode::OK, self.syntax, &self.table(&list.items, metadata)),
            Form::Partial => {
                let items = list.items.iter().map(|object| Arc::new(partial(object))).collect();
                let list = List {
                    kind: "PartialObjectMetadataList".to_owned(),
                    api_version: "meta.k8s.io/v1".to_owned(),
                    metadata,
                    items,
                };
                respond::object(StatusCode::OK, self.syntax, &list)
            }
            Form::Object => {
                let items = list.items.iter().map(|object| self.versioned(object)).collect();
                let list = List {
                    kind: format!("{}List", self.kind.kind),
                    api_version: self.api_version.clone(),
                    metadata,
                    items,
                };
                respond::object(StatusCode::OK, self.syntax, &list)
            }
        }
    }

    /// A bookmark of a watch: a version, and no rows for kubectl to print.
    pub(super) fn bookmark(&self, bookmark: &Arc<Object>) -> Arc<Object> {
        match self.form {
            Form::Table => Arc::new(self.table(&[], bookmark["metadata"].clone())),
            _ => self.object(bookmark),
        }
    }

    fn versioned(&self, object: &Arc<Object>) -> Arc<Object> {
        if object["apiVersion"] == self.api_version.as_str() {
            return object.clone();
        }
        let mut object = Object::clone(object);
        object["apiVersion"] = self.api_version.clone().into();
        Arc::new(object)
    }

    /// Source: Kubernetes API concepts, "Receiving resources as Tables".
    fn table(&self, objects: &[Arc<Object>], metadata: Value) -> Value {
        let columns: Vec<Value> = self.kind.columns.iter().map(|column| {
            json!({"name": column.name, "type": column.r#type, "format": column.format, "description": column.name, "priority": column.priority})
        }).collect();
        let rows: Vec<Value> = objects
            .iter()
            .map(|object| {
                let cells: Vec<Value> = self.kind.columns.iter().map(|column| (column.value)(object)).collect();
                match self.include {
                    Include::None => json!({"cells": cells}),
                    Include::Metadata => json!({"cells": cells, "object": partial(object)}),
                    Include::Object => json!({"cells": cells, "object": &*self.versioned(object)}),
                }
            })
            .collect();
        json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns, "rows": rows})
    }
}

fn partial(object: &Object) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(form: Form, query: &str) -> Shape {
        let kind =
            Arc::new(Kind::custom("networking.istio.io", &["v1", "v1beta1"], "VirtualService", "virtualservices"));
        Shape::new(kind, "networking.istio.io/v1beta1".into(), (form, Syntax::Json), &Query::parse(query).unwrap())
            .unwrap()
    }

    fn route() -> Arc<Object> {
        Arc::new(
            json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "a", "resourceVersion": "7"}, "spec": {"x": 1}}),
        )
    }

    #[test]
    fn objects_come_in_the_version_of_the_path() {
        let seen = shape(Form::Object, "").object(&route());
        assert_eq!((&seen["apiVersion"], &seen["spec"]), (&json!("networking.istio.io/v1beta1"), &json!({"x": 1})));
    }

    #[test]
    fn tables_carry_as_much_of_the_object_as_is_asked_for() {
        let table = shape(Form::Table, "").object(&route());
        assert_eq!(
            (&table["kind"], &table["rows"][0]["cells"][0], &table["metadata"]["resourceVersion"]),
            (&json!("Table"), &json!("a"), &json!("7"))
        );
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(
            table["columnDefinitions"][0],
            json!({"name": "Name", "type": "string", "format": "name", "description": "Name", "priority": 0})
        );
        assert_eq!(shape(Form::Table, "includeObject=Object").object(&route())["rows"][0]["object"]["spec"]["x"], 1);
        assert!(shape(Form::Table, "includeObject=None").object(&route())["rows"][0].get("object").is_none());
    }

    #[test]
    fn a_bookmark_prints_no_row() {
        let bookmark = Arc::new(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"resourceVersion": "9"}}));
        let seen = shape(Form::Table, "").bookmark(&bookmark);
        assert_eq!((&seen["rows"], &seen["metadata"]["resourceVersion"]), (&json!([]), &json!("9")));
    }
}
