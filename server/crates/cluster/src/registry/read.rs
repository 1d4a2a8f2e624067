//! get and list.
use super::{ListOptions, ObjectList, Registry, VersionMatch, key};
use crate::Object;
use crate::kinds::Kind;
use crate::select::{FieldSelector, LabelSelector};
use crate::status::Status;
use crate::store::Compacted;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::Arc;

impl Registry {
    /// One object. Errors: 404.
    pub fn get(&self, kind: &Kind, ns: Option<&str>, name: &str) -> Result<Arc<Object>, Status> {
        self.store.get(&key(kind, ns, name)?).ok_or_else(|| Status::not_found(&kind.resource(), name))
    }

    /// Objects of a kind, of all namespaces where `ns` is `None`.
    /// Errors: 400 for an unknown field or token, 410 where the state asked for is gone, 504 where it is yet to come.
    pub fn list(&self, kind: &Kind, ns: Option<&str>, o: &ListOptions) -> Result<ObjectList, Status> {
        check_fields(kind, &o.labels, &o.fields)?;
        let (resource, ns) = (kind.resource(), ns.filter(|_| kind.namespaced));
        let start = o.continue_token.as_deref().filter(|t| !t.is_empty()).map(Token::read).transpose()?;
        let wanted = o.resource_version.filter(|version| *version > 0);
        if start.is_some() && wanted.is_some() {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        let (objects, revision) = if let Some(start) = &start {
            let then = self.store.list_at(&resource, ns, start.revision).map_err(|_| continue_expired())?;
            (then, start.revision)
        } else if let Some(exact) = wanted.filter(|_| exactly(o)) {
            (self.store.list_at(&resource, ns, exact).map_err(|c| expired(exact, &c))?, exact)
        } else {
            let (objects, revision) = self.store.list(&resource, ns);
            if let Some(wanted) = wanted.filter(|wanted| *wanted > revision) {
                return Err(too_large(wanted, revision));
            }
            (objects, revision)
        };
        let after = start.map(|token| token.after);
        let fits = |object: &Arc<Object>| {
            after.as_ref().is_none_or(|after| place(object) > (after.0.as_str(), after.1.as_str()))
                && o.labels.matches(object)
                && o.fields.matches(object)
        };
        let mut items: Vec<Arc<Object>> = objects.into_iter().filter(fits).collect();
        let limit = o.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let (mut next, mut remaining) = (None, None);
        if items.len() > limit {
            if o.labels.is_empty() && o.fields.is_empty() {
                remaining = Some((items.len() - limit) as u64);
            }
            items.truncate(limit);
            next = items.last().map(|last| Token::write(revision, last));
        }
        Ok(ObjectList { items, revision, next, remaining })
    }
}

fn exactly(o: &ListOptions) -> bool {
    match o.version_match {
        Some(VersionMatch::Exact) => true,
        Some(VersionMatch::NotOlderThan) => false,
        // Without a word a limited list of a version means that version.
        None => o.limit.is_some_and(|limit| limit > 0),
    }
}

fn place(object: &Object) -> (&str, &str) {
    let of = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    (of("namespace"), of("name"))
}

/// `continue`: a revision and the last object handed out. Whoever makes one up reads what he may read anyway.
struct Token {
    revision: u64,
    after: (String, String),
}

impl Token {
    fn read(text: &str) -> Result<Token, Status> {
        let bad = || Status::bad_request("continue key is not valid: it is not what an earlier list answered");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        match (token["rv"].as_u64(), token["start"].as_str().and_then(|start| start.split_once('/'))) {
            (Some(revision), Some((ns, name))) => Ok(Token { revision, after: (ns.to_owned(), name.to_owned()) }),
            _ => Err(bad()),
        }
    }

    fn write(revision: u64, last: &Object) -> String {
        let (ns, name) = place(last);
        URL_SAFE_NO_PAD
            .encode(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": format!("{ns}/{name}")}).to_string())
    }
}

/// Errors: 400 for a field that the kind does not offer.
pub(super) fn check_fields(kind: &Kind, labels: &LabelSelector, fields: &FieldSelector) -> Result<(), Status> {
    let known = |path: &str| {
        path == "metadata.name"
            || (path == "metadata.namespace" && kind.namespaced)
            || kind.selectable.iter().any(|s| s == path)
    };
    match fields.paths().find(|path| !known(path)) {
        None => Ok(()),
        Some(path) => Err(Status::bad_request(format!(
            "Unable to find \"{}, Resource={}\" that match label selector \"{labels}\", field selector \"{path}\": field label not supported: {path}",
            kind.api_version(),
            kind.plural,
        ))),
    }
}

pub(super) fn expired(wanted: u64, c: &Compacted) -> Status {
    Status::expired(format!(
        "too old resource version: {wanted} ({})",
        if wanted < c.oldest { c.oldest } else { c.newest }
    ))
}

fn continue_expired() -> Status {
    Status::expired(
        "The provided continue parameter is too old to display a consistent list result. \
         You must start a new list without the continue parameter.",
    )
}

fn too_large(wanted: u64, newest: u64) -> Status {
    let message = format!("Timeout: Too large resource version: {wanted}, current: {newest}");
    let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
    Status::new(504, "Timeout", message).with_details(json!({"causes": [cause], "retryAfterSeconds": 1}))
}
