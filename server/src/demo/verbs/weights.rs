//! Moves requests between versions: the DestinationRule first, then the VirtualService, then the proxies' acknowledgement.
//!
//! Proxies follow within milliseconds on the embedded cluster, about 100 ms with Istio. Repeating it changes nothing.
//! Errors: `not_deployed`, `bad_request`, `weight_owned`, `not_ours`, `refused`.
use crate::demo::errors::{api_error, failed, no_mesh, not_ours, unseen};
use crate::demo::namespace::facts::{Facts, Line};
use crate::demo::namespace::state::{NamespaceState, ToAgent};
use crate::demo::objects::{Id, ROUTE_HOST};
use crate::demo::plan::Presence;
use crate::demo::plan::observe::observe;
use crate::demo::pollers::acks::{self, Expected};
use crate::demo::view::commands;
use crate::demo::view::status;
use crate::demo::virtual_service;
use crate::k8s::{ApplyError, Cache, CachedObject, KindName, MANAGER, ours};
use app::text::messages::{causes, errors};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use tracing::info;
use wire::{ApiError, Code, Shifted, Split, TimesMs, Verb};

/// How often a route that somebody else changes at the same time is read again.
const RETRIES: usize = 5;
/// A change that waited this long for its turn is not what people want any more where a newer one waits.
const STALE: Duration = Duration::from_secs(2);
/// Longest wait for acknowledgements before the answer says who is missing.
const ACK_PATIENCE: Duration = Duration::from_secs(1);

/// Sets the weights; answers when every client-side proxy has them, or after 1 s.
pub async fn weights(state: &NamespaceState, by: &str, split: Split) -> Result<Shifted, ApiError> {
    let asked = Instant::now();
    let place = state.moves.fetch_add(1, Ordering::Relaxed) + 1;
    let _turn = state.route_turn.lock().await;
    if asked.elapsed() > STALE && state.moves.load(Ordering::Relaxed) != place {
        return Err(ApiError::new(Code::Refused, errors::weights_stale(split.to_string()), errors::newest_counts()));
    }
    let cache = state.looked_at(|look| look.proxies).await?;
    check(state, &cache, &split)?;
    let outcome = shift(state, by, &split, asked, Force::No).await;
    if let Err(error) = &outcome {
        if error.code == Code::Forbidden {
            state.recheck.notify_one();
        }
        let line = Line {
            by: by.to_owned(),
            verb: Some(Verb::Weights),
            what: split.to_string().into(),
            error: Some(error.clone()),
            ..Line::default()
        };
        state.facts.send_modify(|f| f.note_failure(line));
    }
    outcome
}

/// Whether a person clicked to take the route over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Another manager's claim is an error.
    No,
    /// *Adopt* or *revert* was clicked.
    Clicked,
}

/// Writes the weights and waits for the proxies. The caller holds the route's turn.
pub async fn shift(
    state: &NamespaceState,
    by: &str,
    split: &Split,
    asked: Instant,
    force: Force,
) -> Result<Shifted, ApiError> {
    ensure_subsets(state, split).await?;
    let expected = Expected::new(split.clone(), asked, &state.facts.borrow());
    let written = write(state, by, split, force).await?;
    let accepted = millis(asked);
    state.facts.send_modify(|f| {
        f.ours = Some(split.clone());
        by.clone_into(&mut f.desired_by);
    });
    let pending = acks::acknowledged(state, expected, ACK_PATIENCE).await;
    let acknowledged = pending.as_ref().is_some_and(Vec::is_empty);
    let so_far_ms = millis(asked);
    let times =
        TimesMs { accepted: Some(accepted), acknowledged: acknowledged.then_some(so_far_ms), first_request: None };
    info!(namespace = %state.ns, by, split = %split, revision = written, acknowledged, duration_ms = so_far_ms, "Weights {split} by {by}");
    let line = note(state, by, split, times);
    if acknowledged {
        // A full queue costs one figure in the log, nothing else.
        let _ = state.to_agent.try_send(ToAgent::FirstRequest { line, so_far_ms, split: split.clone() });
    }
    Ok(Shifted { revision: written, acknowledged, pending: pending.unwrap_or_default(), times })
}

fn note(state: &NamespaceState, by: &str, split: &Split, times: TimesMs) -> u64 {
    let line = Line {
        by: by.to_owned(),
        verb: Some(Verb::Weights),
        what: split.to_string().into(),
        command: commands::weights_to(state, &state.now(), split).unwrap_or_default(),
        split: Some(split.clone()),
        times: Some(times),
        error: None,
    };
    let mut id = 0;
    state.facts.send_modify(|f| id = f.note(line));
    id
}

fn check(state: &NamespaceState, cache: &Cache, split: &Split) -> Result<(), ApiError> {
    let seen = observe(cache);
    let there =
        |id: Id| seen.objects.get(&id).is_some_and(|o| matches!(o.presence, Presence::Ours | Presence::Foreign));
    if state.facts.borrow().goal.teardown || !there(Id::SERVICE) {
        return Err(ApiError::new(Code::NotDeployed, errors::nothing_to_split(), errors::deploy_first()));
    }
    if !seen.mesh {
        return Err(no_mesh());
    }
    if let Some(why) = &seen.mesh_unseen {
        return Err(unseen(why));
    }
    let mut known = virtual_service::defined_subsets(cache, state.ns.as_str());
    let deployments = cache.all(KindName::Deployment).filter_map(|d| {
        let labels = &d.object.data["spec"]["template"]["metadata"]["labels"];
        (labels["app"] == "flaskapp").then(|| labels["version"].as_str().map(str::to_owned)).flatten()
    });
    known.extend(deployments);
    match split.iter().find(|(name, _)| !known.iter().any(|k| k == name)) {
        Some((name, _)) => {
            known.sort();
            known.dedup();
            Err(ApiError::new(Code::BadRequest, errors::no_such_version(name), errors::versions_are(known.join(", "))))
        }
        None => Ok(()),
    }
}

/// Makes the DestinationRule where there is none, and puts in what the route names and it lacks.
pub async fn make_subsets(state: &NamespaceState) -> Result<(), ApiError> {
    let _turn = state.route_turn.lock().await;
    let cache = state.now();
    let named = virtual_service::find(&cache, state.ns.as_str())
        .map_or_else(Vec::new, |seen| virtual_service::subsets(&seen.object));
    add_subsets(state, &named).await
}

/// Sees to it that a DestinationRule defines every subset of the split.
async fn ensure_subsets(state: &NamespaceState, split: &Split) -> Result<(), ApiError> {
    let defined = virtual_service::defined_subsets(&state.now(), state.ns.as_str());
    if split.iter().all(|(name, _)| defined.iter().any(|d| d == name)) {
        return Ok(());
    }
    let named: Vec<String> = split.iter().map(|(name, _)| name.to_owned()).collect();
    add_subsets(state, &named).await?;
    acks::know_subsets(state, split).await;
    Ok(())
}

/// Adds subsets to our DestinationRule. All that it says stays, so an edit by others is no conflict: the list, atomic under
/// server-side apply, is written as it was read with what it lacks, only while that is the newest.
async fn add_subsets(state: &NamespaceState, named: &[String]) -> Result<(), ApiError> {
    let ns = state.ns.as_str();
    let mut base = state.now().get(Id::RULE.kind, Id::RULE.name).cloned();
    for _ in 0..RETRIES {
        let mut object = state.manifests.object(Id::RULE, ns, None);
        let made = object["spec"]["subsets"].clone();
        if let Some(rule) = &base {
            if !ours(&rule.object) {
                return Err(not_ours(Id::RULE));
            }
            object["spec"]["subsets"] = match &rule.object.data["spec"]["subsets"] {
                Value::Array(subsets) => subsets.clone().into(),
                _ => json!([]),
            };
            object["metadata"]["resourceVersion"] = json!(rule.object.metadata.resource_version);
        }
        if let Some(subsets) = object["spec"]["subsets"].as_array_mut() {
            for name in named {
                if !subsets.iter().any(|s| s["name"] == **name) {
                    let ready_made = made.as_array().into_iter().flatten().find(|s| s["name"] == **name).cloned();
                    subsets.push(ready_made.unwrap_or_else(|| json!({"name": name, "labels": {"version": name}})));
                }
            }
        }
        match state.writer.apply(Id::RULE.kind, ns, &object, base.is_some()).await {
            Ok(_) => return Ok(()),
            Err(ApplyError::Stale) => base = reread(state, Id::RULE, Id::RULE.name).await?,
            Err(error) => return Err(failed(causes::apply(Id::RULE.to_string()), &error)),
        }
    }
    Err(failed(causes::apply(Id::RULE.to_string()), &ApplyError::Stale))
}

/// Makes the route where there is none, half and half.
pub async fn make_route(state: &NamespaceState) -> Result<(), ApiError> {
    let _turn = state.route_turn.lock().await;
    let split = Split::v1_v2(50)
        .map_err(|e| ApiError::new(Code::Internal, errors::no_such_split(e.to_string()), errors::report_defect()))?;
    acks::know_subsets(state, &split).await;
    let by = state.facts.borrow().operation.as_ref().map_or_else(String::new, |o| o.by.clone());
    write(state, &by, &split, Force::No).await?;
    state.facts.send_modify(|f| {
        f.ours = Some(split);
        f.desired_by = by;
    });
    Ok(())
}

/// Writes the whole route; reads it again where somebody changed it at the same time. Gives its resourceVersion.
async fn write(state: &NamespaceState, by: &str, split: &Split, force: Force) -> Result<String, ApiError> {
    let ns = state.ns.as_str();
    let mut base = virtual_service::find(&state.now(), ns).cloned();
    for _ in 0..RETRIES {
        let name =
            base.as_ref().and_then(|b| b.object.metadata.name.clone()).unwrap_or_else(|| Id::ROUTE.name.to_owned());
        let version =
            |seen: &Option<Arc<CachedObject>>| seen.as_ref().and_then(|s| s.object.metadata.resource_version.clone());
        let object = wanted(state, base.as_deref(), by, split)?;
        match state.writer.apply(Id::ROUTE.kind, ns, &object, force == Force::Clicked).await {
            Ok(stored) if force == Force::Clicked => match state.writer.own_route(ns, stored).await {
                Ok(stored) => return Ok(stored.metadata.resource_version.unwrap_or_default()),
                Err(ApplyError::Stale) => base = reread(state, Id::ROUTE, &name).await?,
                Err(error) => return Err(failed(causes::take_route_over(), &error)),
            },
            Ok(stored) => return Ok(stored.metadata.resource_version.unwrap_or_default()),
            Err(ApplyError::Stale) => base = reread(state, Id::ROUTE, &name).await?,
            Err(ApplyError::Owned { managers, .. }) => {
                // What differs may be no more than what the watch has not shown yet.
                let newest = reread(state, Id::ROUTE, &name).await?;
                if version(&newest) == version(&base) {
                    return Err(owned(&managers, base.as_deref(), ns, &state.facts.borrow()));
                }
                base = newest;
            }
            Err(error) => return Err(failed(causes::set_weights(), &error)),
        }
    }
    Err(failed(causes::set_weights(), &ApplyError::Stale))
}

fn wanted(state: &NamespaceState, base: Option<&CachedObject>, by: &str, split: &Split) -> Result<Value, ApiError> {
    let ns = state.ns.as_str();
    let Some(base) = base else {
        let mut object = state.manifests.object(Id::ROUTE, ns, None);
        object["spec"]["http"] = virtual_service::new_http(split);
        annotate(&mut object, by, split);
        return Ok(object);
    };
    if !virtual_service::in_mesh(&base.object) {
        return Err(ApiError::new(Code::NotOurs, errors::gateway_only(), errors::add_mesh()));
    }
    let Some(http) = virtual_service::with_weights(&base.object.data["spec"]["http"], split, ns) else {
        return Err(ApiError::new(Code::NotOurs, errors::no_rule_for(ROUTE_HOST), errors::change_rules()));
    };
    let name = base.object.metadata.name.clone().unwrap_or_default();
    if ours(&base.object) && name == Id::ROUTE.name {
        let mut object = state.manifests.object(Id::ROUTE, ns, None);
        // What others have set of it beside the weights (more hosts, say) is theirs to change back: it is written as it was read.
        if let Some(spec) = object["spec"].as_object_mut() {
            for (field, value) in spec.iter_mut() {
                value.clone_from(&base.object.data["spec"][field.as_str()]);
            }
            spec.retain(|_, value| !value.is_null());
        }
        object["spec"]["http"] = http;
        annotate(&mut object, by, split);
        if base.owners.iter().any(|owner| owner != MANAGER) {
            object["metadata"]["resourceVersion"] = json!(base.object.metadata.resource_version);
        }
        return Ok(object);
    }
    // What others made keeps all but its weights, and never gets our label.
    Ok(json!({
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": ns, "resourceVersion": base.object.metadata.resource_version},
        "spec": {"http": http},
    }))
}

fn annotate(object: &mut Value, by: &str, split: &Split) {
    let written = serde_json::to_string(split).unwrap_or_default();
    object["metadata"]["annotations"] = json!({status::WEIGHTS_NOTE: written, status::BY_NOTE: by});
}

async fn reread(state: &NamespaceState, id: Id, name: &str) -> Result<Option<Arc<CachedObject>>, ApiError> {
    let read = state.cluster.api(id.kind, state.ns.as_str()).get_opt(name).await;
    Ok(read
        .map_err(|e| api_error(causes::read(id.to_string()), &e))?
        .map(|object| Arc::new(CachedObject::read(object))))
}

fn owned(managers: &[String], base: Option<&CachedObject>, ns: &str, facts: &Facts) -> ApiError {
    let managers = managers.join(", ");
    let theirs = base.and_then(|b| virtual_service::split(&b.object, ns)).map(|split| split.to_string());
    let ours = base.and_then(|b| status::our_weights(b, facts)).map(|split| split.to_string());
    let message = match (theirs, ours) {
        (None, None) => errors::weights_owned(managers),
        (Some(theirs), None) => errors::weights_owned_as(managers, theirs),
        (None, Some(ours)) => errors::weights_owned_from(managers, ours),
        (Some(theirs), Some(ours)) => errors::weights_owned_as_from(managers, theirs, ours),
    };
    ApiError::new(Code::WeightOwned, message, errors::adopt_or_revert())
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
