//! The circuit breaker between the panel and its cluster: while the cluster does not answer, only the heartbeat asks it.
//!
//! Open: a read waits until the breaker closes, so that watches, port-forwards and pollers share one backoff instead of each retrying at
//! its own pace; a write fails at once and names the cause, because somebody waits for its answer. The heartbeat ([`super::heartbeat`])
//! opens and closes it.
use super::silence::Silence;
use http::{Method, Request, Response};
use kube::client::Body;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tower::{BoxError, Layer, Service};

/// What is asked for. The API server answers it without its store, to everybody.
pub const HEARTBEAT: &str = "/version";

/// Longest wait of a read for the breaker to close; its caller then backs off by itself.
const LONGEST: Duration = Duration::from_secs(30);
/// Reads that waited go on spread over this time, so that a cluster that has just come back is not met by all of them at once.
const SPREAD: Duration = Duration::from_millis(500);

/// Cheap handle of a cluster's breaker. Closed at first.
#[derive(Clone, Debug)]
pub struct Breaker(Arc<watch::Sender<Option<Silence>>>);

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker(Arc::new(watch::Sender::new(None)))
    }
}

impl Breaker {
    /// Holds everything but the heartbeat back for this reason, or lets it pass (`None`).
    pub fn set(&self, open: Option<Silence>) {
        self.0.send_if_modified(|now| std::mem::replace(now, open.clone()) != open);
    }

    /// Waits until `method` may be sent. Errors: a write while the breaker is open, a read after [`LONGEST`].
    async fn pass(&self, method: &Method) -> Result<(), BoxError> {
        let mut state = self.0.subscribe();
        let Some(why) = state.borrow_and_update().clone() else { return Ok(()) };
        if method != Method::GET {
            return Err(why.into());
        }
        if tokio::time::timeout(LONGEST, state.wait_for(Option::is_none)).await.is_err() {
            return Err(state.borrow().clone().unwrap_or(why).into());
        }
        tokio::time::sleep(SPREAD.mul_f64(random_fraction())).await;
        Ok(())
    }
}

/// A uniform random number in [0, 1); 0.5 if the system has no random numbers.
pub fn random_fraction() -> f64 {
    getrandom::u32().map_or(0.5, |bits| f64::from(bits) / 4_294_967_296.0)
}

impl<S> Layer<S> for Breaker {
    type Service = Guarded<S>;
    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner: Arc::new(Mutex::new(inner)), breaker: self.clone() }
    }
}

/// A service behind a breaker.
pub struct Guarded<S> {
    /// Locked to hand a request over, not while it is answered.
    inner: Arc<Mutex<S>>,
    breaker: Breaker,
}

impl<S, B> Service<Request<Body>> for Guarded<S>
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
        let (inner, breaker) = (self.inner.clone(), self.breaker.clone());
        Box::pin(async move {
            if request.uri().path() != HEARTBEAT {
                breaker.pass(request.method()).await?;
            }
            let locked = || inner.lock().unwrap_or_else(PoisonError::into_inner);
            std::future::poll_fn(|cx| locked().poll_ready(cx)).await?;
            let answering = locked().call(request);
            answering.await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tower::service_fn;

    #[tokio::test(start_paused = true)]
    async fn while_it_is_open_only_the_heartbeat_is_sent() {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        let breaker = Breaker::default();
        let mut service = breaker.layer(service_fn(move |_: Request<Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, BoxError>(Response::new(())) }
        }));
        let mut call = |method: Method, path: &str| {
            service.call(Request::builder().method(method).uri(path).body(Body::empty()).unwrap())
        };
        call(Method::PATCH, "/api/v1/x").await.unwrap();
        for why in [Silence::Unauthorized, Silence::NoHeartbeat] {
            breaker.set(Some(why.clone()));
            assert_eq!(
                call(Method::PATCH, "/api/v1/x").await.unwrap_err().downcast_ref(),
                Some(&why),
                "a write fails at once, and says why"
            );
        }
        call(Method::GET, HEARTBEAT).await.unwrap();
        assert_eq!(sent.load(Ordering::Relaxed), 2);
        let (early, late) = (call(Method::GET, "/api/v1/pods"), call(Method::GET, "/api/v1/services"));
        let (early, late) = tokio::join!(early, async {
            tokio::time::sleep(LONGEST - Duration::from_secs(1)).await;
            assert_eq!(sent.load(Ordering::Relaxed), 2, "reads wait");
            breaker.set(None);
            late.await
        });
        early.unwrap();
        late.unwrap();
        assert_eq!(sent.load(Ordering::Relaxed), 4, "and go on when it closes");
        breaker.set(Some(Silence::NoHeartbeat));
        assert!(call(Method::GET, "/api/v1/pods").await.is_err(), "but not for ever");
    }
}
