//! Every state of the page, each made by changing the one before.
use crate::fake_control_plane::now_ms;
use app::text::Message;
use app::text::messages::{causes, conditions as said, log, preflight, steps};
use std::collections::{BTreeMap, VecDeque};
use wire::ConditionStatus::{False, True, Unknown};
use wire::*;

/// Name of the client's pod.
const CLIENT_POD: &str = "simple-flask-app-client-6c4f9d8b7-zt9hj";

/// Every state, by the name of its namespace.
pub const NAMES: [&str; 30] = [
    "nothing",
    "deploying",
    "deployed",
    "injecting",
    "no-route",
    "no-load",
    "split",
    "trap",
    "ten",
    "not-ready",
    "moved",
    "kubectl",
    "lost",
    "unreachable",
    "cleaning",
    "left-over",
    "limited",
    "refused",
    "forbidden",
    "subset",
    "image",
    "quota",
    "no-node",
    "webhook",
    "rights",
    "held",
    "ending",
    "slow",
    "signed-off",
    "many",
];

/// One state, with its traffic.
pub struct Fixture {
    /// What the page is told.
    pub status: Status,
    frames: VecDeque<Frame>,
    rate: u32,
    run: u64,
    /// Share of v2 that requests really get; nothing: as desired.
    really: Option<f64>,
    /// Share of requests that fail.
    failing: f64,
    /// The load ends by itself after so many.
    limit: Option<u64>,
    seed: u64,
    changed: usize,
    opened: bool,
}

impl Fixture {
    /// The state of this name; the whole demo at 80/20 where the name is none.
    pub fn named(name: &str) -> Fixture {
        let mut w = Fixture::empty();
        if name == "nothing" || name == "forbidden" {
            return w;
        }
        if name == "unreachable" {
            w.say(kinds::CLUSTER_REACHABLE, False, said::unreachable("14:02:31 UTC", causes::no_answer_within("3")));
        }
        if name == "left-over" {
            w.say(kinds::CLEAN, False, said::left_over("configmap/notes, pod/debug", "kubectl-client-side-apply"));
            return w;
        }
        w.deploy(name == "deploying" || name == "image" || name == "no-node");
        if w.trouble(name) {
            return w;
        }
        if name == "deploying" || name == "deployed" {
            return w;
        }
        w.verified();
        w.inject(true);
        if name == "injecting" {
            w.say(
                kinds::INJECTED,
                False,
                said::injecting_waiting("2", "3", "flaskapp-v2-77fb8d5c4f-q4m8d: PodInitializing"),
            );
            w.status.operation = Some(operation(
                Verb::Inject,
                &steps::waiting_for(steps::ready_but("flaskapp-v2", causes::pods_ready("0", "1"))),
            ));
            w.status.pods[1].ready = "1/2".into();
            w.status.pods[1].phase = "PodInitializing".into();
            w.status.pods[1].why = "istio-proxy: starting".into();
            return w;
        }
        if name == "no-load" {
            w.set_desired(Split::v1_v2(50).ok(), "browser 77aa");
            return w;
        }
        let rate = if name == "limited" { 20_000 } else { 200 };
        w.load(Rate::try_from(f64::from(rate)).unwrap_or_default());
        w.log("browser 77aa", Verb::Load, log::load("200"), None);
        if name == "no-route" {
            w.past(None, 60);
            return w;
        }
        match name {
            "ten" => {
                w.limit = Some(10);
                w.rate = 10;
                w.change(Some(10), 3, "browser 77aa");
            }
            "trap" => {
                w.really = Some(0.5);
                w.change(Some(10), 58, "browser 77aa");
                w.inject(false);
            }
            _ => {
                w.change(Some(50), 19, "browser 77aa");
                w.change(Some(0), 18, "kubectl-edit");
                w.change(Some(20), 23, if name == "moved" { "browser 3f2a" } else { "browser 77aa" });
            }
        }
        match name {
            "not-ready" => {
                w.failing = 0.2;
                w.status.pods[1].ready = "0/2".into();
                w.status.pods[1].phase = "CrashLoopBackOff".into();
                w.status.pods[1].restarts = 4;
                w.status.pods[1].why = "back-off 40s restarting failed container".into();
                w.say(kinds::WEIGHTS_APPLY, False, said::version_not_ready("v2", "20"));
                w.past(Some(20), 5);
            }
            "kubectl" => {
                w.change(Some(90), 4, "kubectl-edit");
                w.status.claim = Some(RouteClaim {
                    manager: "kubectl-edit".into(),
                    theirs: Split::v1_v2(90).ok(),
                    ours: Split::v1_v2(20).ok(),
                });
                w.say(kinds::ROUTE_OURS, False, said::changed_from_ours("kubectl-edit", "10/90", "80/20"));
            }
            "cleaning" => {
                w.status.operation = Some(operation(
                    Verb::Teardown,
                    &steps::waiting_for(steps::gone("pod/flaskapp-v2-77fb8d5c4f-q4m8d")),
                ));
                w.say(kinds::CLEAN, False, said::cleaning("deployment/flaskapp-v2, pod/flaskapp-v2-77fb8d5c4f-q4m8d"));
                w.say(kinds::DEPLOYED, False, said::not_deployed());
                w.load(Rate::default());
                w.status.pods.truncate(2);
                w.status.desired = None;
                for pod in &mut w.status.pods {
                    pod.phase = "Terminating".into();
                }
            }
            "limited" => w.say(kinds::LOAD_RUNNING, True, said::generator_limited("20000", "14210")),
            "subset" => w.say(kinds::ROUTE_PRESENT, False, said::subset_missing("v2")),
            _ => {}
        }
        w
    }

    /// What goes wrong on real clusters while the demo is put there. Gives whether this is such a state.
    fn trouble(&mut self, name: &str) -> bool {
        let pod = "flaskapp-v2-77fb8d5c4f-q4m8d";
        let off = Message::listed([Verb::Client, Verb::Deploy, Verb::Inject, Verb::Verify].map(Message::from));
        let revision = preflight::webhook_no_revision("canary", "default");
        match name {
            "image" => {
                let why = "flaskapp: Back-off pulling image \"registry.example/simple-flask-app:2\"";
                for pod in &mut self.status.pods[1..] {
                    pod.phase = "ImagePullBackOff".into();
                    pod.why = why.into();
                }
                self.say(kinds::PODS_RUN, False, said::image_not_pulled(pod, "registry.example/simple-flask-app:2", why));
            }
            "no-node" => {
                for pod in &mut self.status.pods[1..] {
                    pod.phase = "Pending".into();
                    pod.why = "0/3 nodes are available: 3 Insufficient cpu.".into();
                }
                self.say(kinds::PODS_RUN, False, said::unschedulable(pod, "0/3 nodes are available: 3 Insufficient cpu"));
            }
            "quota" => self.say(kinds::PODS_RUN, False, said::quota_exceeded("flaskapp-v2", "pods \"flaskapp-v2-77fb8d5c4f-x\" is forbidden: exceeded quota: team, requested: pods=1, used: pods=6, limited: pods=6")),
            "webhook" => self.say(kinds::INJECTED, False, said::injection_ignored(pod, Message::clause(&revision.en, &revision.zh))),
            "rights" => self.say(kinds::PERMITTED, False, said::forbidden("patch deployments.apps, create pods/exec", off)),
            "held" => self.say(kinds::HELD, False, said::held_by_other("laptop-3f2a17", "14:02:31 UTC")),
            "ending" => self.say(kinds::NAMESPACE_FREE, False, said::namespace_terminating("ending", "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances")),
            "slow" => self.say(kinds::CLUSTER_REACHABLE, Unknown, said::slowed_down()),
            "signed-off" => self.say(kinds::CLUSTER_REACHABLE, False, said::credentials_refused(causes::credentials_refused())),
            "many" => {
                self.inject(true);
                self.load(Rate::try_from(200.0).unwrap_or_default());
                self.set_desired(Split::normalised([("v1", 60), ("v2", 30), ("v3", 10)]).ok(), "kubectl-edit");
                self.say(kinds::ROUTE_PRESENT, True, said::route_says_more(causes::rules_above("1")));
                let figures = Message::from("v1 8,012 · v2 4,010 (12 ✕) · v3 1,331");
                self.say(kinds::SIDECARS_COUNT, True, Message { key: reasons::COUNTED, ..figures });
            }
            _ => return false,
        }
        true
    }

    fn empty() -> Fixture {
        let cluster = ClusterView {
            kind: "embedded".into(),
            context: "demo-panel".into(),
            version: "v1.36.2".into(),
            user: "panel".into(),
            mesh: "Istio networking.istio.io/v1".into(),
        };
        let mut fixture = Fixture {
            status: Status::empty(&Namespace::default(), &cluster),
            frames: VecDeque::new(),
            rate: 0,
            run: 1,
            really: None,
            failing: 0.0,
            limit: None,
            seed: 7,
            changed: 0,
            opened: false,
        };
        for (kind, status, message) in [
            (kinds::CLUSTER_REACHABLE, True, said::reachable()),
            (kinds::DEPLOYED, False, said::not_deployed()),
            (kinds::VERIFIED, Unknown, said::not_verified()),
            (kinds::INJECTED, False, said::not_injected()),
            (kinds::CLIENT_READY, False, said::no_client()),
            (kinds::ROUTE_PRESENT, False, said::no_route()),
            (kinds::WEIGHTS_APPLY, False, said::spread_evenly()),
            (kinds::LOAD_RUNNING, False, said::load_stopped()),
            (kinds::ROUTE_OURS, True, said::route_ours()),
            (kinds::CLEAN, True, said::clean()),
        ] {
            fixture.say(kind, status, message);
        }
        fixture
    }

    /// Whether its stream was opened before.
    pub fn opened_again(&mut self) -> bool {
        std::mem::replace(&mut self.opened, true)
    }

    /// A pod has answered from inside.
    pub fn verified(&mut self) {
        self.say(kinds::VERIFIED, True, said::verified("/bin", "2"));
    }

    /// Sets a condition.
    pub fn say(&mut self, kind: &str, status: ConditionStatus, message: Message) {
        self.status.conditions.retain(|c| c.kind != kind);
        self.status.conditions.push(message.condition(kind, status));
    }

    fn deploy(&mut self, coming: bool) {
        let pod = |name: &str, workload: &str, version: &str| PodView {
            name: name.into(),
            workload: workload.into(),
            version: version.into(),
            ready: if coming { "0/1" } else { "1/1" }.into(),
            phase: if coming { "ContainerCreating" } else { "Running" }.into(),
            restarts: 0,
            sidecar: false,
            created_s: now_ms() / 1000 - if coming { 2 } else { 187 },
            why: if coming { "waiting for readiness: GET / on 7777" } else { "" }.into(),
        };
        self.status.pods = vec![
            pod("flaskapp-v1-5d9c7b6f48-x7k2p", "flaskapp-v1", "v1"),
            pod("flaskapp-v2-77fb8d5c4f-q4m8d", "flaskapp-v2", "v2"),
            pod("simple-flask-app-client-6c4f9d8b7-zt9hj", "simple-flask-app-client", "v1"),
        ];
        self.say(kinds::CLEAN, False, said::in_use());
        if coming {
            self.status.pods[0].ready = "1/1".into();
            self.status.pods[0].phase = "Running".into();
            self.status.pods[0].why = String::new();
            self.say(kinds::DEPLOYED, False, said::deploying_waiting("1", "3", "flaskapp-v2: ContainerCreating"));
            self.status.operation = Some(operation(Verb::Deploy, &steps::waiting_for(steps::ready("flaskapp-v2"))));
            return;
        }
        self.say(kinds::DEPLOYED, True, said::deployed("flaskapp-v1, flaskapp-v2, simple-flask-app-client"));
        self.say(kinds::CLIENT_READY, True, said::client_ready(CLIENT_POD));
        self.log("browser 77aa", Verb::Deploy, log::deploy(), None);
    }

    /// Adds or removes sidecars.
    pub fn inject(&mut self, on: bool) {
        for pod in &mut self.status.pods {
            pod.sidecar = on;
            pod.ready = if on { "2/2" } else { "1/1" }.into();
        }
        if on {
            self.say(kinds::INJECTED, True, said::injected());
        } else {
            self.say(kinds::INJECTED, False, said::not_injected());
        }
        self.judge();
        let all = "flaskapp-v1, flaskapp-v2, simple-flask-app-client";
        self.log("browser 77aa", Verb::Inject, if on { log::inject(all) } else { log::uninject(all) }, None);
    }

    fn judge(&mut self) {
        let sidecar = self.status.pods.last().is_some_and(|p| p.sidecar);
        match (&self.status.desired, sidecar) {
            (None, _) => self.say(kinds::WEIGHTS_APPLY, False, said::spread_evenly()),
            (_, true) => self.say(kinds::WEIGHTS_APPLY, True, said::weights_apply()),
            _ => self.say(kinds::WEIGHTS_APPLY, False, said::client_has_no_sidecar(CLIENT_POD)),
        }
    }

    /// Sets the weights.
    pub fn set_desired(&mut self, split: Option<Split>, by: &str) {
        self.status.desired = split;
        self.status.desired_by = by.to_owned();
        self.changed = self.frames.len();
        match self.status.desired {
            Some(_) => self.say(kinds::ROUTE_PRESENT, True, said::route_present()),
            None => self.say(kinds::ROUTE_PRESENT, False, said::no_route()),
        }
        self.judge();
    }

    /// Sets the load.
    pub fn load(&mut self, rate: Rate) {
        self.rate = rate.per_second();
        self.status.load = LoadView { rate, granted: rate };
        let rate = rate.per_second().to_string();
        if self.rate > 0 {
            self.say(kinds::LOAD_RUNNING, True, said::load_running(rate));
        } else {
            self.say(kinds::LOAD_RUNNING, False, said::load_stopped());
        }
    }

    /// Adds a line to the log.
    pub fn log(&mut self, by: &str, verb: Verb, what: Message, split: Option<(Split, TimesMs)>) {
        let id = self.status.log.first().map_or(1, |e| e.id + 1);
        let command =
            "kubectl -n istio-app patch virtualservice flaskapp-vs --type merge -p '{\"spec\":{\"http\":[…]}}'"
                .to_owned();
        let at_ms = self.frames.back().map_or_else(|| now_ms() - 61_000, |f| f.at_ms);
        let (split, times) = split.map_or((None, None), |(s, t)| (Some(s), Some(t)));
        self.status.log.insert(
            0,
            LogEntry {
                id,
                at_ms,
                by: by.into(),
                verb: Some(verb),
                zh: what.translation(),
                what: what.sentence(),
                command,
                split,
                times,
                error: None,
            },
        );
        self.status.log.truncate(50);
    }

    /// A change of weights, followed by some seconds of traffic on it, all in the past.
    fn change(&mut self, v2: Option<u8>, seconds: u64, by: &str) {
        let split = v2.and_then(|v2| Split::v1_v2(v2).ok());
        let times = TimesMs { accepted: Some(6.2), acknowledged: Some(9.1), first_request: Some(13.8) };
        self.set_desired(split.clone(), by);
        if let Some(split) = split {
            self.log(by, Verb::Weights, split.to_string().into(), Some((split.clone(), times)));
        }
        self.past(v2, seconds);
    }

    fn past(&mut self, _v2: Option<u8>, seconds: u64) {
        let shift = seconds * 1000;
        for frame in &mut self.frames {
            frame.at_ms -= shift;
        }
        for entry in &mut self.status.log {
            entry.at_ms -= shift;
        }
        let start = now_ms() - shift;
        for i in 1..=seconds * 2 {
            self.advance(start + i * 500, 500);
        }
    }

    fn random(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as f64 / f64::from(u32::MAX >> 1)
    }

    fn advance(&mut self, at_ms: u64, for_ms: u64) {
        let mut frame = self.frames.back().cloned().unwrap_or_default();
        frame.run = self.run;
        frame.at_ms = at_ms;
        frame.desired.clone_from(&self.status.desired);
        let v2 = self
            .really
            .unwrap_or_else(|| self.status.desired.as_ref().map_or(0.5, |s| f64::from(s.percent("v2")) / 100.0));
        let mut n = u64::from(self.rate) * for_ms / 1000;
        if let Some(limit) = self.limit {
            n = n.min(limit.saturating_sub(frame.counts.values().sum()));
            if n == 0 {
                self.load(Rate::default());
            }
        }
        let mut by = BTreeMap::from([("v1".to_owned(), 0_u64), ("v2".to_owned(), 0)]);
        for _ in 0..n {
            let version = if self.random() < v2 { "v2" } else { "v1" };
            if version == "v2" && self.random() < self.failing {
                frame.errors += 1;
            } else {
                *by.entry(version.to_owned()).or_default() += 1;
            }
        }
        frame.rates = by.iter().map(|(v, n)| (v.clone(), *n as f64 * 1000.0 / for_ms as f64)).collect();
        for (version, n) in by {
            *frame.counts.entry(version).or_default() += n;
        }
        frame.target_rate = f64::from(self.rate);
        let before =
            self.changed.checked_sub(1).and_then(|i| self.frames.get(i)).map(|f| f.counts.clone()).unwrap_or_default();
        frame.since = frame
            .counts
            .iter()
            .map(|(v, n)| (v.clone(), n.saturating_sub(before.get(v).copied().unwrap_or(0))))
            .collect();
        self.frames.push_back(frame);
        if self.frames.len() > 900 {
            self.frames.pop_front();
            self.changed = self.changed.saturating_sub(1);
        }
    }

    fn verdict(&self, frame: &Frame) -> Option<Verdict> {
        let since = |v: &str| frame.since.get(v).copied().unwrap_or(0);
        let (v1, v2) = (since("v1"), since("v2"));
        let n = v1 + v2;
        let observed = if n == 0 { 0.0 } else { v2 as f64 * 100.0 / n as f64 };
        let desired = frame.desired.as_ref().map_or(50.0, |s| f64::from(s.percent("v2")));
        let margin = if n == 0 {
            0.0
        } else {
            196.0 * (0.25_f64.min(observed * (100.0 - observed) / 10_000.0 + 0.001) / n as f64).sqrt()
        };
        let kind = match () {
            () if n == 0 => VerdictKind::NoTraffic,
            () if frame.desired.is_none() => VerdictKind::NoRoute,
            () if !self.status.pods.last().is_some_and(|p| p.sidecar) => VerdictKind::ClientHasNoSidecar,
            () if n < 60 => VerdictKind::TooFew,
            () if (observed - desired).abs() <= margin * 1.5 => VerdictKind::InKeeping,
            () => VerdictKind::OffTarget,
        };
        let versus = if n < 60 { 50.0 } else { (desired + 5.0).min(100.0) };
        Some(Verdict {
            kind,
            version: "v2".into(),
            requests: n,
            observed,
            margin,
            desired,
            needed: 380_u64.saturating_sub(n / 4),
            versus,
            chi_square: Some(ChiSquare { statistic: Some(0.4), degrees: 1, p_value: 0.53 }),
            plain_balancing: 0.0,
            plain: 50.0,
        })
    }

    /// The newest frame, made for this moment.
    pub fn frame(&mut self) -> Frame {
        let now = now_ms();
        let last = self.frames.back().map_or(now - 100, |f| f.at_ms);
        // Nobody looked for a while: the traffic went on all the same.
        let mut at = last.max(now.saturating_sub(70_000));
        while now > at + 700 {
            at += 500;
            self.advance(at, 500);
        }
        if now > at + 60 {
            self.advance(now, now - at);
        }
        self.frames.back().cloned().unwrap_or_default()
    }

    /// The newest frame with all else that is measured, made up from its rates.
    pub fn traffic(&mut self) -> Traffic {
        let frame = self.frame();
        let part = |rate: f64, errors: u64, slow: f64| Part {
            rate,
            requests: (rate * 10.0) as u64 + errors,
            errors,
            p50_ms: Some(1.1 * slow),
            p90_ms: Some(1.6 * slow),
            p99_ms: Some(2.9 * slow),
        };
        let failing = if frame.rates.is_empty() { 0 } else { frame.errors.min(20) };
        let versions: BTreeMap<String, Part> = frame
            .rates
            .iter()
            .map(|(v, rate)| (v.clone(), if v == "v2" { part(*rate, failing, 4.0) } else { part(*rate, 0, 1.0) }))
            .collect();
        let all = part(frame.rates.values().sum(), failing, 1.2);
        Traffic {
            verdict: self.verdict(&frame),
            achieved_rate: frame.target_rate * 0.999,
            error_kinds: if frame.errors > 0 {
                BTreeMap::from([("status_503".to_owned(), frame.errors)])
            } else {
                BTreeMap::new()
            },
            version_errors: if frame.errors > 0 {
                BTreeMap::from([("v2".to_owned(), frame.errors)])
            } else {
                BTreeMap::new()
            },
            recent: Recent { seconds: 10.0, all, versions },
            whole: (frame.target_rate > 0.0).then_some(Whole {
                p50_ms: 1.12,
                p90_ms: 1.63,
                p99_ms: 2.94,
                p999_ms: 11.8,
                max_ms: 204.0,
            }),
            requests: self.limit,
            frame,
            ..Traffic::default()
        }
    }

    /// The last minute.
    pub fn history(&self) -> Vec<Frame> {
        self.frames.iter().cloned().collect()
    }
}

fn operation(verb: Verb, step: &Message) -> Operation {
    Operation {
        id: 5,
        verb,
        by: "browser 77aa".into(),
        since: now_ms(),
        step: step.sentence(),
        zh: step.translation(),
        error: None,
    }
}
