//! What the panel asks of the cluster's API, counted where it leaves: by verb, kind and answer.
use http::{Method, Request, Response, Uri};
use kube::client::Body;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
use tower::{Layer, Service};

/// Labels of a call. All of them come from the panel's own code: there are few.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Call {
    verb: &'static str,
    resource: String,
    /// The answer's status; 0 where there was none.
    code: u16,
}

/// Counts of calls; a cheap handle.
#[derive(Clone, Debug)]
pub struct Calls(pub Family<Call, Counter>, Arc<Mutex<LastAnswer>>);

#[derive(Debug)]
struct LastAnswer {
    /// The client's start as long as there was none.
    at: Instant,
    /// Milliseconds since the Unix epoch; `None` as long as there was none.
    ms: Option<u64>,
}

impl Default for Calls {
    fn default() -> Calls {
        Calls(Family::default(), Arc::new(Mutex::new(LastAnswer { at: Instant::now(), ms: None })))
    }
}

impl Calls {
    /// How long ago the last answer came that shows a cluster in order.
    pub fn silence(&self) -> Duration {
        self.last().at.elapsed()
    }

    /// When it came, in milliseconds since the Unix epoch; `None` if there was none yet.
    pub fn last_answer_ms(&self) -> Option<u64> {
        self.last().ms
    }

    fn heard(&self) {
        let ms =
            SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|time| u64::try_from(time.as_millis()).ok());
        *self.last() = LastAnswer { at: Instant::now(), ms };
    }

    fn last(&self) -> MutexGuard<'_, LastAnswer> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Layer<S> for Calls {
    type Service = Counted<S>;
    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, calls: self.clone() }
    }
}

/// A service whose calls are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    calls: Calls,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (verb, resource) = name(request.method(), request.uri());
        let (calls, answering) = (self.calls.clone(), self.inner.call(request));
        Box::pin(async move {
            let answer = answering.await;
            let code = answer.as_ref().map_or(0, |response| response.status().as_u16());
            // A refusal of the credentials, or a failure, is for the probe to tell.
            if (200..500).contains(&code) && code != 401 {
                calls.heard();
            }
            calls.0.get_or_create(&Call { verb, resource, code }).inc();
            answer
        })
    }
}

/// Verb and resource of a request. Source: Kubernetes documentation, "API request verbs".
fn name(method: &Method, uri: &Uri) -> (&'static str, String) {
    let mut parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    // `api/v1/…` or `apis/group/version/…`; what has neither is no resource: `version`, `readyz`.
    let skip = match parts.first() {
        Some(&"api") => 2,
        Some(&"apis") => 3,
        _ => return (verb(method, false, false), parts.first().map_or_else(String::new, |part| (*part).to_owned())),
    };
    if parts.len() <= skip {
        return (verb(method, false, false), "discovery".to_owned());
    }
    parts.drain(..skip);
    if parts.len() > 2 && parts[0] == "namespaces" && !matches!(parts[2], "status" | "finalize") {
        parts.drain(..2);
    }
    let resource = match parts.get(2) {
        Some(subresource) => format!("{}/{subresource}", parts[0]),
        None => parts[0].to_owned(),
    };
    let watched = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .any(|(name, value)| name == "watch" && matches!(&*value, "true" | "1"));
    (verb(method, parts.len() == 1, watched), resource)
}

fn verb(method: &Method, all: bool, watched: bool) -> &'static str {
    match *method {
        Method::GET if watched => "watch",
        Method::GET if all => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if all => "deletecollection",
        Method::DELETE => "delete",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_a_verb_and_a_resource() {
        for (method, path, named) in [
            (Method::GET, "/version", "get version"),
            (Method::GET, "/apis", "get discovery"),
            (Method::GET, "/apis/networking.istio.io/v1", "get discovery"),
            (Method::GET, "/api/v1/namespaces?watch=true&fieldSelector=x", "watch namespaces"),
            (Method::GET, "/api/v1/namespaces/istio-app", "get namespaces"),
            (Method::GET, "/api/v1/namespaces/istio-app/pods?limit=5", "list pods"),
            (Method::GET, "/api/v1/namespaces/istio-app/pods?&watch=true", "watch pods"),
            (Method::GET, "/api/v1/namespaces/istio-app/pods/p/portforward?ports=1", "get pods/portforward"),
            (
                Method::PATCH,
                "/apis/networking.istio.io/v1/namespaces/a/virtualservices/b?fieldManager=x",
                "patch virtualservices",
            ),
            (Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "create selfsubjectaccessreviews"),
            (Method::DELETE, "/apis/apps/v1/namespaces/a/deployments/b", "delete deployments"),
        ] {
            let (verb, resource) = name(&method, &path.parse().unwrap());
            assert_eq!(format!("{verb} {resource}"), named, "{method} {path}");
        }
    }
}
