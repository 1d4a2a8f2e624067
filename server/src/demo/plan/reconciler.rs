//! Pursues a namespace's goal: observe, plan, do; wait when there is nothing to do. The only place where steps are carried out.
use crate::demo::clock::now_ms;
use crate::demo::errors::{failed, no_mesh, not_ours, unseen};
use crate::demo::namespace::object;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::objects::Id;
use crate::demo::plan::observe::observe;
use crate::demo::plan::{Observed, Presence, Refusal, Step, plan};
use crate::demo::pods::INJECT_LABEL;
use crate::demo::pollers::lease;
use crate::demo::verbs::{teardown, weights};
use crate::k8s::{ApplyError, KindName};
use app::text::Message;
use app::text::messages::{causes, errors, steps};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};
use wire::{ApiError, Code, Verb};

/// Longest wait for pods to become ready, or objects to be gone. The conditions go on telling after that.
const PATIENCE: Duration = Duration::from_secs(120);

/// Annotation on a pod template: when the panel had its pods made anew, because they had come without the sidecar they ask for.
const MADE_ANEW: &str = "demo-panel/made-anew";

/// Runs as long as the namespace is looked after.
pub async fn run(state: &NamespaceState) {
    let mut facts = state.facts.subscribe();
    loop {
        let wanted = facts.wait_for(|f| f.goal != Default::default()).await.map(|f| f.operation.clone());
        match wanted {
            Ok(Some(operation)) => pursue(state, operation.id, operation.verb).await,
            Ok(None) => state.facts.send_modify(|f| f.goal = Default::default()),
            Err(_) => return,
        }
    }
}

/// Carries out one operation until it is done, fails, or a newer one takes its place.
async fn pursue(state: &NamespaceState, id: u64, verb: Verb) {
    let began = Instant::now();
    let outcome = carry_out(state, id, began).await;
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &outcome {
        Ok(true) => info!(namespace = %state.ns, ?verb, duration_ms, "{verb:?} is done"),
        Ok(false) => info!(namespace = %state.ns, ?verb, "{verb:?} was superseded"),
        Err(error) => warn!(namespace = %state.ns, ?verb, %error, "{verb:?} failed"),
    }
    if matches!(outcome, Ok(false)) {
        return;
    }
    if outcome.as_ref().is_err_and(|e| e.code == Code::Forbidden) {
        state.recheck.notify_one();
    }
    state.facts.send_modify(|facts| {
        if facts.operation.as_ref().is_none_or(|o| o.id == id) {
            facts.goal = Default::default();
        }
        if let Err(error) = &outcome
            && let Some(entry) = facts.log.iter().find(|e| e.verb == Some(verb)).map(|e| e.id)
        {
            facts.amend(entry, |e| e.error = Some(error.clone()));
        }
        facts.end(id, outcome.as_ref().err().cloned());
    });
}

/// Gives whether it is done; `false` where a newer operation took over.
async fn carry_out(state: &NamespaceState, id: u64, began: Instant) -> Result<bool, ApiError> {
    let (mut cache, mut facts) = (state.cache.subscribe(), state.facts.subscribe());
    let mut progress = Progress::default();
    state.settled().await?;
    if state.facts.borrow().goal.teardown {
        // A change of weights that is past its checks ends first; those after it see that everything goes.
        drop(state.route_turn.lock().await);
    }
    loop {
        let goal = {
            let facts = facts.borrow_and_update();
            if facts.operation.as_ref().is_none_or(|o| o.id != id) {
                return Ok(false);
            }
            facts.goal.clone()
        };
        let objects = cache.borrow_and_update().clone();
        let seen = progress.add_to(observe(&objects), state, goal.teardown).await?;
        let steps = plan(&goal, &seen);
        if steps.is_empty() {
            return Ok(true);
        }
        let mut waits = false;
        for step in steps {
            state.facts.send_if_modified(|f| f.step(id, &words(&step)));
            match step {
                Step::Wait(_) => waits = true,
                step => progress.take(state, step).await?,
            }
        }
        if waits {
            if began.elapsed() > PATIENCE {
                return Err(too_long(state));
            }
            tokio::select! {
                // Deletions and presences of the namespace are not watched: look again every 250 ms.
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
                _ = cache.changed() => {}
                _ = facts.changed() => {}
            }
        }
    }
}

fn too_long(state: &NamespaceState) -> ApiError {
    let step = state
        .facts
        .borrow()
        .operation
        .as_ref()
        .map_or_else(Message::default, |o| Message::worded(&o.step, if o.zh.is_empty() { &o.step } else { &o.zh }));
    ApiError::new(Code::Timeout, errors::too_long(PATIENCE.as_secs().to_string(), step), errors::reasons_are_in_pods())
}

/// What one operation has done so far.
#[derive(Default)]
struct Progress {
    applied: BTreeSet<Id>,
    otherwise_empty: Option<bool>,
    /// The uid of the namespace that was looked through.
    namespace: Option<String>,
    /// Whose the namespace is, and when that was read: it is not watched, and while pods start it changes for nobody.
    presence: Option<(Presence, Instant)>,
}

/// How long it is believed that a namespace which is there stays.
const STAYS: Duration = Duration::from_secs(5);

impl Progress {
    async fn add_to(
        &mut self,
        mut seen: Observed,
        state: &NamespaceState,
        teardown: bool,
    ) -> Result<Observed, ApiError> {
        seen.applied.clone_from(&self.applied);
        seen.otherwise_empty = self.otherwise_empty;
        seen.namespace = match self.presence {
            Some((known @ (Presence::Ours | Presence::Foreign), at)) if !teardown && at.elapsed() < STAYS => known,
            _ => {
                let read = object::presence(state).await?;
                self.presence = Some((read, Instant::now()));
                read
            }
        };
        seen.held.clone_from(&state.facts.borrow().namespace_held);
        Ok(seen)
    }

    async fn take(&mut self, state: &NamespaceState, step: Step) -> Result<(), ApiError> {
        let ns = state.ns.as_str();
        match step {
            Step::EnsureNamespace => {
                let object = state.manifests.namespace(ns);
                state
                    .writer
                    .apply(KindName::Namespace, ns, &object, false)
                    .await
                    .map_err(|e| failed(causes::make_namespace(), &e))?;
            }
            Step::Apply(Id::ROUTE, _) => weights::make_route(state).await?,
            Step::Apply(Id::RULE, _) => {
                lease::may_act(state).await?;
                weights::make_subsets(state).await?;
                self.applied.insert(Id::RULE);
            }
            Step::Apply(id, inject) => {
                // The Lease needs the namespace, so it could not be had before that was made; from here on another panel shall see it.
                lease::may_act(state).await?;
                let mut object = state.manifests.object(id, ns, inject);
                if observe(&state.now()).objects.get(&id).is_some_and(|o| o.ignored) && inject == Some(true) {
                    // The template says what it said: something in it has to change for new pods to be made.
                    object["spec"]["template"]["metadata"]["annotations"][MADE_ANEW] = now_ms().to_string().into();
                }
                // Whoever clicked on sidecars has decided about the label, whatever wrote it last; about nothing else.
                let clicked = state.facts.borrow().goal.inject.contains_key(&id);
                let applied = match clicked {
                    true => state.writer.apply_over(id.kind, ns, &object, &format!(".labels.{INJECT_LABEL}")).await,
                    false => state.writer.apply(id.kind, ns, &object, false).await,
                };
                applied.map_err(|e| failed(causes::apply(id.to_string()), &e))?;
                self.applied.insert(id);
            }
            Step::ScaleUp(id) => state
                .writer
                .scale(id.kind, ns, id.name, 1)
                .await
                .map_err(|e| failed(causes::scale(id.to_string()), &e))?,
            Step::Delete(kind, name, uid) => {
                let what = causes::delete(format!("{}/{name}", kind.word()));
                match state.writer.delete(kind, ns, &name, uid).await {
                    // Another object has taken its place, and that one is not known to be ours.
                    Ok(()) | Err(ApplyError::Stale) => {}
                    Err(e) => return Err(failed(what, &e)),
                }
            }
            Step::LookAround => {
                let seen = object::look(state).await?;
                let left = teardown::look_around(state, seen.presence == Presence::Ours).await;
                self.otherwise_empty = Some(left.is_empty());
                self.namespace = seen.uid;
                state.facts.send_modify(|f| f.left = left);
            }
            Step::DeleteNamespace => {
                // The one that was looked through: another of its name may hold anything.
                let uid = self.namespace.clone();
                match state.writer.delete(KindName::Namespace, ns, ns, uid).await {
                    Ok(()) => {}
                    Err(ApplyError::Stale) => self.otherwise_empty = None,
                    Err(e) => return Err(failed(causes::delete_namespace(), &e)),
                }
                // Its controller takes a moment; looking again tells.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Step::Wait(_) => {}
            Step::Refuse(refusal) => return Err(refused(&refusal)),
        }
        Ok(())
    }
}

fn refused(refusal: &Refusal) -> ApiError {
    match refusal {
        Refusal::NotOurs(id) => not_ours(*id),
        Refusal::NotDeployed(id) => {
            ApiError::new(Code::NotDeployed, errors::nothing_to_give_sidecar(id.to_string()), errors::deploy_first())
        }
        Refusal::MeshUnseen(why) => unseen(why),
        Refusal::NoMesh => no_mesh(),
    }
}

fn words(step: &Step) -> Message {
    match step {
        Step::EnsureNamespace => steps::making_namespace(),
        Step::Apply(id, _) => steps::applying(id.to_string()),
        Step::ScaleUp(id) => steps::scaling_up(id.to_string()),
        Step::Delete(kind, name, _) => steps::deleting(format!("{}/{name}", kind.word())),
        Step::LookAround => steps::looking_around(),
        Step::DeleteNamespace => steps::deleting_namespace(),
        Step::Wait(what) => steps::waiting_for(what),
        Step::Refuse(_) => steps::stopping(),
    }
}
