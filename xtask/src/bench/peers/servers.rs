//! The proxies, each set up as its manual says for speed: one worker, kept connections on both sides, no access log, two weighted upstreams.
use super::child::{Place, Server, free_address, placed};
use crate::sh::{Context, Result};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
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
    /// The load for HTTP/2, where there is one.
    pub h2load: Option<PathBuf>,
}

/// What answers at the end: one nginx with two listeners.
pub struct Upstream {
    /// Also reachable directly, at the first of the two.
    pub server: Server,
    /// The versions' addresses.
    pub versions: [SocketAddr; 2],
    /// Where the versions speak HTTP/2.
    pub http2: [SocketAddr; 2],
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
        let http2 = [free_address()?, free_address()?];
        let server = |version: usize| {
            let n = version + 1;
            format!(
                "server {{ listen {}; listen {} http2; http2_max_concurrent_streams 256; location / {{ default_type text/plain; add_header x-app-version v{n}; return 200 \"v{n}\\n\"; }} }}",
                versions[version], http2[version]
            )
        };
        let servers = format!("{}\n{}", server(0), server(1));
        let server = nginx("upstream", place, tools, folder, versions[0], &servers)?;
        Ok(Upstream { server, versions, http2 })
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
    envoy_named("envoy", program, folder, versions, false)
}

/// Two Envoys that speak HTTP/2 to each other and to the upstream, as two sidecars do.
pub fn envoys_http2(program: &Path, folder: &Path, versions: [SocketAddr; 2]) -> Result<[Server; 2]> {
    let behind = envoy_named("envoy-inbound", program, folder, versions, true)?;
    let before = envoy_named("envoy-outbound", program, folder, [behind.at, behind.at], true)?;
    Ok([before, behind])
}

fn envoy_named(name: &str, program: &Path, folder: &Path, versions: [SocketAddr; 2], http2: bool) -> Result<Server> {
    let (at, file) = (free_address()?, folder.join(format!("{name}.json")));
    let address = |a: SocketAddr| json!({"socket_address": {"address": a.ip().to_string(), "port_value": a.port()}});
    let speaks = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}}}});
    let cluster = |name: &str, a: SocketAddr| {
        let mut cluster = json!({"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment":
            {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(a)}}]}]}});
        if http2 {
            cluster["typed_extension_protocol_options"] = speaks.clone();
        }
        cluster
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
    Server::start(name, folder, at, &mut command)
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
pub fn sidecar(tools: &Tools, folder: &Path, versions: [SocketAddr; 2]) -> Result<Sidecar> {
    outbound("control", "sidecar", tools, folder, versions)
}

/// The sidecar of the caller and those of the two versions, which speak HTTP/2 to each other and to their apps.
pub struct SidecarsHttp2 {
    /// Where the load goes.
    pub outbound: Sidecar,
    /// Before the apps.
    pub inbound: [Server; 2],
}

/// Starts them.
pub fn sidecars_http2(tools: &Tools, folder: &Path, apps: [SocketAddr; 2]) -> Result<SidecarsHttp2> {
    let pod = IpAddr::from([127, 0, 0, 2]);
    let inbound = |number: usize| {
        let mut command = placed(Place::Measured, &tools.sidecar);
        // No control plane is needed on the way in.
        command.arg("inbound").arg(folder.join("no.sock")).arg(pod.to_string()).arg(apps[number].to_string());
        let name = format!("sidecar-inbound-{number}");
        Server::start_http2(&name, folder, SocketAddr::new(pod, apps[number].port()), &mut command)
    };
    let inbound = [inbound(0)?, inbound(1)?];
    let versions = [inbound[0].at, inbound[1].at];
    Ok(SidecarsHttp2 { outbound: outbound("control-http2", "sidecar-outbound", tools, folder, versions)?, inbound })
}

fn outbound(kind: &str, name: &str, tools: &Tools, folder: &Path, [v1, v2]: [SocketAddr; 2]) -> Result<Sidecar> {
    let (at, socket) = (free_address()?, folder.join(format!("{kind}.sock")));
    let _ = std::fs::remove_file(&socket);
    let mut control = placed(Place::Beside, &tools.sidecar);
    let control = control
        .arg(kind)
        .arg(&socket)
        .arg(v1.to_string())
        .arg(v2.to_string())
        .spawn()
        .context("start the control plane")?;
    let control = Control(control);
    let mut command = placed(Place::Measured, &tools.sidecar);
    let server = Server::start(name, folder, at, command.arg("sidecar").arg(&socket).arg(at.to_string()))?;
    Ok(Sidecar { server, _control: control })
}
