//! `sidecar`: the proxy of an injected pod. What the node says of the pod, handed to the mesh.
use super::life;
use cluster::{Inbound, serve_inbound};
use mesh::{Sidecar, SidecarConfig, SidecarError, run_sidecar};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Arguments of `sidecar`; what Istio's injection passes beside them is taken and ignored.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Istio's own arguments: `proxy sidecar --domain …`
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _istio: Vec<String>,
}

impl Args {
    /// Proxies until asked to end, then drains.
    pub fn run(self) -> ExitCode {
        let config = match config(|name| std::env::var(name).ok().filter(|value| !value.is_empty())) {
            Ok(config) => config,
            Err(why) => return super::failed("sidecar", why),
        };
        super::block_on("sidecar", async move {
            let run = async move |stop| match super::pod::Pod::here() {
                Some(pod) => run_in_pod(reaching_pods(config, &pod.run_dir), &pod.run_dir, stop).await,
                None => run_sidecar(config, stop).await,
            };
            match life::until_asked_to_end(run).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(e) => super::failed("sidecar", e),
            }
        })
    }
}

/// Runs the sidecar, and takes over the ports of the app that the node names.
async fn run_in_pod(config: SidecarConfig, run_dir: &Path, stop: CancellationToken) -> Result<(), SidecarError> {
    let sidecar = Sidecar::bind(config).await?;
    let ports = sidecar.inbound_ports();
    let act = move |what| {
        let ports = ports.clone();
        async move {
            match what {
                Inbound::Open(port) => ports.open(port).await,
                Inbound::Close(port) => {
                    ports.close(port).await;
                    false
                }
            }
        }
    };
    let ended = CancellationToken::new();
    let (outcome, served) = tokio::join!(
        async {
            let outcome = sidecar.run(stop).await;
            ended.cancel();
            outcome
        },
        serve_inbound(run_dir, act, ended.clone()),
    );
    if let Err(error) = served {
        // Ports that the pod declares are served all the same.
        tracing::warn!(%error, "The node cannot name ports of the app");
    }
    outcome
}

/// Connects only where the node says that a pod listens: its socket lies beside the pods' folders.
fn reaching_pods(mut config: SidecarConfig, run_dir: &Path) -> SidecarConfig {
    let node = Arc::new(cluster::Reach::new(run_dir.with_file_name(cluster::NODE_SOCKET)));
    config.reach = Some(mesh::Reach::new(move |to| {
        let node = node.clone();
        async move { node.allows(to).await }
    }));
    config
}

/// Reads what the node has set. `PROXY_ACCESS_LOG=true` in the pod's spec turns the access log on: at hundreds of requests a second it is
/// not for everyone.
fn config(var: impl Fn(&str) -> Option<String>) -> Result<SidecarConfig, String> {
    let needed = |name: &str| var(name).ok_or_else(|| format!("{name} is not set: only the node starts a sidecar"));
    let address = |name: &str| needed(name)?.parse::<IpAddr>().map_err(|_| format!("{name} is not an address"));
    let text = |name: &str| var(name).unwrap_or_default();
    let ports = text("INBOUND_PORTS");
    let ports = ports.split(',').map(str::trim).filter(|p| !p.is_empty());
    let ports = ports.map(|p| p.parse().map_err(|_| format!("INBOUND_PORTS: `{}` is not a port", p.escape_debug())));
    let mut config = SidecarConfig::new(
        &needed("POD_NAMESPACE")?,
        &needed("POD_NAME")?,
        address("POD_IP")?,
        address("APP_BIND_IP")?,
        // Beside the pods' folders, where paths are short enough for a socket; an absolute path stays what it is.
        PathBuf::from(text("RUN_DIR")).join(needed("MESH_SOCKET")?),
    );
    config.workload = text("POD_WORKLOAD");
    config.app = text("POD_APP_LABEL");
    config.version = text("POD_VERSION_LABEL");
    config.inbound_ports = ports.collect::<Result<_, _>>()?;
    config.access_log = text("PROXY_ACCESS_LOG") == "true";
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_environment_becomes_a_configuration_or_a_clear_line() {
        let all = [
            ("POD_NAMESPACE", "istio-app"),
            ("POD_NAME", "flaskapp-v1-x"),
            ("POD_IP", "127.64.0.3"),
            ("APP_BIND_IP", "127.64.0.4"),
            ("MESH_SOCKET", "/run/mesh.sock"),
            ("INBOUND_PORTS", "7777,8080"),
            ("POD_VERSION_LABEL", "v1"),
        ];
        let read = |change: &[(&str, &str)]| {
            let find = |name: &str| change.iter().chain(&all).find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            match config(|name| find(name).filter(|v| !v.is_empty())) {
                Ok(c) => format!(
                    "{}/{} {} {} {:?} {} {}",
                    c.namespace,
                    c.pod,
                    c.pod_ip,
                    c.app_ip,
                    c.inbound_ports,
                    c.version,
                    c.control_socket.display()
                ),
                Err(why) => why,
            }
        };
        for (change, expected) in [
            (&[][..], "istio-app/flaskapp-v1-x 127.64.0.3 127.64.0.4 [7777, 8080] v1 /run/mesh.sock"),
            (&[("INBOUND_PORTS", "")], "istio-app/flaskapp-v1-x 127.64.0.3 127.64.0.4 [] v1 /run/mesh.sock"),
            (&[("POD_IP", "")], "POD_IP is not set: only the node starts a sidecar"),
            (&[("POD_IP", "x")], "POD_IP is not an address"),
            (&[("INBOUND_PORTS", "7777,99999")], "INBOUND_PORTS: `99999` is not a port"),
        ] {
            assert_eq!(read(change), expected, "{change:?}");
        }
    }
}
