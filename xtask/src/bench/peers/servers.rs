//! The proxies, each set up as its manual says for speed: one worker, kept connections on both sides, no access log, two weighted upstreams.
use super::child::{Place, Server, free_address, placed};
use crate::sh::{Context, Result};
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where things are.
pub struct Tools {
    /// `bench_sidecar` of crate mesh.
    pub sidecar: PathBuf,
    /// `bench_load` of crate load.
    pub load: PathBuf,
    /// nginx, which is the upstream too.
    pub nginx: PathBuf,
    /// HAProxy, where there is one.
    pub haproxy: Option<PathBuf>,
    /// Envoy, where there is one.
    pub envoy: Option<PathBuf>,
}

/// What answers at the end: one nginx with two listeners.
pub struct Upstream {
    /// Also reachable directly, at the first of the two.
    pub server: Server,
    /// The versions' addresses.
    pub versions: [SocketAddr; 2],
}

const NGINX: &str = "worker_processes 1; daemon off; master_process off; error_log stderr crit; pid FOLDER/NAME.pid;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path FOLDER/NAME-a; proxy_temp_path FOLDER/NAME-b;
fastcgi_temp_path FOLDER/NAME-c; uwsgi_temp_path FOLDER/NAME-d; scgi_temp_path FOLDER/NAME-e;\n";

fn nginx(name: &str, place: Place, tools: &Tools, folder: &Path, at: SocketAddr, servers: &str) -> Result<Server> {
    let file = folder.join(format!("{name}.conf"));
    let head = NGINX.replace("FOLDER", &folder.display().to_string()).replace("NAME", name);
    std::fs::write(&file, format!("{head}{servers}\n}}\n")).context("write a configuration of nginx")?;
    Server::start(name, folder, at, placed(place, &tools.nginx).arg("-e").arg("stderr").arg("-c").arg(file))
}

impl Upstream {
    /// Two versions in one process: what it costs is not measured.
    pub fn start(place: Place, tools: &Tools, folder: &Path) -> Result<Upstream> {
        let versions = [free_address()?, free_address()?];
        let server = |version: usize| {
            let n = version + 1;
            format!(
                "server {{ listen {}; location / {{ default_type text/plain; add_header x-app-version v{n}; return 200 \"v{n}\\n\"; }} }}",
                versions[version]
            )
        };
        let servers = format!("{}\n{}", server(0), server(1));
        let server = nginx("upstream", place, tools, folder, versions[0], &servers)?;
        Ok(Upstream { server, versions })
    }
}

/// Starts nginx as a proxy.
pub fn nginx_proxy(tools: &Tools, folder: &Path, [v1, v2]: [SocketAddr; 2]) -> Result<Server> {
    let at = free_address()?;
    let servers = format!(
        "upstream apps {{ server {v1} weight=50; server {v2} weight=50; keepalive 64; keepalive_requests 1000000000; }}
server {{ listen {at}; location / {{ proxy_pass http://apps; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host; }} }}"
    );
    nginx("nginx", Place::Measured, tools, folder, at, &servers)
}

/// Starts HAProxy.
pub fn haproxy(program: &Path, folder: &Path, [v1, v2]: [SocketAddr; 2]) -> Result<Server> {
    let (at, file) = (free_address()?, folder.join("haproxy.cfg"));
    let text = format!(
        "global\n  nbthread 1\n  maxconn 1000\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  http-reuse always
frontend in\n  bind {at}\n  default_backend apps
backend apps\n  balance roundrobin\n  server v1 {v1} weight 50\n  server v2 {v2} weight 50\n"
    );
    std::fs::write(&file, text).context("write HAProxy's configuration")?;
    Server::start("haproxy", folder, at, placed(Place::Measured, program).arg("-db").arg("-f").arg(file))
}

/// Starts Envoy with a weighted route, as Istio writes it.
pub fn envoy(program: &Path, folder: &Path, versions: [SocketAddr; 2]) -> Result<Server> {
    let (at, file) = (free_address()?, folder.join("envoy.json"));
    let address = |a: SocketAddr| json!({"socket_address": {"address": a.ip().to_string(), "port_value": a.port()}});
    let cluster = |name: &str, a: SocketAddr| {
        json!({"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment":
            {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(a)}}]}]}})
    };
    let weighted = json!({"clusters": [{"name": "v1", "weight": 50}, {"name": "v2", "weight": 50}]});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "outbound", "http_protocol_options": {"allow_absolute_url": true},
        "route_config": {"virtual_hosts": [{"name": "flaskapp", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"weighted_clusters": weighted}}]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
    });
    let bootstrap = json!({"static_resources": {
        "listeners": [{"address": address(at), "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
        "clusters": [cluster("v1", versions[0]), cluster("v2", versions[1])],
    }});
    std::fs::write(&file, bootstrap.to_string()).context("write Envoy's configuration")?;
    let mut command = placed(Place::Measured, program);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"]).arg(file);
    Server::start("envoy", folder, at, &mut command)
}

/// Our sidecar, and the control plane that must outlive it.
pub struct Sidecar {
    /// The proxy.
    pub server: Server,
    _control: Control,
}

struct Control(std::process::Child);

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts our sidecar with a weighted route.
pub fn sidecar(tools: &Tools, folder: &Path, [v1, v2]: [SocketAddr; 2]) -> Result<Sidecar> {
    let (at, socket) = (free_address()?, folder.join("mesh.sock"));
    let _ = std::fs::remove_file(&socket);
    let mut control = placed(Place::Beside, &tools.sidecar);
    let control = control
        .arg("control")
        .arg(&socket)
        .arg(v1.to_string())
        .arg(v2.to_string())
        .spawn()
        .context("start the control plane")?;
    let control = Control(control);
    let mut command = placed(Place::Measured, &tools.sidecar);
    let server = Server::start("sidecar", folder, at, command.arg("sidecar").arg(&socket).arg(at.to_string()))?;
    Ok(Sidecar { server, _control: control })
}
