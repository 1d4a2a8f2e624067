//! Plans of Deployments as tables, and whole rollouts against a simulated cluster.
use super::super::step::show;
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn deployment(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "n", "uid": "d", "generation": 1, "annotations": {"kubernetes.io/change-cause": "first"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "progressDeadlineSeconds": 60,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}},
    })
}

/// A cluster that does what plans ask, and whose pods become available when told.
struct World {
    deployment: Value,
    sets: Vec<Value>,
    /// Available pods as they are; the ReplicaSets' status may lag behind.
    available: Vec<i64>,
    others: Vec<Value>,
    pods: Vec<Value>,
    now: Timestamp,
    said: Vec<String>,
}

impl World {
    fn new(deployment: Value) -> World {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        World {
            deployment,
            sets: Vec::new(),
            available: Vec::new(),
            others: Vec::new(),
            pods: Vec::new(),
            now,
            said: Vec::new(),
        }
    }

    fn plan(&self) -> Vec<Step> {
        let arcs = |objects: &[Value]| objects.iter().cloned().map(Arc::new).collect::<Vec<_>>();
        plan(&Seen {
            deployment: Arc::new(self.deployment.clone()),
            sets: arcs(&self.sets),
            others: arcs(&self.others),
            pods: arcs(&self.pods),
            now: self.now,
        })
    }

    /// One plan, carried out. Gives the steps but for statuses and times, as lines.
    fn step(&mut self) -> Vec<String> {
        let steps = self.plan();
        for step in &steps {
            match step {
                Step::Create(_, set) => {
                    let mut set = set.clone();
                    set["metadata"]["uid"] = format!("rs{}", self.sets.len()).into();
                    set["metadata"]["generation"] = 1.into();
                    set["metadata"]["creationTimestamp"] = format!("2026-01-01T00:00:{:02}Z", self.sets.len()).into();
                    self.sets.push(set);
                    self.available.push(0);
                }
                Step::Update(_, set) => {
                    let i = self.sets.iter().position(|s| name(s) == name(set)).unwrap();
                    self.sets[i] = set.clone();
                    self.available[i] = self.available[i].min(set["spec"]["replicas"].as_i64().unwrap());
                }
                Step::Delete(_, set, _) => {
                    let i = self.sets.iter().position(|s| name(s) == name(set)).unwrap();
                    self.sets.remove(i);
                    self.available.remove(i);
                }
                Step::Merge(_, _, patch) => {
                    self.deployment["metadata"]["annotations"][REVISION] =
                        patch["metadata"]["annotations"][REVISION].clone();
                }
                Step::Status(_, _, status) => self.deployment["status"] = status.clone(),
                Step::Say(said) => self.said.push(said.message.clone()),
                Step::Again(_) => {}
                other => panic!("{other}"),
            }
        }
        show(&steps)
            .into_iter()
            .filter(|s| !s.starts_with("status") && !s.starts_with("again") && !s.starts_with("Scaling"))
            .collect()
    }

    /// The ReplicaSets report what is.
    fn report(&mut self, i: usize) {
        let (replicas, available) = (self.sets[i]["spec"]["replicas"].clone(), self.available[i]);
        self.sets[i]["status"] = json!({"replicas": replicas, "readyReplicas": available, "availableReplicas": available, "observedGeneration": 1});
    }

    /// Until nothing is left to do, with every pod available at once.
    fn settle(&mut self) {
        for _ in 0..200 {
            let before = (self.deployment.clone(), self.sets.clone());
            let lines = self.step();
            for i in 0..self.sets.len() {
                self.available[i] = self.sets[i]["spec"]["replicas"].as_i64().unwrap();
                self.report(i);
            }
            if lines.is_empty() && before == (self.deployment.clone(), self.sets.clone()) {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", show(&self.plan()));
    }

    fn image(&mut self, image: &str) {
        self.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
        self.bump();
    }

    fn bump(&mut self) {
        let generation = self.deployment["metadata"]["generation"].as_i64().unwrap();
        self.deployment["metadata"]["generation"] = (generation + 1).into();
    }

    fn reason(&self, kind: &str) -> String {
        object::condition(&self.deployment, kind)
            .map_or_else(String::new, |c| format!("{} {}", text(c, "/status"), text(c, "/reason")))
    }

    fn sizes(&self) -> Vec<i64> {
        self.sets.iter().map(|s| s["spec"]["replicas"].as_i64().unwrap()).collect()
    }
}

#[test]
fn a_new_deployment_gets_a_replica_set_and_says_so() {
    let mut world = World::new(deployment(2));
    let lines = world.step();
    let set = name(&world.sets[0]).to_owned();
    assert_eq!(lines[0], format!("create replicasets {set} to 2"));
    assert_eq!(world.said, [format!("Scaled up replica set {set} from 0 to 2")]);
    assert_eq!(world.deployment["metadata"]["annotations"][REVISION], "1");
    assert_eq!(
        (world.reason("Progressing"), world.reason("Available")),
        ("True NewReplicaSetCreated".into(), "False MinimumReplicasUnavailable".into())
    );
    let annotations = &world.sets[0]["metadata"]["annotations"];
    assert_eq!(annotations["kubernetes.io/change-cause"], "first");
    assert_eq!(world.sets[0]["spec"]["selector"]["matchLabels"]["pod-template-hash"], set["web-".len()..]);
    assert_eq!(world.sets[0]["spec"]["template"]["metadata"]["labels"]["pod-template-hash"], set["web-".len()..]);
    world.settle();
    assert_eq!(
        (world.reason("Progressing"), world.reason("Available")),
        ("True NewReplicaSetAvailable".into(), "True MinimumReplicasAvailable".into())
    );
    assert_eq!(world.deployment["status"]["observedGeneration"], 1);
    assert_eq!(world.deployment["status"]["updatedReplicas"], 2);
}

#[test]
fn a_rollout_goes_step_by_step_and_an_undo_takes_the_old_replica_set_again() {
    let mut world = World::new(deployment(4));
    world.settle();
    world.image("two");
    world.step();
    assert_eq!(world.sizes(), [4, 1], "one more than replicas");
    world.report(1);
    world.step();
    assert_eq!(world.sizes(), [3, 1], "one may be missing");
    world.settle();
    assert_eq!(world.sizes(), [0, 4]);
    assert_eq!(world.deployment["metadata"]["annotations"][REVISION], "2");
    world.image("one");
    world.settle();
    assert_eq!(world.sizes(), [4, 0], "the first one is used again");
    assert_eq!(world.deployment["metadata"]["annotations"][REVISION], "3");
    assert_eq!(annotation(&world.sets[0], "deployment.kubernetes.io/revision-history"), Some("1"));
}

#[test]
fn a_scaling_is_not_a_rollout() {
    let mut world = World::new(deployment(2));
    world.settle();
    world.deployment["spec"]["replicas"] = 5.into();
    world.bump();
    world.step();
    assert_eq!(world.sizes(), [5]);
    world.settle();
    world.deployment["spec"]["replicas"] = 0.into();
    world.bump();
    world.settle();
    assert_eq!((world.sizes(), world.reason("Available")), (vec![0], "True MinimumReplicasAvailable".into()));
    world.deployment["spec"]["replicas"] = 1.into();
    world.bump();
    world.settle();
    assert_eq!(world.sizes(), [1]);
}

#[test]
fn recreate_waits_for_the_last_old_pod() {
    let mut wanted = deployment(2);
    wanted["spec"]["strategy"] = json!({"type": "Recreate"});
    let mut world = World::new(wanted);
    world.settle();
    world.pods = vec![
        json!({"metadata": {"name": "p", "ownerReferences": [{"uid": "rs0", "controller": true}]}, "status": {"phase": "Running"}}),
    ];
    world.image("two");
    world.step();
    assert_eq!(world.sizes(), [0]);
    world.step();
    assert_eq!(world.sizes(), [0], "an old pod still runs");
    world.pods.clear();
    world.step();
    assert_eq!(world.sizes(), [0, 2]);
    world.settle();
    assert_eq!(world.reason("Progressing"), "True NewReplicaSetAvailable");
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut world = World::new(deployment(2));
    world.settle();
    world.deployment["spec"]["paused"] = true.into();
    world.image("two");
    world.settle();
    assert_eq!((world.sizes(), world.reason("Progressing")), (vec![2], "Unknown DeploymentPaused".into()));
    world.deployment["spec"]["replicas"] = 3.into();
    world.bump();
    world.settle();
    assert_eq!(world.sizes(), [3]);
    world.deployment["spec"]["paused"] = false.into();
    world.bump();
    world.settle();
    assert_eq!((world.sizes(), world.reason("Progressing")), (vec![0, 3], "True NewReplicaSetAvailable".into()));
}

#[test]
fn a_rollout_without_progress_times_out_and_recovers() {
    let mut world = World::new(deployment(1));
    world.step();
    world.report(0);
    world.step();
    world.now += jiff::SignedDuration::from_secs(30);
    world.step();
    assert_eq!(world.reason("Progressing"), "True ReplicaSetUpdated");
    world.now += jiff::SignedDuration::from_secs(62);
    world.step();
    assert_eq!(world.reason("Progressing"), "False ProgressDeadlineExceeded");
    world.settle();
    assert_eq!(world.reason("Progressing"), "True NewReplicaSetAvailable");
}

#[test]
fn old_replica_sets_beyond_the_limit_are_deleted() {
    let mut wanted = deployment(1);
    wanted["spec"]["revisionHistoryLimit"] = 1.into();
    let mut world = World::new(wanted);
    for image in ["one", "two", "three"] {
        world.image(image);
        world.settle();
    }
    assert_eq!(world.sizes(), [0, 1], "the newest of the old ones stays");
    assert_eq!(annotation(&world.sets[0], REVISION), Some("2"));
}

#[test]
fn a_name_that_is_taken_gives_another_hash_and_what_is_being_collected_is_waited_for() {
    let mut world = World::new(deployment(1));
    world.step();
    let taken = name(&world.sets[0]).to_owned();
    for (left_by, waits) in [("web", true), ("another", false)] {
        let mut world = World::new(deployment(1));
        world.others = vec![
            json!({"metadata": {"name": taken, "ownerReferences": [{"kind": "Deployment", "name": left_by, "uid": "x", "controller": true}]}}),
        ];
        world.step();
        world.step();
        assert_eq!(world.sets.is_empty(), waits, "{left_by}");
        assert!(world.sets.iter().all(|s| name(s) != taken), "{left_by}");
        world.others.clear();
        world.settle();
    }
}

#[test]
fn a_replica_set_that_cannot_make_pods_is_repeated_in_the_conditions() {
    let mut world = World::new(deployment(1));
    world.step();
    world.sets[0]["status"] = json!({"replicas": 0, "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}]});
    world.step();
    assert_eq!(world.reason("ReplicaFailure"), "True FailedCreate");
    world.settle();
    assert_eq!(world.reason("ReplicaFailure"), "");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever the order in which pods become available and statuses are reported, a rollout keeps its promises and ends.
    #[test]
    fn a_rollout_never_has_too_many_pods_nor_too_few_available(
        replicas in 1i64..8, surge in 0i64..4, unavailable in 0i64..4, order in proptest::collection::vec((0usize..3, any::<bool>()), 0..120),
    ) {
        let mut wanted = deployment(replicas);
        wanted["spec"]["strategy"]["rollingUpdate"] = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        let mut world = World::new(wanted);
        world.settle();
        let want = Want::read(&world.deployment);
        world.image("two");
        for (turn, (which, becomes)) in order.into_iter().enumerate() {
            if turn == 40 {
                world.image("three");
            }
            world.step();
            let i = which % world.sets.len();
            if becomes && world.available[i] < world.sizes()[i] {
                world.available[i] += 1;
            }
            if !becomes || which == 0 {
                world.report(i);
            }
            prop_assert!(world.sizes().iter().sum::<i64>() <= replicas + want.surge(), "{:?}", world.sizes());
            prop_assert!(world.available.iter().sum::<i64>() >= replicas - want.unavailable(), "{:?} of {:?}", world.available, world.sizes());
        }
        world.settle();
        prop_assert_eq!(*world.sizes().last().unwrap(), replicas);
    }
}
