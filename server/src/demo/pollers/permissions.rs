//! Looks now and then at what the watches do not show: the panel's rights, the namespace's own state, why nothing injects.
use crate::demo::namespace::object;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::plan::observe::demo_pods;
use crate::demo::pods::PodSeen;
use crate::demo::preflight;
use crate::k8s::Cache;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// How often it is seen whether rights that are missing were granted, or what is missing has come.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// How often what is missing is looked at again where nothing says that it changed.
const ASK_ANYWAY: Duration = Duration::from_secs(300);
/// How often a namespace is looked at, which is not watched.
const LOOK: Duration = Duration::from_secs(60);
/// The same where nobody looks.
const LOOK_UNSEEN: Duration = Duration::from_secs(300);
/// How often while it ends.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Runs as long as the namespace is looked after.
pub async fn run(state: &NamespaceState) {
    let mut cache = state.cache.subscribe();
    let _ = state.settled().await;
    let mut asked = Asked::default();
    let mut missing_due = Instant::now() + ASK_ANYWAY;
    let mut why_due = None;
    let (mut rights_due, mut look_due) = (Some(Instant::now()), Instant::now());
    // When it was looked at last: changes that follow each other closely are one.
    let mut looked: Option<Instant> = None;
    loop {
        let now = cache.borrow_and_update().clone();
        let held = state.facts.borrow().namespace_held.is_some();
        let may_have_changed = (held || now.ending()) && looked.is_none_or(|at| at.elapsed() >= LOOK_AGAIN);
        if may_have_changed || Instant::now() >= look_due {
            // What it says is put into the facts there.
            let _ = object::presence(state).await;
            looked = Some(Instant::now());
            look_due = Instant::now() + if state.is_attended() { LOOK } else { LOOK_UNSEEN };
            if !state.facts.borrow().first_look.namespace {
                state.facts.send_modify(|f| f.first_look.namespace = true);
            }
        }
        if rights_due.is_some_and(|due| Instant::now() >= due) {
            asked.rights(state).await;
            // Nothing once all rights are had.
            rights_due = (!state.facts.borrow().denied.is_empty()).then(|| Instant::now() + ASK_AGAIN);
        }
        if state.facts.borrow().missing.is_empty() {
            missing_due = Instant::now() + ASK_ANYWAY;
        } else if Instant::now() >= missing_due {
            let missing = preflight::missing(&preflight::preflight(&state.cluster, &state.manifests, &state.ns).await);
            state.facts.send_if_modified(|f| std::mem::replace(&mut f.missing, missing.clone()) != missing);
            missing_due = Instant::now() + ASK_ANYWAY;
        }
        injection(state, &now, &mut why_due).await;
        let held = state.facts.borrow().namespace_held.is_some();
        let due = if held || now.ending() { look_due.min(Instant::now() + LOOK_AGAIN) } else { look_due };
        let due = [rights_due, why_due].into_iter().flatten().fold(due, Instant::min);
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = state.recheck.notified() => {
                state.rights.forget().await;
                (rights_due, asked) = (Some(Instant::now()), Asked::default());
            }
            // What changes together is looked at together.
            Ok(()) = cache.changed() => tokio::time::sleep(Duration::from_millis(300)).await,
            else => return,
        }
    }
}

/// What was asked about rights, so that forty questions are not asked while the answer to one stays the same.
#[derive(Default)]
struct Asked {
    rules: Option<serde_json::Value>,
    at: Option<Instant>,
}

impl Asked {
    async fn rights(&mut self, state: &NamespaceState) {
        let rules = preflight::rules(&state.cluster, state.ns.as_str()).await;
        let as_before = rules.is_none() || rules == self.rules;
        if as_before && self.at.is_some_and(|at| at.elapsed() < ASK_ANYWAY) {
            return;
        }
        (self.rules, self.at) = (rules, Some(Instant::now()));
        rights(state, self.rules.as_ref()).await;
    }
}

async fn rights(state: &NamespaceState, rules: Option<&serde_json::Value>) {
    let denied = state.rights.denied(&state.cluster, state.ns.as_str(), rules).await;
    let changed = state.facts.send_if_modified(|f| {
        let changed = f.denied != denied;
        f.denied.clone_from(&denied);
        changed
    });
    if changed && denied.is_empty() {
        info!(namespace = %state.ns, "The panel may do all it offers now");
    } else if changed {
        warn!(namespace = %state.ns, denied = ?denied.iter().map(|d| &d.what.en).collect::<Vec<_>>(), "Rights are missing");
    }
}

/// Why pods that ask for a sidecar have none: asked when that is first seen, when the namespace's labels change, and now and then as
/// long as it is so: a webhook that was away may be back. `due`: when to ask again.
async fn injection(state: &NamespaceState, cache: &Cache, due: &mut Option<Instant>) {
    let ignored = |p: &PodSeen| {
        (p.wants_sidecar == Some(true) || p.wants_sidecar.is_none() && injects(state))
            && !p.view.sidecar
            && !p.terminating
    };
    let any = demo_pods(cache).iter().any(ignored);
    let (known, labels) = {
        let f = state.facts.borrow();
        (f.injection_why.clone(), f.namespace_labels.clone())
    };
    match known {
        Some((of, _)) if any && of == labels && due.is_some_and(|due| Instant::now() < due) => {}
        known if any => {
            let why = (labels, preflight::why_not_injected(&state.cluster, &state.manifests, state.ns.as_str()).await);
            if known.as_ref() != Some(&why) {
                state.facts.send_modify(|f| f.injection_why = Some(why));
            }
            *due = Some(Instant::now() + ASK_AGAIN);
        }
        Some(_) => {
            state.facts.send_modify(|f| f.injection_why = None);
            *due = None;
        }
        None => {}
    }
}

fn injects(state: &NamespaceState) -> bool {
    crate::demo::plan::observe::namespace_injects(&state.facts.borrow().namespace_labels)
}
