//! The demo's objects as the panel would apply them, as YAML. Changes nothing. Errors: `not_ours`.
use crate::demo::errors::not_ours;
use crate::demo::namespace::object;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::plan::Presence;
use crate::demo::plan::observe::observe;
use crate::demo::view::commands::Part;
use app::text::messages::errors;
use wire::{ApiError, Code};

/// A part as the panel would apply it here: as YAML. Errors: an object of such a name is not ours.
pub async fn manifests(state: &NamespaceState, part: Part) -> Result<String, ApiError> {
    let (ns, seen) = (state.ns.as_str(), observe(&*state.settled().await?));
    let mut objects = Vec::new();
    // A namespace that others made does not get our label: kubectl would put it on.
    if part != Part::Route && matches!(object::presence(state).await?, Presence::Absent | Presence::Ours) {
        objects.push(state.manifests.namespace(ns));
    }
    for id in part.objects() {
        let known = seen.objects.get(id);
        if known.is_some_and(|o| o.presence == Presence::Foreign) {
            return Err(not_ours(*id));
        }
        objects.push(state.manifests.object(*id, ns, known.and_then(|o| o.inject)));
    }
    let written: Result<Vec<String>, _> = objects.iter().map(serde_saphyr::to_string).collect();
    let written = written.map_err(|e| {
        ApiError::new(Code::Internal, errors::manifests_unwritten(e.to_string()), errors::report_defect())
    })?;
    Ok(written.join("---\n"))
}
