//! A cluster that is there already: named by a kubeconfig, or the one this program runs in. It has to answer at start.
use super::connect_error::Tried;
use super::{StartError, Started};
use crate::k8s;
use data_encoding::HEXLOWER;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use wire::ClusterView;

/// Longest wait for the first answer, seconds.
const PATIENCE_S: u64 = 10;

/// The cluster of a kubeconfig's context. Without a file: the one that `$KUBECONFIG` names, because it was asked for.
pub async fn from_kubeconfig(file: Option<&Path>, context: Option<String>) -> Result<Started, StartError> {
    let mut tried = Tried::new(file, context.as_deref());
    let read = match file {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let kubeconfig = read.map_err(|e| tried.unread(&e))?;
    tried.look_up(&kubeconfig)?;
    let cluster = connect(kubeconfig, context, "kubeconfig", None, &tried).await?;
    answers(&cluster, &tried).await?;
    let line = format!(
        "cluster: {} ({}), server {}",
        cluster.view.context,
        cluster.view.kind,
        tried.server.unwrap_or_default()
    );
    Ok(Started { cluster, lines: vec![line], identity: Some(identity()), _embedded: None })
}

/// A client from a kubeconfig, whose connections come from the address `from` if one is given. Nothing is asked of the cluster yet.
pub async fn connect(
    kubeconfig: Kubeconfig,
    context: Option<String>,
    kind: &str,
    from: Option<IpAddr>,
    tried: &Tried,
) -> Result<k8s::Cluster, StartError> {
    let name = context.clone().or_else(|| kubeconfig.current_context.clone()).unwrap_or_default();
    let chosen = kubeconfig.contexts.iter().find(|c| c.name == name).and_then(|c| c.context.clone());
    let user = chosen.and_then(|c| c.user).unwrap_or_default();
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| tried.unusable(&e))?;
    // A context's name is its owner's choice; whose machine it leads to is told beside it.
    let host = config.cluster_url.authority().map(ToString::to_string).filter(|_| kind == "kubeconfig");
    let context = host.map_or_else(|| name.clone(), |host| format!("{name} ({host})"));
    client(config, ClusterView { kind: kind.to_owned(), context, user, ..ClusterView::default() }, from, tried)
}

/// The cluster that this program is a pod of.
pub async fn in_cluster() -> Result<Started, StartError> {
    let mut tried = Tried { file: "the pod's service account".to_owned(), ..Tried::default() };
    let config = Config::incluster().map_err(|e| {
        tried.failed(&format!("this is no pod with a service account: {e}"), "Use --cluster embedded or --kubeconfig.")
    })?;
    tried.server = Some(config.cluster_url.to_string());
    let view = ClusterView {
        kind: "in-cluster".to_owned(),
        context: "in-cluster".to_owned(),
        user: "service account".to_owned(),
        ..ClusterView::default()
    };
    let cluster = client(config, view, None, &tried)?;
    answers(&cluster, &tried).await?;
    Ok(Started { cluster, lines: vec!["cluster: in-cluster".to_owned()], identity: Some(identity()), _embedded: None })
}

fn client(config: Config, view: ClusterView, from: Option<IpAddr>, tried: &Tried) -> Result<k8s::Cluster, StartError> {
    let client = k8s::client(config, from).map_err(|e| tried.unreached(&e))?;
    Ok(k8s::Cluster::new(client, view))
}

/// Whether the server answers and accepts the credentials. One that does not is an error at start; later it is a state.
async fn answers(cluster: &k8s::Cluster, tried: &Tried) -> Result<(), StartError> {
    match tokio::time::timeout(Duration::from_secs(PATIENCE_S), cluster.client.apiserver_version()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(tried.unreached(&error)),
        Err(_) => Err(tried.silent(PATIENCE_S)),
    }
}

/// What this panel calls itself: the machine's or the pod's name, and a few letters that differ between starts.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    let mut bytes = [0u8; 2];
    // Two panels of one machine are told apart by the process as well.
    let _ = getrandom::fill(&mut bytes);
    let host = if host.is_empty() { "panel" } else { &host };
    format!("{host}-{:x}{}", std::process::id(), HEXLOWER.encode(&bytes))
}
