//! A control plane without a cluster: it believes every verb at once.
use crate::fixtures::Fixture;
use app::api::ControlPlane;
use app::text::Message;
use app::text::messages::{conditions as said, errors, log};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wire::*;

/// Id of this "build".
pub const BUILD: &str = "gallery";

/// The fixtures that were looked at, by namespace.
#[derive(Default)]
pub struct Gallery(Mutex<HashMap<String, Fixture>>);

/// The clock: milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

impl Gallery {
    /// Looks at, or changes, the fixture of a namespace.
    pub fn fixture<T>(&self, ns: &str, act: impl FnOnce(&mut Fixture) -> T) -> T {
        let mut fixtures = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        act(fixtures.entry(ns.to_owned()).or_insert_with(|| Fixture::named(ns)))
    }

    fn did(
        &self,
        ns: &Namespace,
        by: &str,
        verb: Verb,
        what: Message,
        act: impl FnOnce(&mut Fixture),
    ) -> Result<Operation, ApiError> {
        self.fixture(ns.as_str(), |fixture| {
            act(fixture);
            fixture.log(by, verb, what, None);
        });
        Ok(Operation {
            id: 1,
            verb,
            by: by.to_owned(),
            since: now_ms(),
            step: String::new(),
            zh: String::new(),
            error: None,
        })
    }
}

impl Gallery {
    async fn weights(&self, ns: &Namespace, by: &str, split: Split) -> Result<Shifted, ApiError> {
        if ns.as_str() == "refused" {
            return Err(ApiError::new(
                Code::WeightOwned,
                errors::weights_owned("kubectl-edit"),
                errors::adopt_or_revert(),
            ));
        }
        tokio::time::sleep(Duration::from_millis(9)).await;
        let times = TimesMs { accepted: Some(6.2), acknowledged: Some(9.1), first_request: Some(13.8) };
        self.fixture(ns.as_str(), |w| {
            w.set_desired(Some(split.clone()), by);
            w.log(by, Verb::Weights, split.to_string().into(), Some((split.clone(), times)));
        });
        Ok(Shifted { revision: "1".to_owned(), acknowledged: true, pending: vec![], times })
    }
}

#[async_trait::async_trait]
impl ControlPlane for Gallery {
    fn build(&self) -> String {
        BUILD.to_owned()
    }
    async fn status(&self, ns: &Namespace) -> Result<Status, ApiError> {
        if ns.as_str() == "forbidden" {
            return Err(ApiError::new(
                Code::Forbidden,
                errors::may_not_look("pods is forbidden: User \"viewer\" cannot list resource \"pods\""),
                errors::give_right(),
            ));
        }
        Ok(self.fixture(ns.as_str(), |w| w.status.clone()))
    }
    async fn recent_frames(&self, ns: &Namespace) -> Result<Vec<Frame>, ApiError> {
        Ok(self.fixture(ns.as_str(), |w| {
            w.frame();
            w.history()
        }))
    }
    async fn dashboards(&self, ns: &Namespace, query: &DashboardQuery) -> Result<Dashboards, ApiError> {
        Ok(crate::dashboards::shown(ns.clone(), query.clone(), now_ms()))
    }
    async fn last_hour(&self, ns: &Namespace) -> Result<LastHour, ApiError> {
        let now_s = now_ms() / 1000;
        let moments = (0..240_u64).filter(|i| !(100..112).contains(i)).map(|i| {
            let v2 = [0.0, 20.0, 80.0, 160.0][(i / 60) as usize];
            let rates = [("v1".to_owned(), 200.0 - v2), ("v2".to_owned(), v2)].into();
            LastHourSample {
                at_s: now_s - (240 - i) * 15,
                rates,
                failed: if (150..158).contains(&i) { 12.0 } else { 0.0 },
            }
        });
        let (source, metric) = ("http://prometheus.istio-system:9090".to_owned(), "istio_requests_total".to_owned());
        Ok(LastHour { namespace: ns.clone(), source, metric, step_s: 15, moments: moments.collect() })
    }
    async fn traffic(&self, ns: &Namespace) -> Result<Traffic, ApiError> {
        Ok(self.fixture(ns.as_str(), Fixture::traffic))
    }
    async fn preflight(&self, ns: &Namespace) -> Result<Preflight, ApiError> {
        Ok(crate::preflight::told(ns))
    }
    async fn run(&self, ns: &Namespace, by: &str, command: Command) -> Result<Outcome, ApiError> {
        let verb = command.verb();
        let did = |what: Message, act: &dyn Fn(&mut Fixture)| self.did(ns, by, verb, what, act);
        let operation = match command {
            Command::Deploy => did(log::deploy(), &|w| *w = Fixture::named("deployed")),
            Command::Inject(InjectRequest { inject, .. }) => {
                did(if inject { log::inject("all") } else { log::uninject("all") }, &|w| w.inject(inject))
            }
            Command::Route(RouteRequest { present }) => {
                did(log::the_route(), &|w| w.set_desired(present.then(|| Split::v1_v2(50).ok()).flatten(), by))
            }
            Command::Weights(split) => return self.weights(ns, by, split).await.map(Outcome::Shifted),
            Command::Adopt => did("adopt".into(), &|w| w.status.claim = None),
            Command::Revert => did("revert".into(), &|w| w.status.claim = None),
            Command::Load(order) => did(log::load(order.rate.per_second().to_string()), &|w| w.load(order.rate)),
            Command::Verify => did(log::verify("flaskapp-v1"), &Fixture::verified),
            Command::Takeover => {
                did(log::take_over("another panel"), &|w| w.say(kinds::HELD, ConditionStatus::True, said::held_here()))
            }
            Command::Teardown => did(log::clean_up(), &|w| *w = Fixture::named("nothing")),
            // Nothing that these do is drawn.
            _ => did(verb.name().into(), &|_| {}),
        };
        operation.map(Outcome::Accepted)
    }
    async fn stop_all(&self, by: &str) -> Result<StoppedAll, ApiError> {
        let names: Vec<String> = self.0.lock().map(|fixtures| fixtures.keys().cloned().collect()).unwrap_or_default();
        let mut told = StoppedAll::default();
        for ns in names.iter().filter_map(|name| name.parse::<Namespace>().ok()) {
            if self.fixture(ns.as_str(), |w| w.status.load.rate.per_second() > 0) {
                self.did(&ns, by, Verb::Load, log::all_load_off(), |w| w.load(Rate::default()))?;
                told.stopped.push(ns);
            }
        }
        Ok(told)
    }
}
