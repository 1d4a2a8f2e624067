//! `client`: the load engine and the agent that controls it. No load until someone asks for it.
use super::life;
use load::{AGENT_PORT, AgentListener, Engine, EngineConfig, serve_agent};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};

/// Arguments of `client`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is asked where a load names no URL
    #[arg(long, default_value = load::DEFAULT_URL, value_name = "URL")]
    url: String,
    /// Seconds after which a connection is replaced, so that balancing by connection shows; 0: never
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = seconds)]
    renew_s: f64,
    /// Longest wait for an answer, seconds
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS", value_parser = seconds)]
    timeout_s: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=86_400.0).contains(&number) { Ok(number) } else { Err("not between 0 and a day".to_owned()) }
}

impl Args {
    /// Serves the agent until asked to end; requests on their way are waited for.
    pub fn run(self) -> ExitCode {
        super::block_on("client", async move {
            match self.serve().await {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => super::failed("client", why),
            }
        })
    }

    async fn serve(self) -> Result<(), String> {
        let config = EngineConfig {
            proxy: super::http::proxy_of_environment(),
            default_url: self.url,
            connection_life: (self.renew_s > 0.0).then(|| Duration::from_secs_f64(self.renew_s)),
            answer_timeout: Duration::from_secs_f64(self.timeout_s.max(0.1)),
            ..EngineConfig::default()
        };
        let (listener, at) = listen(std::env::var_os("RUN_DIR").map(PathBuf::from).as_deref()).await?;
        let engine = Engine::start(config).map_err(|e| e.to_string())?;
        println!("client: control API at {at}");
        let agent = engine.clone();
        let served = life::until_asked_to_end(async move |stop| {
            tokio::select! {
                () = serve_agent(listener, agent.clone(), stop) => Ok(()),
                // Whoever runs this starts it again.
                () = agent.ended() => Err("the load engine ended early".to_owned()),
            }
        });
        served.await?;
        engine.stop().await;
        Ok(())
    }
}

/// Binds the control API where no other local user reaches it: a socket in the pod's private folder, else the pod's own loopback.
async fn listen(run_dir: Option<&Path>) -> Result<(AgentListener, String), String> {
    let Some(run_dir) = run_dir else {
        let listener = TcpListener::bind(("127.0.0.1", AGENT_PORT)).await;
        let listener = listener.map_err(|e| format!("cannot listen on 127.0.0.1:{AGENT_PORT}: {e}"))?;
        return Ok((AgentListener::Tcp(listener), format!("http://127.0.0.1:{AGENT_PORT}")));
    };
    let folder = run_dir.join("ports");
    let path = folder.join(format!("{AGENT_PORT}.sock"));
    let bind = || -> std::io::Result<UnixListener> {
        std::fs::create_dir_all(&folder)?;
        // The container may have been restarted: what its predecessor left is in the way.
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    let listener = bind().map_err(|e| format!("cannot listen on {}: {e}", path.display()))?;
    Ok((AgentListener::Unix(listener), path.display().to_string()))
}
