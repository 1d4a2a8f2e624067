//! The first two phases of a request from the app: route, and pick.

use super::changes::Levels;
use super::flag::Flag;
use super::hash_key::hash_key;
use super::metrics::Peer;
use super::path::normalized;
use super::reply::Reply;
use super::rewrite::{redirect, rewrite};
use super::routing::{LiveCluster, LiveHost};
use super::shared::Shared;
use crate::table::{Action, Destination, Headers, Matched, Mirror, RequestView, Route, pick_weighted, route_for};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is to be done with a request.
pub(crate) enum Decision {
    Reply(Reply),
    Forward(Plan),
    /// CONNECT: bytes to an endpoint of this cluster.
    Tunnel(Arc<LiveCluster>),
}

/// Where a request goes and how.
pub(crate) struct Plan {
    pub(crate) cluster: Arc<LiveCluster>,
    /// The VirtualService's route it goes by; `None` for plain balancing.
    pub(crate) via: Option<Via>,
    /// Path and query, where they are not sent as they came.
    pub(crate) target: Option<String>,
    /// Path and query before they were rewritten.
    pub(crate) original: Option<String>,
    /// Key of consistent hashing.
    pub(crate) hash: Option<u64>,
    /// The cookie that the key was made up for.
    pub(crate) set_cookie: Option<String>,
    /// Waited before anything is sent (fault injection).
    pub(crate) delay: Option<Duration>,
    /// Who gets a copy.
    pub(crate) mirrors: Vec<Arc<LiveCluster>>,
}

/// A route and one of its destinations, without copying them.
#[derive(Clone)]
pub(crate) struct Via {
    host: Arc<LiveHost>,
    route: usize,
    destination: usize,
}

impl std::fmt::Debug for Via {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}][{}]", self.host.name, self.route, self.destination)
    }
}

impl Via {
    /// What is done to a request's headers.
    pub(crate) fn request_changes(&self) -> Levels<'_> {
        [self.destination().map(|d| &d.headers.request), Some(&self.route().headers.request)]
    }

    /// What is done to a response's headers.
    pub(crate) fn response_changes(&self) -> Levels<'_> {
        [self.destination().map(|d| &d.headers.response), Some(&self.route().headers.response)]
    }

    pub(crate) fn route(&self) -> &Route {
        &self.host.host.routes[self.route]
    }

    pub(crate) fn destination(&self) -> Option<&Destination> {
        match &self.route().action {
            Action::Forward(all) => all.get(self.destination),
            _ => None,
        }
    }
}

/// A request line's parts, whatever form the target has.
pub(crate) struct Target<'r> {
    pub(crate) authority: &'r str,
    /// Path and query.
    pub(crate) path: &'r str,
}

impl Target<'_> {
    /// Whether the request's `target` has an authority of its own and `host` is another one. A port that is not written is the scheme's.
    pub(crate) fn authority_differs(&self, target: &str, host: Option<&str>) -> bool {
        let named =
            |authority: &str| split_authority(authority).map(|(name, port)| (name.into_owned(), port.unwrap_or(80)));
        let in_target = !target.starts_with('/') && target != "*";
        in_target && host.is_some_and(|host| named(host) != named(self.authority))
    }
}

/// Reads absolute-form, origin-form and authority-form. The Host header counts only where the target has no authority.
pub(crate) fn split_target<'r>(
    method: &str,
    target: &'r str,
    host: Option<&'r str>,
) -> Result<Target<'r>, &'static str> {
    let found = if method == "CONNECT" {
        Target { authority: target, path: "" }
    } else if target.starts_with('/') || target == "*" {
        Target { authority: host.ok_or("no Host")?, path: target }
    } else if let Some(rest) = target.get(..7).filter(|s| s.eq_ignore_ascii_case("http://")).map(|_| &target[7..]) {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let path = if end == rest.len() { "/" } else { &rest[end..] };
        Target { authority: &rest[..end], path }
    } else {
        return Err("only http:// can be asked for");
    };
    if found.authority.is_empty() || found.authority.contains(['@', ' ', '\\', '#']) || found.path.starts_with('?') {
        return Err("malformed authority");
    }
    Ok(found)
}

/// Host, in lower case and without brackets, and port.
pub(crate) fn split_authority(authority: &str) -> Option<(Cow<'_, str>, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) if port.bytes().all(|c| c.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
        None => None,
    };
    let host = if host.bytes().any(|c| c.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    };
    Some((host, port))
}

/// Decides about a request of the app. `host` is its Host header.
pub(crate) fn decide(
    shared: &Shared,
    method: &str,
    target: &str,
    host: Option<&str>,
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
    let Some(path) = normalized(target.path) else {
        return reply(400, Flag::DPE, "malformed path\n".into(), nobody);
    };
    let Some((name, port)) = split_authority(target.authority) else {
        return reply(400, Flag::DPE, format!("malformed authority {}\n", target.authority), nobody);
    };
    let Some(port) = port.or((!connect).then_some(80)) else {
        return reply(400, Flag::DPE, "CONNECT needs a port\n".into(), nobody);
    };
    if let Some(address) = own_address(shared, &name, port) {
        return match address {
            Ok(address) => to_cluster(shared.own_port(address), connect, path),
            Err(()) => reply(403, Flag::NR, "the proxy does not call itself\n".into(), nobody),
        };
    }
    let routing = shared.routing();
    let Some(host) = routing.resolve(&name) else {
        if !shared.ready.load(Ordering::Acquire) {
            return reply(503, Flag::NR, "no routes from the control plane yet\n".into(), nobody);
        }
        let text = format!("{name} is not in the service registry: this proxy reaches Services of the mesh only\n");
        return Decision::Reply(Reply {
            status: 403,
            flag: Flag::NR,
            body: text.into(),
            unknown: Some(name.into()),
            ..Reply::empty(nobody)
        });
    };
    let Some(cluster) = host.cluster(port, "") else {
        let ports: Vec<String> = host.host.ports.iter().map(|p| p.port.to_string()).collect();
        return reply(
            503,
            Flag::NR,
            format!("Service {} has no port {port}, it has {}\n", host.name, ports.join(", ")),
            nobody,
        );
    };
    if connect || host.host.routes.is_empty() {
        let (hash, set_cookie) = hash_key(shared, cluster, headers, &path);
        return match to_cluster(cluster.clone(), connect, path) {
            Decision::Forward(plan) => Decision::Forward(Plan { hash, set_cookie, ..plan }),
            other => other,
        };
    }
    let scheme = if headers.any("x-forwarded-proto", &|v| v.eq_ignore_ascii_case("https")) == Some(true) {
        "https"
    } else {
        "http"
    };
    let view = RequestView {
        method,
        target: &path,
        authority: target.authority,
        scheme,
        port,
        source_namespace: &shared.config.namespace,
        headers,
    };
    let Some(Matched { route, by }) = route_for(&host.host, &view) else {
        return reply(404, Flag::NR, String::new(), cluster.nobody);
    };
    let index = host.host.routes.iter().position(|r| std::ptr::eq(r, route)).unwrap_or(0);
    let mut via = Via { host: host.clone(), route: index, destination: usize::MAX };
    let delay =
        route.fault.delay.filter(|(_, percent)| shared.chance(*percent)).map(|(ms, _)| Duration::from_millis(ms));
    let routed = |status, flag, body: String, via: &Via| {
        Decision::Reply(Reply {
            status,
            flag,
            body: body.into(),
            via: Some(via.clone()),
            delay,
            ..Reply::empty(cluster.nobody)
        })
    };
    if let Some((status, percent)) = route.fault.abort
        && shared.chance(percent)
    {
        return routed(status, Flag::FI, "fault filter abort".into(), &via);
    }
    let destinations = match &route.action {
        Action::Forward(destinations) => destinations,
        Action::Redirect(to) => {
            let location = Some(redirect(to, target.authority, &path, scheme, port, by));
            return Decision::Reply(Reply {
                status: to.code,
                flag: Flag::None,
                location,
                via: Some(via),
                delay,
                ..Reply::empty(cluster.nobody)
            });
        }
        Action::Respond { status, body } => return routed(*status, Flag::None, body.clone(), &via),
    };
    let Some(destination) = pick_weighted(destinations, shared.draw()) else {
        return routed(503, Flag::NR, "no destination has a weight\n".into(), &via);
    };
    via.destination = destinations.iter().position(|d| std::ptr::eq(d, destination)).unwrap_or(usize::MAX);
    let to = routing
        .host(&destination.host)
        .and_then(|h| h.cluster(h.host.destination_port(destination.port, port), &destination.subset));
    let Some(to) = to else {
        let text = format!(
            "cluster {} {} does not exist: no such Service, port or subset\n",
            destination.host, destination.subset
        );
        return routed(503, Flag::NC, text, &via);
    };
    let mirrored = |m: &&Mirror| shared.chance(m.percent);
    let mirrors = route.mirrors.iter().filter(mirrored).filter_map(|m| {
        let host = routing.host(&m.host)?;
        host.cluster(host.host.destination_port(m.port, port), &m.subset).cloned()
    });
    let mirrors = mirrors.collect();
    let (hash, set_cookie) = hash_key(shared, to, headers, &path);
    let (target, original) = match rewrite(&route.rewrite, by, &path) {
        Some(rewritten) => (Some(rewritten), Some(path.into_owned())),
        None => (changed(path), None),
    };
    Decision::Forward(Plan { cluster: to.clone(), via: Some(via), hash, set_cookie, target, original, delay, mirrors })
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
        // On the way out a client may name another Host to its proxy; here it would be read by an app, which may believe either.
        Ok(found) if found.authority_differs(target, host) => malformed("the target and Host name different hosts"),
        Ok(target) => match normalized(target.path) {
            Some(path) => to_cluster(cluster, false, path),
            None => malformed("malformed path"),
        },
    }
}

fn to_cluster(cluster: Arc<LiveCluster>, connect: bool, path: Cow<'_, str>) -> Decision {
    if connect {
        return Decision::Tunnel(cluster);
    }
    Decision::Forward(Plan {
        cluster,
        via: None,
        target: changed(path),
        original: None,
        hash: None,
        set_cookie: None,
        delay: None,
        mirrors: Vec::new(),
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
    use crate::table::{Cluster, Endpoint, Host, Protocol, ServicePort, TableUpdate};

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
            let hits = (0..N).filter(|_| match decide(&shared, "GET", "http://app/x", None, &headers) {
                Decision::Forward(plan) => plan.cluster.name.contains("|v1|"),
                _ => panic!("not forwarded"),
            });
            let (hits, p) = (hits.count() as f64, f64::from(percent) / 100.0);
            let sigma = (f64::from(N) * p * (1.0 - p)).sqrt();
            assert!((hits - f64::from(N) * p).abs() <= 4.5 * sigma, "{percent} %: {hits} of {N}");
        }
    }
}
