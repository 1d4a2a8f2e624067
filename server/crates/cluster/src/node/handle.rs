//! The node as the API server uses it: logs, exec and port-forward.
use std::sync::Arc;

use jiff::Timestamp;

use super::exec::{Inside, not_runnable};
use super::shared::{PodEntry, Shared};
use super::{logfile, logs, port_forward};
use crate::kubelet::{Duplex, Exec, ExecOptions, Kubelet, LogOptions, LogStream};
use crate::status::Status;

/// A cheap handle to the node.
#[derive(Clone)]
pub struct NodeHandle(pub(super) Arc<Shared>);

impl NodeHandle {
    /// The private folder of this run (mode 0700), empty at its start, with a name short enough for sockets in it.
    pub fn run_dir(&self) -> &std::path::Path {
        &self.0.run
    }

    /// Takes back what pods were said to be doing when an earlier run ended. To be called before the API answers and the node works.
    pub async fn forget_runs(&self) -> Result<(), Status> {
        super::restart::forget_runs(&self.0).await
    }

    /// Whether a container's status says that it has ended for good.
    fn is_done(&self, namespace: &str, pod: &str, container: &str) -> bool {
        let read = self.0.kind("", "pods").and_then(|kind| self.0.registry.get(&kind, Some(namespace), pod));
        read.is_ok_and(|pod| {
            let statuses = ["containerStatuses", "initContainerStatuses"].map(|list| pod["status"][list].as_array());
            let mut own = statuses.into_iter().flatten().flatten().filter(|status| status["name"] == container);
            own.any(|status| !status["state"]["terminated"].is_null())
        })
    }

    fn pod(&self, namespace: &str, name: &str) -> Result<Arc<PodEntry>, Status> {
        if let Some(entry) = self.0.pod(namespace, name) {
            return Ok(entry);
        }
        let kind = self.0.kind("", "pods")?;
        self.0.registry.get(&kind, Some(namespace), name)?;
        Err(Status::bad_request(format!("pod {name} does not have a host assigned")))
    }
}

#[async_trait::async_trait]
impl Kubelet for NodeHandle {
    async fn logs(&self, namespace: &str, pod: &str, options: LogOptions) -> Result<LogStream, Status> {
        let entry = self.pod(namespace, pod)?;
        let container = container_of(&entry, pod, options.container.as_deref(), true)?;
        let folder = entry.logs.join(&container);
        let runs = logfile::runs(&folder);
        let live = entry.live(&container);
        let waiting = || {
            Status::bad_request(format!(
                "container {container:?} in pod {pod:?} is waiting to start: ContainerCreating"
            ))
        };
        let newest = runs.first().ok_or_else(waiting)?;
        // Before the next start the run that ended last is both: the newest, and the one before what is to come.
        let between = live.as_ref().is_none_or(|live| !live.running) && !self.is_done(namespace, pod, &container);
        let run = if options.previous && !between { runs.get(1) } else { Some(newest) };
        let run = run.ok_or_else(|| {
            Status::bad_request(format!("previous terminated container {container:?} in pod {pod:?} not found"))
        })?;
        let path = logfile::run_path(&folder, *run);
        let log = live.as_ref().map(|live| &live.log).filter(|log| log.path() == path);
        Ok(logs::open(&path, log, &options, Timestamp::now()))
    }

    async fn exec(&self, namespace: &str, pod: &str, options: ExecOptions) -> Result<Exec, Status> {
        let entry = self.pod(namespace, pod)?;
        let container = container_of(&entry, pod, options.container.as_deref(), false)?;
        if options.command.is_empty() {
            return Err(Status::bad_request("you must specify at least one command for the container"));
        }
        let live = entry.live(&container).filter(|live| live.running);
        let live = live.ok_or_else(|| {
            Status::internal(format!("unable to upgrade connection: container not found ({container:?})"))
        })?;
        match self.0.images.resolve(&live.image, &options.command) {
            Err(message) => Ok(not_runnable(&message)),
            Ok(program) => {
                let inside = Inside {
                    env: live.env,
                    dir: entry.files(),
                    spawner: self.0.spawner.clone(),
                    container: live.ended,
                };
                inside.exec(program, options.stdin, options.tty).await
            }
        }
    }

    async fn port_forward(&self, namespace: &str, pod: &str, port: u16) -> Result<Box<dyn Duplex>, Status> {
        let entry = self.pod(namespace, pod)?;
        let ips = entry.ips.ok_or_else(|| Status::bad_request(format!("pod {pod} is not running")))?;
        port_forward::connect(&entry, ips, port).await.map_err(Status::internal)
    }
}

/// The container asked for; logs of a pod with several need a name, exec takes the first.
fn container_of(entry: &PodEntry, pod: &str, asked: Option<&str>, need_name: bool) -> Result<String, Status> {
    let choices = || entry.containers.join(" ");
    match asked.filter(|name| !name.is_empty()) {
        Some(name) if entry.containers.iter().any(|known| known == name) => Ok(name.to_owned()),
        Some(name) => Err(Status::bad_request(format!("container {name} is not valid for pod {pod}"))),
        None if need_name && entry.containers.len() > 1 => Err(Status::bad_request(format!(
            "a container name must be specified for pod {pod}, choose one of: [{}]",
            choices()
        ))),
        None => {
            entry.containers.first().cloned().ok_or_else(|| Status::bad_request(format!("pod {pod} has no containers")))
        }
    }
}
