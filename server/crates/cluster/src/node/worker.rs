//! One pod's life: carries out what [`super::pod`] decides, and reports it as the pod's status.
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::environment::OUTBOUND;
use super::exec::Inside;
use super::ignored;
use super::launch::{Failure, Home, Launched, field_path, launch};
use super::memory_limit::within;
use super::net::PodLease;
use super::pod::Pod;
use super::pod_events::{Action, Input};
use super::pod_folder::{make_private, run_dir};
use super::pod_status::Facts;
use super::process::Process;
use super::shared::{Ips, PodEntry, Shared};
use super::spec::{PodSpec, Role};
use super::{probe, restart, service_proxy};
use crate::Object;
use crate::status::Status;

/// From SIGTERM to SIGKILL when the whole node stops; the sidecars' two seconds come on top.
const NODE_STOP: Duration = Duration::from_secs(2);
/// A pod whose object is gone is ended with this grace, as `kubectl delete --force` has it.
const GONE: Duration = Duration::from_secs(1);
/// Pause before something that failed is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(2);
/// Longest wait until no endpoint slice names the pod as ready, and all who send requests know.
const DRAIN: Duration = Duration::from_secs(5);
/// For requests that were on their way when the routes changed: whoever sent them has no reason to tell when they have arrived.
const ON_THEIR_WAY: Duration = Duration::from_millis(300);

/// What the node's watch says of a pod.
#[derive(Clone, Debug)]
pub struct News {
    /// Newest state.
    pub object: Arc<Object>,
    /// It is no longer in the store.
    pub gone: bool,
}

/// What a job came to.
pub(super) enum Done {
    Launched(usize, Result<Launched, Failure>),
    Input(Input),
    Written(Value, Result<(), Status>),
    Nothing,
}

type Job = BoxFuture<'static, Done>;

/// A pod's worker.
pub struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) news: watch::Receiver<News>,
    pub(super) object: Arc<Object>,
    spec: Arc<PodSpec>,
    pub(super) pod: Pod,
    pub(super) facts: Facts,
    pub(super) entry: Arc<PodEntry>,
    /// The pod's addresses, and with them everything that needs one.
    lease: Option<PodLease>,
    processes: Vec<Option<Process>>,
    pub(super) jobs: FuturesUnordered<Job>,
    /// Newest status that is in the store; conditions keep their times from it.
    pub(super) written: Option<Value>,
    pub(super) writing: bool,
    pub(super) deleting: bool,
}

impl Worker {
    /// A worker for a pod bound to this node.
    pub fn new(shared: Arc<Shared>, news: watch::Receiver<News>) -> Worker {
        let object = news.borrow().object.clone();
        let spec = Arc::new(PodSpec::read(&object));
        let metadata = &object["metadata"];
        let text = |key: &str| metadata[key].as_str().unwrap_or_default();
        let (namespace, name, uid) = (text("namespace"), text("name"), text("uid"));
        let mut pod = Pod::new(format!("{name}_{namespace}({uid})"), &spec);
        let known = restart::adopt(&mut pod, &object);
        let started = known.unwrap_or_else(Timestamp::now);
        let facts = Facts { pod_ip: None, host_ip: shared.network.node_ip(), started, trouble: None };
        let logs = shared.logs.join(format!("{namespace}_{name}_{uid}"));
        let (apps, inits): (Vec<_>, Vec<_>) = spec.containers.iter().partition(|container| container.role == Role::App);
        let names = apps.iter().chain(&inits).map(|container| container.name.clone()).collect();
        let entry = Arc::new(PodEntry::new(uid.to_owned(), None, PathBuf::new(), logs, names));
        let processes = spec.containers.iter().map(|_| None).collect();
        let jobs = FuturesUnordered::new();
        let (lease, written, writing, deleting) = (None, None, false, false);
        Worker { shared, news, object, spec, pod, facts, entry, lease, processes, jobs, written, writing, deleting }
    }

    /// Runs until the pod is gone, or the node stops.
    pub async fn run(mut self, stop: CancellationToken) {
        self.shared.enter(self.namespace(), self.name(), &self.entry);
        let mut stopping = false;
        // A pod that ended in an earlier run of the node only waits to be deleted.
        let finished = matches!(self.object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let mut next_try = tokio::time::Instant::now();
        self.on_news();
        loop {
            let over = finished || self.lease.is_none() || self.pod.is_over();
            if over && (self.deleting || stopping) {
                break;
            }
            if self.lease.is_none() && !finished && tokio::time::Instant::now() >= next_try {
                if let Err((reason, message)) = self.settle_in().await {
                    next_try = tokio::time::Instant::now() + RETRY;
                    restart::blocked(&mut self.pod, &reason, &message);
                    self.shared.recorder.record(&self.object, None, true, "FailedCreatePodSandBox", message);
                } else {
                    self.feed(Input::Tick);
                }
            }
            // While the node stops, the store keeps saying what was to run: that runs again at the next start.
            if !finished && !stopping {
                self.report();
            }
            let wake = match self.lease {
                Some(_) => self.pod.wake().map(|at| (self.shared.epoch + at).into()),
                None => (!finished).then_some(next_try),
            };
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.feed(Input::End { grace: NODE_STOP, drain: false });
                }
                changed = self.news.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.on_news();
                }
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.on_done(done),
                () = sleep_until(wake) => if self.lease.is_some() { self.feed(Input::Tick) },
            }
        }
        self.leave(stopping).await;
    }

    pub(super) fn namespace(&self) -> &str {
        self.object["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    fn on_news(&mut self) {
        let news = self.news.borrow_and_update().clone();
        let changed = news.object["metadata"]["generation"] != self.object["metadata"]["generation"];
        self.object = news.object;
        if changed {
            self.follow_images();
        }
        let metadata = &self.object["metadata"];
        if news.gone {
            self.deleting = true;
            self.feed(Input::End { grace: GONE, drain: false });
        } else if !metadata["deletionTimestamp"].is_null() {
            self.deleting = true;
            let grace = metadata["deletionGracePeriodSeconds"].as_u64().unwrap_or(30);
            self.feed(Input::End { grace: Duration::from_secs(grace), drain: true });
        }
    }

    /// Images are what may change of a pod's containers.
    fn follow_images(&mut self) {
        let new = PodSpec::read(&self.object);
        let pairs = new.containers.iter().zip(&self.spec.containers).enumerate();
        let changed: Vec<usize> =
            pairs.filter(|(_, (new, old))| new.image != old.image).map(|(index, _)| index).collect();
        self.spec = Arc::new(new);
        for index in changed {
            let spec = self.spec.containers[index].clone();
            if self.lease.is_some() {
                self.feed(Input::Changed { index, spec });
            } else {
                self.pod.containers[index].spec = Arc::new(spec);
            }
        }
    }

    /// Gets what the pod needs before its first container: addresses, folders, its outbound proxy.
    async fn settle_in(&mut self) -> Result<(), (String, String)> {
        self.shared.admit().map_err(|why| ("OutOfpods".to_owned(), why))?;
        let lease = self.shared.network.pod().ok_or_else(|| {
            (
                "OutOfAddresses".to_owned(),
                "every pod address of 127.64.0.0/10 is taken: delete pods, or stop other instances".to_owned(),
            )
        })?;
        let meshed = self
            .spec
            .containers
            .iter()
            .any(|container| self.shared.images.find(&container.image).is_some_and(|image| image.proxy));
        let ips = Ips { pod: lease.pod_ip(), app: if meshed { lease.private_ip() } else { lease.pod_ip() } };
        let run_dir = run_dir(&self.shared.run, &self.entry.uid);
        let io = |error: std::io::Error| {
            ("FailedCreatePodSandBox".to_owned(), format!("the pod's folder {}: {error}", run_dir.display()))
        };
        for folder in ["ports", "files"] {
            make_private(&run_dir.join(folder)).map_err(io)?;
        }
        if !meshed {
            let listener = TcpListener::bind((ips.pod, OUTBOUND)).await.map_err(|error| {
                let why = format!("the pod's outbound proxy cannot listen on {}:{OUTBOUND}: {error}", ips.pod);
                (format!("Port{OUTBOUND}InUse"), why)
            })?;
            let reach = self.shared.reach();
            let caller = service_proxy::Caller { namespace: self.namespace().to_owned(), own: ips.app, reach };
            let (services, policy) = (self.shared.services.subscribe(), self.shared.policies.proxies.clone());
            self.push(async move {
                service_proxy::serve(listener, policy, caller, services, CancellationToken::new()).await;
                Done::Nothing
            });
        }
        let old = &self.entry;
        self.entry =
            Arc::new(PodEntry::new(old.uid.clone(), Some(ips), run_dir, old.logs.clone(), old.containers.clone()));
        self.shared.enter(self.namespace(), self.name(), &self.entry);
        self.facts.pod_ip = Some(ips.pod);
        self.lease = Some(lease);
        let is_own = |container: &Value| {
            !container["image"]
                .as_str()
                .and_then(|image| self.shared.images.find(image))
                .is_some_and(|image| image.proxy)
        };
        for (field, why) in ignored::fields(&self.object["spec"], is_own) {
            self.shared.recorder.record(&self.object, None, true, "FieldIgnored", format!("spec.{field}: {why}"));
        }
        restart::unblocked(&mut self.pod);
        Ok(())
    }

    pub(super) fn push(&self, job: impl Future<Output = Done> + Send + 'static) {
        self.jobs.push(job.boxed());
    }

    fn feed(&mut self, input: Input) {
        let actions = self.pod.handle(self.shared.now(), input);
        for action in actions {
            self.act(action);
        }
    }

    fn home(&self) -> Home {
        Home { object: self.object.clone(), spec: self.spec.clone(), entry: self.entry.clone() }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start(index) => {
                let (shared, home, run) = (self.shared.clone(), self.home(), self.pod.containers[index].next_run());
                self.push(async move { Done::Launched(index, launch(&shared, &home, index, run).await) });
            }
            Action::Terminate(index) => self.signal(index, Signal::SIGTERM),
            Action::Kill(index) => self.signal(index, Signal::SIGKILL),
            Action::Probe { index, run, probe } => self.probe(index, run, probe),
            Action::Drain => {
                let (shared, ip) = (self.shared.clone(), self.facts.pod_ip);
                self.push(async move {
                    if let Some(ip) = ip {
                        // A sidecar that does not answer shall not keep a pod for ever.
                        let _ = tokio::time::timeout(DRAIN, drained(&shared, ip)).await;
                        tokio::time::sleep(ON_THEIR_WAY).await;
                    }
                    Done::Input(Input::Drained)
                });
            }
            Action::Event { warning, index, reason, message } => {
                let field = field_path(&self.spec.containers[index]);
                self.shared.recorder.record(&self.object, Some(&field), warning, reason, message);
            }
        }
    }

    fn signal(&self, index: usize, signal: Signal) {
        if let Some(process) = &self.processes[index] {
            process.signal(signal);
        }
    }

    fn probe(&self, index: usize, run: u32, number: usize) {
        let container = &self.pod.containers[index];
        let spec = container.probes[number].spec.clone();
        let (shared, entry, name) = (self.shared.clone(), self.entry.clone(), container.spec.name.clone());
        let ip = self.facts.pod_ip.unwrap_or(Ipv4Addr::LOCALHOST);
        self.push(async move {
            let node = shared.clone();
            let exec = |command: Vec<String>| async move {
                let live = entry.live(&name).ok_or("the container does not run")?;
                let program = shared.images.resolve(&live.image, &command)?;
                Inside { env: live.env, dir: entry.files(), spawner: shared.spawner.clone(), container: live.ended }
                    .probe(program)
                    .await
            };
            Done::Input(Input::Probed {
                index,
                run,
                probe: number,
                result: probe::run(&spec, ip, async |to, port| node.pod_listens(to, port).await, exec).await,
            })
        });
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Launched(index, Ok(launched)) => {
                let Launched { id, process, log, stdout, stderr } = launched;
                self.processes[index] = Some(process.clone());
                self.push(async move {
                    tokio::join!(log.copy("stdout", stdout), log.copy("stderr", stderr));
                    log.end();
                    Done::Nothing
                });
                let limit = self.spec.containers[index].memory;
                self.push(async move {
                    let (exit, oom) = within(&process, limit).await;
                    Done::Input(Input::Exited { index, exit, oom })
                });
                self.feed(Input::Started { index, id });
            }
            Done::Launched(index, Err(Failure::NotMade(reason, message))) => {
                self.feed(Input::NotStarted { index, reason, message })
            }
            Done::Launched(index, Err(Failure::NotRunnable(id, message))) => {
                self.feed(Input::StartError { index, id, message })
            }
            Done::Input(input) => {
                if let Input::Exited { index, .. } = input {
                    self.processes[index] = None;
                    self.entry.ended(&self.spec.containers[index].name);
                }
                self.feed(input);
            }
            Done::Written(status, result) => {
                self.writing = false;
                match result {
                    Ok(()) => self.written = Some(status),
                    // The watch says so in a moment; writing again would only fail again.
                    Err(error) if error.code == 404 => self.written = Some(status),
                    Err(error) => {
                        tracing::warn!(pod.name = self.name(), %error, "The status of pod `{}` could not be written", self.name());
                        self.writing = true;
                        self.push(async {
                            tokio::time::sleep(RETRY).await;
                            Done::Written(Value::Null, Ok(()))
                        });
                    }
                }
            }
            Done::Nothing => {}
        }
    }
}

/// Waits until no Service sends new connections to the address, and whoever routes by itself has heard of it.
async fn drained(shared: &Shared, ip: Ipv4Addr) {
    let unused = |services: &Arc<super::services::Services>| {
        !services.iter().any(|service| service.ports.values().flatten().any(|to| to.ip() == ip))
    };
    let Ok(revision) = shared.services.subscribe().wait_for(unused).await.map(|services| services.revision()) else {
        return;
    };
    if let Some(routed) = &shared.routed {
        routed(revision).await;
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
