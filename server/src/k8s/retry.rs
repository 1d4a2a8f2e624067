//! What to do when a cluster asks to slow down: wait as long as it says, and tell people meanwhile.
//!
//! Source: Kubernetes documentation, "API Priority and Fairness": 429 with `Retry-After` in seconds.
use super::breaker::HEARTBEAT;
use super::silence::Silence;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use kube::client::Body;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch::Sender;
use tower::{BoxError, Layer, Service};

/// How often a request is sent again before the refusal is passed on.
const TRIES: u32 = 5;
/// Longest wait for one request, all its tries together: where more is asked for, the refusal is passed on. Somebody may have clicked
/// and look at the page; and an API server under pressure asks for twice as much each time.
const LONGEST: Duration = Duration::from_secs(30);

/// Longest wait for the beginning of an answer to a write: what comes later is no answer to the person who asked, and others wait
/// behind it.
const WRITE: Duration = Duration::from_secs(10);
/// The same for a read; a watch begins at once, too.
const READ: Duration = Duration::from_secs(30);

async fn in_time<T>(patience: Duration, answering: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
    tokio::time::timeout(patience, answering).await.unwrap_or_else(|_| Err(Silence::Late(patience.as_secs()).into()))
}

/// Waits where the cluster asks for it. `until` carries the end of the wait: milliseconds since the Unix epoch.
#[derive(Clone)]
pub struct Patience {
    until: Arc<Sender<u64>>,
    /// How long the second is that clusters count in; shorter in tests.
    second: Duration,
}

impl Patience {
    /// One for a client; the sender's receivers learn of every wait.
    pub fn new(until: Arc<Sender<u64>>) -> Patience {
        Patience { until, second: Duration::from_secs(1) }
    }
}

impl<S> Layer<S> for Patience {
    type Service = Patient<S>;
    fn layer(&self, inner: S) -> Patient<S> {
        Patient { inner: Arc::new(Mutex::new(inner)), until: self.until.clone(), second: self.second }
    }
}

/// A service that waits.
pub struct Patient<S> {
    /// Locked to hand a request over, not while it is answered.
    inner: Arc<Mutex<S>>,
    until: Arc<Sender<u64>>,
    second: Duration,
}

fn held<S>(inner: &Mutex<S>) -> MutexGuard<'_, S> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S, B> Service<Request<Body>> for Patient<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (inner, until, second) = (self.inner.clone(), self.until.clone(), self.second);
        Box::pin(async move {
            let mut request = request;
            let (mut tries, mut waited) = (0, Duration::ZERO);
            // A heartbeat reports a failure; it has a backoff of its own.
            let repeats_failures = request.method() == Method::GET && request.uri().path() != HEARTBEAT;
            loop {
                let again = copy(&request);
                let method = request.method().clone();
                poll_fn(|cx| held(&inner).poll_ready(cx)).await?;
                let answering = held(&inner).call(request);
                let answer = in_time(if method == Method::GET { READ } else { WRITE }, answering).await?;
                let Some(wait) = wait(repeats_failures, answer.status(), answer.headers(), tries) else {
                    return Ok(answer);
                };
                if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                    tell(&until, wait);
                }
                match again {
                    Some(next) if tries < TRIES && waited + wait <= LONGEST => request = next,
                    _ => return Ok(answer),
                }
                tries += 1;
                waited += wait;
                tokio::time::sleep(wait.mul_f64(second.as_secs_f64())).await;
            }
        })
    }
}

/// How long to wait before sending again; nothing where that would be of no use, or could do a thing twice.
fn wait(repeats_failures: bool, status: StatusCode, headers: &HeaderMap, tries: u32) -> Option<Duration> {
    let said = headers
        .get(http::header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.trim().parse().ok())
        .map(Duration::from_secs);
    let backed_off = Duration::from_millis(100) * 2u32.pow(tries.min(6));
    match status {
        // Refused before anything was done.
        StatusCode::TOO_MANY_REQUESTS => Some(said.unwrap_or(Duration::from_secs(1)).max(backed_off)),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT if repeats_failures && tries < 2 => {
            Some(said.map_or(backed_off, |s| s.min(Duration::from_secs(1))))
        }
        _ => None,
    }
}

fn tell(until: &Sender<u64>, wait: Duration) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let end = u64::try_from((now + wait).as_millis()).unwrap_or(u64::MAX);
    until.send_if_modified(|known| {
        let later = end > *known;
        *known = end.max(*known);
        later
    });
}

/// The same request once more; nothing where its body can be read only once.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with these, one after the other: status and Retry-After.
    struct Script(Arc<Mutex<Vec<(u16, Option<&'static str>)>>>);

    impl Service<Request<Body>> for Script {
        type Response = Response<()>;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Response<()>, BoxError>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<Body>) -> Self::Future {
            let (status, after) = self.0.lock().unwrap().remove(0);
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(after) = after {
                response.headers_mut().insert("retry-after", after.parse().unwrap());
            }
            std::future::ready(Ok(response))
        }
    }

    #[tokio::test]
    async fn what_is_not_answered_is_given_up() {
        let answer = in_time(Duration::ZERO, std::future::pending::<Result<(), BoxError>>()).await;
        assert_eq!(answer.unwrap_err().to_string(), "no answer within 0 s");
    }

    #[tokio::test]
    async fn a_cluster_that_asks_to_slow_down_is_given_the_time_it_asks_for() {
        for (what, method, answers, status, seconds, told) in [
            ("one wait", Method::PATCH, vec![(429, Some("3")), (200, None)], 200, 3, true),
            ("no time named", Method::PATCH, vec![(429, None), (200, None)], 200, 1, true),
            ("more than anybody waits", Method::PATCH, vec![(429, Some("600"))], 429, 0, true),
            (
                "more and more",
                Method::PATCH,
                vec![(429, Some("4")), (429, Some("8")), (429, Some("16")), (429, Some("32"))],
                429,
                28,
                true,
            ),
            ("no end", Method::GET, vec![(429, Some("2")); 6], 429, 10, true),
            ("a moment's failure of a read", Method::GET, vec![(503, None), (200, None)], 200, 0, false),
            ("a failed write is not repeated", Method::POST, vec![(503, Some("1"))], 503, 0, false),
            ("anything else", Method::GET, vec![(404, None)], 404, 0, false),
        ] {
            let (until, script) = (Arc::new(Sender::new(0)), Arc::new(Mutex::new(answers)));
            let second = Duration::from_millis(20);
            let mut service = Patience { until: until.clone(), second }.layer(Script(script.clone()));
            let began = tokio::time::Instant::now();
            let request = Request::builder().method(method).uri("/x").body(Body::from(Vec::new())).unwrap();
            let answer = service.call(request).await.unwrap();
            assert_eq!((answer.status().as_u16(), *until.borrow() > 0), (status, told), "{what}");
            assert!(began.elapsed() >= second * seconds, "{what}: {:?} were waited", began.elapsed());
            assert!(script.lock().unwrap().is_empty(), "{what}: everything was sent");
        }
    }
}
