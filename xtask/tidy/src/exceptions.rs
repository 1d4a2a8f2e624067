//! Breaches that are known: code that is being split. Nothing may be added here. What breaks no rule any more is told and deleted.
use crate::modules::Edge;
use crate::sources::Source;

/// Files that are too long: name, lines of code.
const FILES: &[(&str, usize)] = &[
    ("server/crates/cluster/src/kinds/validate.rs", 417),
    ("server/crates/cluster/src/node/pod.rs", 415),
    ("server/crates/cluster/src/node/worker.rs", 420),
];

/// Functions that are too long: file, name, lines.
const FUNCTIONS: &[(&str, &str, usize)] = &[
    ("app/src/model/steps.rs", "steps", 115),
    ("app/src/pages/traffic.rs", "Panel", 89),
    ("app/src/text/preflight.rs", "reasons", 116),
    ("server/crates/load/src/engine/tally.rs", "tick", 83),
    ("server/crates/mesh/src/sidecar/exchange.rs", "exchange", 154),
    ("server/crates/mesh/src/sidecar/forward.rs", "forward", 174),
    ("server/crates/mesh/src/sidecar/h2_forward.rs", "forward", 146),
    ("server/crates/mesh/src/sidecar/heads.rs", "write_request", 99),
    ("server/crates/mesh/src/sidecar/http1/request.rs", "check", 93),
    ("server/crates/mesh/src/sidecar/outbound.rs", "decide", 139),
    ("server/src/demo/hub.rs", "follow", 108),
];

/// Files that import each other.
pub const CYCLES: &[&[&str]] = &[
    &["app/src/components/shares.rs", "app/src/components/weights.rs"],
    &["server/crates/cluster/src/api/body.rs", "server/crates/cluster/src/api/protobuf/mod.rs"],
    &[
        "server/crates/cluster/src/api/crds.rs",
        "server/crates/cluster/src/api/pods.rs",
        "server/crates/cluster/src/api/reviews.rs",
        "server/crates/cluster/src/api/verbs.rs",
    ],
    &["server/crates/cluster/src/node/process.rs", "server/crates/cluster/src/node/spawner.rs"],
    &["server/crates/cluster/src/store/sequence.rs", "server/crates/cluster/src/store/writer.rs"],
    &["server/crates/cluster/src/store/state.rs", "server/crates/cluster/src/store/subscription.rs"],
    &["server/crates/listen/src/conn.rs", "server/crates/listen/src/table.rs"],
    &[
        "server/crates/mesh/src/sidecar/access_log.rs",
        "server/crates/mesh/src/sidecar/exchange.rs",
        "server/crates/mesh/src/sidecar/hash_key.rs",
        "server/crates/mesh/src/sidecar/heads.rs",
        "server/crates/mesh/src/sidecar/outbound.rs",
        "server/crates/mesh/src/sidecar/patience.rs",
        "server/crates/mesh/src/sidecar/reply.rs",
        "server/crates/mesh/src/sidecar/seen.rs",
        "server/crates/mesh/src/sidecar/shared.rs",
        "server/crates/mesh/src/sidecar/upload.rs",
    ],
    &[
        "server/crates/mesh/src/sidecar/forward.rs",
        "server/crates/mesh/src/sidecar/h2.rs",
        "server/crates/mesh/src/sidecar/h2_forward.rs",
        "server/crates/mesh/src/sidecar/h2_record.rs",
        "server/crates/mesh/src/sidecar/h2_upload.rs",
        "server/crates/mesh/src/sidecar/proxy.rs",
    ],
    &[
        "server/crates/mesh/src/table/build.rs",
        "server/crates/mesh/src/table/registry.rs",
        "server/crates/mesh/src/table/routes.rs",
        "server/crates/mesh/src/table/rules.rs",
    ],
    &[
        "server/src/demo/about.rs",
        "server/src/demo/actor.rs",
        "server/src/demo/agent_connection.rs",
        "server/src/demo/commands.rs",
        "server/src/demo/conditions/mod.rs",
        "server/src/demo/conditions/route.rs",
        "server/src/demo/conditions/scene.rs",
        "server/src/demo/conditions/workloads.rs",
        "server/src/demo/facts.rs",
        "server/src/demo/follower.rs",
        "server/src/demo/hub.rs",
        "server/src/demo/lease.rs",
        "server/src/demo/load_order.rs",
        "server/src/demo/preflight/mod.rs",
        "server/src/demo/proxies.rs",
        "server/src/demo/rights.rs",
        "server/src/demo/sidecars.rs",
        "server/src/demo/space.rs",
        "server/src/demo/spaces.rs",
        "server/src/demo/status.rs",
        "server/src/demo/teardown.rs",
        "server/src/demo/trouble.rs",
        "server/src/demo/weights.rs",
    ],
    &["server/src/demo/preflight/lines.rs", "server/src/demo/preflight/room.rs"],
    &[
        "server/src/k8s/breaker.rs",
        "server/src/k8s/client.rs",
        "server/src/k8s/heartbeat.rs",
        "server/src/k8s/patience.rs",
    ],
    &["server/src/web/crowd.rs", "server/src/web/guard.rs", "server/src/web/sign_in.rs"],
];

/// Uses that the layers do not allow: user, used.
const USES: &[(&str, &str)] =
    &[("app/src/api/live.rs", "app/src/components/board.rs"), ("app/src/model/steps.rs", "app/src/api/verbs.rs")];

/// Lines that a file may have though the rule says fewer.
pub fn file_lines(file: &str) -> Option<usize> {
    FILES.iter().find(|(name, _)| *name == file).map(|(_, lines)| *lines)
}

/// Lines that a function may have though the rule says fewer.
pub fn function_lines(file: &str, function: &str) -> Option<usize> {
    FUNCTIONS.iter().find(|(name, called, _)| *name == file && *called == function).map(|(.., lines)| *lines)
}

/// Whether a use is known though the layers do not allow it.
pub fn use_of(user: &str, used: &str) -> bool {
    USES.contains(&(user, used))
}

/// Entries that nothing needs any more. `groups`: the cycles that there are.
pub fn stale(sources: &[Source], edges: &[Edge], groups: &[Vec<usize>]) -> Vec<String> {
    let find = |name: &str| sources.iter().position(|source| source.name == name);
    let mut stale = Vec::new();
    for &(name, lines) in FILES {
        if find(name).is_none_or(|file| sources[file].facts.code_lines() < lines) {
            stale.push(format!("{name} with {lines} lines"));
        }
    }
    for &(name, called, lines) in FUNCTIONS {
        let same =
            |file: usize| sources[file].facts.functions.iter().any(|one| one.name == called && one.lines >= lines);
        if !find(name).is_some_and(same) {
            stale.push(format!("{called} of {name} with {lines} lines"));
        }
    }
    for known in CYCLES {
        let whole = |group: &Vec<usize>| known.iter().all(|name| find(name).is_some_and(|file| group.contains(&file)));
        if !groups.iter().any(whole) {
            stale.push(format!("the cycle of {}", known.join(", ")));
        }
    }
    for &(user, used) in USES {
        let is = |edge: &Edge| sources[edge.from].name == user && sources[edge.to].name == used;
        if !edges.iter().any(is) {
            stale.push(format!("{user} uses {used}"));
        }
    }
    stale
}
