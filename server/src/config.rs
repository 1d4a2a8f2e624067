//! The settings: one clap struct with environment names and defaults, checked before anything binds.
//!
//! **Invariant:** nothing else reads the environment (a role that runs inside a pod reads what its pod gives it).
use crate::roles::Role;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The control panel of an Istio traffic-splitting demo, with a small cluster of its own.
#[derive(Debug, Parser)]
#[command(name = "demo-panel", version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the panel (what happens without a command, too)
    Serve(Box<Serve>),
    /// Print how to point kubectl at the embedded cluster
    Kubeconfig(StateDir),
    /// Print the token that the panel made for itself
    Token(MadeToken),
    #[command(flatten)]
    Role(Role),
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Serve the panel.
    Serve(Box<Serve>),
    /// Print how to point kubectl at the embedded cluster.
    Kubeconfig(PathBuf),
    /// Print the token that the panel made for itself, from this file.
    Token(Option<PathBuf>),
    /// Be what runs inside a pod.
    Role(Role),
}

/// Which cluster to drive. There is no fallback from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClusterChoice {
    /// The one inside this program.
    Embedded,
    /// The one a kubeconfig names.
    Kubeconfig,
    /// The one this program runs in, as a pod.
    InCluster,
}

impl ClusterChoice {
    /// The word for it on the page and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            ClusterChoice::Embedded => "embedded",
            ClusterChoice::Kubeconfig => "kubeconfig",
            ClusterChoice::InCluster => "in-cluster",
        }
    }
}

/// Where the embedded cluster keeps its state.
#[derive(Clone, Debug, Args)]
pub struct StateDir {
    /// Folder of the embedded cluster's state [default: $XDG_STATE_HOME/demo-panel]
    #[arg(long, env = "DEMO_PANEL_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[arg(long, env = "XDG_STATE_HOME", hide = true, hide_env = true)]
    xdg_state_home: Option<PathBuf>,
    #[arg(long, env = "HOME", hide = true, hide_env = true)]
    home: Option<PathBuf>,
}

impl StateDir {
    /// The folder. Errors: it was not given, and there is no home folder to put it in.
    pub fn path(&self) -> Result<PathBuf, ConfigError> {
        let absolute = |dir: &&PathBuf| dir.is_absolute();
        if let Some(dir) = &self.state_dir {
            return std::path::absolute(dir).map_err(|_| ConfigError::NoStateDir);
        }
        if let Some(dir) = self.xdg_state_home.as_ref().filter(absolute) {
            return Ok(dir.join("demo-panel"));
        }
        match self.home.as_ref().filter(absolute) {
            Some(home) => Ok(home.join(".local/state/demo-panel")),
            None => Err(ConfigError::NoStateDir),
        }
    }
}

/// Where a token is kept that nobody gave.
#[derive(Clone, Debug, Args)]
pub struct MadeToken {
    /// File for a token that the panel makes where --token-file is not given, or that file is not there
    #[arg(long, env = "DEMO_PANEL_MADE_TOKEN_FILE", value_name = "FILE")]
    pub made_token_file: Option<PathBuf>,
}

/// Settings of `serve`.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Address the panel listens on; outside loopback it needs a token and TLS
    #[arg(long, env = "DEMO_PANEL_LISTEN", default_value = "127.0.0.1:3000", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Which cluster to drive [default: embedded, or kubeconfig where --kubeconfig or --context is given]
    #[arg(long, env = "DEMO_PANEL_CLUSTER", value_enum)]
    cluster: Option<ClusterChoice>,
    /// The kubeconfig to use [default, with --cluster kubeconfig or --context: $KUBECONFIG or ~/.kube/config]
    #[arg(long, env = "DEMO_PANEL_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context [default: its current one]
    #[arg(long, env = "DEMO_PANEL_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
    /// The demo's image, where a registry or a tag is needed
    #[arg(long, env = "DEMO_PANEL_IMAGE", default_value = "simple-flask-app", value_name = "IMAGE")]
    pub image: String,
    /// When a node fetches that image: Always, IfNotPresent or Never
    #[arg(long, env = "DEMO_PANEL_IMAGE_PULL_POLICY", default_value = "IfNotPresent", value_name = "POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub image_pull_policy: String,
    /// Secret of the demo's namespace that opens the image's registry
    #[arg(long, env = "DEMO_PANEL_IMAGE_PULL_SECRET", value_name = "NAME")]
    pub image_pull_secret: Option<String>,
    #[command(flatten)]
    pub state: StateDir,
    /// Move the state folder aside and start afresh; nothing is deleted
    #[arg(long)]
    pub reset: bool,
    /// An address people reach the panel by, for example https://demo.example; may be repeated
    #[arg(long = "public-url", env = "DEMO_PANEL_PUBLIC_URL", value_name = "URL", value_delimiter = ',')]
    pub public_urls: Vec<http::Uri>,
    /// Address of the embedded cluster's API; the port is kept across restarts unless it is given
    #[arg(long, env = "DEMO_PANEL_API_LISTEN", default_value = "127.0.0.1:0", value_name = "ADDR:PORT")]
    pub api_listen: SocketAddr,
    /// Let pods of the embedded cluster run programs of this machine
    #[arg(long)]
    pub allow_host_exec: bool,
    /// Most pods of the embedded cluster [default: as many as the machine carries]
    #[arg(long, env = "DEMO_PANEL_MAX_PODS", value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_pods: Option<u64>,
    /// A Prometheus that scrapes the sidecars, for the page about the last hour: http://prometheus.istio-system:9090
    #[arg(long, env = "DEMO_PANEL_PROMETHEUS_URL", value_name = "URL")]
    pub prometheus_url: Option<http::Uri>,
    /// Requests per second that all load together may send; what one generator leaves, the others share equally
    #[arg(long, env = "DEMO_PANEL_MAX_TOTAL_RATE", default_value_t = 50_000, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_total_rate: u32,
    /// Seconds after which a namespace that nobody looks at, and where nothing is going on, is not watched any more
    #[arg(long, env = "DEMO_PANEL_IDLE_AFTER", default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub idle_after: u32,
    /// File with the token that people must give; needed outside loopback
    #[arg(long, env = "DEMO_PANEL_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub made_token: MadeToken,
    /// TLS certificate chain, PEM
    #[arg(long, env = "DEMO_PANEL_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// TLS private key, PEM
    #[arg(long, env = "DEMO_PANEL_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Serve TLS with a certificate made at start
    #[arg(long, conflicts_with = "tls_cert")]
    pub tls_self_signed: bool,
    /// A proxy in front serves TLS
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_self_signed"])]
    pub tls_terminated_by_proxy: bool,
    /// What to log: error, warn, info, debug, or a tracing filter
    #[arg(long, env = "DEMO_PANEL_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
}

/// Settings that do not fit together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A listener other people reach.
    #[error(
        "--listen {0} is reachable from other machines: it needs --token-file, and one of --tls-cert with --tls-key, --tls-self-signed, --tls-terminated-by-proxy"
    )]
    Exposed(SocketAddr),
    /// `--cluster embedded --kubeconfig F`.
    #[error("--kubeconfig and --context need --cluster kubeconfig, not {0}")]
    KubeconfigUnused(&'static str),
    /// Neither a state folder nor a home.
    #[error("no folder for the state: give --state-dir")]
    NoStateDir,
    /// The API's listener is never shown to other machines.
    #[error("--api-listen {0} is reachable from other machines: the embedded cluster's API is for this one")]
    ApiExposed(SocketAddr),
}

impl Serve {
    /// The cluster that was chosen.
    pub fn cluster(&self) -> ClusterChoice {
        match self.cluster {
            Some(choice) => choice,
            None if self.kubeconfig.is_some() || self.context.is_some() => ClusterChoice::Kubeconfig,
            None => ClusterChoice::Embedded,
        }
    }

    /// Whether the settings fit together.
    pub fn check(&self) -> Result<(), ConfigError> {
        let tls = self.tls_cert.is_some() || self.tls_self_signed || self.tls_terminated_by_proxy;
        let guarded = tls && (self.token_file.is_some() || self.made_token.made_token_file.is_some());
        if !self.listen.ip().is_loopback() && !guarded {
            return Err(ConfigError::Exposed(self.listen));
        }
        if !self.api_listen.ip().is_loopback() {
            return Err(ConfigError::ApiExposed(self.api_listen));
        }
        let named = self.kubeconfig.is_some() || self.context.is_some();
        match self.cluster() {
            ClusterChoice::Embedded if named => Err(ConfigError::KubeconfigUnused("embedded")),
            ClusterChoice::Embedded => self.state.path().map(|_| ()),
            ClusterChoice::InCluster if named => Err(ConfigError::KubeconfigUnused("in-cluster")),
            _ => Ok(()),
        }
    }
}

/// The words of the command line. A link that is named as a role is that role, as in the container image: `flaskapp`, `client`, `curl`.
pub fn command_line(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let called = words.first().and_then(|word| Path::new(word).file_name()).and_then(|name| name.to_str());
    if let Some(role) = called.filter(|name| Role::has_subcommand(name)).map(OsString::from) {
        words.insert(1, role);
    }
    words
}

impl Cli {
    /// What to do, with settings that fit together.
    pub fn action(self) -> Result<Action, ConfigError> {
        match self.command {
            Some(Command::Role(role)) => Ok(Action::Role(role)),
            Some(Command::Kubeconfig(state)) => Ok(Action::Kubeconfig(state.path()?)),
            Some(Command::Token(made)) => Ok(Action::Token(made.made_token_file)),
            Some(Command::Serve(serve)) => serve.check().map(|()| Action::Serve(serve)),
            None => self.serve.check().map(|()| Action::Serve(Box::new(self.serve))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(line: &str) -> String {
        let words = std::iter::once("demo-panel").chain(line.split_whitespace());
        match Cli::try_parse_from(words) {
            Err(e) => format!("usage: {:?}", e.kind()),
            Ok(cli) => match cli.action() {
                Err(e) => format!("refused: {}", e.to_string().split(':').next().unwrap_or_default()),
                Ok(Action::Role(_)) => "role".to_owned(),
                Ok(Action::Kubeconfig(dir)) => format!("kubeconfig {}", dir.display()),
                Ok(Action::Token(file)) => format!("token {}", file.unwrap_or_default().display()),
                Ok(Action::Serve(s)) => format!("serve {} {}", s.listen, s.cluster().as_str()),
            },
        }
    }

    #[test]
    fn a_link_named_as_a_role_is_that_role() {
        for (line, read) in [
            ("/usr/local/bin/sleep infinity", "/usr/local/bin/sleep sleep infinity"),
            ("client", "client client"),
            ("/usr/local/bin/demo-panel --listen x", "/usr/local/bin/demo-panel --listen x"),
        ] {
            let words = command_line(line.split_whitespace().map(OsString::from));
            assert_eq!(words.join(" ".as_ref()), read);
        }
    }

    #[test]
    fn settings_are_checked_before_anything_binds() {
        for (line, read) in [
            ("--state-dir /s", "serve 127.0.0.1:3000 embedded"),
            ("serve --state-dir /s --listen 127.0.0.1:0", "serve 127.0.0.1:0 embedded"),
            ("kubeconfig --state-dir /s", "kubeconfig /s"),
            ("sleep infinity", "role"),
            ("--state-dir /s --listen 0.0.0.0:3000", "refused"),
            ("--state-dir /s --listen 0.0.0.0:3000 --token-file /t", "refused"),
            ("--state-dir /s --listen 0.0.0.0:3000 --token-file /t --tls-self-signed", "serve 0.0.0.0:3000 embedded"),
            (
                "--state-dir /s --listen 0.0.0.0:3000 --made-token-file /t --tls-self-signed",
                "serve 0.0.0.0:3000 embedded",
            ),
            ("token --made-token-file /t", "token /t"),
            ("--state-dir /s --listen [::1]:3000", "serve [::1]:3000 embedded"),
            ("--state-dir /s --api-listen 0.0.0.0:1", "refused"),
            ("--kubeconfig /k", "serve 127.0.0.1:3000 kubeconfig"),
            ("--kubeconfig /k --cluster embedded --state-dir /s", "refused"),
            ("--cluster kubeconfig", "serve 127.0.0.1:3000 kubeconfig"),
            ("--cluster in-cluster", "serve 127.0.0.1:3000 in-cluster"),
            ("--cluster elsewhere", "usage: InvalidValue"),
            ("--image-pull-policy sometimes", "usage: InvalidValue"),
            ("--listen nowhere", "usage: ValueValidation"),
            ("--max-total-rate 0", "usage: ValueValidation"),
            ("--idle-after 0", "usage: ValueValidation"),
            ("--tls-cert /c", "usage: MissingRequiredArgument"),
        ] {
            let shown = show(line);
            assert!(shown.starts_with(read), "{line}: {shown}");
        }
    }
}
