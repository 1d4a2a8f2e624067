//! The sidecar: a proxy at the pod's own address, for what comes in and what goes out.
//!
//! A request passes named phases, each a small function: route and pick ([`route::outbound`]), try and try again
//! ([`pipeline::attempts`]), record ([`pipeline::telemetry`]). These are written once. What is HTTP/1.1's own is behind
//! [`pipeline::http1_exchange`], byte by byte ([`http1`]): its hot path allocates nothing and spawns nothing. What is HTTP/2's own is behind
//! [`pipeline::stream_exchange`], by hyper.
//!
//! The folders use each other in one direction: [`listener`] → [`pipeline`] → [`route`] → [`downstream`] → [`upstream`] → [`headers`],
//! [`stats`].

mod admin;
mod budget;
mod buffer;
mod clock;
mod config;
mod config_client;
mod downstream;
pub(crate) mod fuzz_invariants;
mod headers;
mod inbound;
mod listener;
mod pipeline;
mod route;
mod shared;
mod stats;
mod tasks;
mod upstream;
mod wants;

pub use config::{Ports, Reach, SidecarConfig, SidecarError};
pub use inbound::InboundPorts;

use admin::Pages;
use downstream::connection::{IDLE_TIMEOUT, Side};
use inbound::{Inbound, Orders};
use listen::{Limits, Listener};
use shared::Shared;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A sidecar whose ports are bound.
pub struct Sidecar {
    shared: Arc<Shared>,
    outbound: TcpListener,
    inbound: Vec<(u16, TcpListener)>,
    /// More ports of the app, and who takes the orders.
    more: (InboundPorts, Orders),
    pages: Vec<(Pages, TcpListener)>,
}

/// Binds and runs a sidecar until `stop`, then drains it.
pub async fn run_sidecar(config: SidecarConfig, stop: CancellationToken) -> Result<(), SidecarError> {
    Sidecar::bind(config).await?.run(stop).await
}

impl Sidecar {
    /// Binds all ports, or none.
    pub async fn bind(mut config: SidecarConfig) -> Result<Sidecar, SidecarError> {
        let ip = config.pod_ip;
        // Ports with a number first: "any free one" must not take them.
        let mut inbound = Vec::new();
        for port in config.inbound_ports.clone() {
            inbound.push((port, bind(ip, &mut port.clone()).await?));
        }
        let outbound = bind(ip, &mut config.ports.outbound).await?;
        let pages = vec![
            (Pages::Admin, bind(ip, &mut config.ports.admin).await?),
            (Pages::Stats, bind(ip, &mut config.ports.stats).await?),
            (Pages::Health, bind(ip, &mut config.ports.health).await?),
        ];
        Ok(Sidecar { shared: Arc::new(Shared::new(config)), outbound, inbound, more: InboundPorts::new(), pages })
    }

    /// The ports it listens on, also where 0 was asked for.
    pub fn ports(&self) -> Ports {
        self.shared.config.ports
    }

    /// Takes more ports of the app over while it runs.
    pub fn inbound_ports(&self) -> InboundPorts {
        self.more.0.clone()
    }

    /// Serves until `stop`, then drains: takes connections a little longer, ends answers with `connection: close`, lets requests under
    /// way finish, all within the times of the configuration.
    ///
    /// # Errors
    /// A listener or another part ended before `stop`. The other parts are drained and stopped; the caller starts a new sidecar.
    pub async fn run(self, stop: CancellationToken) -> Result<(), SidecarError> {
        // A handle is kept, so that the end of the others is not the end of the orders.
        let Sidecar { shared, outbound, inbound, more: (_orders, orders), pages } = self;
        let ended = CancellationToken::new();
        let mut beside = JoinSet::new();
        let limits = page_limits(&shared.config);
        for (pages, socket) in pages {
            let (listener, shared, stop) =
                (Listener::new(pages.name(), limits.clone(), &shared.books), shared.clone(), ended.clone());
            beside.spawn(async move {
                listener.run(socket, stop, |stream, conn| admin::serve(shared.clone(), pages, stream, conn)).await
            });
        }
        beside.spawn(config_client::follow(shared.clone(), ended.clone()));
        beside.spawn(sweep(shared.clone(), ended.clone()));

        let mut traffic = JoinSet::new();
        let limits = traffic_limits(&shared.config);
        let mut serve = |listener: Listener, socket: TcpListener, side: Side| {
            let (shared, side) = (shared.clone(), Arc::new(side));
            traffic.spawn(async move {
                let stop = shared.tasks.closing.clone();
                listener
                    .run(socket, stop, |stream, conn| {
                        listener::proxy::serve(shared.clone(), side.clone(), stream, conn)
                    })
                    .await;
            });
        };
        serve(Listener::new("outbound", limits.clone(), &shared.books), outbound, Side::Outbound);
        // The ports of the app share their caps.
        let listener = Listener::new("inbound", limits, &shared.books);
        for (port, socket) in inbound {
            serve(listener.clone(), socket, Side::inbound(&shared, port));
        }
        traffic.spawn(Inbound::new(shared.clone(), listener).run(orders));

        let outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            Some(ended) = beside.join_next() => Err(ended_early(ended)),
            Some(ended) = traffic.join_next() => Err(ended_early(ended)),
        };
        shared.draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(shared.config.linger).await;
        shared.tasks.closing.cancel();
        let finished = async {
            while traffic.join_next().await.is_some() {}
            shared.tasks.tracker.close();
            shared.tasks.tracker.wait().await;
        };
        if tokio::time::timeout(shared.config.drain, finished).await.is_err() {
            tracing::warn!("Requests were still under way when the sidecar had to stop");
        }
        ended.cancel();
        traffic.shutdown().await;
        beside.shutdown().await;
        if let Some(log) = &shared.log {
            log.flush().await;
        }
        outcome
    }
}

fn ended_early(ended: Result<(), tokio::task::JoinError>) -> SidecarError {
    SidecarError::EndedEarly(ended.map_or_else(|error| error.to_string(), |()| "it returned".to_owned()))
}

async fn bind(ip: IpAddr, port: &mut u16) -> Result<TcpListener, SidecarError> {
    let address = SocketAddr::new(ip, *port);
    let bound = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (local, listener) = bound.map_err(|source| SidecarError::Bind { address, source })?;
    *port = local.port();
    Ok(listener)
}

/// Caps of the listeners that carry traffic. On an embedded cluster all callers share 127.0.0.1, so one address may have most of the
/// places; what others find left is enough to be served.
fn traffic_limits(config: &SidecarConfig) -> Limits {
    let limits = Limits {
        connections: 2_048,
        per_peer: 1_500,
        waiting: 1_024,
        head_bytes: http1::MAX_HEAD,
        head_budget: 8 << 20,
        head: config.head_time,
        idle: IDLE_TIMEOUT,
        idle_unknown: IDLE_TIMEOUT,
        write_stall: config.write_time,
        send_buffer: Some(64 * 1024),
        drain: config.drain,
        ..Limits::default()
    };
    // Two of these listeners, and each connection may need one to an upstream.
    limits.fitted(listen::descriptor_limit(), 40, 2)
}

/// Caps of the pages: people, probes, a scraper, and the panel's port-forwards.
fn page_limits(config: &SidecarConfig) -> Limits {
    Limits {
        connections: 128,
        per_peer: 96,
        waiting: 64,
        head_budget: 1 << 20,
        drain: std::time::Duration::ZERO,
        ..traffic_limits(config)
    }
}

/// Closes connections that nobody has used for long.
async fn sweep(shared: Arc<Shared>, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => shared.routing().upstreams().for_each(|u| u.sweep()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts end by a panic or, as here, because something stops them.
    #[tokio::test]
    async fn a_part_that_ends_early_ends_the_sidecar() {
        let folder = tempfile::tempdir().unwrap();
        let local = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        let config = SidecarConfig {
            ports: Ports { admin: 0, outbound: 0, stats: 0, health: 0 },
            linger: Duration::ZERO,
            ..SidecarConfig::new("a", "pod", local, local, folder.path().join("control"))
        };
        let sidecar = Sidecar::bind(config).await.unwrap();
        let closing = sidecar.shared.tasks.closing.clone();
        closing.cancel();
        let error = sidecar.run(CancellationToken::new()).await.unwrap_err();
        assert!(matches!(error, SidecarError::EndedEarly(_)), "{error}");
    }
}
