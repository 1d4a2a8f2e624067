//! The heartbeat: asks the cluster's API for its version, at a pace of its own, and reports whether the cluster answers.
//!
//! One for everybody who looks. It opens and closes the [`super::breaker`], so that while the cluster is ill nothing else asks it.
use super::breaker::random_fraction;
use super::client::Cluster;
use super::discovery;
use super::silence::Silence;
use std::time::Duration;
use tokio::sync::watch::{Receiver, Sender};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Pause between two heartbeats while the cluster answers; any other answer meanwhile serves as well. With [`TIMEOUT`] it bounds how late
/// a cluster that hangs is noticed: within 5 s.
const INTERVAL: Duration = Duration::from_millis(1_500);
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Backoff while it does not answer: doubles from the first to the longest, and half of it is random.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(4);
/// How often the panel's user and the cluster's mesh are looked up again.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// Whether the cluster answers, and what it says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// When it answered last (milliseconds since the Unix epoch), and why it does not now. `None` while it answers.
    pub failing: Option<(u64, Silence)>,
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

/// Runs until `stop`.
pub async fn heartbeat(cluster: &Cluster, now_ms: fn() -> u64, out: &Sender<Reach>, stop: &CancellationToken) {
    let mut slow = cluster.slow();
    let mut looked: Option<tokio::time::Instant> = None;
    let mut failures = 0_u32;
    loop {
        let answer = ask(cluster, &slow, now_ms, out).await;
        failures = if answer.is_ok() { 0 } else { failures.saturating_add(1) };
        let back = answer.is_ok() && out.borrow().failing.is_some();
        // Before anything else is asked: what follows is held back otherwise.
        cluster.breaker.set(answer.as_ref().err().map(|why| match why {
            Silence::Unauthorized => Silence::Unauthorized,
            _ => Silence::NoHeartbeat,
        }));
        let due = looked.is_none_or(|at| at.elapsed() >= LOOK_AGAIN);
        let about = if answer.is_ok() && (due || back) {
            looked = Some(tokio::time::Instant::now());
            // A cluster that hangs now is not waited for: the next heartbeat has to come in time.
            tokio::time::timeout(TIMEOUT, about(cluster)).await.ok()
        } else {
            None
        };
        log_change(&out.borrow().failing, &answer);
        report(out, answer, cluster.calls.last_answer_ms().unwrap_or_else(now_ms), about);
        loop {
            let pause = if failures == 0 {
                INTERVAL.saturating_sub(cluster.calls.silence()).max(Duration::from_millis(50))
            } else {
                backoff(failures, random_fraction())
            };
            tokio::select! {
                () = wait(pause, &mut slow, now_ms, out) => {}
                // Somebody saw a connection break. While the cluster is known not to answer, the backoff goes on.
                () = cluster.suspect.notified() => if failures == 0 { break },
                () = stop.cancelled() => return,
            }
            if failures > 0 || cluster.calls.silence() >= INTERVAL {
                break;
            }
        }
    }
}

/// Errors: what opens the breaker.
async fn ask(
    cluster: &Cluster,
    slow: &Receiver<u64>,
    now_ms: fn() -> u64,
    out: &Sender<Reach>,
) -> Result<String, Silence> {
    match tokio::time::timeout(TIMEOUT, cluster.client.apiserver_version()).await {
        Ok(Ok(info)) => Ok(info.git_version),
        Ok(Err(kube::Error::Api(status))) if status.code == 401 => Err(Silence::Unauthorized),
        // A cluster that does not tell its version to everybody does answer.
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Ok(out.borrow().version.clone()),
        Ok(Err(error)) => Err(Silence::from(&error)),
        // It was asked to slow down, and so the heartbeat itself waits.
        Err(_) if *slow.borrow() > now_ms() => Ok(out.borrow().version.clone()),
        Err(_) => Err(Silence::Late(TIMEOUT.as_secs())),
    }
}

/// Pause after the n-th failure in a row; `random` in [0, 1).
fn backoff(failures: u32, random: f64) -> Duration {
    let full = FIRST_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_BACKOFF);
    full.mul_f64(0.5 + random / 2.0)
}

fn report(
    out: &Sender<Reach>,
    answer: Result<String, Silence>,
    last_answer_ms: u64,
    about: Option<(Option<String>, Option<String>)>,
) {
    out.send_if_modified(|reach| {
        let before = reach.clone();
        match answer {
            Ok(version) => (reach.failing, reach.refused, reach.version) = (None, false, version),
            Err(why) => {
                let since = reach.failing.as_ref().map_or(last_answer_ms, |(since, _)| *since);
                reach.refused = why == Silence::Unauthorized;
                reach.failing = Some((since, why));
            }
        }
        if let Some((user, mesh)) = about {
            (reach.user, reach.mesh) =
                (user.unwrap_or_else(|| reach.user.clone()), mesh.unwrap_or_else(|| reach.mesh.clone()));
        }
        *reach != before
    });
}

fn log_change(failing: &Option<(u64, Silence)>, answer: &Result<String, Silence>) {
    match (failing, answer) {
        (None, Err(why)) => warn!("The cluster does not answer: {why}"),
        (Some(_), Ok(version)) => info!(version, "The cluster answers again"),
        _ => {}
    }
}

/// Waits, and meanwhile reports when the cluster asks to slow down and when that is over.
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

/// Whom the cluster takes the panel for, and its mesh; `None` if that cannot be found out.
async fn about(cluster: &Cluster) -> (Option<String>, Option<String>) {
    let (user, served, seen) =
        tokio::join!(discovery::whoami(&cluster.client), cluster.find_istio(), discovery::istiods(&cluster.client));
    let mesh = served.ok().map(|served| {
        if served { discovery::mesh_name(&seen.unwrap_or_default(), cluster.istio_version()) } else { String::new() }
    });
    (user, mesh)
}

#[cfg(test)]
mod tests {
    use super::super::breaker::HEARTBEAT as PATH;
    use super::super::client::behind_layers;
    use super::*;
    use http::{Request, Response};
    use kube::client::Body;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use tower::{BoxError, service_fn};

    /// What a cluster does with a request.
    #[derive(Clone, Copy, PartialEq)]
    enum Mood {
        Answers,
        Hangs,
        Resets,
        Fails,
        Denies,
    }

    fn version_or_not_found(path: &str) -> Response<Body> {
        let body = r#"{"major":"1","minor":"36","gitVersion":"v1.36.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
        let (code, body) = if path == PATH {
            (200, body)
        } else {
            (
                404,
                r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"NotFound","code":404}"#,
            )
        };
        Response::builder().status(code).body(Body::from(body.as_bytes().to_vec())).unwrap()
    }

    fn cluster(mood: Arc<Mutex<Mood>>, sent: Arc<AtomicUsize>) -> Cluster {
        let service = service_fn(move |request: Request<Body>| {
            let now = *mood.lock().unwrap();
            sent.fetch_add(1, Ordering::Relaxed);
            async move {
                match now {
                    Mood::Answers => Ok(version_or_not_found(request.uri().path())),
                    Mood::Hangs => std::future::pending().await,
                    Mood::Resets => Err::<_, BoxError>("connection reset by peer".into()),
                    Mood::Fails => Ok(Response::builder().status(503).body(Body::from(b"{}".to_vec())).unwrap()),
                    Mood::Denies => {
                        let status = br#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
                        Ok(Response::builder().status(401).body(Body::from(status.to_vec())).unwrap())
                    }
                }
            }
        });
        Cluster::new(behind_layers(service, "default"), Default::default())
    }

    /// Virtual milliseconds; 0 is the Unix epoch's beginning of this test.
    fn now_ms() -> u64 {
        thread_local!(static START: tokio::time::Instant = tokio::time::Instant::now());
        START.with(|start| start.elapsed().as_millis() as u64)
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_hangs_is_reported_within_five_seconds_since_its_last_answer() {
        for mood in [Mood::Hangs, Mood::Resets, Mood::Fails] {
            let (now, sent) = (Arc::new(Mutex::new(Mood::Answers)), Arc::new(AtomicUsize::new(0)));
            let cluster = cluster(now.clone(), sent.clone());
            let (out, stop) = (Sender::new(Reach::default()), CancellationToken::new());
            let mut seen = out.subscribe();
            let beating = heartbeat(&cluster, now_ms, &out, &stop);
            let watching = async {
                seen.wait_for(|reach| !reach.version.is_empty()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(700)).await;
                *now.lock().unwrap() = mood;
                let (ill, last_answer) = (tokio::time::Instant::now(), cluster.calls.silence());
                seen.wait_for(|reach| reach.failing.is_some()).await.unwrap();
                assert!(ill.elapsed() <= Duration::from_secs(5), "{:?}", ill.elapsed());
                assert!(cluster.calls.silence() >= last_answer + ill.elapsed());

                // Fifteen seconds of it: nothing but heartbeats, with a backoff.
                sent.store(0, Ordering::Relaxed);
                let others = (0..40).map(|_| cluster.client.list_core_api_versions());
                let (reads, ()) =
                    tokio::join!(futures::future::join_all(others), tokio::time::sleep(Duration::from_secs(15)));
                let sent_meanwhile = sent.load(Ordering::Relaxed);
                assert!(reads.iter().all(Result::is_err), "the breaker lets nothing pass");
                // 30 s by now, for that long a read waits.
                assert!((4..=24).contains(&sent_meanwhile), "{sent_meanwhile} requests");

                *now.lock().unwrap() = Mood::Answers;
                let well = tokio::time::Instant::now();
                seen.wait_for(|reach| reach.failing.is_none()).await.unwrap();
                assert!(well.elapsed() <= Duration::from_secs(10), "{:?}", well.elapsed());
                stop.cancel();
            };
            tokio::join!(beating, watching);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_are_not_reported_as_a_cluster_that_does_not_answer() {
        let mood = Arc::new(Mutex::new(Mood::Denies));
        let cluster = cluster(mood, Arc::default());
        let (out, stop) = (Sender::new(Reach::default()), CancellationToken::new());
        let mut seen = out.subscribe();
        let asking = async {
            let reach = seen.wait_for(|reach| reach.failing.is_some()).await.unwrap().clone();
            assert!(reach.refused, "{reach:?}");
            let namespaces = kube::Api::<k8s_openapi::api::core::v1::Namespace>::all(cluster.client.clone());
            let refused = namespaces.delete("a", &Default::default()).await.unwrap_err();
            assert_eq!(Silence::from(&refused), Silence::Unauthorized, "{refused:?}");
            stop.cancel();
        };
        tokio::join!(heartbeat(&cluster, now_ms, &out, &stop), asking);
    }

    #[tokio::test(start_paused = true)]
    async fn other_answers_serve_as_heartbeats() {
        let (mood, sent) = (Arc::new(Mutex::new(Mood::Answers)), Arc::new(AtomicUsize::new(0)));
        let cluster = cluster(mood, sent.clone());
        let (out, stop) = (Sender::new(Reach::default()), CancellationToken::new());
        let mut seen = out.subscribe();
        let busy = async {
            seen.wait_for(|reach| !reach.version.is_empty()).await.unwrap();
            sent.store(0, Ordering::Relaxed);
            for _ in 0..40 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                // A 404 is an answer, too.
                let _ = cluster.client.list_core_api_versions().await;
            }
            assert_eq!(sent.load(Ordering::Relaxed), 40, "no heartbeat of its own");
            stop.cancel();
        };
        tokio::join!(heartbeat(&cluster, now_ms, &out, &stop), busy);
    }

    #[test]
    fn the_backoff_doubles_is_bounded_and_half_random() {
        for (failures, least, most) in
            [(1, 250, 500), (2, 500, 1_000), (3, 1_000, 2_000), (4, 2_000, 4_000), (40, 2_000, 4_000)]
        {
            assert_eq!(
                (backoff(failures, 0.0).as_millis(), backoff(failures, 1.0).as_millis()),
                (least, most),
                "{failures}"
            );
        }
    }
}
