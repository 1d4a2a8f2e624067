//! Listens on every Service's ClusterIP and forwards connections to a random ready endpoint, as kube-proxy does.
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use listen::{Conn, Guarded, Limits, Listener};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::net::Network;
use super::services::{Services, pick};

/// How often an address that could not be listened on is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Longest wait for a connection to an endpoint. They are on this machine: what takes longer hangs.
const CONNECT: Duration = Duration::from_secs(5);

/// Limits of all ClusterIPs together. What the bytes mean is the endpoint's business: it closes what takes too long, and with it ends the
/// connection here. Each has another one to an endpoint.
pub fn limits() -> Limits {
    Limits { waiting: 512, ..Limits::default() }.fitted(listen::descriptor_limit(), 15, 2)
}

/// Serves until stopped. Only addresses of this node's block are listened on.
pub async fn serve(
    policy: Listener,
    network: Arc<Network>,
    mut services: watch::Receiver<Arc<Services>>,
    stop: CancellationToken,
) {
    let mut open: BTreeMap<(Ipv4Addr, u16), CancellationToken> = BTreeMap::new();
    let mut refused: BTreeMap<(Ipv4Addr, u16), String> = BTreeMap::new();
    let mut listeners = JoinSet::new();
    loop {
        let wanted = wanted(&network, &services.borrow_and_update());
        open.retain(|at, running| {
            let keep = wanted.contains(at);
            if !keep {
                running.cancel();
            }
            keep
        });
        refused.retain(|at, _| wanted.contains(at));
        for (ip, port) in wanted {
            if open.contains_key(&(ip, port)) {
                continue;
            }
            match TcpListener::bind(SocketAddrV4::new(ip, port)).await {
                Ok(listener) => {
                    let running = stop.child_token();
                    listeners.spawn(accept(listener, policy.clone(), ip, port, services.clone(), running.clone()));
                    open.insert((ip, port), running);
                    refused.remove(&(ip, port));
                }
                Err(error) => {
                    let error = error.to_string();
                    if refused.insert((ip, port), error.clone()).as_ref() != Some(&error) {
                        tracing::warn!(
                            "ClusterIP {ip}:{port} cannot be listened on: {error}. Pods reach the Service all the same"
                        );
                    }
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = services.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(RETRY), if !refused.is_empty() => {}
            Some(_) = listeners.join_next(), if !listeners.is_empty() => {}
        }
    }
}

fn wanted(network: &Network, services: &Services) -> std::collections::BTreeSet<(Ipv4Addr, u16)> {
    services
        .iter()
        .filter_map(|service| Some((service.cluster_ip.filter(|ip| network.is_service_ip(*ip))?, service)))
        .flat_map(|(ip, service)| service.ports.keys().map(move |port| (ip, *port)))
        .collect()
}

async fn accept(
    listener: TcpListener,
    policy: Listener,
    ip: Ipv4Addr,
    port: u16,
    services: watch::Receiver<Arc<Services>>,
    stop: CancellationToken,
) {
    let running = policy.run(listener, CancellationToken::new(), |client, conn| {
        let endpoints =
            services.borrow().find(&ip.to_string(), "").and_then(|service| service.endpoints(port).map(<[_]>::to_vec));
        forward(client, conn, endpoints.unwrap_or_default())
    });
    tokio::select! {
        () = stop.cancelled() => {}
        () = running => {}
    }
}

/// Without a ready endpoint the connection is closed, as a refused one cannot be made after accepting.
async fn forward(mut client: Guarded<TcpStream>, conn: Conn, mut endpoints: Vec<std::net::SocketAddr>) {
    while let Some(endpoint) = pick(&endpoints).copied() {
        if let Ok(Ok(mut upstream)) = tokio::time::timeout(CONNECT, TcpStream::connect(endpoint)).await {
            let _ = upstream.set_nodelay(true);
            conn.relay();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
            return;
        }
        endpoints.retain(|other| *other != endpoint);
    }
}
