//! From what the cluster said to the lines people read. Pure: facts in, checks out.
use super::facts::{Facts, Read, Right, Trial};
use super::line::{Line, cannot_tell, look};
use super::room;
use super::webhook::{Acts, acts, of_chart};
use crate::demo::objects::Id;
use app::text::Message;
use app::text::messages::preflight as said;
use std::collections::BTreeMap;
use wire::{Check, CheckStatus, Verb};

use CheckStatus::{Fail, Ok, Unknown, Warn};

const ALL_VERBS: &[Verb] =
    &[Verb::Deploy, Verb::Client, Verb::Inject, Verb::Route, Verb::Weights, Verb::Load, Verb::Verify, Verb::Teardown];
const ROUTES: &[Verb] = &[Verb::Route, Verb::Weights];

/// Every line, in the order in which a person would mend them. `writes`: the version of Istio's kinds that the panel writes.
pub fn checks(f: &Facts, writes: &str) -> Vec<Check> {
    let mut lines = vec![api(f)];
    if f.version.is_err() {
        return lines;
    }
    lines.push(namespace(f));
    lines.extend(rights(f));
    lines.push(istio(f, writes));
    lines.push(control_plane(f));
    lines.push(webhook(f));
    lines.push(trial(f));
    lines.extend(port(f));
    lines.push(room::quota(f));
    lines.push(room::limits(f));
    lines.push(room::nodes(f));
    lines
}

fn api(f: &Facts) -> Check {
    match &f.version {
        Result::Ok(version) => Line::new("api", said::api_server(), Ok, said::api_answers(version, &f.user)).done(),
        Err((why, refused)) => {
            let (reason, mend) = match *refused {
                true => (said::api_refuses(why), look("auth whoami")),
                false => (said::api_silent(why), look("cluster-info")),
            };
            Line::new("api", said::api_server(), Fail, reason).mend(mend).stops(ALL_VERBS).done()
        }
    }
}

fn namespace(f: &Facts) -> Check {
    let line = |status, reason: Message| Line::new("namespace", said::namespace(&f.ns), status, reason);
    match &f.namespace {
        Read::Known(seen) => match &seen.terminating {
            Some(held) => line(Fail, said::namespace_terminating(held))
                .mend(look(&format!("get namespace {} -o yaml", f.ns)))
                .stops(&[Verb::Deploy, Verb::Client])
                .done(),
            None if seen.ours => line(Ok, said::namespace_ours()).done(),
            None => line(Ok, said::namespace_others()).done(),
        },
        // Applied, so that repeating it changes nothing: that takes both.
        Read::Missing if ["create", "patch"].iter().any(|verb| may(f, "namespaces", verb) == Some(false)) => {
            line(Fail, said::namespace_cannot_be_made())
                .mend(format!("kubectl create namespace {}", f.ns))
                .stops(&[Verb::Deploy, Verb::Client])
                .done()
        }
        Read::Missing => line(Ok, said::namespace_absent()).done(),
        Read::CannotTell(why) => {
            line(Unknown, said::cannot_tell(why)).mend(look(&format!("get namespace {}", f.ns))).done()
        }
    }
}

fn may(f: &Facts, resource: &str, verb: &str) -> Option<bool> {
    f.rights
        .iter()
        .find(|(r, _)| r.resource == resource && r.sub.is_empty() && r.verb == verb)
        .and_then(|(_, had)| *had)
}

/// One line a resource. Rights on the namespace itself matter only while there is none of that name: its line tells.
fn rights(f: &Facts) -> Vec<Check> {
    let mut of: Vec<(String, Vec<(Right, Option<bool>)>)> = Vec::new();
    for (right, had) in f.rights.iter().filter(|(r, _)| r.resource != "namespaces") {
        match of.iter_mut().find(|(on, _)| *on == right.on()) {
            Some((_, group)) => group.push((*right, *had)),
            None => of.push((right.on(), vec![(*right, *had)])),
        }
    }
    of.into_iter().map(|(on, group)| rights_on(f, &on, &group)).collect()
}

fn rights_on(f: &Facts, on: &str, group: &[(Right, Option<bool>)]) -> Check {
    let verbs =
        |want: Option<bool>| group.iter().filter(|(_, had)| *had == want).map(|(r, _)| r.verb).collect::<Vec<_>>();
    let (missing, unknown) = (verbs(Some(false)), verbs(None));
    let (plural, sub) = (
        on.split(['.', '/']).next().unwrap_or_default(),
        on.split_once('/').map_or(String::new(), |(_, sub)| format!("-{sub}")),
    );
    let id = format!("rights-{plural}{sub}");
    let line = |status, reason: Message| Line::new(&id, said::rights_on(on), status, reason);
    if missing.is_empty() && !unknown.is_empty() {
        let mend = look(&format!("auth can-i --list -n {}", f.ns));
        return line(Unknown, said::cannot_tell(said::no_access_reviews())).mend(mend).done();
    }
    if missing.is_empty() {
        return line(Ok, said::rights_granted(verbs(Some(true)).join(", "))).done();
    }
    let mut stops: Vec<Verb> = Vec::new();
    for verb in group.iter().filter(|(_, had)| *had == Some(false)).flat_map(|(r, _)| r.stops) {
        if !stops.contains(verb) {
            stops.push(*verb);
        }
    }
    let status = if stops.is_empty() { Warn } else { Fail };
    line(status, said::rights_missing(missing.join(", "))).mend(grant(f, on, &missing)).stops(&stops).done()
}

/// The command with which somebody who may gives the panel's user these rights.
fn grant(f: &Facts, on: &str, verbs: &[&str]) -> String {
    let name = format!("demo-panel-{}", on.replace(['.', '/'], "-"));
    let who = match f.user.strip_prefix("system:serviceaccount:") {
        Some(account) => format!("--serviceaccount={account}"),
        None => format!("--user={}", f.user),
    };
    let ns = &f.ns;
    format!(
        "kubectl -n {ns} create role {name} --verb={} --resource={on} && kubectl -n {ns} create rolebinding {name} --role={name} {who}",
        verbs.join(",")
    )
}

fn istio(f: &Facts, writes: &str) -> Check {
    match &f.istio {
        Read::Known(versions) if versions.is_empty() => missing_istio(),
        Read::Known(versions) => {
            let reason = said::istio_served(versions.join(", "), writes);
            Line::new("istio", said::istio_kinds(), Ok, reason).done()
        }
        Read::Missing => missing_istio(),
        Read::CannotTell(why) => {
            cannot_tell("istio", said::istio_kinds(), why, look("api-resources --api-group=networking.istio.io"))
        }
    }
}

fn missing_istio() -> Check {
    Line::new("istio", said::istio_kinds(), Fail, said::istio_missing()).mend("istioctl install").stops(ROUTES).done()
}

/// Whether something in the cluster injects.
fn is_injected(f: &Facts) -> bool {
    matches!(f.trial, Read::Known(Trial::Injected { .. } | Trial::LeftOut))
}

fn control_plane(f: &Facts) -> Check {
    let (id, title) = ("control-plane", said::control_plane());
    let istiods = match &f.istiods {
        Read::Known(istiods) => istiods.as_slice(),
        Read::Missing => &[],
        Read::CannotTell(why) => {
            return cannot_tell(id, title, why, look("-n istio-system get deployments -l app=istiod"));
        }
    };
    // The one whose revision the namespace asks for, else one that is ready.
    let wanted = f.namespace.known().and_then(|n| n.labels.get("istio.io/rev"));
    let chosen = istiods
        .iter()
        .find(|i| wanted == Some(&i.revision))
        .or_else(|| istiods.iter().max_by_key(|i| (i.ready > 0, i.revision == "default")));
    match chosen {
        Some(istiod) => {
            let (name, revision) = (&istiod.name, &istiod.revision);
            let (ready, wanted) = (istiod.ready.to_string(), istiod.wanted.to_string());
            if istiod.ready > 0 {
                let reason = said::istiod_ready(name, &istiod.version, revision, ready, wanted);
                Line::new(id, title, Ok, reason.with("where", "istio-system")).done()
            } else {
                let reason = said::istiod_down(name, revision, wanted).with("version", &istiod.version);
                Line::new(id, title, Fail, reason.with("ready", ready).with("where", "istio-system"))
                    .mend(format!("kubectl -n istio-system rollout restart deployment {name}"))
                    .stops(&[Verb::Inject, Verb::Route, Verb::Weights])
                    .done()
            }
        }
        None if is_injected(f) => Line::new(id, title, Ok, said::istiod_elsewhere()).done(),
        None => Line::new(id, title, Fail, said::istiod_missing())
            .mend("istioctl install")
            .stops(&[Verb::Inject, Verb::Route, Verb::Weights])
            .done(),
    }
}

pub(super) fn webhook(f: &Facts) -> Check {
    let (id, title) = ("webhook", said::injection_webhook());
    // Without webhooks, what injects is built into the cluster, and selects as Istio's webhooks do.
    let built_in = of_chart("default");
    let (webhooks, is_listed) = match &f.webhooks {
        Read::Known(webhooks) => (webhooks.as_slice(), true),
        Read::Missing => (built_in.as_slice(), false),
        Read::CannotTell(why) => {
            return cannot_tell(id, title, why, look("get mutatingwebhookconfigurations -l app=sidecar-injector"));
        }
    };
    let (ns, inject) = (&f.ns, &[Verb::Inject][..]);
    let labels = f
        .namespace
        .known()
        .map_or_else(|| BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), ns.clone())]), |n| n.labels.clone());
    let pod = BTreeMap::from([
        (crate::demo::pods::INJECT_LABEL.to_owned(), "true".to_owned()),
        ("app".to_owned(), "flaskapp".to_owned()),
    ]);
    let mut names: Vec<&str> = webhooks.iter().map(|w| w.revision.as_str()).collect();
    names.dedup();
    match acts(webhooks, &labels, &pod) {
        Acts::By(_) if !is_listed && is_injected(f) => Line::new(id, title, Ok, said::webhook_built_in()).done(),
        Acts::By(_) if !is_listed => missing_webhook(title),
        Acts::By(webhook) if webhook.answers == Some(false) => {
            let service = webhook.service.clone().unwrap_or_default();
            let (in_ns, name) = service.split_once('/').unwrap_or_default();
            let mend = look(&format!("-n {in_ns} get endpointslices -l kubernetes.io/service-name={name}"));
            Line::new(id, title, Fail, said::webhook_no_backend(&webhook.configuration, &service))
                .mend(mend)
                .stops(inject)
                .done()
        }
        Acts::By(webhook) => {
            let (name, revision) = (&webhook.configuration, &webhook.revision);
            let (status, reason) = match webhook.fails_open {
                true => (Warn, said::webhook_fails_open(name, revision)),
                false => (Ok, said::webhook_acts(name, revision)),
            };
            Line::new(id, title, status, reason).done()
        }
        Acts::NoRevision { wanted } => {
            let mend = format!(
                "kubectl label namespace {ns} istio.io/rev={} --overwrite",
                names.first().unwrap_or(&"default")
            );
            Line::new(id, title, Fail, said::webhook_no_revision(wanted, names.join(", ")))
                .mend(mend)
                .stops(inject)
                .done()
        }
        Acts::Not { why } => {
            let mend = if labels.contains_key("istio-injection") {
                format!("kubectl label namespace {ns} istio-injection-")
            } else {
                format!("kubectl label namespace {ns} istio.io/rev={}", names.first().unwrap_or(&"default"))
            };
            let mut configurations: Vec<&str> = webhooks.iter().map(|w| w.configuration.as_str()).collect();
            configurations.dedup();
            Line::new(id, title, Fail, said::webhook_leaves_out(configurations.join(", "), why))
                .mend(mend)
                .stops(inject)
                .done()
        }
        Acts::None if is_injected(f) => Line::new(id, title, Ok, said::webhook_built_in()).done(),
        Acts::None => missing_webhook(title),
    }
}

fn missing_webhook(title: Message) -> Check {
    Line::new("webhook", title, Fail, said::webhook_missing()).mend("istioctl install").stops(&[Verb::Inject]).done()
}

fn trial(f: &Facts) -> Check {
    let (id, title) = ("trial-pod", said::trial_pod());
    match &f.trial {
        Read::Known(Trial::Injected { native, image, .. }) => {
            let form = if *native { said::native_sidecar() } else { said::plain_sidecar() };
            Line::new(id, title, Ok, said::trial_injected(form, image)).done()
        }
        Read::Known(Trial::Plain) => Line::new(id, title, Fail, said::trial_plain())
            .mend(look("-n istio-system logs deployment/istiod --tail=20"))
            .stops(&[Verb::Inject])
            .done(),
        Read::Known(Trial::LeftOut) => Line::new(id, title, Fail, said::trial_left_out())
            .mend(look(&format!("get namespace {} --show-labels", f.ns)))
            .stops(&[Verb::Inject])
            .done(),
        Read::Known(Trial::Refused(why)) => {
            let mend = look(&format!("-n {} get events --field-selector reason=FailedCreate", f.ns));
            Line::new(id, title, Fail, said::trial_refused(why.trim_end_matches('.')))
                .mend(mend)
                .stops(&[Verb::Inject])
                .done()
        }
        Read::Known(Trial::NoNamespace) | Read::Missing => {
            Line::new(id, title, Unknown, said::trial_waits()).mend(format!("kubectl create namespace {}", f.ns)).done()
        }
        Read::CannotTell(why) => cannot_tell(id, title, why, grant(f, "pods", &["create"])),
    }
}

/// Only where there is something to say: most Services speak HTTP, and before the first deploy there is none.
fn port(f: &Facts) -> Option<Check> {
    let (port, service) = (f.port.as_ref()?, Id::SERVICE.name);
    let reason = said::port_not_http(port.port.to_string(), service, port.why());
    Some(Line::new("service-port", said::service_port(), Warn, reason).mend(port.mend(&f.ns, service)).done())
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
