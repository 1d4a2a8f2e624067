//! Puts the program together from its settings, and runs it. The only place that knows which cluster it is.
mod connect_error;
mod embedded;
mod images;
mod mesh;
mod remote;
mod tls;
mod token;

use crate::config::{ClusterChoice, Serve};
use crate::demo::Prometheus;
use crate::demo::{Address, Demo, Limits};
use crate::demo::{ImageSource, Manifests};
use crate::k8s;
use crate::tasks::{Handles, Pools, Stage, Tasks, shutdown_signal};
use crate::web::{self, AppState, Gate, HostList, Metrics};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tracing::info;

pub use token::print_token;

/// Why the program cannot start: one line, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct StartError {
    what: String,
    hint: String,
}

impl StartError {
    /// From its two parts.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> StartError {
        StartError { what: what.into(), hint: hint.into() }
    }
}

/// Serves until it is told to stop. Exit code 0 then; 1 where it could not start or a part ended early.
pub fn serve(config: Serve) -> ExitCode {
    // TLS, cookies and the Date header have no such time. No kernel sets one, but a wrapper can.
    if SystemTime::now() < UNIX_EPOCH {
        return refuse(&StartError::new("the clock says a time before 1970", "Set it, then start again."));
    }
    listen::raise_descriptors();
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log);
    // Every failed call, at once and without its meaning: what it means is logged where it is handled.
    let filter = match filter.and_then(|f| {
        Ok(if config.log.contains("kube") { f } else { f.add_directive("kube_client::client::builder=off".parse()?) })
    }) {
        Ok(filter) => filter,
        Err(error) => {
            return refuse(&StartError::new(
                format!("--log {}: {error}", config.log),
                "Use error, warn, info or debug.",
            ));
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let pools = match Pools::start(config.cluster() == ClusterChoice::Embedded) {
        Ok(pools) => pools,
        Err(error) => {
            return refuse(&StartError::new(format!("cannot start threads: {error}"), "Raise the limit on processes."));
        }
    };
    let code = match pools.block_on(run(config, pools.handles())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => refuse(&error),
    };
    pools.end();
    code
}

fn refuse(error: &StartError) -> ExitCode {
    let error_text = error.to_string();
    // What was tried stands on a line of its own; then the hint does, too.
    if error_text.contains('\n') {
        eprintln!("demo-panel: {error_text}\n  {}", error.hint);
    } else {
        eprintln!("demo-panel: {error_text}. {}", error.hint);
    }
    ExitCode::FAILURE
}

impl ImageSource {
    fn of(config: &Serve) -> ImageSource {
        let (image, policy) = (config.image.clone(), config.image_pull_policy.clone());
        ImageSource { image, pull_policy: policy, pull_secret: config.image_pull_secret.clone() }
    }
}

/// A cluster that was started or found, and what people are told about it.
struct Started {
    cluster: k8s::Cluster,
    /// Lines to print: where the state is, how to point kubectl at it.
    lines: Vec<String>,
    /// What this panel calls itself where others may act on the same cluster; nothing on the embedded one, which has one panel.
    identity: Option<String>,
    /// Held until all parts have ended.
    _embedded: Option<::cluster::Cluster>,
}

async fn run(config: Serve, pools: Handles) -> Result<bool, StartError> {
    let shutdown = shutdown_signal()
        .map_err(|e| StartError::new(format!("cannot watch for signals: {e}"), "Report this: it is a defect."))?;
    let token = token::token(config.token_file.as_deref(), config.made_token.made_token_file.as_deref())?;
    let tls = tls::acceptor(&config)?;
    let manifests =
        Manifests::parse(ImageSource::of(&config)).map_err(|e| StartError::new(e, "Report this: it is a defect."))?;
    let prometheus = config.prometheus_url.as_ref().map(Prometheus::at).transpose();
    let prometheus = prometheus
        .map_err(|why| StartError::new(format!("--prometheus-url: {why}"), "Leave it out, or correct it."))?;
    let listener = TcpListener::bind(config.listen).await.map_err(|e| cannot_listen(config.listen, &e))?;
    let address = listener.local_addr().map_err(|e| cannot_listen(config.listen, &e))?;

    let mut tasks = Tasks::new(pools);
    let listeners = listen::Books::default();
    let policy = listen::Listener::new("panel", web::limits(config.tls_terminated_by_proxy), &listeners);
    let started = match config.cluster() {
        ClusterChoice::Embedded => embedded::start(&config, &listeners, &mut tasks).await?,
        ClusterChoice::Kubeconfig => {
            remote::from_kubeconfig(config.kubeconfig.as_deref(), config.context.clone()).await?
        }
        ClusterChoice::InCluster => remote::in_cluster().await?,
    };
    let limits =
        Limits { total_rate: config.max_total_rate, idle_after: Duration::from_secs(config.idle_after.into()) };
    let (demo, runner) = Demo::new(
        started.cluster.clone(),
        manifests,
        build_id(),
        reached(&config, address),
        started.identity.clone(),
        prometheus,
        limits,
        tasks.token(Stage::Load),
    );
    tasks.start(Stage::Load, "demo", |_| async move {
        runner.run().await;
        Ok(())
    });
    let (feeds, live) = web::Feeds::new();
    tasks.start(Stage::Web, "live", |stop| async move {
        live.run(stop).await;
        Ok(())
    });
    let by_tls = tls.is_some() || config.tls_terminated_by_proxy;
    let gate = Arc::new(Gate::new(token.as_deref(), by_tls));
    let state = AppState {
        plane: demo.clone(),
        demo,
        feeds,
        hosts: Arc::new(HostList::new(address.ip(), &config.public_urls, by_tls)),
        metrics: Arc::new(Metrics::new(started.cluster.calls.0.clone(), gate.wrong_total(), listeners)),
        gate,
        leptos: web::leptos_options(),
    };
    tasks.start(Stage::Web, "web", |stop| web::serve(listener, policy, tls, web::router(state), stop));
    announce(&format!("{}://{address}", scheme(&config)), &started.lines);
    info!(%address, cluster = config.cluster().as_str(), "The panel is up");
    Ok(tasks.run_until(shutdown).await)
}

fn scheme(config: &Serve) -> &'static str {
    if config.tls_cert.is_some() || config.tls_self_signed { "https" } else { "http" }
}

/// How a shell reaches the panel: as its first public URL says, else where it listens.
fn reached(config: &Serve, address: SocketAddr) -> Address {
    let ip = if address.ip().is_unspecified() { std::net::IpAddr::from([127, 0, 0, 1]) } else { address.ip() };
    let own = format!("{}://{}", scheme(config), SocketAddr::new(ip, address.port()));
    let url = config.public_urls.first().map_or(own, |url| url.to_string().trim_end_matches('/').to_owned());
    let mut options = String::new();
    if config.tls_self_signed {
        options.push_str(" -k");
    }
    if config.token_file.is_some() {
        // Where the token lies is known to whoever may read it; it is printed nowhere.
        options.push_str(r#" -H "Authorization: Bearer $DEMO_PANEL_TOKEN""#);
    }
    Address { url, options }
}

/// Tells people, and tests, where things are.
fn announce(url: &str, lines: &[String]) {
    let mut out = std::io::stdout().lock();
    // A closed standard output is no reason not to serve.
    let _ = writeln!(out, "panel: {url}");
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    let _ = out.flush();
}

/// How to point kubectl at a cluster.
fn kubectl_line(kubeconfig: &Path) -> String {
    let path = kubeconfig.display().to_string();
    let quoted = if path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c)) {
        path
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    };
    format!("export KUBECONFIG={quoted}")
}

/// `demo-panel kubeconfig`: how to point kubectl at the embedded cluster of a state folder.
pub fn print_kubeconfig(state_dir: &Path) -> ExitCode {
    let file = state_dir.join("kubeconfig");
    if file.is_file() {
        println!("{}", kubectl_line(&file));
        return ExitCode::SUCCESS;
    }
    refuse(&StartError::new(
        format!("there is no cluster in {}", state_dir.display()),
        "Start demo-panel first, or give its --state-dir.",
    ))
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> StartError {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => StartError::new(
            format!("port {} is taken: another program listens on {address}", address.port()),
            "Stop it, or choose another with --listen.",
        ),
        _ => StartError::new(format!("cannot listen on {address}: {error}"), "Choose another with --listen."),
    }
}

/// Differs between builds: a page of another one reloads itself.
fn build_id() -> String {
    let exe = std::fs::metadata("/proc/self/exe").ok();
    let changed = exe.and_then(|m| m.modified().ok()).and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    format!("{}-{:x}", env!("CARGO_PKG_VERSION"), changed.map_or(0, |d| d.as_millis()))
}
