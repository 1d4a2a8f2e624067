//! The embedded cluster: opened, joined to the mesh, its parts started; then reached like any other, by its kubeconfig.
use super::connect_error::Tried;
use super::{StartError, Started, images, kubectl_line, mesh, remote};
use crate::config::Serve;
use crate::tasks::{Pool, Stage, Tasks};
use ::cluster::{Cluster, Config, OpenError};
use ::mesh::Control;
use kube::config::Kubeconfig;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixListener;

/// Opens the state folder's cluster and starts its parts.
pub async fn start(config: &Serve, listeners: &listen::Books, tasks: &mut Tasks) -> Result<Started, StartError> {
    let state_dir = config.state.path().map_err(|e| StartError::new(e.to_string(), "Give --state-dir."))?;
    let control = Control::new();
    let sidecars_know = control.clone();
    let own = config.api_listen.ip().is_loopback().then(own_address);
    let cluster = Cluster::open(Config {
        state_dir: state_dir.clone(),
        reset: config.reset,
        images: images::images(),
        kinds: mesh::kinds(),
        admission: mesh::admission(),
        allow_host_exec: config.allow_host_exec,
        namespace: "istio-app".to_owned(),
        routed: Some(Arc::new(move |revision| {
            let control = sidecars_know.clone();
            Box::pin(async move { control.acknowledged(revision).await })
        })),
        listeners: listeners.clone(),
        own_client: own,
        max_pods: config.max_pods,
        ..Config::default()
    })
    .map_err(|e| cannot_open(&e))?;
    let sidecars = listen(&cluster.run_dir().join(images::MESH_SOCKET))?;
    let api = cluster.bind_api(config.api_listen).await.map_err(|e| cannot_open(&e))?;

    let registry = cluster.registry();
    let served = control.clone();
    let policy = listen::Listener::new("mesh-control", ::mesh::control_limits(), listeners);
    tasks.start(Stage::Api, "api", |stop| cluster.serve_api(api, stop));
    tasks.start(Stage::Api, "store", |stop| cluster.watch_store(stop));
    tasks.start_on(Pool::Mesh, Stage::Node, "mesh control", |stop| async move {
        let sidecars = UnixListener::from_std(sidecars).map_err(|e| format!("cannot listen for sidecars: {e}"))?;
        served.serve_under(sidecars, policy, stop).await;
        Ok(())
    });
    tasks.start_on(Pool::Mesh, Stage::Node, "mesh", |stop| mesh::run(registry, control, stop));
    tasks.start(Stage::Node, "controllers", |stop| cluster.run_controllers(stop));
    tasks.start(Stage::Node, "node", |stop| cluster.run_node(stop));

    let kubeconfig = cluster.kubeconfig_path();
    let read = Kubeconfig::read_from(&kubeconfig)
        .map_err(|e| StartError::new(format!("cannot read {}: {e}", kubeconfig.display()), "Start with --reset."))?;
    let tried = Tried::new(Some(&kubeconfig), None);
    let mut reached = remote::connect(read, None, "embedded", own, &tried).await?;
    "embedded".clone_into(&mut reached.view.kind);
    let lines = vec![
        format!("cluster: embedded, state in {}", state_dir.display()),
        format!("kubectl: {}", kubectl_line(&kubeconfig)),
    ];
    Ok(Started { cluster: reached, lines, identity: None, _embedded: Some(cluster) })
}

/// The loopback address that the panel's own connections to the API come from: they have reserved places there. Chosen at random,
/// below the addresses of pods (127.64.0.0/10), so that nobody takes those places by accident.
fn own_address() -> IpAddr {
    let mut random = [0; 3];
    // Without randomness the address is known, and the places can be taken by other users of this machine.
    let _ = getrandom::fill(&mut random);
    IpAddr::from([127, 1 + random[0] % 63, random[1], 1 + random[2] % 254])
}

fn cannot_open(error: &OpenError) -> StartError {
    StartError::new(error.to_string(), error.hint())
}

/// The socket where sidecars learn their routes; this user's alone. The state folder's lock says that nobody else serves it.
fn listen(socket: &Path) -> Result<std::os::unix::net::UnixListener, StartError> {
    let failed = |e: std::io::Error| {
        StartError::new(
            format!("cannot listen on {}: {e}", socket.display()),
            "Choose a shorter --state-dir, on a local disk.",
        )
    };
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(socket).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}
