//! Every state of the page, each made by changing the one before.
use crate::fake_control_plane::now_ms;
use app::text::{Phrase, phrases};
use std::collections::{BTreeMap, VecDeque};
use wire::*;

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
            w.say(
                kinds::CLUSTER_REACHABLE,
                "False",
                reasons::UNREACHABLE,
                "The cluster has not answered since 14:02:31.",
                &[("since", "14:02:31")],
            );
        }
        if name == "left-over" {
            w.say(
                kinds::CLEAN,
                "False",
                reasons::LEFT_OVER,
                "Left: configmap/notes, pod/debug; made by kubectl-client-side-apply.",
                &[("left", "configmap/notes, pod/debug"), ("whose", "kubectl-client-side-apply")],
            );
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
                "False",
                reasons::INJECTING,
                "2 of 3 pods have a ready sidecar: flaskapp-v2-77fb8d5c4f-q4m8d PodInitializing.",
                &[("ready", "2"), ("wanted", "3"), ("waiting", "flaskapp-v2-77fb8d5c4f-q4m8d PodInitializing")],
            );
            w.status.operation = Some(operation(
                Verb::Inject,
                &phrases::waiting_for(phrases::ready_but("flaskapp-v2", phrases::pods_ready("0", "1"))),
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
        w.log("browser 77aa", Verb::Load, phrases::load("200"), None);
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
                w.say(
                    kinds::WEIGHTS_APPLY,
                    "False",
                    reasons::VERSION_NOT_READY,
                    "v2 has a weight of 20, but no ready pod: its requests fail.",
                    &[("version", "v2")],
                );
                w.past(Some(20), 5);
            }
            "kubectl" => {
                w.change(Some(90), 4, "kubectl-edit");
                w.status.claim = Some(RouteClaim {
                    manager: "kubectl-edit".into(),
                    theirs: Split::v1_v2(90).ok(),
                    ours: Split::v1_v2(20).ok(),
                });
                w.say(
                    kinds::ROUTE_OURS,
                    "False",
                    reasons::CHANGED_BY_OTHER,
                    "The route is owned by kubectl-edit: it wrote 10/90, the panel wrote 80/20.",
                    &[("manager", "kubectl-edit"), ("theirs", "10/90"), ("ours", "80/20")],
                );
            }
            "cleaning" => {
                w.status.operation = Some(operation(
                    Verb::Teardown,
                    &phrases::waiting_for(phrases::gone("pod/flaskapp-v2-77fb8d5c4f-q4m8d")),
                ));
                w.say(
                    kinds::CLEAN,
                    "False",
                    reasons::CLEANING,
                    "Removing deployment/flaskapp-v2, pod/flaskapp-v2-77fb8d5c4f-q4m8d.",
                    &[("left", "deployment/flaskapp-v2, pod/flaskapp-v2-77fb8d5c4f-q4m8d")],
                );
                w.say(kinds::DEPLOYED, "False", reasons::NOT_DEPLOYED, "Not deployed.", &[]);
                w.load(Rate::default());
                w.status.pods.truncate(2);
                w.status.desired = None;
                for pod in &mut w.status.pods {
                    pod.phase = "Terminating".into();
                }
            }
            "limited" => w.say(
                kinds::LOAD_RUNNING,
                "True",
                reasons::GENERATOR_LIMITED,
                "This machine cannot keep 20000 requests/s: it achieves 14210.",
                &[("target", "20000"), ("achieved", "14210")],
            ),
            "subset" => w.say(
                kinds::ROUTE_PRESENT,
                "False",
                reasons::SUBSET_MISSING,
                "The route names subset v2, but no DestinationRule has it.",
                &[("subset", "v2")],
            ),
            _ => {}
        }
        w
    }

    /// What goes wrong on real clusters while the demo is put there. Gives whether this is such a state.
    fn trouble(&mut self, name: &str) -> bool {
        let pod = "flaskapp-v2-77fb8d5c4f-q4m8d";
        match name {
            "image" => {
                let why = "flaskapp: Back-off pulling image \"registry.example/simple-flask-app:2\"";
                for pod in &mut self.status.pods[1..] {
                    pod.phase = "ImagePullBackOff".into();
                    pod.why = why.into();
                }
                self.say(kinds::PODS_RUN, "False", reasons::IMAGE_NOT_PULLED, &format!("{pod} cannot get its image `registry.example/simple-flask-app:2`: {why}. Put it where the nodes find it, or start the panel with --image"), &[]);
            }
            "no-node" => {
                for pod in &mut self.status.pods[1..] {
                    pod.phase = "Pending".into();
                    pod.why = "0/3 nodes are available: 3 Insufficient cpu.".into();
                }
                self.say(kinds::PODS_RUN, "False", reasons::UNSCHEDULABLE, &format!("no node takes {pod}: 0/3 nodes are available: 3 Insufficient cpu"), &[]);
            }
            "quota" => self.say(kinds::PODS_RUN, "False", reasons::QUOTA_EXCEEDED, "flaskapp-v2 gets no pod, the namespace's quota is used up: pods \"flaskapp-v2-77fb8d5c4f-x\" is forbidden: exceeded quota: team, requested: pods=1, used: pods=6, limited: pods=6. Raise the quota, or remove what uses it", &[]),
            "webhook" => self.say(kinds::INJECTED, "False", reasons::INJECTION_IGNORED, &format!("{pod} asks for a sidecar and has none: no webhook matches revision `canary` of the namespace's label; there is default"), &[]),
            "rights" => self.say(kinds::PERMITTED, "False", reasons::FORBIDDEN, "the panel may not patch deployments.apps, create pods/exec; off until it may: client, deploy, inject, verify", &[("what", "patch deployments.apps, create pods/exec"), ("off", "client, deploy, inject, verify")]),
            "held" => self.say(kinds::HELD, "False", reasons::HELD_BY_OTHER, "panel laptop-3f2a17 acts on this namespace since 14:02:31 UTC; this one is read-only", &[("holder", "laptop-3f2a17"), ("since", "14:02:31 UTC")]),
            "ending" => self.say(kinds::NAMESPACE_FREE, "False", reasons::NAMESPACE_TERMINATING, "namespace ending is being removed and not gone yet: Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances", &[]),
            "slow" => self.say(kinds::CLUSTER_REACHABLE, "Unknown", reasons::SLOWED_DOWN, "the cluster asks to slow down (429); the panel waits as long as it says", &[]),
            "signed-off" => self.say(kinds::CLUSTER_REACHABLE, "False", reasons::CREDENTIALS_REFUSED, "the cluster does not accept the panel's credentials any more: 401 Unauthorized. Give it new ones; it takes no others by itself", &[]),
            "many" => {
                self.inject(true);
                self.load(Rate::try_from(200.0).unwrap_or_default());
                self.set_desired(Split::normalised([("v1", 60), ("v2", 30), ("v3", 10)]).ok(), "kubectl-edit");
                self.say(kinds::ROUTE_PRESENT, "True", reasons::ROUTE_SAYS_MORE, "the route says more than weights: 1 rule(s) above it are for matching requests only, and stay as they are", &[]);
                self.say(kinds::SIDECARS_COUNT, "True", reasons::COUNTED, "v1 8,012 · v2 4,010 (12 ✕) · v3 1,331", &[]);
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
        for (kind, status, reason, message) in [
            (kinds::CLUSTER_REACHABLE, "True", reasons::REACHABLE, "The cluster answers."),
            (kinds::DEPLOYED, "False", reasons::NOT_DEPLOYED, "Not deployed."),
            (kinds::VERIFIED, "Unknown", reasons::NOT_VERIFIED, "Not verified."),
            (kinds::INJECTED, "False", reasons::NOT_INJECTED, "No workload asks for a sidecar."),
            (kinds::CLIENT_READY, "False", reasons::NO_CLIENT, "There is no client."),
            (kinds::ROUTE_PRESENT, "False", reasons::NO_ROUTE, "There is no route."),
            (kinds::WEIGHTS_APPLY, "False", reasons::NO_ROUTE, "There is no route."),
            (kinds::LOAD_RUNNING, "False", reasons::LOAD_STOPPED, "No load."),
            (kinds::ROUTE_OURS, "True", reasons::ROUTE_OURS, "Nobody else changed the route."),
            (kinds::CLEAN, "True", reasons::CLEAN, "Nothing is left."),
        ] {
            fixture.say(kind, status, reason, message, &[]);
        }
        fixture
    }

    /// Whether its stream was opened before.
    pub fn opened_again(&mut self) -> bool {
        std::mem::replace(&mut self.opened, true)
    }

    /// A pod has answered from inside.
    pub fn verified(&mut self) {
        let args = [("path", "/env/PATH"), ("ms", "2")];
        self.say(kinds::VERIFIED, "True", reasons::VERIFIED, "/env/PATH answered in 2 ms", &args);
    }

    /// Sets a condition.
    pub fn say(&mut self, kind: &str, status: &str, reason: &str, message: &str, args: &[(&str, &str)]) {
        let status = match status {
            "True" => ConditionStatus::True,
            "False" => ConditionStatus::False,
            _ => ConditionStatus::Unknown,
        };
        let args: Vec<(&str, Phrase)> = args.iter().map(|(k, v)| (*k, Phrase::from(*v))).collect();
        self.status.conditions.retain(|c| c.kind != kind);
        self.status.conditions.push(Condition {
            kind: kind.into(),
            status,
            reason: reason.into(),
            message: message.into(),
            args: args.iter().map(|(k, v)| ((*k).to_owned(), v.en.clone())).collect(),
            zh: app::text::in_chinese(reason, &args),
        });
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
        self.say(kinds::CLEAN, "False", reasons::IN_USE, "The demo is in use.", &[]);
        if coming {
            self.status.pods[0].ready = "1/1".into();
            self.status.pods[0].phase = "Running".into();
            self.status.pods[0].why = String::new();
            self.say(
                kinds::DEPLOYED,
                "False",
                reasons::DEPLOYING,
                "1 of 3 pods is ready: flaskapp-v2 ContainerCreating, client ContainerCreating.",
                &[("ready", "1"), ("wanted", "3"), ("waiting", "flaskapp-v2 ContainerCreating")],
            );
            self.status.operation = Some(operation(Verb::Deploy, &phrases::waiting_for(phrases::ready("flaskapp-v2"))));
            return;
        }
        self.say(kinds::DEPLOYED, "True", reasons::DEPLOYED, "3 workloads, all Running", &[("workloads", "3")]);
        self.say(
            kinds::CLIENT_READY,
            "True",
            reasons::CLIENT_READY,
            "The client is ready.",
            &[("pod", "simple-flask-app-client-6c4f9d8b7-zt9hj")],
        );
        self.log("browser 77aa", Verb::Deploy, phrases::deploy(), None);
    }

    /// Adds or removes sidecars.
    pub fn inject(&mut self, on: bool) {
        for pod in &mut self.status.pods {
            pod.sidecar = on;
            pod.ready = if on { "2/2" } else { "1/1" }.into();
        }
        if on {
            self.say(kinds::INJECTED, "True", reasons::INJECTED, "istio-proxy ready, 2/2", &[]);
        } else {
            self.say(kinds::INJECTED, "False", reasons::NOT_INJECTED, "No workload asks for a sidecar.", &[]);
        }
        self.judge();
        let all = "flaskapp-v1, flaskapp-v2, simple-flask-app-client";
        self.log("browser 77aa", Verb::Inject, if on { phrases::inject(all) } else { phrases::uninject(all) }, None);
    }

    fn judge(&mut self) {
        let sidecar = self.status.pods.last().is_some_and(|p| p.sidecar);
        match (&self.status.desired, sidecar) {
            (None, _) => self.say(kinds::WEIGHTS_APPLY, "False", reasons::NO_ROUTE, "There is no route.", &[]),
            (_, true) => self.say(kinds::WEIGHTS_APPLY, "True", reasons::WEIGHTS_APPLY, "Weights decide.", &[]),
            _ => self.say(kinds::WEIGHTS_APPLY, "False", reasons::CLIENT_HAS_NO_SIDECAR, "The client has no sidecar, so it ignores the route: its requests are balanced plainly, about half each.", &[("pod", "simple-flask-app-client-6c4f9d8b7-zt9hj")]),
        }
    }

    /// Sets the weights.
    pub fn set_desired(&mut self, split: Option<Split>, by: &str) {
        self.status.desired = split;
        self.status.desired_by = by.to_owned();
        self.changed = self.frames.len();
        match self.status.desired {
            Some(_) => self.say(kinds::ROUTE_PRESENT, "True", reasons::ROUTE_PRESENT, "The route is there.", &[]),
            None => self.say(kinds::ROUTE_PRESENT, "False", reasons::NO_ROUTE, "There is no route.", &[]),
        }
        self.judge();
    }

    /// Sets the load.
    pub fn load(&mut self, rate: Rate) {
        self.rate = rate.per_second();
        self.status.load = LoadView { rate, granted: rate };
        let rate = rate.per_second().to_string();
        if self.rate > 0 {
            self.say(
                kinds::LOAD_RUNNING,
                "True",
                reasons::LOAD_RUNNING,
                &format!("{rate} requests/s from the client"),
                &[("rate", &rate)],
            );
        } else {
            self.say(kinds::LOAD_RUNNING, "False", reasons::LOAD_STOPPED, "No load.", &[]);
        }
    }

    /// Adds a line to the log.
    pub fn log(&mut self, by: &str, verb: Verb, what: Phrase, split: Option<(Split, TimesMs)>) {
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

fn operation(verb: Verb, step: &Phrase) -> Operation {
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
