//! The control plane's side: builds the table when the objects change and pushes what changed to every sidecar, with acknowledgements.
//!
//! **Invariant:** a sidecar that has acknowledged revision R routes every request that comes after by R or a later one.

mod callers;
mod wire;

pub(crate) use callers::caller_name;
pub(crate) use wire::{Hello, Lines, PROTOCOL, ToControl};

use crate::table::{Host, MeshInput, Report, RouteTable};
use listen::{Conn, Guarded, Limits, Listener};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Limits of the control socket. All sidecars are one peer: they run as this user. A sidecar that does not take a table within the time
/// of a write connects again and gets it whole.
pub fn control_limits() -> Limits {
    let most = 3_000;
    Limits { connections: most, per_peer: most, ..Limits::default() }.fitted(listen::descriptor_limit(), 25, 1)
}

/// What sidecars are to be told; a cheap handle.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    /// Newest table. A `watch`, not a queue: a slow sidecar skips tables and holds nobody up.
    current: watch::Sender<Arc<Published>>,
    /// Held while a table is built, so that tables follow in order, and for the books of who acknowledged what.
    books: Mutex<Books>,
    acks: watch::Sender<BTreeMap<String, u64>>,
    /// Newest revision of the store for which the current table is right.
    latest: watch::Sender<u64>,
    reports: watch::Sender<Vec<Report>>,
}

/// A table as it is sent, each host serialised once for all sidecars.
#[derive(Default)]
struct Published {
    /// Counts tables that differ; 0 until the first.
    version: u64,
    /// Revision of the store this table was first made from.
    revision: u64,
    hosts: BTreeMap<String, Sent>,
    /// Workloads with a sidecar, and the version in which they last changed.
    callers: Arc<Vec<String>>,
    callers_since: u64,
}

struct Sent {
    host: Arc<Host>,
    json: Arc<str>,
    /// Version in which it last changed.
    since: u64,
}

#[derive(Default)]
struct Books {
    sidecars: BTreeMap<String, Acked>,
    connections: u64,
}

/// What one sidecar has acknowledged.
struct Acked {
    connection: u64,
    version: u64,
    revision: u64,
}

impl Default for Control {
    fn default() -> Control {
        Control::new()
    }
}

impl Control {
    /// Nothing is published yet: sidecars that connect wait.
    pub fn new() -> Control {
        Control(Arc::new(Inner {
            current: watch::Sender::new(Arc::default()),
            books: Mutex::default(),
            acks: watch::Sender::default(),
            latest: watch::Sender::default(),
            reports: watch::Sender::default(),
        }))
    }

    /// Builds the table of these objects and tells the sidecars. Where the table is the same as before nothing is sent, and who has
    /// acknowledged it counts as having acknowledged the new revision. Takes a millisecond for some hundred objects; does not block.
    pub fn publish(&self, input: Arc<MeshInput>) {
        let books = self.books();
        let (table, reports) = RouteTable::build(&input);
        let old = self.0.current.borrow().clone();
        if let Some(new) = next(&old, table, callers::callers(&input)) {
            self.0.current.send_replace(Arc::new(new));
        }
        self.0.reports.send_if_modified(|now| {
            let changed = *now != reports;
            *now = reports;
            changed
        });
        // After the table: whoever waits for this revision finds it in what is sent.
        self.0.latest.send_replace(input.revision);
        self.publish_acks(&books);
    }

    /// Revision of the store that each connected sidecar (`namespace/pod`) routes by.
    pub fn acks(&self) -> watch::Receiver<BTreeMap<String, u64>> {
        self.0.acks.subscribe()
    }

    /// Waits until every connected sidecar routes by this revision of the store or a later one.
    pub async fn acknowledged(&self, revision: u64) {
        let published = self.0.latest.subscribe().wait_for(|latest| *latest >= revision).await.is_ok();
        if published {
            // An error: the control plane has ended, and with it those who would wait.
            let _ = self.acks().wait_for(|acks| acks.values().all(|acked| *acked >= revision)).await;
        }
    }

    /// What the objects ask for and is not honoured.
    pub fn reports(&self) -> watch::Receiver<Vec<Report>> {
        self.0.reports.subscribe()
    }

    /// Serves sidecars until `stop`. Who can open the socket may read all routes: keep it in a private folder.
    pub async fn serve(&self, listener: UnixListener, stop: CancellationToken) {
        self.serve_under(listener, Listener::new("mesh-control", control_limits(), &listen::Books::default()), stop).await;
    }

    /// [`Control::serve`] under a policy that the caller counts; its limits are [`control_limits`].
    pub async fn serve_under(&self, listener: UnixListener, policy: Listener, stop: CancellationToken) {
        let ending = stop.clone();
        policy
            .run(listener, stop, |io, conn| {
                let (control, stop) = (self.clone(), ending.clone());
                async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        ended = control.serve_sidecar(io, conn) => if let Err(error) = ended {
                            tracing::debug!(%error, "A sidecar's connection ended");
                        }
                    }
                }
            })
            .await;
    }

    async fn serve_sidecar(&self, stream: Guarded<UnixStream>, conn: Conn) -> std::io::Result<()> {
        // The folder's mode keeps others out; this holds where somebody widened it.
        if stream.get_ref().peer_cred()?.uid() != nix::unistd::getuid().as_raw() {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        let mut lines = Lines::new(stream, 64 * 1024);
        let Some(hello) = conn.within_head(lines.read::<Hello>()).await? else { return Ok(()) };
        conn.relay();
        if hello.v != PROTOCOL {
            return Err(std::io::Error::other(format!("sidecar of {} speaks version {}", hello.pod, hello.v)));
        }
        let pod = hello.pod;
        let connection = {
            let mut books = self.books();
            books.connections += 1;
            books.connections
        };
        let ended = self.feed(&mut lines, &pod, connection).await;
        let mut books = self.books();
        if books.sidecars.get(&pod).is_some_and(|s| s.connection == connection) {
            books.sidecars.remove(&pod);
            self.publish_acks(&books);
        }
        ended
    }

    /// Sends the newest table, waits for the acknowledgement, and again: at most one is under way.
    async fn feed(&self, lines: &mut Lines<Guarded<UnixStream>>, pod: &str, connection: u64) -> std::io::Result<()> {
        let mut tables = self.0.current.subscribe();
        let mut sent: Option<Arc<Published>> = None;
        loop {
            let table = tables.borrow_and_update().clone();
            if table.version > 0 && sent.as_ref().is_none_or(|s| s.version != table.version) {
                lines.write_line(update(sent.as_deref(), &table)).await?;
                let Some(ToControl { ack }) = lines.read().await? else { return Ok(()) };
                if ack != table.revision {
                    return Err(std::io::Error::other(format!("{pod} acknowledged {ack}, was sent {}", table.revision)));
                }
                let mut books = self.books();
                books.sidecars.insert(pod.to_string(), Acked { connection, version: table.version, revision: ack });
                self.publish_acks(&books);
                drop(books);
                sent = Some(table);
            }
            tokio::select! {
                changed = tables.changed() => if changed.is_err() { return Ok(()) },
                // Nothing is expected now: this is the end of the connection, or nonsense.
                line = lines.read::<ToControl>() => return line.map(|_| ()),
            }
        }
    }

    fn publish_acks(&self, books: &Books) {
        let (version, latest) = (self.0.current.borrow().version, *self.0.latest.borrow());
        let acks: BTreeMap<String, u64> =
            books.sidecars.iter().map(|(pod, a)| (pod.clone(), if a.version == version { latest.max(a.revision) } else { a.revision })).collect();
        self.0.acks.send_if_modified(|now| {
            let changed = *now != acks;
            *now = acks;
            changed
        });
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table to publish after `old`, or `None` where no host differs.
fn next(old: &Published, table: RouteTable, callers: Vec<String>) -> Option<Published> {
    let version = old.version + 1;
    let mut changed = old.version == 0 || old.hosts.len() != table.hosts.len();
    let mut hosts = BTreeMap::new();
    for (name, host) in table.hosts {
        let sent = match old.hosts.get(&name) {
            Some(same) if same.host == host => Sent { host: same.host.clone(), json: same.json.clone(), since: same.since },
            _ => {
                changed = true;
                let Ok(json) = serde_json::to_string(&*host) else { continue };
                Sent { host, json: json.into(), since: version }
            }
        };
        hosts.insert(name, sent);
    }
    let same_callers = old.version > 0 && *old.callers == callers;
    let (callers, callers_since) = if same_callers { (old.callers.clone(), old.callers_since) } else { (Arc::new(callers), version) };
    (changed || !same_callers).then_some(Published { version, revision: table.revision, hosts, callers, callers_since })
}

/// What a sidecar that has `sent` must be told to have `table`, as a [`crate::TableUpdate`]'s JSON; everything where it has nothing.
fn update(sent: Option<&Published>, table: &Published) -> String {
    let known = sent.map_or(0, |s| s.version);
    let mut line = format!("{{\"revision\":{},\"full\":{},\"set\":{{", table.revision, sent.is_none());
    let mut comma = "";
    for (name, host) in table.hosts.iter().filter(|(_, h)| h.since > known) {
        line.extend([comma, &quoted(name), ":", &host.json]);
        comma = ",";
    }
    line.push_str("},\"gone\":[");
    comma = "";
    for name in sent.into_iter().flat_map(|s| s.hosts.keys()).filter(|name| !table.hosts.contains_key(*name)) {
        line.extend([comma, &quoted(name)]);
        comma = ",";
    }
    line.push(']');
    if table.callers_since > known {
        line.push_str(",\"callers\":");
        line.push_str(&serde_json::Value::from(table.callers.as_slice()).to_string());
    }
    line.push_str("}\n");
    line
}

fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}
