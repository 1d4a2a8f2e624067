//! A cluster that is there already: named by a kubeconfig, or the one this program runs in.
use super::{StartError, Started};
use crate::k8s;
use app::types::ClusterView;
use kube::config::{KubeConfigOptions, Kubeconfig};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt;
use kube::{Client, Config};
use std::path::Path;
use std::time::Duration;
use tower::{BoxError, ServiceBuilder};

/// Silence after which the other end of a connection is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// The cluster of a kubeconfig's context. Without a file: the one that `$KUBECONFIG` names, because it was asked for.
pub async fn from_kubeconfig(file: Option<&Path>, context: Option<String>) -> Result<Started, StartError> {
    let read = match file {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let kubeconfig = read.map_err(|e| StartError::new(format!("cannot read the kubeconfig: {e}"), "Check --kubeconfig."))?;
    let cluster = connect(kubeconfig, context, "kubeconfig").await?;
    let line = format!("cluster: {} ({})", cluster.view.context, cluster.view.kind);
    Ok(Started { cluster, lines: vec![line], _embedded: None })
}

/// A client from a kubeconfig. Nothing is asked of the cluster yet.
pub async fn connect(kubeconfig: Kubeconfig, context: Option<String>, kind: &str) -> Result<k8s::Cluster, StartError> {
    let name = context.clone().or_else(|| kubeconfig.current_context.clone()).unwrap_or_default();
    let chosen = kubeconfig.contexts.iter().find(|c| c.name == name).and_then(|c| c.context.clone());
    let user = chosen.and_then(|c| c.user).unwrap_or_default();
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let config = config.map_err(|e| StartError::new(format!("the kubeconfig cannot be used: {e}"), "Check --kubeconfig and --context."))?;
    client(config, ClusterView { kind: kind.to_owned(), context: name, user, ..ClusterView::default() })
}

/// The cluster that this program is a pod of.
pub fn in_cluster() -> Result<Started, StartError> {
    let config = Config::incluster()
        .map_err(|e| StartError::new(format!("this is no pod with a service account: {e}"), "Use --cluster embedded or --kubeconfig."))?;
    let view = ClusterView { kind: "in-cluster".to_owned(), context: "in-cluster".to_owned(), user: "service account".to_owned(), ..ClusterView::default() };
    Ok(Started { cluster: client(config, view)?, lines: vec!["cluster: in-cluster".to_owned()], _embedded: None })
}

fn client(config: Config, view: ClusterView) -> Result<k8s::Cluster, StartError> {
    let client = quick(config)
        .map_err(|e| StartError::new(format!("the cluster cannot be reached: {e}"), "Check the certificates and the address in the kubeconfig."))?;
    Ok(k8s::Cluster { client, view })
}

/// A client whose connections send at once. With kube's own connector a window update of one stream, not yet acknowledged, holds the
/// next request back for 40 ms (Nagle's algorithm meeting delayed acknowledgements): one weight change in thirty took that long.
fn quick(config: Config) -> kube::Result<Client> {
    if config.proxy_url.is_some() {
        return Client::try_from(config);
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(config.connect_timeout);
    // A watch is silent for minutes: this finds out when its other end is gone.
    connector.set_keepalive(Some(KEEPALIVE));
    let https = config.rustls_https_connector_with_connector(connector)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(https);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}
