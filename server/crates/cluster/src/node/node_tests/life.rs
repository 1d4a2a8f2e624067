//! Pods start, fail, restart and end.
use super::*;
use std::time::Instant;

#[tokio::test]
async fn a_pod_becomes_ready_and_answers() {
    let bed = Bed::start().await;
    let pod = bed.serving("web").await;
    assert_eq!(pod["status"]["phase"], "Running");
    for kind in ["PodScheduled", "Initialized", "ContainersReady", "Ready"] {
        assert_eq!(condition(&pod, kind), "True", "{kind}");
    }
    assert_eq!(bed.get(&pod, "/").await, "web");
    assert_eq!(bed.get(&pod, "/env/PATH").await, "/usr/local/bin:/usr/bin:/bin");
    assert_eq!(bed.get(&pod, "/env/POD_VERSION_LABEL").await, "v1");
    assert_eq!(bed.get(&pod, "/env/CARGO_MANIFEST_DIR").await, "", "the environment leaks");
    let status = &pod["status"]["containerStatuses"][0];
    assert!(status["containerID"].as_str().unwrap().starts_with("process://"));
    let told = |reasons: &[String]| {
        ["Pulled", "Created", "Started"].iter().all(|one| reasons.iter().any(|reason| reason == one))
    };
    let deadline = Instant::now() + PATIENCE;
    while !told(&bed.event_reasons("web")) {
        assert!(Instant::now() < deadline, "{:?}", bed.event_reasons("web"));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn readiness_follows_the_probe() {
    let bed = Bed::start().await;
    let pod = bed.serving("web").await;
    bed.get(&pod, "/sick").await;
    let pod = bed.until("web", "unready", |pod| !is_ready(pod)).await;
    assert_eq!(state(&pod), "running");
    bed.get(&pod, "/well").await;
    bed.until("web", "ready again", is_ready).await;
}

#[tokio::test]
async fn a_killed_process_is_started_again() {
    let bed = Bed::start().await;
    bed.serving("web").await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(bed.children()[0]), nix::sys::signal::Signal::SIGKILL).unwrap();
    let pod = bed.until("web", "ready after a restart", |pod| restarts(pod) == 1 && is_ready(pod)).await;
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!((last["exitCode"].as_i64(), last["signal"].as_i64()), (Some(137), Some(9)));
    assert_eq!(bed.get(&pod, "/").await, "web");
}

#[tokio::test]
async fn a_crashing_container_backs_off_and_keeps_its_previous_log() {
    let bed = Bed::start().await;
    bed.pod("bad", json!({"containers": [{"name": "app", "image": "test", "command": ["crash"]}]})).await;
    let pod = bed.until("bad", "in CrashLoopBackOff", |pod| state(pod) == "CrashLoopBackOff").await;
    assert_eq!(restarts(&pod), 1);
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 3);
    // Nothing runs, so the run that ended last is what both mean; each run prints another number.
    let newest = bed.logs("bad", LogOptions::default()).await;
    assert!(newest.starts_with("run of "), "{newest}");
    assert_eq!(bed.logs("bad", LogOptions { previous: true, ..LogOptions::default() }).await, newest);
    bed.delete("bad", None).await;
    bed.gone("bad").await;
}

#[tokio::test]
async fn a_pod_that_somebody_holds_is_said_to_have_ended() {
    let bed = Bed::start().await;
    let kind = bed.registry.kinds().find("", "pods").unwrap();
    bed.serving("held").await;
    let finalizers = |list: Value| crate::Patch::Merge(json!({"metadata": {"finalizers": list}}));
    let patch = async |list: Value| {
        bed.registry
            .patch(kind, Some("default"), "held", crate::Subresource::None, finalizers(list), &WriteOptions::by("test"))
            .await
            .unwrap();
    };
    patch(json!(["x/y"])).await;
    bed.delete("held", Some(1)).await;
    let pod =
        bed.until("held", "ended", |pod| !pod["status"]["containerStatuses"][0]["state"]["terminated"].is_null()).await;
    assert!(
        matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) && !is_ready(&pod),
        "{:#}",
        pod["status"]
    );
    patch(json!([])).await;
    bed.gone("held").await;
}

#[tokio::test]
async fn a_start_that_fails_is_no_restart_and_keeps_the_log_of_the_crash() {
    let bed = Bed::start().await;
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}});
    let (kind, pods) =
        (bed.registry.kinds().find("", "configmaps").unwrap(), bed.registry.kinds().find("", "pods").unwrap());
    bed.registry.create(kind, Some("default"), config, &WriteOptions::by("test")).await.unwrap();
    let env = json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]);
    let ports = json!([{"containerPort": 7777}]);
    bed.pod("web", json!({"containers": [{"name": "app", "image": "test", "ports": ports, "env": env}]})).await;
    let pod = bed.until("web", "running", |pod| state(pod) == "running").await;
    bed.registry.delete(kind, Some("default"), "settings", &DeleteOptions::default()).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !bed.logs("web", LogOptions::default()).await.contains("serving on") {
        assert!(Instant::now() < deadline, "the app does not serve");
        tokio::task::yield_now().await;
    }
    bed.get(&pod, "/exit/3").await;
    let reason = "CreateContainerConfigError";
    let pod = bed.until("web", reason, |pod| state(pod) == reason).await;
    assert_eq!(restarts(&pod), 0);
    for previous in [false, true] {
        assert!(bed.logs("web", LogOptions { previous, ..LogOptions::default() }).await.contains("serving on"));
    }
    let _ = pods;
}

#[tokio::test]
async fn another_image_replaces_what_runs_and_mends_what_does_not() {
    let bed = Bed::start().await;
    let kind = bed.registry.kinds().find("", "pods").unwrap();
    let set = async |name: &str, image: &str| {
        let patch = crate::Patch::Strategic(json!({"spec": {"containers": [{"name": "app", "image": image}]}}));
        bed.registry
            .patch(kind, Some("default"), name, crate::Subresource::None, patch, &WriteOptions::by("test"))
            .await
            .unwrap();
    };
    bed.pod("broken", json!({"containers": [{"name": "app", "image": "nginx"}]})).await;
    bed.until("broken", "without an image", |pod| state(pod) == "ErrImagePull").await;
    set("broken", "test").await;
    bed.until("broken", "running", |pod| state(pod) == "running").await;
    set("broken", "test:2").await;
    let pod = bed.until("broken", "running the other image", |pod| restarts(pod) == 1 && state(pod) == "running").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["image"], "test:2");
}

#[tokio::test]
async fn what_is_not_honoured_is_told_by_a_warning_and_an_event() {
    let bed = Bed::start().await;
    let kind = bed.registry.kinds().find("", "pods").unwrap();
    let container = json!({"name": "app", "image": "test", "workingDir": "/app"});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"nodeName": "node", "containers": [container]}});
    let made = bed.registry.create(kind, Some("default"), pod, &WriteOptions::by("test")).await.unwrap();
    assert_eq!(made.warnings, ["spec.containers[0].workingDir: containers of this node run in /"]);
    bed.until("p", "running", |pod| state(pod) == "running").await;
    let deadline = Instant::now() + PATIENCE;
    while !bed.event_reasons("p").iter().any(|reason| reason == "FieldIgnored") {
        assert!(Instant::now() < deadline, "{:?}", bed.event_reasons("p"));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_probe_that_talks_much_does_not_hang() {
    let bed = Bed::start().await;
    let probe = json!({"exec": {"command": ["spam", "300000"]}, "periodSeconds": 1, "timeoutSeconds": 5});
    bed.pod("loud", json!({"containers": [{"name": "app", "image": "test", "readinessProbe": probe}]})).await;
    bed.until("loud", "ready", is_ready).await;
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let bed = Bed::start().await;
    let container = |change: Value| {
        let mut container = json!({"name": "app", "image": "test"});
        change.as_object().unwrap().iter().for_each(|(key, value)| container[key] = value.clone());
        json!({"containers": [container]})
    };
    for (name, change, reason, words) in [
        ("image", json!({"image": "nginx:1"}), "ErrImagePull", "nginx:1"),
        (
            "program",
            json!({"command": ["sh"]}),
            "RunContainerError",
            "exec: \"sh\": executable file not found in $PATH",
        ),
        (
            "preload",
            json!({"env": [{"name": "LD_PRELOAD", "value": "x"}]}),
            "CreateContainerConfigError",
            "LD_PRELOAD is refused",
        ),
    ] {
        bed.pod(name, container(change)).await;
        let pod = bed.until(name, reason, |pod| state(pod) == reason).await;
        let message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named_until_it_is_free() {
    let bed = Bed::start().await;
    // What another program that listens on every address would take.
    let other = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let ports = json!([{"containerPort": port}]);
    let command = json!(["serve", port.to_string()]);
    bed.pod("late", json!({"containers": [{"name": "app", "image": "test", "ports": ports, "command": command}]}))
        .await;
    let reason = format!("Port{port}InUse");
    bed.until("late", &reason, |pod| state(pod) == reason).await;
}

#[tokio::test]
async fn what_takes_more_memory_than_its_limit_is_killed() {
    let bed = Bed::start().await;
    let limits = json!({"limits": {"memory": "32Mi"}});
    bed.pod("hog", json!({"restartPolicy": "Never", "containers": [{"name": "app", "image": "test", "command": ["hog"], "resources": limits}]})).await;
    let pod = bed.until("hog", "failed", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(state(&pod), "OOMKilled");
}

#[tokio::test]
async fn the_sidecar_starts_first_owns_the_address_and_stops_last() {
    let bed = Bed::start().await;
    let ports = json!([{"containerPort": 7777}]);
    let proxy_probe = json!({"tcpSocket": {"port": 7777}, "periodSeconds": 1, "failureThreshold": 30});
    bed.pod("meshed", json!({
        "initContainers": [
            {"name": "setup", "image": "test", "command": ["echo", "set", "up"]},
            {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.31.0", "restartPolicy": "Always", "startupProbe": proxy_probe},
        ],
        "containers": [{"name": "app", "image": "test", "ports": ports}],
    }))
    .await;
    let pod = bed.until("meshed", "ready", is_ready).await;
    assert_eq!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(pod["status"]["initContainerStatuses"][1]["started"], true);
    let ip = pod["status"]["podIP"].as_str().unwrap();
    let bind = bed.get(&pod, "/env/APP_BIND_IP").await;
    assert_ne!(bind, ip);
    assert_eq!(
        bed.logs("meshed", LogOptions { container: Some("istio-proxy".into()), ..LogOptions::default() }).await,
        "proxying 7777\n"
    );
    bed.delete("meshed", Some(5)).await;
    bed.gone("meshed").await;
    assert_eq!(bed.children(), [0_i32; 0]);
}

#[tokio::test]
async fn what_ignores_sigterm_is_killed_when_its_grace_period_is_over() {
    let bed = Bed::start().await;
    bed.pod("deaf", json!({"containers": [{"name": "app", "image": "test", "command": ["stubborn"]}]})).await;
    bed.until("deaf", "running", |pod| state(pod) == "running").await;
    let deleted = Instant::now();
    bed.delete("deaf", Some(1)).await;
    bed.gone("deaf").await;
    assert!(deleted.elapsed() >= Duration::from_millis(900), "{:?}", deleted.elapsed());
    assert_eq!(bed.children(), [0_i32; 0]);
}

#[tokio::test]
async fn a_pod_that_runs_once_succeeds() {
    let bed = Bed::start().await;
    let spec = json!({"restartPolicy": "Never", "containers": [{"name": "app", "image": "test", "command": ["echo", "done"]}]});
    bed.pod("once", spec).await;
    let pod = bed.until("once", "succeeded", |pod| pod["status"]["phase"] == "Succeeded").await;
    assert_eq!(state(&pod), "Completed");
    assert_eq!(bed.logs("once", LogOptions::default()).await, "done\n");
    bed.delete("once", None).await;
    bed.gone("once").await;
}

#[tokio::test]
async fn pods_run_again_after_a_restart_of_the_node() {
    let bed = Bed::start().await;
    let before = bed.serving("web").await;
    let state = bed.stop().await;
    assert_eq!(std::fs::read_dir(state.path().join("children")).unwrap().count(), 0, "a child outlived the node");
    let old = state.path().join("logs/default_old_0000");
    std::fs::create_dir_all(&old).unwrap();
    let bed = Bed::start_in(state).await;
    let after = bed.until("web", "ready after a restart", |pod| restarts(pod) == 1 && is_ready(pod)).await;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(bed.get(&after, "/").await, "web");
    assert!(!old.exists(), "logs of a pod that is gone were kept");
    assert!(bed.logs("web", LogOptions { previous: true, ..LogOptions::default() }).await.contains("serving on"));
}

/// Whether a process is there and is no zombie.
fn runs(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim().starts_with('Z'))
}

#[tokio::test]
async fn no_child_survives_a_killed_panel() {
    let state = tempfile::tempdir().unwrap();
    let program = tokio::task::spawn_blocking(testpod).await.unwrap();
    let mut panel =
        tokio::process::Command::new(program).arg("node").arg(state.path()).kill_on_drop(true).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let children = loop {
        assert!(Instant::now() < deadline, "the children did not start");
        let entries = std::fs::read_dir(state.path().join("children")).into_iter().flatten();
        let names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        if names.len() == 2 {
            break names.iter().map(|name| name.split('-').next().unwrap().parse().unwrap()).collect::<Vec<i32>>();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(children.iter().all(|pid| runs(*pid)));
    panel.kill().await.unwrap();
    while children.iter().any(|pid| runs(*pid)) {
        assert!(Instant::now() < deadline, "a child outlived the panel");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
