//! Listens on every Service's ClusterIP and forwards connections to a random ready endpoint, as kube-proxy does.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use listen::{Conn, Guarded, Limits, Listener};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::net::Network;
use super::service_proxy::Reach;
use super::services::{Services, pick};

/// A ClusterIP and one of its Service's ports.
type Address = (Ipv4Addr, u16);

/// How often an address that could not be listened on is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Longest wait for a connection to an endpoint. They are on this machine: what takes longer hangs.
const CONNECT: Duration = Duration::from_secs(5);

/// Limits of all ClusterIPs together. What the bytes mean is the endpoint's business: it closes what takes too long, and with it ends the
/// connection here. Each has another one to an endpoint, so a flood is work for the endpoints, too: a caller is a pod or a terminal, and
/// has twice the connections that the load generator opens at most.
pub fn limits() -> Limits {
    Limits { waiting: 512, per_peer: 512, ..Limits::default() }.fitted(listen::descriptor_limit(), 15, 2)
}

/// Serves until stopped. Only addresses of this node's block are listened on.
pub async fn serve(
    policy: Listener,
    network: Arc<Network>,
    mut services: watch::Receiver<Arc<Services>>,
    reach: Reach,
    stop: CancellationToken,
) {
    let mut open: BTreeMap<Address, CancellationToken> = BTreeMap::new();
    let mut refused: BTreeMap<Address, String> = BTreeMap::new();
    let mut listeners = JoinSet::new();
    loop {
        let wanted = wanted(&network, &services.borrow_and_update());
        retain_running(&mut open, &wanted);
        refused.retain(|at, _| wanted.contains(at));
        for (ip, port) in wanted {
            if open.contains_key(&(ip, port)) {
                continue;
            }
            match TcpListener::bind(SocketAddrV4::new(ip, port)).await {
                Ok(listener) => {
                    let running = stop.child_token();
                    listeners.spawn(accept(
                        listener,
                        policy.clone(),
                        ip,
                        port,
                        services.clone(),
                        reach.clone(),
                        running.clone(),
                    ));
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
            Some(ended) = listeners.join_next(), if !listeners.is_empty() => if let Err(error) = ended {
                tracing::error!(%error, "The listener of a ClusterIP panicked; it is opened again");
            },
        }
    }
}

/// Stops the listeners of addresses that are not wanted. Drops those whose task has ended by itself, so that they are opened again.
fn retain_running(open: &mut BTreeMap<Address, CancellationToken>, wanted: &BTreeSet<Address>) {
    open.retain(|at, running| {
        let keep = wanted.contains(at) && !running.is_cancelled();
        if !keep {
            running.cancel();
        }
        keep
    });
}

fn wanted(network: &Network, services: &Services) -> BTreeSet<Address> {
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
    reach: Reach,
    stop: CancellationToken,
) {
    // Cancels the token however this ends, by a panic too: `serve` opens the address again.
    let _ended = stop.clone().drop_guard();
    let running = policy.run(listener, CancellationToken::new(), |client, conn| {
        let endpoints =
            services.borrow().find(&ip.to_string(), "").and_then(|service| service.endpoints(port).map(<[_]>::to_vec));
        forward(client, conn, endpoints.unwrap_or_default(), reach.clone())
    });
    tokio::select! {
        () = stop.cancelled() => {}
        () = running => {}
    }
}

/// Without a ready endpoint the connection is closed, as a refused one cannot be made after accepting.
async fn forward(mut client: Guarded<TcpStream>, conn: Conn, mut endpoints: Vec<std::net::SocketAddr>, reach: Reach) {
    while let Some(endpoint) = pick(&endpoints).copied() {
        if reach(endpoint).await
            && let Ok(Ok(mut upstream)) = tokio::time::timeout(CONNECT, TcpStream::connect(endpoint)).await
        {
            let _ = upstream.set_nodelay(true);
            conn.relay();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
            return;
        }
        endpoints.retain(|other| *other != endpoint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_listener_that_ends_by_itself_is_opened_again() {
        let books = listen::Books::default();
        let policy = Listener::new("cluster-ip", limits(), &books);
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (_publish, services) = watch::channel(Arc::default());
        let running = CancellationToken::new();
        let at = (Ipv4Addr::LOCALHOST, socket.local_addr().unwrap().port());
        let mut open = BTreeMap::from([(at, running.clone())]);
        retain_running(&mut open, &BTreeSet::from([at]));
        assert!(open.contains_key(&at), "it runs");

        let mut task = JoinSet::new();
        let reach: Reach = Arc::new(|_| Box::pin(std::future::ready(true)));
        task.spawn(accept(socket, policy, at.0, at.1, services, reach, running.clone()));
        // Without an endpoint it closes the connection, which shows that it runs.
        let mut client = TcpStream::connect(at).await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        // As a panic does, this drops the future and runs no code after it.
        task.shutdown().await;
        retain_running(&mut open, &BTreeSet::from([at]));
        assert!(open.is_empty(), "its address counts as open");
    }

    #[test]
    fn a_listener_that_is_not_wanted_is_stopped() {
        let running = CancellationToken::new();
        let mut open = BTreeMap::from([((Ipv4Addr::LOCALHOST, 1), running.clone())]);
        retain_running(&mut open, &BTreeSet::new());
        assert!(open.is_empty() && running.is_cancelled());
    }
}
