//! The namespace's own object, which is not watched.
use super::state::NamespaceState;
use super::termination::held;
use crate::demo::errors::api_error;
use crate::demo::plan::Presence;
use crate::k8s::{KindName, ours};
use app::text::Message;
use app::text::messages::causes;
use std::collections::BTreeMap;
use wire::ApiError;

/// Whose the namespace is. What holds one that is being removed is put into the facts.
pub async fn presence(state: &NamespaceState) -> Result<Presence, ApiError> {
    let seen = look(state).await?;
    state.facts.send_if_modified(|f| {
        let before = (
            std::mem::replace(&mut f.namespace_held, seen.held.clone()),
            std::mem::replace(&mut f.namespace_labels, seen.labels.clone()),
        );
        before != (seen.held.clone(), seen.labels.clone())
    });
    Ok(seen.presence)
}

/// The namespace, as it is.
#[derive(Default)]
pub struct Looked {
    /// Whose it is.
    pub presence: Presence,
    /// Its uid.
    pub uid: Option<String>,
    labels: BTreeMap<String, String>,
    /// What holds it where it is being removed.
    held: Option<Message>,
}

/// Reads the namespace.
pub async fn look(state: &NamespaceState) -> Result<Looked, ApiError> {
    match state.cluster.api(KindName::Namespace, "").get_opt(state.ns.as_str()).await {
        Ok(None) => Ok(Looked::default()),
        Ok(Some(found)) => {
            let (uid, labels) = (found.metadata.uid.clone(), found.metadata.labels.clone().unwrap_or_default());
            let presence = match found.metadata.deletion_timestamp {
                Some(_) => Presence::Terminating,
                None if ours(&found) => Presence::Ours,
                None => Presence::Foreign,
            };
            let held = (presence == Presence::Terminating)
                .then(|| found.try_parse().map_or_else(|_| causes::does_not_say_why(), |typed| held(&typed)));
            Ok(Looked { presence, uid, labels, held })
        }
        // Without the right to look, the namespace is somebody else's: used, and never made or removed.
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Ok(Looked { presence: Presence::Foreign, ..Looked::default() })
        }
        Err(error) => Err(api_error(causes::read_namespace(), &error)),
    }
}
