//! Starts one container: its image, its ports, its environment, its log, its process.
use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

use super::environment::{self, Place};
use super::image::Image;
use super::logfile::LogFile;
use super::net::port_is_free;
use super::process::Process;
use super::shared::{Live, PodEntry, Shared};
use super::spawner::{Io, Launch, Started, Streams};
use super::spec::{ContainerSpec, PodSpec, Role};
use crate::Object;

/// A container's pod.
#[derive(Clone)]
pub struct Home {
    /// The Pod.
    pub object: Arc<Object>,
    /// Its spec, as read.
    pub spec: Arc<PodSpec>,
    /// What others see of it.
    pub entry: Arc<PodEntry>,
}

/// A started container.
pub struct Launched {
    /// `containerID`.
    pub id: String,
    /// Its process.
    pub process: Process,
    /// Its log.
    pub log: LogFile,
    /// Its output.
    pub stdout: pipe::Receiver,
    /// Its errors.
    pub stderr: pipe::Receiver,
}

/// Why a container did not start.
pub enum Failure {
    /// It could not even be made.
    NotMade(Cow<'static, str>, String),
    /// Its program is none: `containerID`, message.
    NotRunnable(String, String),
}

/// Starts container `index` of a pod; `run` counts its runs.
pub async fn launch(shared: &Shared, home: &Home, index: usize, run: u32) -> Result<Launched, Failure> {
    let container = &home.spec.containers[index];
    let Some(image) = shared.images.find(&container.image) else {
        let why = format!(
            "failed to pull image {:?}: this node runs its own images only, and knows none of that name",
            container.image
        );
        return Err(Failure::NotMade("ErrImagePull".into(), why));
    };
    let note = |reason: &str, message: String| {
        shared.recorder.record(&home.object, Some(&field_path(container)), false, reason, message)
    };
    note(
        "Pulled",
        format!("Container image {:?} already present on machine and can be accessed by the pod", container.image),
    );
    let Some(ips) = home.entry.ips else {
        return Err(Failure::NotMade("CreateContainerError".into(), "the pod has no address".to_owned()));
    };
    let ports = taken_ports(&home.spec, container, image, ips.pod, ips.app);
    if let Some((port, why)) = ports.into_iter().find_map(|(ip, port)| Some((port, port_is_free(ip, port).err()?))) {
        return Err(Failure::NotMade(format!("Port{port}InUse").into(), why));
    }
    let place = Place {
        pod: &home.object,
        spec: &home.spec,
        pod_ip: ips.pod,
        app_ip: ips.app,
        host_ip: shared.network.node_ip(),
        run_dir: &home.entry.run_dir,
    };
    let namespace = home.object["metadata"]["namespace"].as_str().unwrap_or_default();
    let lookup = |plural: &str, name: &str| {
        let kind = shared.registry.kinds().find("", plural)?;
        shared.registry.get(kind, Some(namespace), name).ok()
    };
    let (env, argv) = environment::build(&place, container, image, &lookup)
        .map_err(|why| Failure::NotMade("CreateContainerConfigError".into(), why))?;
    let not_made =
        |what: &str, error: std::io::Error| Failure::NotMade("CreateContainerError".into(), format!("{what}: {error}"));
    let id = new_id();
    note("Created", "Container created".to_owned());
    let not_runnable = |why: String| {
        let why = format!("failed to create containerd task: unable to start container process: {why}: unknown");
        Failure::NotRunnable(id.clone(), why)
    };
    let program = shared.images.resolve(image, &argv).map_err(not_runnable)?;
    remove_stale_sockets(&home.entry.run_dir.join("ports"));
    let launch = Launch {
        program: program.file,
        args: program.args,
        env: env.clone(),
        dir: home.entry.files(),
        io: Io::Pipes { stdin: false },
    };
    let Started { process, streams } =
        shared.spawner.spawn(launch).await.map_err(|error| not_runnable(error.to_string()))?;
    let Streams::Pipes { stdout, stderr, .. } = streams else { return Err(not_runnable("no pipes".to_owned())) };
    // Only now: a start that fails must not push the log of a crash out.
    let log =
        LogFile::create(&home.entry.logs.join(&container.name), run).map_err(|error| not_made("the log", error))?;
    let stdout = pipe::Receiver::from_owned_fd(stdout).map_err(|error| not_made("its output", error))?;
    let stderr = pipe::Receiver::from_owned_fd(stderr).map_err(|error| not_made("its errors", error))?;
    home.entry.began(
        &container.name,
        Live {
            pid: process.pid(),
            env,
            image: image.clone(),
            log: log.clone(),
            running: true,
            ended: CancellationToken::new(),
        },
    );
    Ok(Launched { id, process, log, stdout, stderr })
}

/// `spec.containers{name}`, as events name a container.
pub fn field_path(container: &ContainerSpec) -> String {
    let list = if container.role == Role::App { "containers" } else { "initContainers" };
    format!("spec.{list}{{{}}}", container.name)
}

/// What the container will listen on, as far as the pod says.
fn taken_ports(
    spec: &PodSpec,
    container: &ContainerSpec,
    image: &Image,
    pod: Ipv4Addr,
    app: Ipv4Addr,
) -> Vec<(Ipv4Addr, u16)> {
    if !image.proxy {
        return container.ports.iter().map(|port| (app, *port)).collect();
    }
    let inbound = spec.containers.iter().filter(|other| other.role == Role::App).flat_map(|other| &other.ports);
    inbound.chain(&container.ports).chain(&[environment::OUTBOUND]).map(|port| (pod, *port)).collect()
}

/// A socket whose owner was killed would make the next bind fail.
fn remove_stale_sockets(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let refused = std::os::unix::net::UnixStream::connect(&path)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
        if refused {
            let _ = std::fs::remove_file(&path);
        }
    }
}

fn new_id() -> String {
    let mut bytes = [0_u8; 32];
    // Only a name: without randomness it is still unique enough beside the pod's uid.
    let _ = getrandom::fill(&mut bytes);
    format!("process://{}", HEXLOWER.encode(&bytes))
}
