//! The sidecar: a proxy at the pod's own address, for what comes in and what goes out.
//!
//! A request passes named phases, each a small function: route and pick ([`outbound`]), connect ([`upstream`]), forward ([`forward`], [`exchange`]),
//! record ([`seen`]). HTTP/1.1 is done here, byte by byte ([`http1`]): its hot path allocates nothing and spawns nothing.

mod access_log;
mod admin;
mod balance;
mod changes;
mod clock;
mod config;
mod exchange;
mod follow;
mod forward;
mod h2;
mod h2_forward;
mod h2_heads;
mod h2_record;
mod h2_upload;
mod heads;
mod http1;
mod metrics;
mod outbound;
mod outlier;
mod mirror;
mod path;
mod patience;
mod pool;
pub(crate) mod probe;
mod proxy;
mod reply;
mod routing;
mod seen;
mod shared;
mod spell;
mod tunnel;
mod upload;
mod upstream;
mod wants;

pub use config::{Ports, SidecarConfig, SidecarError};

use admin::Pages;
use proxy::Side;
use routing::LiveCluster;
use shared::Shared;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A sidecar whose ports are bound.
pub struct Sidecar {
    shared: Arc<Shared>,
    outbound: TcpListener,
    inbound: Vec<(u16, TcpListener)>,
    pages: Vec<(Pages, TcpListener)>,
}

/// Binds and runs a sidecar until `stop`, then drains it.
pub async fn run_sidecar(config: SidecarConfig, stop: CancellationToken) -> Result<(), SidecarError> {
    Sidecar::bind(config).await?.run(stop).await;
    Ok(())
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
        Ok(Sidecar { shared: Arc::new(Shared::new(config)), outbound, inbound, pages })
    }

    /// The ports it listens on, also where 0 was asked for.
    pub fn ports(&self) -> Ports {
        self.shared.config.ports
    }

    /// Serves until `stop`, then drains: takes connections a little longer, ends answers with `connection: close`, lets requests under
    /// way finish, all within the times of the configuration.
    pub async fn run(self, stop: CancellationToken) {
        let Sidecar { shared, outbound, inbound, pages } = self;
        let (ended, kill) = (CancellationToken::new(), CancellationToken::new());
        let mut beside = JoinSet::new();
        for (pages, listener) in pages {
            beside.spawn(admin::serve(listener, pages, shared.clone(), ended.clone()));
        }
        beside.spawn(follow::follow(shared.clone(), ended.clone()));
        beside.spawn(sweep(shared.clone(), ended.clone()));

        let mut traffic = JoinSet::new();
        traffic.spawn(serve(outbound, shared.clone(), Arc::new(Side::Outbound), kill.clone()));
        for (port, listener) in inbound {
            let side = inbound_side(&shared, port);
            traffic.spawn(serve(listener, shared.clone(), Arc::new(side), kill.clone()));
        }

        stop.cancelled().await;
        shared.draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(shared.config.linger).await;
        shared.closing.cancel();
        let finished = async {
            while traffic.join_next().await.is_some() {}
            shared.tasks.close();
            shared.tasks.wait().await;
        };
        if tokio::time::timeout(shared.config.drain, finished).await.is_err() {
            tracing::warn!("Requests were still under way when the sidecar had to stop");
        }
        kill.cancel();
        ended.cancel();
        traffic.shutdown().await;
        beside.shutdown().await;
        if let Some(log) = &shared.log {
            log.flush().await;
        }
    }
}

fn inbound_side(shared: &Shared, port: u16) -> Side {
    let config = &shared.config;
    let app = LiveCluster::single(format!("inbound|{port}||"), SocketAddr::new(config.app_ip, port), shared.black_hole);
    Side::Inbound { app: Arc::new(app) }
}

async fn bind(ip: IpAddr, port: &mut u16) -> Result<TcpListener, SidecarError> {
    let address = SocketAddr::new(ip, *port);
    let bound = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (local, listener) = bound.map_err(|source| SidecarError::Bind { address, source })?;
    *port = local.port();
    Ok(listener)
}

/// Takes connections until the sidecar closes, then waits for those under way; `kill` ends them.
async fn serve(listener: TcpListener, shared: Arc<Shared>, side: Arc<Side>, kill: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shared.closing.cancelled() => break,
            Some(_) = connections.join_next() => {}
            Ok((stream, from)) = accept(&listener) => {
                connections.spawn(proxy::serve(shared.clone(), side.clone(), stream, from));
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = kill.cancelled() => connections.shutdown().await,
        () = async { while connections.join_next().await.is_some() {} } => {}
    }
}

/// Takes a connection; where the system has no room for one, waits a little instead of spinning.
async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let accepted = listener.accept().await;
    if accepted.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    accepted
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
