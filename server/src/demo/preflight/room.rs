//! Whether the demo fits: quotas, limits, nodes. Pure.
use super::facts::{Amount, Facts, NodeSeen, Own, Quota, Read, Trial};
use super::line::{Line, cannot_tell, look};
use super::quantity::{bytes, cores, shown};
use app::text::Message;
use app::text::messages::{causes, preflight as said};
use wire::{Check, CheckStatus, Verb};

use CheckStatus::{Fail, Ok, Warn};

/// Pods of the demo.
const PODS: f64 = 3.0;
/// Pods while all three Deployments roll out at once: each starts its new pod before it ends the old one.
const PODS_ROLLING: f64 = 6.0;
const MAKES: &[Verb] = &[Verb::Deploy, Verb::Client, Verb::Inject];

/// What one pod of the demo requests, as the trial pod came back; nothing of the app's own.
fn pod_asks(f: &Facts) -> Amount {
    match &f.trial {
        Read::Known(Trial::Injected { asks, .. }) => *asks,
        _ => Amount::default(),
    }
}

/// What `pods` pods of the demo take of a quota's resource; nothing where the demo has none of it.
fn takes(resource: &str, pods: f64, asks: Amount) -> Option<f64> {
    match resource {
        "pods" | "count/pods" => Some(pods),
        "requests.cpu" | "cpu" => Some(asks.cpu * pods),
        "requests.memory" | "memory" => Some(asks.memory * pods),
        "services" | "count/services" => Some(2.0),
        "count/deployments.apps" => Some(3.0),
        _ => None,
    }
}

/// The quota as it would be without what of the demo is there already.
fn without(own: &Own, quota: &Quota) -> Quota {
    let has = Amount { cpu: own.asks.cpu / own.pods.max(1.0), memory: own.asks.memory / own.pods.max(1.0) };
    let back = |resource: &str| match resource {
        "services" | "count/services" => own.services,
        "count/deployments.apps" => own.deployments,
        _ => takes(resource, own.pods, has).unwrap_or(0.0),
    };
    let items =
        quota.items.iter().map(|(resource, hard, used)| (resource.clone(), *hard, (used - back(resource)).max(0.0)));
    Quota { name: quota.name.clone(), items: items.collect() }
}

fn short(quota: &Quota, pods: f64, asks: Amount) -> Vec<Message> {
    let lacking = |(resource, hard, used): &(String, f64, f64)| {
        let needs = takes(resource, pods, asks)?;
        (needs > hard - used).then(|| {
            let left = shown(resource, (hard - used).max(0.0));
            said::quota_lacks(resource, left, shown(resource, *hard), shown(resource, needs))
        })
    };
    quota.items.iter().filter_map(lacking).collect()
}

fn left(quota: &Quota) -> Message {
    let one = |(resource, hard, used): &(String, f64, f64)| {
        said::quota_left(resource, shown(resource, hard - used), shown(resource, *hard))
    };
    Message::listed(quota.items.iter().map(one))
}

pub fn quota(f: &Facts) -> Check {
    let (id, title) = ("quota", said::resource_quota());
    let quotas = match &f.quotas {
        Read::Known(quotas) if quotas.is_empty() => return Line::new(id, title, Ok, said::quota_none()).done(),
        Read::Known(quotas) => quotas,
        Read::Missing => return Line::new(id, title, Ok, said::quota_none()).done(),
        Read::CannotTell(why) => {
            return cannot_tell(id, title, why, look(&format!("-n {} describe resourcequota", f.ns)));
        }
    };
    let asks = pod_asks(f);
    let quotas: &[Quota] = &quotas.iter().map(|quota| without(&f.own, quota)).collect::<Vec<_>>();
    let raise = |quota: &Quota, pods: f64| {
        let item = quota
            .items
            .iter()
            .find(|(resource, hard, used)| takes(resource, pods, asks).is_some_and(|needs| needs > hard - used));
        item.map_or_else(String::new, |(resource, _, used)| {
            let enough = used + takes(resource, pods, asks).unwrap_or(0.0);
            format!(
                r#"kubectl -n {} patch resourcequota {} --type merge -p '{{"spec":{{"hard":{{"{resource}":"{}"}}}}}}'"#,
                f.ns,
                quota.name,
                shown(resource, enough)
            )
        })
    };
    // A quota on requests refuses every container without one.
    if let Some(quota) = quotas.iter().find(|q| !short(q, PODS, asks).is_empty()) {
        let words = Message::joined(short(quota, PODS, asks));
        return Line::new(id, title, Fail, said::quota_short(&quota.name, words))
            .mend(raise(quota, PODS))
            .stops(MAKES)
            .done();
    }
    if let Some(quota) = quotas.iter().find(|q| !short(q, PODS_ROLLING, asks).is_empty()) {
        let words = Message::joined(short(quota, PODS_ROLLING, asks));
        return Line::new(id, title, Warn, said::quota_tight(&quota.name, words))
            .mend(raise(quota, PODS_ROLLING))
            .done();
    }
    let first = quotas.first().cloned().unwrap_or_default();
    Line::new(id, title, Ok, said::quota_enough(&first.name, left(&first))).done()
}

pub fn limits(f: &Facts) -> Check {
    let (id, title) = ("limits", said::limit_range());
    let limits = match &f.limits {
        Read::Known(limits) if limits.is_empty() => return Line::new(id, title, Ok, said::limits_none()).done(),
        Read::Known(limits) => limits,
        Read::Missing => return Line::new(id, title, Ok, said::limits_none()).done(),
        Read::CannotTell(why) => return cannot_tell(id, title, why, look(&format!("-n {} describe limitrange", f.ns))),
    };
    let asks = pod_asks(f);
    for limit in limits {
        let over = [("cpu", asks.cpu), ("memory", asks.memory)]
            .into_iter()
            .find(|(resource, asks)| limit.max.get(*resource).is_some_and(|max| asks > max));
        if let Some((resource, asks)) = over {
            let max = limit.max.get(resource).copied().unwrap_or(0.0);
            let words = said::limit_exceeded(resource, shown(resource, max), shown(resource, asks));
            return refuse(f, &limit.name, words);
        }
        let unset = limit.min.keys().next().filter(|_| !limit.has_default);
        if let Some(resource) = unset {
            return refuse(f, &limit.name, said::limit_unset(resource));
        }
    }
    let mut names: Vec<&str> = limits.iter().map(|l| l.name.as_str()).collect();
    names.dedup();
    Line::new(id, title, Ok, said::limits_fit(names.join(", "))).done()
}

fn refuse(f: &Facts, name: &str, short: Message) -> Check {
    let mend = format!("kubectl -n {} edit limitrange {name}", f.ns);
    Line::new("limits", said::limit_range(), Fail, said::limits_refuse(name, short)).mend(mend).stops(MAKES).done()
}

pub fn nodes(f: &Facts) -> Check {
    let (id, title) = ("nodes", said::node_room());
    let nodes = match &f.nodes {
        Read::Known(nodes) => nodes,
        Read::Missing => return cannot_tell(id, title, said::no_nodes_to_see(), look("get nodes")),
        Read::CannotTell(why) => return cannot_tell(id, title, why, look("describe nodes")),
    };
    let (open, asks): (Vec<&NodeSeen>, Amount) = (nodes.iter().filter(|n| n.closed.is_none()).collect(), pod_asks(f));
    if open.is_empty() {
        let why = nodes.iter().map(|n| causes::of(&n.name, n.closed.clone().unwrap_or_default()));
        let why = if nodes.is_empty() { said::no_nodes() } else { Message::joined(why) };
        let mend = nodes.first().map_or_else(|| look("get nodes"), |n| format!("kubectl uncordon {}", n.name));
        return Line::new(id, title, Fail, said::nodes_none(why)).mend(mend).stops(MAKES).done();
    }
    let words = |a: Amount| said::amount(cores(a.cpu.max(0.0)), bytes(a.memory.max(0.0)));
    let fits = |n: &&NodeSeen| n.free.cpu >= asks.cpu && n.free.memory >= asks.memory && n.free_pods > 0;
    if !open.iter().any(fits) {
        let most = Amount {
            cpu: open.iter().map(|n| n.free.cpu).fold(0.0, f64::max),
            memory: open.iter().map(|n| n.free.memory).fold(0.0, f64::max),
        };
        return Line::new(id, title, Fail, said::nodes_full(words(most), words(asks)))
            .mend(look("describe nodes"))
            .stops(MAKES)
            .done();
    }
    let sum = open.iter().fold(Amount::default(), |sum, n| Amount {
        cpu: sum.cpu + n.free.cpu.max(0.0),
        memory: sum.memory + n.free.memory.max(0.0),
    });
    let all = Amount { cpu: asks.cpu * PODS, memory: asks.memory * PODS };
    Line::new(id, title, Ok, said::nodes_room(open.len().to_string(), words(sum), words(all))).done()
}
