//! A sidecar as a process of its own, for measuring: the code of `demo-panel sidecar` and, in another process, a control plane that
//! gives it one weighted route.
//!
//!     bench_sidecar control SOCKET V1 V2              serves a 50/50 route to the two addresses
//!     bench_sidecar control-http2 SOCKET V1 V2        the same for a port that speaks HTTP/2
//!     bench_sidecar sidecar SOCKET LISTEN             proxies at LISTEN, as it does for the app of a pod
//!     bench_sidecar inbound SOCKET POD APP            takes what is for APP at its port of the address POD
#[path = "../tests/common/mod.rs"]
mod common;

use mesh::{Control, MeshInput, Ports, SidecarConfig, run_sidecar};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // As the role does it: one thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match words.as_slice() {
        [kind @ ("control" | "control-http2"), socket, v1, v2] => {
            let versions = [("v1", v1.parse()?), ("v2", v2.parse()?)];
            let port = if *kind == "control" { "http" } else { "http2" };
            runtime.block_on(async {
                let listener = UnixListener::bind(socket)?;
                let control = Control::new();
                control.publish(Arc::new(MeshInput {
                    virtual_services: vec![common::split(50, 50)],
                    ..common::input_of(port, 1, &versions)
                }));
                control.serve(listener, CancellationToken::new()).await;
                Ok(())
            })
        }
        ["sidecar", socket, listen] => {
            let listen: SocketAddr = listen.parse()?;
            let mut config =
                SidecarConfig::new("istio-app", "client-0", listen.ip(), listen.ip(), PathBuf::from(socket));
            config.ports = Ports { admin: 0, outbound: listen.port(), stats: 0, health: 0 };
            Ok(runtime.block_on(run_sidecar(config, CancellationToken::new()))?)
        }
        ["inbound", socket, pod, app] => {
            let (pod, app): (_, SocketAddr) = (pod.parse()?, app.parse()?);
            let mut config = SidecarConfig::new("istio-app", "server-0", pod, app.ip(), PathBuf::from(socket));
            config.ports = Ports { admin: 0, outbound: 0, stats: 0, health: 0 };
            config.inbound_ports = vec![app.port()];
            Ok(runtime.block_on(run_sidecar(config, CancellationToken::new()))?)
        }
        _ => Err("bench_sidecar control[-http2] SOCKET V1 V2 | sidecar SOCKET LISTEN | inbound SOCKET POD APP".into()),
    }
}
