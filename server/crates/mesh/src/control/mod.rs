//! The control plane's side: builds the table when the objects change and pushes what changed to the sidecars it concerns, with
//! acknowledgements.
//!
//! A sidecar is sent the hosts of its own namespace, and of another one when it first asks for a name there: what changes in one
//! namespace costs nothing in the others. Every host of the mesh can be reached, as without Istio's `Sidecar` resource.
//!
//! **Invariant:** a sidecar that has acknowledged revision R routes every request that comes after by R or a later one.

mod callers;
mod published;
mod wire;

pub(crate) use callers::caller_name;
pub(crate) use wire::{Hello, Lines, PROTOCOL, ToControl};

use crate::table::{MeshInput, Report, RouteTable};
use listen::{Conn, Guarded, Limits, Listener};
use published::{Known, Published};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, watch};
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
    /// Held while a table is built, so that tables follow in order.
    books: Mutex<Books>,
    /// Revision of the store that each sidecar routes by.
    acks: watch::Sender<BTreeMap<String, u64>>,
    /// Newest revision of the store for which the current table is right.
    latest: watch::Sender<u64>,
    reports: watch::Sender<Vec<Report>>,
}

#[derive(Default)]
struct Books {
    /// Newest table. A slow sidecar skips tables and holds nobody up.
    current: Arc<Published>,
    sidecars: BTreeMap<String, Sidecar>,
    connections: u64,
}

/// One connected sidecar.
struct Sidecar {
    connection: u64,
    /// Namespaces whose hosts it has.
    scope: BTreeSet<String>,
    /// Version of the table that it routes by in its scope; `None` before its first acknowledgement.
    version: Option<u64>,
    /// Its scope has changed.
    changed: Arc<Notify>,
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
            books: Mutex::default(),
            acks: watch::Sender::default(),
            latest: watch::Sender::default(),
            reports: watch::Sender::default(),
        }))
    }

    /// Builds the table of these objects and tells the sidecars that it concerns. Who has nothing of what changed and has acknowledged
    /// the table before counts as having acknowledged this revision. Takes a millisecond for some hundred objects; does not block.
    pub fn publish(&self, input: Arc<MeshInput>) {
        let mut books = self.books();
        let (table, reports) = RouteTable::build(&input);
        if let Some(new) = books.current.next(table, callers::callers(&input)) {
            let (old, new) = (std::mem::replace(&mut books.current, Arc::new(new)).version(), books.current.clone());
            for sidecar in books.sidecars.values_mut() {
                // One that has nothing yet waits even for an empty table.
                if sidecar.version.is_none() || new.changed_since(&sidecar.scope, old) {
                    sidecar.changed.notify_one();
                } else if sidecar.version == Some(old) {
                    sidecar.version = Some(new.version());
                }
            }
        }
        self.0.reports.send_if_modified(|now| {
            let changed = *now != reports;
            *now = reports;
            changed
        });
        // After the table: whoever waits for this revision finds it in what is sent.
        self.0.latest.send_replace(input.revision);
        let version = books.current.version();
        self.0.acks.send_if_modified(|acks| {
            let current = books.sidecars.iter().filter(|(_, sidecar)| sidecar.version == Some(version));
            current.fold(false, |changed, (pod, _)| set(acks, pod, input.revision) || changed)
        });
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
        self.serve_under(listener, Listener::new("mesh-control", control_limits(), &listen::Books::default()), stop)
            .await;
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
        let own = pod.split_once('/').map_or("", |(namespace, _)| namespace).to_owned();
        // What it had before this control plane was started is sent again at once.
        let asked: BTreeSet<String> = hello.namespaces.into_iter().chain([own]).collect();
        let changed = Arc::new(Notify::new());
        let connection = {
            let mut books = self.books();
            books.connections += 1;
            let connection = books.connections;
            let sidecar = Sidecar { connection, scope: asked.clone(), version: None, changed: changed.clone() };
            books.sidecars.insert(pod.clone(), sidecar);
            connection
        };
        let ended = self.feed(&mut lines, &pod, connection, asked, &changed).await;
        let mut books = self.books();
        if books.sidecars.get(&pod).is_some_and(|s| s.connection == connection) {
            books.sidecars.remove(&pod);
            self.0.acks.send_if_modified(|acks| acks.remove(&pod).is_some());
        }
        ended
    }

    /// Sends what changed in the sidecar's namespaces, waits for the acknowledgement, and again: at most one is under way.
    async fn feed(
        &self,
        lines: &mut Lines<Guarded<UnixStream>>,
        pod: &str,
        connection: u64,
        mut asked: BTreeSet<String>,
        changed: &Notify,
    ) -> std::io::Result<()> {
        let mut known: Option<Known> = None;
        // Number of the last name that the sidecar asked for, and of the last one answered.
        let (mut wanted, mut answered) = (0, 0);
        loop {
            let table = self.scope(pod, connection, &asked);
            let scope = table.scope(&asked);
            if table.version() > 0
                && let Some((line, next)) = table.update(known.as_ref(), &scope, wanted, answered != wanted)
            {
                answered = wanted;
                lines.write_line(line).await?;
                loop {
                    match lines.read().await? {
                        Some(ToControl { ack: Some(ack), .. }) if ack == table.revision() => break,
                        Some(ToControl { want: Some((number, name)), .. }) => {
                            wanted = number;
                            asked.extend(table.namespace_of(&name));
                        }
                        Some(ToControl { ack, .. }) => {
                            return Err(std::io::Error::other(format!(
                                "{pod} acknowledged {ack:?}, was sent {}",
                                table.revision()
                            )));
                        }
                        None => return Ok(()),
                    }
                }
                known = Some(next);
            }
            let is_current = known.is_none() || self.acknowledge(pod, connection, &table);
            if !is_current || (table.version() > 0 && wanted != answered) {
                continue;
            }
            tokio::select! {
                () = changed.notified() => {}
                line = lines.read::<ToControl>() => match line? {
                    Some(ToControl { want: Some((number, name)), .. }) => {
                        wanted = number;
                        // The newest table: the host may have come after the last update.
                        asked.extend(self.books().current.namespace_of(&name));
                    }
                    // The end of the connection, or nonsense.
                    _ => return Ok(()),
                },
            }
        }
    }

    /// Notes the namespaces whose changes the sidecar is to be told, and gives the newest table.
    fn scope(&self, pod: &str, connection: u64, asked: &BTreeSet<String>) -> Arc<Published> {
        let mut books = self.books();
        let table = books.current.clone();
        if let Some(sidecar) = books.sidecars.get_mut(pod).filter(|s| s.connection == connection) {
            sidecar.scope = table.scope(asked);
        }
        table
    }

    /// Notes that the sidecar routes by this table; returns false if a newer one has other hosts for it.
    fn acknowledge(&self, pod: &str, connection: u64, table: &Published) -> bool {
        let mut books = self.books();
        let current = books.current.clone();
        let Some(sidecar) = books.sidecars.get_mut(pod).filter(|s| s.connection == connection) else { return true };
        let is_current = !current.changed_since(&sidecar.scope, table.version());
        let (version, revision) =
            if is_current { (current.version(), *self.0.latest.borrow()) } else { (table.version(), table.revision()) };
        sidecar.version = Some(version);
        self.0.acks.send_if_modified(|acks| set(acks, pod, revision.max(table.revision())));
        is_current
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this changed anything.
fn set(acks: &mut BTreeMap<String, u64>, pod: &str, revision: u64) -> bool {
    match acks.get_mut(pod) {
        Some(known) => std::mem::replace(known, revision) != revision,
        None => acks.insert(pod.to_owned(), revision).is_none(),
    }
}
