//! A cluster the panel drives, whichever it is: a client, and how the page names it.
use app::types::{ApiError, ClusterView, Code};
use kube::Client;
use kube::api::{Api, DynamicObject};
use std::time::Duration;
use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;

use super::KindName;

/// Cheap handle of the cluster.
#[derive(Clone)]
pub struct Cluster {
    /// The only way to it.
    pub client: Client,
    /// How the page names it; the version is empty until it has answered once.
    pub view: ClusterView,
}

impl Cluster {
    /// The objects of a kind in a namespace.
    pub fn api(&self, kind: KindName, ns: &str) -> Api<DynamicObject> {
        match kind {
            KindName::Namespace => Api::all_with(self.client.clone(), &kind.resource()),
            _ => Api::namespaced_with(self.client.clone(), ns, &kind.resource()),
        }
    }
}

/// What a failed call to the cluster means to people. `what` is what was being done: `apply service/flaskapp`.
pub fn api_error(what: &str, error: &kube::Error) -> ApiError {
    let kube::Error::Api(status) = error else {
        return ApiError::new(
            Code::ClusterUnreachable,
            format!("Could not {what}: the cluster does not answer ({})", root_cause(error)),
            "Nothing was lost. The panel goes on trying; see whether the cluster runs.",
        );
    };
    let (code, hint) = match status.code {
        401 => (Code::Forbidden, "The panel's credentials are not accepted any more: give it new ones."),
        403 if status.message.contains("quota") => (Code::Refused, "Raise the quota, or remove what uses it up."),
        403 => (Code::Forbidden, "Give the panel's user that right, or use another kubeconfig."),
        404 => (Code::NotFound, "Deploy the demo first, or see whether Istio's kinds are installed."),
        409 => (Code::Refused, "Somebody else changed it at the same time: look, then try again."),
        422 | 400 => (Code::Refused, "The cluster's own checks refused it; its words are above."),
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

/// Whether the cluster answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Since when it does not (milliseconds since the Unix epoch), and why.
    pub failing: Option<(u64, String)>,
    /// Version of its API, as it said last.
    pub version: String,
}

/// Asks the cluster for its version again and again, once for everybody who looks.
pub async fn probe(cluster: &Cluster, now_ms: fn() -> u64, out: &Sender<Reach>, stop: &CancellationToken) {
    loop {
        let asking = tokio::time::timeout(Duration::from_secs(3), cluster.client.apiserver_version());
        let answer = match asking.await {
            Ok(Ok(info)) => Ok(info.git_version),
            Ok(Err(error)) => Err(root_cause(&error)),
            Err(_) => Err("no answer within 3 s".to_owned()),
        };
        out.send_if_modified(|reach| {
            let before = reach.clone();
            match answer {
                Ok(version) => *reach = Reach { failing: None, version },
                Err(why) => {
                    let since = reach.failing.as_ref().map_or_else(now_ms, |(since, _)| *since);
                    reach.failing = Some((since, why));
                }
            }
            *reach != before
        });
        // Often enough that a page is not wrong for long; one small request.
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
            () = stop.cancelled() => return,
        }
    }
}
