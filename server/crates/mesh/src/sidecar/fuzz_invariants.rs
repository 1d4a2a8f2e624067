//! The sidecar's part of what must hold of any bytes; no sockets.

use super::SidecarConfig;
use super::headers::known::{Known, known};
use super::pipeline::header_rules::Answered;
use super::pipeline::http1_heads::{ResponseStyle, write_request, write_response};
use super::route::decision::{Decision, Direction};
use super::route::outbound::decide;
use super::route::target::split_target;
use super::shared::Shared;
use crate::table::{
    Action, Cluster, Destination, Host, Match, Pattern, Protocol, Rewrite, Route, RouteTable, ServicePort, StringMatch,
    TableUpdate,
};
use http1::{Framing, HeadEnd, head_end, parse_request, parse_response};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

thread_local! {
    static SHARED: Shared = shared();
}

/// A sidecar's state with Service `app` on port 80, and routes that rewrite: some of them with what no table should have.
fn shared() -> Shared {
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let shared = Shared::new(SidecarConfig::new("a", "pod", local, local, "/nowhere".into()));
    let host = Host {
        name: "app".into(),
        namespace: "a".into(),
        ports: vec![ServicePort { port: 80, name: "http".into(), protocol: Protocol::Http }],
        clusters: vec![Cluster { port: 80, ..Cluster::default() }],
        routes: routes(),
        ..Host::default()
    };
    let table = RouteTable { revision: 1, hosts: [("app.a.svc.cluster.local".to_string(), Arc::new(host))].into() };
    shared.apply(TableUpdate { revision: 1, full: true, set: table.hosts, ..TableUpdate::default() });
    shared
}

fn routes() -> Vec<Route> {
    let on = |uri: Option<StringMatch>, rewrite: Rewrite| Route {
        matches: uri.into_iter().map(|uri| Match { uri: Some(uri), ..Match::default() }).collect(),
        action: Action::Forward(vec![Destination { host: "app.a.svc.cluster.local".into(), ..Destination::default() }]),
        rewrite,
        ..Route::default()
    };
    let prefix = |text: &str| Some(StringMatch::Prefix(text.into()));
    let uri = |text: &str| Rewrite { uri: Some(text.into()), ..Rewrite::default() };
    let regex = |pattern: &str, with: &str| Rewrite {
        regex: Pattern::new(pattern).ok().map(|p| (p, with.into())),
        ..Rewrite::default()
    };
    vec![
        on(prefix("/a"), uri("/")),
        on(
            prefix("/b"),
            Rewrite { uri: Some("/longer/".into()), authority: Some("other:1".into()), ..Rewrite::default() },
        ),
        on(prefix("/c"), regex("/c(.*)/(.*)", "\\2\\1")),
        on(prefix("/d"), regex(".*", "")),
        on(prefix("/e"), uri("/x HTTP/1.1\r\nx: y\r\n\r\n")),
        on(prefix("/f"), Rewrite { authority: Some("a\r\nx: y".into()), ..Rewrite::default() }),
        on(prefix("/g"), regex("/(.)", "/\\1\n \0")),
        on(None, Rewrite::default()),
    ]
}

/// Reads them as both kinds of head, and sends on what is a request.
pub(crate) fn heads(bytes: &[u8]) {
    let _ = parse_response(bytes, false, |_| ());
    let HeadEnd::At(end) = head_end(bytes, 0) else { return };
    // However it arrives, it ends at the same place.
    for cut in 0..end {
        assert!(head_end(&bytes[..cut], 0) != HeadEnd::At(cut) || cut == end, "two ends");
    }
    let Ok((framing, sent)) = parse_request(&bytes[..end], |request| {
        let frames = |kind: Known| request.headers.iter().filter(|h| known(h.name) == kind).count();
        assert!(frames(Known::ContentLength) + frames(Known::TransferEncoding) <= 1, "two framings");
        let sent = SHARED.with(|shared| {
            let Decision::Forward(plan) = decide(shared, request.method, request.target, request.host, None, request)
            else {
                return None;
            };
            let target = split_target(request.method, request.target, request.host).ok()?;
            let mut out = Vec::new();
            write_request(&mut out, shared, request, target.authority, target.path, &plan);
            Some(out)
        });
        (request.framing.clone(), sent)
    }) else {
        return;
    };
    let mut body = framing.clone();
    let _ = body.take(&bytes[end..]);
    let Some(sent) = sent else { return };
    assert_eq!(
        head_end(&sent, 0),
        HeadEnd::At(sent.len()),
        "what is sent on has another end: {}",
        String::from_utf8_lossy(&sent)
    );
    let again = parse_request(&sent, |request| request.framing.clone());
    assert!(
        again.as_ref().is_ok_and(|f| *f == framing || (framing == Framing::Done && f.is_done())),
        "what is sent on is read otherwise: {again:?}"
    );
}

/// Reads them as a request's head of any size, as it goes out and in, and as an answer's; returns the bytes that are sent on.
pub(crate) fn sent_on(bytes: &[u8]) -> usize {
    let HeadEnd::At(end) = head_end(bytes, 0) else { return 0 };
    let mut out = Vec::new();
    let answered =
        Answered { tcp: false, direction: Direction::Outbound, via: None, set_cookie: None, took: Duration::ZERO };
    let style = ResponseStyle { close: false, upgrade: false, old_keep_alive: false };
    let _ = parse_response(&bytes[..end], false, |response| write_response(&mut out, response, &answered, &style));
    let _ = parse_request(&bytes[..end], |request| {
        SHARED.with(|shared| {
            let Decision::Forward(plan) = decide(shared, request.method, request.target, request.host, None, request)
            else {
                return;
            };
            let Ok(target) = split_target(request.method, request.target, request.host) else { return };
            write_request(&mut out, shared, request, target.authority, target.path, &plan);
        });
    });
    out.len()
}

/// Puts what a control plane sent in use.
pub(crate) fn update(update: TableUpdate) {
    SHARED.with(|shared| shared.apply(update.clone()));
    // And as the first one.
    self::shared().apply(update);
}
