//! The OpenAPI document, `GET /api/openapi.json`. Source: OpenAPI Specification 3.1.0, whose schemas are JSON Schema 2020-12.
use super::endpoints::{self, Answer, Endpoint};
use axum::Json;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use wire::{ApiError, Verb};

/// `GET /api/openapi.json`.
pub async fn document() -> Json<Value> {
    Json(write())
}

fn write() -> Value {
    let settings = || SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut answers = settings().for_serialize().into_generator();
    // Inlined: a type that is read and written has one schema for each.
    let mut bodies = settings().for_deserialize().with(|s| s.inline_subschemas = true).into_generator();
    let error = json!({
        "description": "What failed and what to do about it. The status goes with `code`.",
        "content": {"application/json": {"schema": answers.subschema_for::<ApiError>()}},
    });
    let mut paths = Map::new();
    for endpoint in endpoints::all() {
        let operation = operation(&endpoint, &mut answers, &mut bodies, &error);
        let path = paths.entry(format!("/api/demo/{}", endpoint.path)).or_insert_with(|| json!({}));
        path[endpoint.method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "demo-panel",
            "description": "The panel's verbs and what they change. A verb answers when it is accepted; `status` shows its progress.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        // A panel without a token asks for none.
        "security": [{}, {"token": []}],
        "components": {
            "schemas": answers.take_definitions(true),
            "parameters": {"namespace": {
                "name": "namespace",
                "in": "query",
                "description": "The demo's namespace.",
                "schema": {"type": "string", "default": "istio-app", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"},
            }},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn operation(endpoint: &Endpoint, answers: &mut SchemaGenerator, bodies: &mut SchemaGenerator, error: &Value) -> Value {
    let content = match endpoint.answer {
        Answer::Json(schema) => json!({"application/json": {"schema": schema(answers)}}),
        Answer::Text(media) => json!({media: {"schema": {"type": "string"}}}),
    };
    let mut operation = json!({
        "operationId": endpoint.path.replace(['/', '-'], "_"),
        "summary": endpoint.summary.trim(),
        "responses": {
            endpoint.status.to_string(): {"description": "Success.", "content": content},
            "default": error,
        },
    });
    if endpoint.namespaced {
        let others = endpoint.parameters.iter().map(|(name, description)| {
            json!({"name": name, "in": "query", "description": description, "schema": {"type": "string"}})
        });
        let namespace = json!({"$ref": "#/components/parameters/namespace"});
        operation["parameters"] = std::iter::once(namespace).chain(others).collect();
    }
    if let Some(schema) = endpoint.verb.and_then(|verb| verb.schema(bodies)) {
        let example: Value =
            endpoint.verb.and_then(Verb::example).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        operation["requestBody"] = json!({
            "required": true,
            "content": {"application/json": {"schema": schema, "example": example}},
        });
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|v| references(v, found));
            }
            Value::Array(items) => items.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_endpoint_is_there() {
        let document = write();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} is not there");
        }
        for endpoint in endpoints::all() {
            let operation = &document["paths"][format!("/api/demo/{}", endpoint.path)][endpoint.method];
            let takes_body = endpoint.verb.and_then(Verb::example).is_some();
            assert_eq!(operation["requestBody"].is_object(), takes_body, "{}", endpoint.path);
        }
        let body = |verb: &str| {
            document["paths"][format!("/api/demo/{verb}")]["post"]["requestBody"]["content"]["application/json"]["schema"]
                .clone()
        };
        assert_eq!(body("inject")["properties"]["inject"]["type"], "boolean");
        assert_eq!(body("load")["required"], json!(["rate"]));
        assert_eq!(document["components"]["schemas"]["Status"]["properties"]["desired"]["anyOf"][1]["type"], "null");
    }
}
