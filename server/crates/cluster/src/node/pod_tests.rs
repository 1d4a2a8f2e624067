//! Pods in every order of events, without a process or a clock.
use super::*;
use crate::node::process::Exit;
use jiff::Timestamp;
use serde_json::{Value, json};

/// A pod, its clock, and what it did so far: `+app` started, `-app` SIGTERM, `!app` SIGKILL, `?app` probed.
struct Scene {
    pod: Pod,
    clock: Duration,
    log: Vec<String>,
    events: Vec<String>,
    /// Starts fail as long as this is set.
    broken: bool,
}

impl Scene {
    fn new(spec: Value) -> Scene {
        let spec = PodSpec::read(&json!({"spec": spec}));
        let pod = Pod::new("ns/pod(1)".to_owned(), &spec);
        let mut scene = Scene { pod, clock: Duration::ZERO, log: Vec::new(), events: Vec::new(), broken: false };
        scene.input(Input::Tick);
        scene
    }

    /// Feeds an input; starts succeed at once.
    fn input(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let now = Now { mono: self.clock, wall: Timestamp::from_second(self.clock.as_secs() as i64).unwrap() };
            for action in self.pod.handle(now, input) {
                let name = |index: usize| self.pod.containers[index].spec.name.clone();
                match action {
                    Action::Start(index) => {
                        self.log.push(format!("+{}", name(index)));
                        inputs.push(match self.broken {
                            false => Input::Started { index, id: "process://1".to_owned() },
                            true => Input::NotStarted {
                                index,
                                reason: "CreateContainerConfigError".into(),
                                message: String::new(),
                            },
                        });
                    }
                    Action::Terminate(index) => self.log.push(format!("-{}", name(index))),
                    Action::Kill(index) => self.log.push(format!("!{}", name(index))),
                    Action::Probe { index, .. } => self.log.push(format!("?{}", name(index))),
                    Action::Drain => self.log.push("drain".to_owned()),
                    Action::Event { reason, .. } => self.events.push(reason.to_owned()),
                }
            }
        }
    }

    fn exit(&mut self, name: &str, code: i32) {
        let index = self.index(name);
        self.input(Input::Exited { index, exit: Exit { code, signal: None }, oom: false });
    }

    fn probe(&mut self, name: &str, probe: usize, result: Result<(), String>) {
        let index = self.index(name);
        let run = self.pod.containers[index].restarts;
        self.input(Input::Probed { index, run, probe, result });
    }

    fn pass(&mut self, seconds: u64) {
        self.clock += Duration::from_secs(seconds);
        self.input(Input::Tick);
    }

    fn index(&self, name: &str) -> usize {
        self.pod.containers.iter().position(|container| container.spec.name == name).unwrap()
    }

    fn container(&self, name: &str) -> &Container {
        &self.pod.containers[self.index(name)]
    }

    #[track_caller]
    fn did(&mut self, expected: &str) {
        assert_eq!(std::mem::take(&mut self.log).join(" "), expected);
    }
}

fn meshed() -> Value {
    json!({
        "initContainers": [
            {"name": "setup"},
            {"name": "proxy", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}},
        ],
        "containers": [{"name": "app"}],
    })
}

#[test]
fn containers_start_in_order_and_sidecars_stop_last() {
    let mut scene = Scene::new(meshed());
    scene.did("+setup");
    assert_eq!(scene.pod.phase(), "Pending");
    scene.exit("setup", 0);
    scene.did("+proxy ?proxy");
    scene.probe("proxy", 0, Ok(()));
    scene.did("+app");
    assert_eq!(scene.pod.phase(), "Running");

    scene.input(Input::End { grace: Duration::from_secs(30), drain: true });
    scene.did("drain");
    scene.input(Input::Drained);
    scene.did("-app");
    scene.exit("app", 0);
    scene.did("-proxy");
    assert!(!scene.pod.is_over());
    scene.exit("proxy", 0);
    assert!(scene.pod.is_over());
}

#[test]
fn what_ignores_sigterm_is_killed_after_the_grace_period() {
    let mut scene = Scene::new(meshed());
    scene.exit("setup", 0);
    scene.probe("proxy", 0, Ok(()));
    scene.input(Input::End { grace: Duration::from_secs(5), drain: false });
    scene.did("+setup +proxy ?proxy +app -app");
    scene.pass(4);
    scene.did("");
    scene.pass(1);
    scene.did("!app");
    scene.exit("app", 137);
    scene.did("-proxy");
    scene.pass(2);
    scene.did("!proxy");
    assert!(scene.pod.wake().is_none(), "nothing is left to wait for but the exit");
}

#[test]
fn a_grace_period_of_zero_kills_at_once() {
    let mut scene = Scene::new(json!({"containers": [{"name": "app"}]}));
    scene.input(Input::End { grace: Duration::ZERO, drain: true });
    scene.did("+app !app");
}

#[test]
fn a_pod_that_never_drains_is_ended_at_the_deadline_and_told_so_first() {
    let mut scene = Scene::new(json!({"containers": [{"name": "app"}]}));
    scene.input(Input::End { grace: Duration::from_secs(3), drain: true });
    scene.did("+app drain");
    scene.pass(3);
    scene.did("-app");
    scene.pass(1);
    scene.did("!app");
}

#[test]
fn the_first_restart_is_immediate_and_later_ones_back_off() {
    let mut scene = Scene::new(json!({"containers": [{"name": "app"}]}));
    scene.exit("app", 1);
    scene.did("+app +app");
    assert_eq!(scene.container("app").restarts, 1);
    scene.exit("app", 1);
    assert_eq!(scene.pod.phase(), "Running");
    let State::Waiting { reason, .. } = &scene.container("app").state else { panic!("not waiting") };
    assert_eq!(reason, "CrashLoopBackOff");
    scene.pass(9);
    scene.did("");
    scene.pass(1);
    scene.did("+app");
    scene.pass(601);
    scene.exit("app", 137);
    scene.did("+app");
    assert_eq!(scene.container("app").restarts, 3);
}

#[test]
fn a_sidecar_that_dies_is_started_again_while_the_app_runs_on() {
    let mut scene = Scene::new(meshed());
    scene.exit("setup", 0);
    scene.probe("proxy", 0, Ok(()));
    scene.exit("proxy", 137);
    scene.did("+setup +proxy ?proxy +app +proxy ?proxy");
    assert!(!scene.container("proxy").ready);
    scene.probe("proxy", 0, Ok(()));
    assert!(scene.container("proxy").ready);
    scene.did("");
}

#[test]
fn readiness_follows_its_probe_and_the_thresholds() {
    let probe = json!({"httpGet": {"port": 7777}, "periodSeconds": 5, "failureThreshold": 2});
    let mut scene = Scene::new(json!({"containers": [{"name": "app", "readinessProbe": probe}]}));
    assert!(!scene.container("app").ready);
    scene.probe("app", 0, Err("refused".to_owned()));
    assert!(scene.events.iter().all(|reason| reason != "Unhealthy"), "a young container's failures count");
    scene.probe("app", 0, Ok(()));
    assert!(scene.container("app").ready);
    scene.pass(5);
    scene.probe("app", 0, Err("refused".to_owned()));
    assert!(scene.container("app").ready, "one failure of two");
    scene.pass(5);
    scene.probe("app", 0, Err("refused".to_owned()));
    assert!(!scene.container("app").ready);
    assert_eq!(scene.events.iter().filter(|reason| *reason == "Unhealthy").count(), 2);
    scene.did("+app ?app ?app ?app");
}

#[test]
fn a_failing_liveness_probe_restarts_the_container() {
    let probe = json!({"tcpSocket": {"port": 7777}, "failureThreshold": 1});
    let mut scene = Scene::new(json!({"containers": [{"name": "app", "livenessProbe": probe}]}));
    scene.probe("app", 0, Err("refused".to_owned()));
    scene.did("+app ?app -app");
    scene.exit("app", 143);
    scene.did("+app ?app");
    assert_eq!(scene.container("app").restarts, 1);
}

#[test]
fn a_result_of_an_earlier_run_is_ignored() {
    let probe = json!({"tcpSocket": {"port": 7777}, "failureThreshold": 1});
    let mut scene = Scene::new(json!({"containers": [{"name": "app", "livenessProbe": probe}]}));
    scene.exit("app", 1);
    scene.input(Input::Probed { index: 0, run: 0, probe: 0, result: Err("refused".to_owned()) });
    scene.did("+app ?app +app ?app");
}

#[test]
fn a_pod_that_runs_once_ends_with_its_sidecar() {
    for (code, phase) in [(0, "Succeeded"), (3, "Failed")] {
        let mut scene = Scene::new(json!({
            "restartPolicy": "Never",
            "initContainers": [{"name": "proxy", "restartPolicy": "Always"}],
            "containers": [{"name": "app"}],
        }));
        scene.exit("app", code);
        scene.did("+proxy +app -proxy");
        scene.exit("proxy", 0);
        assert!(scene.pod.is_over());
        assert_eq!(scene.pod.phase(), phase);
    }
}

#[test]
fn an_image_that_is_not_there_is_tried_again_later() {
    let mut scene = Scene::new(json!({"containers": [{"name": "app"}]}));
    scene.pod.containers[0].state = State::Starting;
    scene.input(Input::NotStarted { index: 0, reason: "ErrImagePull".into(), message: "no such image".to_owned() });
    let reason = |scene: &Scene| match &scene.container("app").state {
        State::Waiting { reason, .. } => reason.to_string(),
        _ => "up".to_owned(),
    };
    assert_eq!(reason(&scene), "ErrImagePull");
    scene.pass(10);
    scene.pod.containers[0].state = State::Starting;
    scene.input(Input::NotStarted { index: 0, reason: "ErrImagePull".into(), message: "no such image".to_owned() });
    assert_eq!(reason(&scene), "ImagePullBackOff");
}

#[test]
fn a_missing_program_is_named_then_backed_off() {
    let mut scene = Scene::new(json!({"containers": [{"name": "app"}]}));
    for (expected, wait) in [("RunContainerError", 10), ("CrashLoopBackOff", 10)] {
        scene.pod.containers[0].state = State::Starting;
        scene.input(Input::StartError { index: 0, id: "process://2".to_owned(), message: "exec: \"x\"".to_owned() });
        let State::Waiting { reason, .. } = &scene.container("app").state else { panic!("not waiting") };
        assert_eq!(reason, expected);
        assert_eq!(scene.container("app").last.as_ref().unwrap().reason, "StartError");
        scene.pass(wait);
    }
}

#[test]
fn a_pod_that_never_restarts_fails_where_its_program_is_none() {
    for (policy, phase) in [("Never", "Failed"), ("Always", "Running"), ("OnFailure", "Running")] {
        let mut s = Scene::new(json!({"restartPolicy": policy, "containers": [{"name": "app", "image": "i"}]}));
        // The scene starts everything at once: the start is taken back.
        s.pod.containers[0].state = State::Starting;
        s.input(Input::StartError { index: 0, id: "process://1".to_owned(), message: "no such program".to_owned() });
        assert_eq!(s.pod.phase(), phase, "{policy}");
    }
}

#[test]
fn only_a_start_that_came_about_is_a_restart() {
    let mut s = Scene::new(json!({"containers": [{"name": "app", "image": "i"}]}));
    s.exit("app", 1);
    assert_eq!(s.container("app").restarts, 1);
    s.broken = true;
    s.exit("app", 1);
    for _ in 0..3 {
        s.pass(400);
    }
    assert_eq!(s.container("app").restarts, 1);
    s.broken = false;
    s.pass(400);
    assert_eq!(s.container("app").restarts, 2);
}
