//! The first two phases of a request from the app: route, and pick.

use super::decision::{Decision, Direction, Plan, Reply, Via};
use super::hash_key::hash_key;
use super::path::normalized;
use super::rewrite::{redirect, rewrite};
use super::target::{split_authority, split_target};
use crate::sidecar::shared::Shared;
use crate::sidecar::stats::flag::Flag;
use crate::sidecar::stats::metrics::Peer;
use crate::sidecar::upstream::routing::{LiveCluster, LiveHost, Routing};
use crate::table::{Action, Headers, Matched, RequestView, pick_weighted, route_for};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Decides about a request of the app. `host` is its Host header, `scheme` what a request of HTTP/2 says of itself.
pub(crate) fn decide(
    shared: &Shared,
    method: &str,
    target: &str,
    host: Option<&str>,
    scheme: Option<&str>,
    headers: &dyn Headers,
) -> Decision {
    let reply = |status, flag, body: String, peer| {
        Decision::Reply(Reply { status, flag, body: body.into(), ..Reply::empty(peer) })
    };
    let nobody = shared.black_hole;
    let target = match split_target(method, target, host) {
        Ok(target) => target,
        Err(why) => return reply(400, Flag::DPE, format!("{why}\n"), nobody),
    };
    let connect = method == "CONNECT";
    let Some((name, port)) = split_authority(target.destination) else {
        return reply(400, Flag::DPE, format!("malformed authority {}\n", target.destination), nobody);
    };
    let Some(port) = port.or((!connect).then_some(80)) else {
        return reply(400, Flag::DPE, "CONNECT needs a port\n".into(), nobody);
    };
    let malformed = || reply(400, Flag::DPE, "malformed path\n".into(), nobody);
    if let Some(address) = own_address(shared, &name, port) {
        let Some(path) = normalized(target.path) else { return malformed() };
        return match address {
            Ok(address) => to_cluster(shared.own_port(address), Direction::Outbound, connect, path),
            Err(()) => reply(403, Flag::NR, "the proxy does not call itself\n".into(), nobody),
        };
    }
    let routing = shared.routing();
    let destination = routing.resolve(&name);
    if let Some(cluster) = destination.and_then(|host| host.cluster(port, "")).filter(|cluster| cluster.tcp) {
        return bytes_to(cluster.clone(), connect, target.path);
    }
    let Some(path) = normalized(target.path) else { return malformed() };
    let mut unknown = Vec::new();
    let named = if target.authority == target.destination {
        destination
    } else {
        by_host(&routing, target.authority, port, &mut unknown)
    };
    let Some(host) = named.or(destination) else {
        return no_service(shared, &name, unknown);
    };
    let Some(cluster) = host.cluster(port, "") else {
        let ports: Vec<String> = host.host.ports.iter().map(|p| p.port.to_string()).collect();
        let text = format!("Service {} has no port {port}, it has {}\n", host.name, ports.join(", "));
        let reply = Reply { status: 503, flag: Flag::NR, body: text.into(), ..Reply::empty(nobody) };
        return Decision::Reply(Reply { unknown: unknown.into(), ..reply });
    };
    // With a Host that is no Service's the request goes where the client would have connected to, past all routes: what Istio's
    // outbound policy ALLOW_ANY does.
    let passes_through = named.is_none();
    if connect || host.host.routes.is_empty() || passes_through {
        let (hash, set_cookie) = hash_key(shared, cluster, headers, &path);
        return match to_cluster(cluster.clone(), Direction::Outbound, connect, path) {
            Decision::Forward(plan) => Decision::Forward(Plan { hash, set_cookie, unknown: unknown.into(), ..plan }),
            other => other,
        };
    }
    // A request of HTTP/1.1 has no scheme of its own: a proxy before this one may have said it.
    let forwarded = || headers.any("x-forwarded-proto", &|v| v.eq_ignore_ascii_case("https")) == Some(true);
    let scheme = scheme.unwrap_or_else(|| if forwarded() { "https" } else { "http" });
    let view = RequestView {
        method,
        target: &path,
        authority: target.authority,
        scheme,
        port,
        source_namespace: &shared.config.namespace,
        headers,
    };
    match by_route(shared, &routing, host, cluster, &view) {
        // What the route does not rewrite is sent in its normal form.
        Decision::Forward(plan) if plan.target.is_none() => Decision::Forward(Plan { target: changed(path), ..plan }),
        other => other,
    }
}

/// The answer where neither target nor Host names a Service that the table has.
fn no_service(shared: &Shared, name: &str, mut unknown: Vec<Box<str>>) -> Decision {
    let nobody = Reply { flag: Flag::NR, ..Reply::empty(shared.black_hole) };
    if !shared.ready.load(Ordering::Acquire) {
        return Decision::Reply(Reply { status: 503, body: "no routes from the control plane yet\n".into(), ..nobody });
    }
    let text = format!("{name} is not in the service registry: this proxy reaches Services of the mesh only\n");
    unknown.push(name.into());
    Decision::Reply(Reply { status: 403, body: text.into(), unknown: unknown.into(), ..nobody })
}

/// What is done at a port that speaks no HTTP: neither route nor Host counts, nothing is changed.
fn bytes_to(cluster: Arc<LiveCluster>, connect: bool, path: &str) -> Decision {
    match to_cluster(cluster, Direction::Outbound, connect, Cow::Borrowed(path)) {
        Decision::Forward(plan) => Decision::Forward(Plan { tcp: true, ..plan }),
        other => other,
    }
}

/// The host that a Host header names at the port that the client asked for: Envoy looks for its virtual host among those of the port,
/// whatever port Host names. `None` if there is none; it is noted in `unknown` if the table may lack it.
fn by_host<'r>(
    routing: &'r Routing,
    authority: &str,
    port: u16,
    unknown: &mut Vec<Box<str>>,
) -> Option<&'r Arc<LiveHost>> {
    let (name, _) = split_authority(authority)?;
    match routing.resolve(&name) {
        Some(host) => Some(host).filter(|host| host.cluster(port, "").is_some_and(|cluster| !cluster.tcp)),
        None => {
            unknown.push(name.into());
            None
        }
    }
}

/// What the first route that fits does with a request. `cluster` is that of the whole Service.
fn by_route(
    shared: &Shared,
    routing: &Routing,
    host: &Arc<LiveHost>,
    cluster: &LiveCluster,
    view: &RequestView<'_>,
) -> Decision {
    let own = |via: Option<Via>, delay, status, flag, body: String| Reply {
        status,
        flag,
        body: body.into(),
        via,
        delay,
        ..Reply::empty(cluster.nobody)
    };
    let Some(Matched { route, by }) = route_for(&host.host, view) else {
        return Decision::Reply(own(None, None, 404, Flag::NR, String::new()));
    };
    let index = host.host.routes.iter().position(|r| std::ptr::eq(r, route)).unwrap_or(0);
    let mut via = Via { host: host.clone(), route: index, destination: usize::MAX };
    let delay =
        route.fault.delay.filter(|(_, percent)| shared.chance(*percent)).map(|(ms, _)| Duration::from_millis(ms));
    let reply = |via: &Via, status, flag, body| own(Some(via.clone()), delay, status, flag, body);
    if let Some((status, percent)) = route.fault.abort
        && shared.chance(percent)
    {
        return Decision::Reply(reply(&via, status, Flag::FI, "fault filter abort".into()));
    }
    let destinations = match &route.action {
        Action::Forward(destinations) => destinations,
        Action::Redirect(to) => {
            let location = redirect(to, view.authority, view.target, view.scheme, view.port, by);
            let reply = reply(&via, to.code, Flag::None, String::new());
            return Decision::Reply(Reply { location: Some(location), ..reply });
        }
        Action::Respond { status, body } => {
            return Decision::Reply(reply(&via, *status, Flag::None, body.clone()));
        }
    };
    let Some(destination) = pick_weighted(destinations, shared.draw()) else {
        return Decision::Reply(reply(&via, 503, Flag::NR, "no destination has a weight\n".into()));
    };
    via.destination = destinations.iter().position(|d| std::ptr::eq(d, destination)).unwrap_or(usize::MAX);
    let cluster_of = |host: &str, port: Option<u16>, subset: &str| {
        let host = routing.host(host)?;
        host.cluster(host.host.destination_port(port, view.port), subset).cloned()
    };
    let Some(to) = cluster_of(&destination.host, destination.port, &destination.subset) else {
        let (host, subset) = (&destination.host, &destination.subset);
        let text = format!("cluster {host} {subset} does not exist: no such Service, port or subset\n");
        return Decision::Reply(reply(&via, 503, Flag::NC, text));
    };
    let mirrored = route.mirrors.iter().filter(|m| shared.chance(m.percent));
    let mirrors = mirrored.filter_map(|m| cluster_of(&m.host, m.port, &m.subset)).collect();
    let (hash, set_cookie) = hash_key(shared, &to, view.headers, view.target);
    let target = rewrite(&route.rewrite, by, view.target);
    let original = target.is_some().then(|| view.target.to_owned());
    let direction = Direction::Outbound;
    Decision::Forward(Plan {
        direction,
        cluster: to,
        via: Some(via),
        hash,
        set_cookie,
        target,
        original,
        delay,
        mirrors,
        unknown: Box::default(),
        tcp: false,
        endpoint: None,
    })
}

/// A path that is not as it came.
fn changed(path: Cow<'_, str>) -> Option<String> {
    if let Cow::Owned(path) = path { Some(path) } else { None }
}

/// A request for the app behind this sidecar.
pub(crate) fn inward(
    cluster: Arc<LiveCluster>,
    method: &str,
    target: &str,
    host: Option<&str>,
    peer: Peer,
) -> Decision {
    if method == "CONNECT" {
        return Decision::Reply(Reply {
            status: 405,
            flag: Flag::NR,
            body: "CONNECT is for the way out\n".into(),
            ..Reply::empty(peer)
        });
    }
    let malformed = |why: &str| {
        Decision::Reply(Reply { status: 400, flag: Flag::DPE, body: format!("{why}\n").into(), ..Reply::empty(peer) })
    };
    match split_target(method, target, host) {
        Err(why) => malformed(why),
        // On the way out Host decides; here it would be read by an app, which may believe either.
        Ok(found) if found.authority_differs() => malformed("the target and Host name different hosts"),
        Ok(target) => match normalized(target.path) {
            Some(path) => to_cluster(cluster, Direction::Inbound, false, path),
            None => malformed("malformed path"),
        },
    }
}

fn to_cluster(cluster: Arc<LiveCluster>, direction: Direction, connect: bool, path: Cow<'_, str>) -> Decision {
    if connect {
        return Decision::Tunnel(cluster);
    }
    Decision::Forward(Plan {
        direction,
        cluster,
        via: None,
        target: changed(path),
        original: None,
        hash: None,
        set_cookie: None,
        delay: None,
        mirrors: Vec::new(),
        unknown: Box::default(),
        tcp: false,
        endpoint: None,
    })
}

/// Whether a host, in lower case, is the calling pod by a name that every machine has for itself, or by one of its addresses.
fn means_the_caller(name: &str, pod: IpAddr, app: IpAddr) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    let own = |ip: IpAddr| {
        ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST || ip.is_unspecified() || ip == pod || ip == app
    };
    name == "localhost" || literal.parse::<IpAddr>().is_ok_and(|ip| own(ip.to_canonical()))
}

/// `localhost` is the calling pod: its app, or this sidecar's own pages. The inner error is a request that would come back here.
fn own_address(shared: &Shared, name: &str, port: u16) -> Option<Result<SocketAddr, ()>> {
    let config = &shared.config;
    if !means_the_caller(name, config.pod_ip, config.app_ip) {
        return None;
    }
    let ports = &config.ports;
    Some(match port {
        _ if port == ports.outbound => Err(()),
        _ if [ports.admin, ports.stats, ports.health].contains(&port) => Ok(SocketAddr::new(config.pod_ip, port)),
        _ => Ok(SocketAddr::new(config.app_ip, port)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::SidecarConfig;
    use crate::table::{Cluster, Destination, Endpoint, Host, Protocol, Route, ServicePort, TableUpdate};

    /// A sidecar's state with one Service, split by weight over two subsets. No sockets.
    fn routed(v1: u32, v2: u32) -> Shared {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let shared = Shared::new(SidecarConfig::new("a", "pod", local, local, "/nowhere".into()));
        let full = "app.a.svc.cluster.local".to_string();
        let endpoint = |port| Endpoint {
            address: SocketAddr::new(local, port),
            workload: "".into(),
            namespace: "".into(),
            app: "".into(),
            version: "".into(),
        };
        let cluster = |subset: &str, port| Cluster {
            port: 80,
            subset: subset.into(),
            endpoints: vec![endpoint(port)],
            ..Cluster::default()
        };
        let to = |subset: &str, weight| Destination {
            host: full.clone(),
            subset: subset.into(),
            weight,
            ..Destination::default()
        };
        let host = Host {
            name: "app".into(),
            namespace: "a".into(),
            ports: vec![ServicePort { port: 80, name: "http".into(), protocol: Protocol::Http }],
            clusters: vec![cluster("", 1), cluster("v1", 1), cluster("v2", 2)],
            routes: vec![Route { action: Action::Forward(vec![to("v1", v1), to("v2", v2)]), ..Route::default() }],
            ..Host::default()
        };
        shared.apply(TableUpdate {
            revision: 1,
            full: true,
            set: [(full, Arc::new(host))].into(),
            ..TableUpdate::default()
        });
        shared
    }

    #[test]
    fn the_pod_is_meant_by_each_of_its_names_and_by_no_other() {
        let (pod, app) = ("127.64.0.3".parse().unwrap(), "127.64.0.4".parse().unwrap());
        for name in [
            "localhost",
            "localhost.",
            "127.0.0.1",
            "::1",
            "[::1]",
            "0.0.0.0",
            "::",
            "::ffff:127.0.0.1",
            "[::ffff:7f00:1]",
            "127.64.0.3",
            "127.64.0.4",
            "::ffff:127.64.0.3",
        ] {
            assert!(means_the_caller(name, pod, app), "{name}");
        }
        // What is no name of the pod is looked up as a Service, and found nowhere.
        for name in [
            "127.0.0.2",
            "127.1",
            "2130706433",
            "0x7f000001",
            "017700000001",
            "127.64.0.5",
            "local",
            "localhost.localdomain",
            "a.localhost",
            "",
            "[::1",
            "10.0.0.1",
        ] {
            assert!(!means_the_caller(name, pod, app), "{name}");
        }
    }

    /// The way a request takes, all of it but the sockets: name, route, draw, cluster.
    #[test]
    fn a_hundred_thousand_requests_at_each_weight_keep_it_within_4_5_sigma() {
        const N: u32 = 100_000;
        for percent in [0_u32, 1, 5, 10, 25, 50, 75, 99, 100] {
            let shared = routed(percent, 100 - percent);
            let headers = http::HeaderMap::new();
            let hits = (0..N).filter(|_| match decide(&shared, "GET", "http://app/x", None, None, &headers) {
                Decision::Forward(plan) => plan.cluster.name.contains("|v1|"),
                _ => panic!("not forwarded"),
            });
            let (hits, p) = (hits.count() as f64, f64::from(percent) / 100.0);
            let sigma = (f64::from(N) * p * (1.0 - p)).sqrt();
            assert!((hits - f64::from(N) * p).abs() <= 4.5 * sigma, "{percent} %: {hits} of {N}");
        }
    }
}
