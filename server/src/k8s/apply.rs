//! The only writer. Server-side apply under one field manager; `force` only where a person clicked for it.
use super::client::Cluster;
use super::kinds::{KindName, MANAGER};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Other field managers own what was to be written.
    #[error("owned by {}", managers.join(", "))]
    Owned {
        /// Their names.
        managers: Vec<String>,
        /// What they own of it: `.spec.replicas`.
        fields: Vec<String>,
    },
    /// It changed since it was read: read again.
    #[error("it changed since it was read")]
    Stale,
    /// Anything else.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

/// The panel's pen.
#[derive(Clone)]
pub struct Writer {
    cluster: Cluster,
}

impl Writer {
    /// A writer on a cluster.
    pub fn new(cluster: Cluster) -> Writer {
        Writer { cluster }
    }

    /// Applies an object. With a resourceVersion in it, only while that is the newest. Repeating it changes nothing.
    pub async fn apply(
        &self,
        kind: KindName,
        ns: &str,
        object: &Value,
        force: bool,
    ) -> Result<DynamicObject, ApplyError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let mut object = object.clone();
        object["apiVersion"] = self.cluster.resource(kind).api_version.into();
        let mut params = PatchParams::apply(MANAGER);
        params.force = force;
        self.cluster.api(kind, ns).patch(name, &params, &Patch::Apply(&object)).await.map_err(classify)
    }

    /// The same, but over other managers' claims on this one field: a person clicked for that field, and for no other.
    pub async fn apply_over(
        &self,
        kind: KindName,
        ns: &str,
        object: &Value,
        field: &str,
    ) -> Result<DynamicObject, ApplyError> {
        match self.apply(kind, ns, object, false).await {
            Err(ApplyError::Owned { fields, .. }) if fields.iter().all(|f| f.ends_with(field)) => {
                self.apply(kind, ns, object, true).await
            }
            answered => answered,
        }
    }

    /// Makes the panel the only owner of `.spec.http`. A forced apply of equal values leaves the others as owners beside it, so that
    /// the next change would be a conflict again; who clicked *adopt* has settled that.
    pub async fn own_route(&self, ns: &str, stored: DynamicObject) -> Result<DynamicObject, ApplyError> {
        let mut entries = stored.metadata.managed_fields.clone().unwrap_or_default();
        let mut released = false;
        for entry in entries.iter_mut().filter(|e| e.manager.as_deref() != Some(MANAGER)) {
            if let Some(spec) =
                entry.fields_v1.as_mut().and_then(|f| f.0.get_mut("f:spec")).and_then(Value::as_object_mut)
            {
                released |= spec.remove("f:http").is_some();
            }
        }
        if !released {
            return Ok(stored);
        }
        let name = stored.metadata.name.unwrap_or_default();
        let patch =
            json!({"metadata": {"resourceVersion": stored.metadata.resource_version, "managedFields": entries}});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        self.cluster
            .api(KindName::VirtualService, ns)
            .patch(&name, &params, &Patch::Merge(patch))
            .await
            .map_err(classify)
    }

    /// Gives a Deployment so many replicas.
    pub async fn scale(&self, kind: KindName, ns: &str, name: &str, replicas: u32) -> Result<(), ApplyError> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.cluster.api(kind, ns).patch_scale(name, &params, &patch).await.map(|_| ()).map_err(classify)
    }

    /// Deletes an object if it is still the one that was seen. Gone already is fine.
    pub async fn delete(&self, kind: KindName, ns: &str, name: &str, uid: Option<String>) -> Result<(), ApplyError> {
        let params = DeleteParams::background().preconditions(Preconditions { uid, resource_version: None });
        match self.cluster.api(kind, ns).delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(classify(error)),
        }
    }
}

fn classify(error: kube::Error) -> ApplyError {
    let kube::Error::Api(status) = &error else { return ApplyError::Api(error) };
    if status.code != 409 {
        return ApplyError::Api(error);
    }
    let causes = status.details.iter().flat_map(|d| d.causes.iter()).filter(|c| c.reason == "FieldManagerConflict");
    // `conflict with "kubectl-edit" using networking.istio.io/v1`: the manager is the quoted part.
    let named = |message: &str| message.split('"').nth(1).map(str::to_owned);
    let (mut managers, fields): (Vec<String>, Vec<String>) =
        causes.filter_map(|c| Some((named(&c.message)?, c.field.clone()))).unzip();
    managers.dedup();
    if managers.is_empty() { ApplyError::Stale } else { ApplyError::Owned { managers, fields } }
}
