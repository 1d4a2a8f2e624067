//! The first two phases of a request from the app: route, and pick.

use super::balance::hash;
use super::metrics::{Flag, Peer};
use super::reply::Reply;
use super::routing::{LiveCluster, LiveHost};
use super::shared::Shared;
use crate::table::{Action, Balance, Destination, Headers, Match, Matched, Mirror, Redirect, RequestView, Rewrite, Route, StringMatch, pick_weighted, route_for};
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
    /// Path and query, where they are rewritten.
    pub(crate) target: Option<String>,
    /// Key of consistent hashing.
    pub(crate) hash: Option<u64>,
    /// Waited before anything is sent (fault injection).
    pub(crate) delay: Option<Duration>,
    /// Who gets a copy.
    pub(crate) mirrors: Vec<Arc<LiveCluster>>,
}

/// A route and one of its destinations, without copying them.
pub(crate) struct Via {
    host: Arc<LiveHost>,
    route: usize,
    destination: usize,
}

impl Via {
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

/// Reads absolute-form, origin-form and authority-form. The Host header counts only where the target has no authority.
pub(crate) fn split_target<'r>(method: &str, target: &'r str, host: Option<&'r str>) -> Result<Target<'r>, &'static str> {
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
    let host = if host.bytes().any(|c| c.is_ascii_uppercase()) { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) };
    Some((host, port))
}

/// Decides about a request of the app. `host` is its Host header.
pub(crate) fn decide(shared: &Shared, method: &str, target: &str, host: Option<&str>, headers: &dyn Headers) -> Decision {
    let reply = |status, flag, body: String, peer| Decision::Reply(Reply { status, flag, body: body.into(), location: None, peer });
    let nobody = shared.black_hole;
    let target = match split_target(method, target, host) {
        Ok(target) => target,
        Err(why) => return reply(400, Flag::DPE, format!("{why}\n"), nobody),
    };
    let connect = method == "CONNECT";
    let Some((name, port)) = split_authority(target.authority) else {
        return reply(400, Flag::DPE, format!("malformed authority {}\n", target.authority), nobody);
    };
    let Some(port) = port.or((!connect).then_some(80)) else {
        return reply(400, Flag::DPE, "CONNECT needs a port\n".into(), nobody);
    };
    if let Some(address) = own_address(shared, &name, port) {
        return match address {
            Ok(address) => to_cluster(shared.own_port(address), connect),
            Err(()) => reply(403, Flag::NR, "the proxy does not call itself\n".into(), nobody),
        };
    }
    let routing = shared.routing();
    let Some(host) = routing.resolve(&name) else {
        if !shared.ready.load(Ordering::Acquire) {
            return reply(503, Flag::NR, "no routes from the control plane yet\n".into(), nobody);
        }
        let text = format!("{name} is not in the service registry: this proxy reaches Services of the mesh only\n");
        return reply(403, Flag::NR, text, nobody);
    };
    let Some(cluster) = host.cluster(port, "") else {
        let ports: Vec<String> = host.host.ports.iter().map(|p| p.port.to_string()).collect();
        return reply(503, Flag::NR, format!("Service {} has no port {port}, it has {}\n", host.name, ports.join(", ")), nobody);
    };
    if connect || host.host.routes.is_empty() {
        let key = hash_key(cluster, headers, target.path);
        return match to_cluster(cluster.clone(), connect) {
            Decision::Forward(plan) => Decision::Forward(Plan { hash: key, ..plan }),
            other => other,
        };
    }
    let view = RequestView { method, target: target.path, authority: target.authority, port, source_namespace: &shared.config.namespace, headers };
    let Some(Matched { route, by }) = route_for(&host.host, &view) else {
        return Decision::Reply(Reply { status: 404, flag: Flag::NR, body: "".into(), location: None, peer: cluster.nobody });
    };
    if let Some((status, percent)) = route.fault.abort
        && shared.chance(percent)
    {
        return Decision::Reply(Reply { status, flag: Flag::FI, body: "fault filter abort".into(), location: None, peer: cluster.nobody });
    }
    let destinations = match &route.action {
        Action::Forward(destinations) => destinations,
        Action::Redirect(to) => return redirect(to, &target, cluster.nobody),
        Action::Respond { status, body } => {
            return Decision::Reply(Reply { status: *status, flag: Flag::None, body: body.clone().into(), location: None, peer: cluster.nobody });
        }
    };
    let Some(destination) = pick_weighted(destinations, shared.draw()) else {
        return reply(503, Flag::NR, "no destination has a weight\n".into(), cluster.nobody);
    };
    let to = routing.host(&destination.host).and_then(|h| h.cluster(h.host.destination_port(destination.port, port), &destination.subset));
    let Some(to) = to else {
        let text = format!("cluster {} {} does not exist: no such Service, port or subset\n", destination.host, destination.subset);
        return reply(503, Flag::NC, text, cluster.nobody);
    };
    let delay = route.fault.delay.filter(|(_, percent)| shared.chance(*percent)).map(|(ms, _)| Duration::from_millis(ms));
    let index = |part: *const Route| host.host.routes.iter().position(|r| std::ptr::eq(r, part)).unwrap_or(0);
    let via = Via {
        host: host.clone(),
        route: index(route),
        destination: destinations.iter().position(|d| std::ptr::eq(d, destination)).unwrap_or(0),
    };
    let mirrored = |m: &&Mirror| shared.chance(m.percent);
    let mirrors = route.mirrors.iter().filter(mirrored).filter_map(|m| {
        let host = routing.host(&m.host)?;
        host.cluster(host.host.destination_port(m.port, port), &m.subset).cloned()
    });
    let mirrors = mirrors.collect();
    let rewritten = rewrite(&route.rewrite, by, target.path);
    Decision::Forward(Plan { cluster: to.clone(), via: Some(via), hash: hash_key(to, headers, target.path), target: rewritten, delay, mirrors })
}

fn to_cluster(cluster: Arc<LiveCluster>, connect: bool) -> Decision {
    if connect { Decision::Tunnel(cluster) } else { Decision::Forward(Plan { cluster, via: None, target: None, hash: None, delay: None, mirrors: Vec::new() }) }
}

/// `localhost` is the calling pod: its app, or this sidecar's own pages. The inner error is a request that would come back here.
fn own_address(shared: &Shared, name: &str, port: u16) -> Option<Result<SocketAddr, ()>> {
    let config = &shared.config;
    let local = name == "localhost"
        || name.parse::<IpAddr>().is_ok_and(|ip| ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST || ip == config.pod_ip);
    if !local {
        return None;
    }
    let ports = &config.ports;
    Some(match port {
        _ if port == ports.outbound => Err(()),
        _ if [ports.admin, ports.stats, ports.health].contains(&port) => Ok(SocketAddr::new(config.pod_ip, port)),
        _ => Ok(SocketAddr::new(config.app_ip, port)),
    })
}

fn redirect(to: &Redirect, target: &Target<'_>, peer: Peer) -> Decision {
    let (path, query) = target.path.split_once('?').map_or((target.path, ""), |(p, q)| (p, q));
    let mut location = format!("{}://{}", to.scheme.as_deref().unwrap_or("http"), to.authority.as_deref().unwrap_or(target.authority));
    if let Some(port) = to.port {
        let host_end = location.rfind(':').filter(|at| location[at + 1..].bytes().all(|c| c.is_ascii_digit())).unwrap_or(location.len());
        location.truncate(host_end);
        location.push_str(&format!(":{port}"));
    }
    location.push_str(to.uri.as_deref().unwrap_or(path));
    if !query.is_empty() && !to.uri.as_deref().unwrap_or("").contains('?') {
        location.push('?');
        location.push_str(query);
    }
    Decision::Reply(Reply { status: to.code, flag: Flag::None, body: "".into(), location: Some(location), peer })
}

/// The path to send; `None` where it stays as it is.
fn rewrite(rewrite: &Rewrite, by: Option<&Match>, target: &str) -> Option<String> {
    let (path, query) = target.find('?').map_or((target, ""), |at| target.split_at(at));
    if let Some((pattern, with)) = &rewrite.regex {
        // RE2 writes groups as \1, this engine as ${1}.
        let mut replacement = String::new();
        let mut chars = with.chars();
        while let Some(c) = chars.next() {
            match (c, chars.as_str().chars().next()) {
                ('\\', Some(d)) if d.is_ascii_digit() => {
                    replacement.push_str(&format!("${{{d}}}"));
                    chars.next();
                }
                ('$', _) => replacement.push_str("$$"),
                _ => replacement.push(c),
            }
        }
        let inner = regex::Regex::new(pattern.source()).ok()?;
        return Some(format!("{}{query}", inner.replace_all(path, replacement.as_str())));
    }
    let uri = rewrite.uri.as_deref()?;
    let rest = match by.and_then(|m| m.uri.as_ref()) {
        Some(StringMatch::Prefix(prefix)) => path.get(prefix.len()..).unwrap_or(""),
        Some(StringMatch::Exact(_) | StringMatch::Regex(_)) => "",
        // Everything matches the prefix "/".
        Some(StringMatch::Present) | None => path.get(1..).unwrap_or(""),
    };
    Some(format!("{uri}{rest}{query}"))
}

fn hash_key(cluster: &LiveCluster, headers: &dyn Headers, path: &str) -> Option<u64> {
    let value = match &cluster.policy.balance {
        Balance::HashHeader(name) => headers.value(name),
        Balance::HashQuery(name) => path.split_once('?').and_then(|(_, query)| crate::table::query_value(query, name)),
        Balance::HashCookie(name) => return cookie(headers, name).map(|v| hash(v.as_bytes())),
        _ => None,
    };
    value.map(|v| hash(v.as_bytes()))
}

fn cookie(headers: &dyn Headers, name: &str) -> Option<String> {
    let all = headers.value("cookie")?;
    let pairs = all.split([';', ',']).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string())
}
