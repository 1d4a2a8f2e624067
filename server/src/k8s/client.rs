//! A cluster the panel drives, whichever it is: a client, and how the page names it.
use app::types::{ApiError, ClusterView, Code};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{ClientBuilder, ConfigExt};
use kube::{Client, Config};
use kube::api::{Api, ApiResource, DynamicObject};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::watch::{Receiver, Sender};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, ServiceBuilder};
use tracing::{info, warn};

use super::KindName;
use super::calls::Calls;
use super::discover::{self, istio_versions};
use super::patience::Patience;

/// Cheap handle of the cluster.
#[derive(Clone)]
pub struct Cluster {
    /// The only way to it.
    pub client: Client,
    /// How the page names it; the version is empty until it has answered once.
    pub view: ClusterView,
    /// Place in [`discover::KNOWN`] of the version of Istio's kinds that is used; the newest until the cluster has said.
    istio: Arc<AtomicUsize>,
    /// Until when the cluster asks to slow down, milliseconds since the Unix epoch; 0 where it never has.
    slow: Receiver<u64>,
    /// What was asked of it so far.
    pub calls: Calls,
    /// Told by whoever sees a connection break: then the cluster is asked at once whether it is still there.
    pub suspect: Arc<Notify>,
}

impl Cluster {
    /// A cluster that was not asked anything yet.
    pub fn new((client, slow, calls): (Client, Receiver<u64>, Calls), view: ClusterView) -> Cluster {
        Cluster { client, view, istio: Arc::default(), slow, calls, suspect: Arc::default() }
    }

    /// The objects of a kind in a namespace.
    pub fn api(&self, kind: KindName, ns: &str) -> Api<DynamicObject> {
        match kind {
            KindName::Namespace => Api::all_with(self.client.clone(), &self.resource(kind)),
            _ => Api::namespaced_with(self.client.clone(), ns, &self.resource(kind)),
        }
    }

    /// How this cluster names a kind: Istio's in the newest version it serves.
    pub fn resource(&self, kind: KindName) -> ApiResource {
        kind.resource(self.istio_version())
    }

    /// The version of Istio's kinds that is read and written.
    pub fn istio_version(&self) -> &'static str {
        discover::KNOWN[self.istio.load(Ordering::Relaxed) % discover::KNOWN.len()]
    }

    /// Asks which versions of Istio's kinds are served, and uses the newest. Gives whether there is any.
    /// Errors: the cluster does not answer.
    pub async fn find_istio(&self) -> Result<bool, kube::Error> {
        let served = istio_versions(&self.client).await?;
        let newest = discover::KNOWN.iter().position(|known| served.first() == Some(known));
        if let Some(place) = newest {
            self.istio.store(place, Ordering::Relaxed);
        }
        Ok(newest.is_some())
    }
}

/// Why a call failed, in the cluster's words where it said any.
pub fn reason_of(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => root_cause(other),
    }
}

const CHECKS_REFUSED: &str = "The cluster's own checks refused it; its words are above.";

/// What a failed call to the cluster means to people. `what` is what was being done: `apply service/flaskapp`.
pub fn api_error(what: &str, error: &kube::Error) -> ApiError {
    let kube::Error::Api(status) = error else {
        return ApiError::new(
            Code::ClusterUnreachable,
            format!("Could not {what}: the cluster does not answer ({})", root_cause(error)),
            // What was sent and not answered may be done yet.
            if root_cause(error).starts_with(super::patience::NO_ANSWER) {
                "It may have been done all the same: look, then try again."
            } else {
                "Nothing was lost. The panel goes on trying; see whether the cluster runs."
            },
        );
    };
    let (code, hint) = match status.code {
        401 => (Code::Forbidden, "The panel's credentials are not accepted any more: give it new ones."),
        403 if status.message.contains("quota") => (Code::Refused, "Raise the quota, or remove what uses it up."),
        // Not the user's rights: a webhook, or a ValidatingAdmissionPolicy.
        403 if status.message.contains("denied the request") || status.message.contains("denied request") => (Code::Refused, CHECKS_REFUSED),
        500 if status.message.contains("failed calling webhook") => {
            (Code::Refused, "A webhook that the cluster asks before it accepts this does not answer: see whether what is behind it runs.")
        }
        403 => (Code::Forbidden, "Give the panel's user that right, or use another kubeconfig."),
        404 if status.message.starts_with("namespaces ") => (Code::NotFound, "There is no such namespace: deploying makes it, where the panel may."),
        404 => (Code::NotFound, "Deploy the demo first, or see whether Istio's kinds are installed."),
        409 => (Code::Refused, "Somebody else changed it at the same time: look, then try again."),
        422 | 400 => (Code::Refused, CHECKS_REFUSED),
        429 => (Code::TooManyRequests, "The cluster asks to slow down: try again in a few seconds."),
        500.. => (Code::ClusterUnreachable, "The cluster failed to answer; the panel goes on trying."),
        _ => (Code::Internal, "The log has more."),
    };
    ApiError::new(code, format!("Could not {what}: {}", status.message), hint)
}

/// The innermost cause; the outer ones only repeat it.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Silence after which the other end of a connection is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// A client on a configuration. It waits where the cluster asks to slow down, and its connections send at once: with kube's own
/// connector a window update of one stream, not yet acknowledged, holds the next request back for 40 ms (Nagle's algorithm
/// meeting delayed acknowledgements): one weight change in thirty took that long.
///
/// Connections come from the address `from` if one is given.
pub fn client(mut config: Config, from: Option<std::net::IpAddr>) -> Result<(Client, Receiver<u64>, Calls), kube::Error> {
    let calls = Calls::default();
    let (until, slow) = tokio::sync::watch::channel(0);
    let patience = Patience::new(Arc::new(until));
    // Ours in its place: it tells people, and gives up in the end.
    config.default_retry = false;
    if config.proxy_url.is_some() {
        return Ok((ClientBuilder::try_from(config)?.with_layer(&patience).build(), slow, calls));
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_local_address(from);
    connector.set_connect_timeout(config.connect_timeout);
    // A watch is silent for minutes: this finds out when its other end is gone.
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(Duration::from_secs(5)));
    connector.set_keepalive_retries(Some(3));
    let https = config.rustls_https_connector_with_connector(connector)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(https);
    let service = ServiceBuilder::new()
        .layer(patience)
        .layer(calls.clone())
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok((Client::new(service, config.default_namespace), slow, calls))
}

/// Whether the cluster answers, and what it says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Since when it does not (milliseconds since the Unix epoch), and why.
    pub failing: Option<(u64, String)>,
    /// Whether that is because it does not accept the panel's credentials any more.
    pub refused: bool,
    /// Where it asks to slow down: until when, milliseconds since the Unix epoch.
    pub slow_until_ms: Option<u64>,
    /// Version of its API, as it said last.
    pub version: String,
    /// Whom it takes the panel for; empty until it has said.
    pub user: String,
    /// Its mesh, `Istio 1.31.0, revision default`; empty where there is none.
    pub mesh: String,
}

/// After this long without an answer to anything the cluster is asked; a watch that breaks asks at once.
const EASY: Duration = Duration::from_secs(30);
/// How often while it does not.
const ANXIOUS: Duration = Duration::from_secs(1);
/// How often whom it takes the panel for, and its mesh, are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// Asks the cluster for its version when nothing was heard from it, once for everybody who looks.
pub async fn probe(cluster: &Cluster, now_ms: fn() -> u64, out: &Sender<Reach>, stop: &CancellationToken) {
    let mut slow = cluster.slow.clone();
    let mut looked: Option<tokio::time::Instant> = None;
    loop {
        let asking = tokio::time::timeout(Duration::from_secs(3), cluster.client.apiserver_version());
        let answer = match asking.await {
            Ok(Ok(info)) => Ok(info.git_version),
            Ok(Err(kube::Error::Api(status))) if status.code == 401 => Err((true, "the credentials are not accepted any more (401 Unauthorized)".to_owned())),
            Ok(Err(error)) => Err((false, reason_of(&error))),
            Err(_) if *slow.borrow() > now_ms() => Ok(out.borrow().version.clone()),
            Err(_) => Err((false, "no answer within 3 s".to_owned())),
        };
        let due = looked.is_none_or(|at| at.elapsed() >= LOOK_AGAIN);
        let about = if answer.is_ok() && (due || out.borrow().failing.is_some()) {
            looked = Some(tokio::time::Instant::now());
            Some(about(cluster).await)
        } else {
            None
        };
        let pause = if answer.is_ok() { EASY } else { ANXIOUS };
        log_change(&out.borrow().failing, &answer);
        out.send_if_modified(|reach| {
            let before = reach.clone();
            match answer {
                Ok(version) => (reach.failing, reach.refused, reach.version) = (None, false, version),
                Err((refused, why)) => {
                    let since = reach.failing.as_ref().map_or_else(now_ms, |(since, _)| *since);
                    (reach.failing, reach.refused) = (Some((since, why)), refused);
                }
            }
            if let Some((user, mesh)) = about {
                (reach.user, reach.mesh) = (user.unwrap_or_else(|| reach.user.clone()), mesh.unwrap_or_else(|| reach.mesh.clone()));
            }
            *reach != before
        });
        loop {
            tokio::select! {
                () = wait(pause, &mut slow, now_ms, out) => {}
                () = cluster.suspect.notified() => break,
                () = stop.cancelled() => return,
            }
            // Whatever else was answered meanwhile says as much as its version would.
            if out.borrow().failing.is_some() || cluster.calls.silence() >= EASY || looked.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) {
                break;
            }
        }
    }
}

fn log_change(failing: &Option<(u64, String)>, answer: &Result<String, (bool, String)>) {
    match (failing, answer) {
        (None, Err((_, why))) => warn!("The cluster does not answer: {why}"),
        (Some(_), Ok(version)) => info!(version, "The cluster answers again"),
        _ => {}
    }
}

/// Waits, and meanwhile tells when the cluster asks to slow down and when that is over.
async fn wait(pause: Duration, slow: &mut Receiver<u64>, now_ms: fn() -> u64, out: &Sender<Reach>) {
    let end = tokio::time::Instant::now() + pause;
    loop {
        let until_ms = *slow.borrow_and_update();
        let left = Duration::from_millis(until_ms.saturating_sub(now_ms()));
        let shown = (!left.is_zero()).then_some(until_ms);
        out.send_if_modified(|reach| std::mem::replace(&mut reach.slow_until_ms, shown) != shown);
        let next = if left.is_zero() { end } else { end.min(tokio::time::Instant::now() + left) };
        tokio::select! {
            () = tokio::time::sleep_until(next) => if next >= end { return },
            changed = slow.changed() => if changed.is_err() { tokio::time::sleep_until(end).await; return },
        }
    }
}

/// Whom the cluster takes the panel for, and its mesh; nothing where that cannot be told.
async fn about(cluster: &Cluster) -> (Option<String>, Option<String>) {
    let (user, served, seen) = tokio::join!(discover::whoami(&cluster.client), cluster.find_istio(), discover::istiods(&cluster.client));
    let mesh = served.ok().map(|served| if served { discover::mesh_name(&seen.unwrap_or_default(), cluster.istio_version()) } else { String::new() });
    (user, mesh)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_right_that_is_missing_and_from_a_cluster_that_fails() {
        for (code, message, told, hint) in [
            (403, r#"deployments.apps "flaskapp-v1" is forbidden: User "ann" cannot patch resource "deployments" in API group "apps""#, Code::Forbidden, "that right"),
            (403, r#"pods "x" is forbidden: exceeded quota: small"#, Code::Refused, "quota"),
            (403, r#"virtualservices "x" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"#, Code::Refused, "its words are above"),
            (403, r#"admission webhook "w" denied the request: no"#, Code::Refused, "its words are above"),
            (422, "invalid", Code::Refused, "its words are above"),
            (500, r#"Internal error occurred: failed calling webhook "validation.istio.io": no endpoints available"#, Code::Refused, "webhook"),
            (500, "etcdserver: request timed out", Code::ClusterUnreachable, "goes on trying"),
        ] {
            let status = kube::core::Status { code, message: message.to_owned(), ..Default::default() };
            let error = api_error("set the weights", &kube::Error::Api(Box::new(status)));
            assert_eq!((error.code, error.hint.contains(hint)), (told, true), "{message}: {error:?}");
            assert!(error.message.contains(message), "{error:?}");
        }
    }
}
