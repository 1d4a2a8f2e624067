//! What controllers read: the registry's newest state, by a kind's name, empty where a kind does not exist.
use super::object::KindName;
use crate::Object;
use crate::kinds::Kind;
use crate::registry::{ListOptions, Registry};
use crate::status::Status;
use std::sync::Arc;

/// A reading view of the registry. Reads answer from memory and never wait.
#[derive(Clone)]
pub(crate) struct View {
    registry: Registry,
}

impl View {
    /// A view of this registry.
    pub fn new(registry: Registry) -> View {
        View { registry }
    }

    /// The registry, for writes.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// One object; none where it, or its kind, does not exist. `namespace` is ignored for kinds without.
    pub fn get(&self, kind: &KindName, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let kind = self.kind(kind)?;
        let namespace = (kind.namespaced && !namespace.is_empty()).then_some(namespace);
        self.registry.get(kind, namespace, name).ok()
    }

    /// All objects of a kind, of one namespace where that is not empty.
    pub fn list(&self, kind: &KindName, namespace: &str) -> Result<Vec<Arc<Object>>, Status> {
        let Some(kind) = self.kind(kind) else { return Ok(Vec::new()) };
        let namespace = (kind.namespaced && !namespace.is_empty()).then_some(namespace);
        Ok(self.registry.list(kind, namespace, &ListOptions::default())?.items)
    }

    /// The kind of an owner reference.
    pub fn kind_of(&self, api_version: &str, kind: &str) -> Option<KindName> {
        self.registry.kinds().by_api_version(api_version, kind).map(|k| name_of(k))
    }

    /// The kind's entry in the registry's table.
    pub fn kind(&self, name: &KindName) -> Option<&Arc<Kind>> {
        self.registry.kinds().find(&name.group, &name.plural)
    }

    /// All kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.registry.kinds().iter()
    }
}

/// Group and plural of a kind.
pub(super) fn name_of(kind: &Kind) -> KindName {
    KindName { group: kind.group.clone().into(), plural: kind.plural.clone().into() }
}
