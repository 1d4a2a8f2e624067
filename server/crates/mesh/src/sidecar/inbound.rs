//! Ports of the app that are taken over while the sidecar runs, beside those of its configuration.

use super::downstream::connection::Side;
use super::listener;
use super::shared::Shared;
use listen::Listener;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Most ports that are taken over so: each is a descriptor and a task.
const MOST: usize = 256;
/// Orders that wait. Who orders waits for its answer, so few do.
const WAITING: usize = 32;

/// Takes ports of the app over on a sidecar that runs, and leaves them; a cheap handle.
#[derive(Clone, Debug)]
pub struct InboundPorts(mpsc::Sender<Order>);

/// What a sidecar is told of a port.
#[derive(Debug)]
pub(super) enum Order {
    Open(u16, oneshot::Sender<bool>),
    Close(u16),
}

pub(super) type Orders = mpsc::Receiver<Order>;

impl InboundPorts {
    pub(super) fn new() -> (InboundPorts, Orders) {
        let (orders, taken) = mpsc::channel(WAITING);
        (InboundPorts(orders), taken)
    }

    /// Takes a port of the app over. Returns whether the sidecar listens on it; it does not if no app listens behind it.
    pub async fn open(&self, port: u16) -> bool {
        let (done, answer) = oneshot::channel();
        self.0.send(Order::Open(port, done)).await.is_ok() && answer.await.unwrap_or(false)
    }

    /// Leaves a port that was taken over so. Requests under way go on.
    pub async fn close(&self, port: u16) {
        // A sidecar that has ended listens on nothing.
        let _ = self.0.send(Order::Close(port)).await;
    }
}

/// The ports that are open, and how they are served.
pub(super) struct Inbound {
    shared: Arc<Shared>,
    listener: Listener,
    open: HashMap<u16, CancellationToken>,
    serving: JoinSet<()>,
}

impl Inbound {
    /// With the policy that all ports of the app share.
    pub(super) fn new(shared: Arc<Shared>, listener: Listener) -> Inbound {
        Inbound { shared, listener, open: HashMap::new(), serving: JoinSet::new() }
    }

    /// Carries orders out until idle connections are to end; then waits for those under way.
    pub(super) async fn run(mut self, mut orders: Orders) {
        let closing = self.shared.tasks.closing.clone();
        loop {
            tokio::select! {
                () = closing.cancelled() => break,
                Some(order) = orders.recv() => match order {
                    Order::Open(port, done) => {
                        let is_open = self.open(port).await;
                        // Who asked may have left.
                        let _ = done.send(is_open);
                    }
                    Order::Close(port) => if let Some(stop) = self.open.remove(&port) {
                        stop.cancel();
                    },
                },
                // One that was left is in the map no more, or has a successor.
                Some(_) = self.serving.join_next() => self.open.retain(|_, stop| !stop.is_cancelled()),
            }
        }
        while self.serving.join_next().await.is_some() {}
    }

    async fn open(&mut self, port: u16) -> bool {
        let config = &self.shared.config;
        let own = &config.ports;
        if [own.admin, own.outbound, own.stats, own.health].contains(&port) {
            return false;
        }
        if config.inbound_ports.contains(&port) || self.open.contains_key(&port) {
            return true;
        }
        let app = SocketAddr::new(config.app_ip, port);
        let listens = match &config.reach {
            Some(reach) => reach.allows(app).await,
            None => true,
        };
        if !listens || self.open.len() >= MOST {
            return false;
        }
        let address = SocketAddr::new(config.pod_ip, port);
        let socket = match TcpListener::bind(address).await {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, "Port {port} of the app cannot be taken over at {address}");
                return false;
            }
        };
        let stop = self.shared.tasks.closing.child_token();
        self.open.insert(port, stop.clone());
        let (shared, listener, side) = (self.shared.clone(), self.listener.clone(), Side::inbound(&self.shared, port));
        self.serving.spawn(async move {
            // Cancels the token however this ends, by a panic too.
            let _ended = stop.clone().drop_guard();
            let side = Arc::new(side);
            listener
                .run(socket, stop, |stream, conn| listener::proxy::serve(shared.clone(), side.clone(), stream, conn))
                .await;
        });
        true
    }
}
