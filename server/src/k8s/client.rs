//! A cluster the panel drives, whichever it is: a client, and how the page names it.
use http::{Request, Response};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::watch::Receiver;
use tower::{BoxError, Service, ServiceBuilder};
use wire::ClusterView;

use super::breaker::Breaker;
use super::calls::Calls;
use super::discovery::{self, istio_versions};
use super::kinds::KindName;
use super::retry::Patience;
use super::silence::Silence;

/// Cheap handle of the cluster.
#[derive(Clone)]
pub struct Cluster {
    /// The only way to it.
    pub client: Client,
    /// How the page names it; the version is empty until it has answered once.
    pub view: ClusterView,
    /// Place in [`discovery::KNOWN`] of the version of Istio's kinds that is used; the newest until the cluster has said.
    istio: Arc<AtomicUsize>,
    /// Until when the cluster asks to slow down, milliseconds since the Unix epoch; 0 where it never has.
    slow: Receiver<u64>,
    /// What was asked of it so far.
    pub calls: Calls,
    /// Open while it does not answer.
    pub breaker: Breaker,
    /// Told by whoever sees a connection break: then the cluster is asked at once whether it is still there.
    pub suspect: Arc<Notify>,
}

impl Cluster {
    /// A cluster that was not asked anything yet.
    pub fn new(link: Link, view: ClusterView) -> Cluster {
        let Link { client, slow, calls, breaker } = link;
        Cluster { client, view, istio: Arc::default(), slow, calls, breaker, suspect: Arc::default() }
    }

    /// Until when the cluster asks to slow down, milliseconds since the Unix epoch; 0 where it never has.
    pub fn slow(&self) -> Receiver<u64> {
        self.slow.clone()
    }

    /// The objects of a kind in a namespace.
    pub fn api(&self, kind: KindName, ns: &str) -> Api<DynamicObject> {
        match kind {
            KindName::Namespace => Api::all_with(self.client.clone(), &self.resource(kind)),
            _ => Api::namespaced_with(self.client.clone(), ns, &self.resource(kind)),
        }
    }

    /// How this cluster names a kind: Istio's in the newest version it serves.
    pub fn resource(&self, kind: KindName) -> ApiResource {
        kind.resource(self.istio_version())
    }

    /// The version of Istio's kinds that is read and written.
    pub fn istio_version(&self) -> &'static str {
        discovery::KNOWN[self.istio.load(Ordering::Relaxed) % discovery::KNOWN.len()]
    }

    /// Asks which versions of Istio's kinds are served, and uses the newest. Gives whether there is any.
    /// Errors: the cluster does not answer.
    pub async fn find_istio(&self) -> Result<bool, kube::Error> {
        let served = istio_versions(&self.client).await?;
        let newest = discovery::KNOWN.iter().position(|known| served.first() == Some(known));
        if let Some(place) = newest {
            self.istio.store(place, Ordering::Relaxed);
        }
        Ok(newest.is_some())
    }
}

/// Why a call failed, in the cluster's words where it said any.
pub fn reason_of(error: &kube::Error) -> String {
    Silence::from(error).to_string()
}

/// Silence after which the other end of a connection is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// A client with the handles of its layers.
pub struct Link {
    client: Client,
    slow: Receiver<u64>,
    calls: Calls,
    breaker: Breaker,
}

/// A client on a configuration. It waits where the cluster asks to slow down, and its connections send at once: with kube's own
/// connector a window update of one stream, not yet acknowledged, holds the next request back for 40 ms (Nagle's algorithm
/// meeting delayed acknowledgements): one weight change in thirty took that long.
///
/// Connections come from the address `from` if one is given.
pub fn client(mut config: Config, from: Option<std::net::IpAddr>) -> Result<Link, kube::Error> {
    // Ours in its place: it tells people, and gives up in the end.
    config.default_retry = false;
    if config.proxy_url.is_some() {
        let (patience, slow) = patience();
        let (calls, breaker) = (Calls::default(), Breaker::default());
        let client =
            ClientBuilder::try_from(config)?.with_layer(&calls).with_layer(&patience).with_layer(&breaker).build();
        return Ok(Link { client, slow, calls, breaker });
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_local_address(from);
    connector.set_connect_timeout(config.connect_timeout);
    // A watch is silent for minutes: this finds out when its other end is gone.
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(Duration::from_secs(5)));
    connector.set_keepalive_retries(Some(3));
    let https = config.rustls_https_connector_with_connector(connector)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(https);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(behind_layers(service, &config.default_namespace))
}

fn patience() -> (Patience, Receiver<u64>) {
    let (until, slow) = tokio::sync::watch::channel(0);
    (Patience::new(Arc::new(until)), slow)
}

/// A client of a service: breaker first, then the waiting, then the counting of what is really sent.
pub(super) fn behind_layers<S, B>(service: S, namespace: &str) -> Link
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Send + 'static,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let ((patience, slow), calls, breaker) = (patience(), Calls::default(), Breaker::default());
    let service = ServiceBuilder::new().layer(breaker.clone()).layer(patience).layer(calls.clone()).service(service);
    Link { client: Client::new(service, namespace.to_owned()), slow, calls, breaker }
}
