//! What pods can reach of the machine that they run on: no file, and no service.
mod common;

use common::programs::{Ran, kubectl, kubectl_follow, shell};
use common::{TestPanel, command, real, refused};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const SECRET: &str = "a service of the host";

/// An HTTP service of the machine, on an address of its own; it ends with the test's process.
fn host_service(address: &str) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{SECRET}",
                SECRET.len()
            );
        }
    });
    port
}

/// Applies a manifest.
fn apply(panel: &TestPanel, manifest: &str) -> Ran {
    shell(panel, &format!("kubectl apply -f - <<'YAML'\n{manifest}\nYAML"))
}

/// A pod named `name` with one container; `more` continues the container, at its indentation of four.
fn pod(name: &str, inject: bool, more: &str) -> String {
    let labels = format!("{{app: {name}, sidecar.istio.io/inject: '{inject}'}}");
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: istio-app, labels: {labels}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - name: app\n    image: simple-flask-app\n{more}"
    )
}

/// A panel with namespace `istio-app` and these pods, ready.
fn with_pods(pods: &[(&str, String)]) -> TestPanel {
    let panel = TestPanel::start();
    shell(&panel, "kubectl create namespace istio-app").must();
    for (_, manifest) in pods {
        apply(&panel, manifest).must();
    }
    for (name, _) in pods {
        ready(&panel, name);
    }
    panel
}

fn ready(panel: &TestPanel, name: &str) {
    let waited =
        kubectl(panel, &["-n", "istio-app", "wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=60s"]);
    assert!(waited.ok, "{waited:?}\n{}", kubectl(panel, &["-n", "istio-app", "get", "pod", name, "-o", "yaml"]).out);
}

fn exec(panel: &TestPanel, pod: &str, words: &[&str]) -> Ran {
    kubectl(panel, &[&["-n", "istio-app", "exec", pod, "-c", "app", "--"], words].concat())
}

fn embedded_only() -> bool {
    real::left_out("is about the processes of the embedded cluster")
}

/// Waits for a line in a container's log.
fn logged(panel: &TestPanel, pod: &str, words: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let log = kubectl(panel, &["-n", "istio-app", "logs", pod, "-c", "app"]).out;
        let log = if log.is_empty() {
            kubectl(panel, &["-n", "istio-app", "logs", pod, "-c", "app", "--previous"]).out
        } else {
            log
        };
        if log.contains(words) {
            return log;
        }
        assert!(Instant::now() < deadline, "never logged by {pod}: {words}\n{log}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn no_way_into_a_container_writes_or_reads_a_file_of_the_host() {
    if embedded_only() {
        return;
    }
    let panel = with_pods(&[("a", pod("a", false, "")), ("b", pod("b", true, ""))]);
    let state = panel.dir.path().join("state");
    let outside = panel.dir.path().join("outside");
    std::fs::write(&outside, "as it was").unwrap();
    let tokens = std::fs::read(state.join("tokens")).unwrap();
    let targets = [
        outside.display().to_string(),
        state.join("tokens").display().to_string(),
        "../../../tokens".to_owned(),
        "x/../../../../tokens".to_owned(),
        "/proc/self/fd/1".to_owned(),
        "/dev/tty".to_owned(),
        "/tmp/a".to_owned(),
        "..".to_owned(),
        ".".to_owned(),
        "./../ports/7070.sock".to_owned(),
    ];
    // A presenter may exec, and is not to become the owner by it.
    let presenter = state.join("kubeconfig-presenter");
    let url = "http://localhost:7777/env/POD_NAME";
    for target in &targets {
        let line = format!(
            "KUBECONFIG={} kubectl -n istio-app exec a -c app -- curl -sS -o '{target}' {url}",
            presenter.display()
        );
        let ran = shell(&panel, &line);
        assert!(
            !ran.ok && ran.err.contains("curl: (23)") && ran.err.contains("outside of the pod's folder"),
            "{target}: {ran:?}"
        );
        assert!(!exec(&panel, "b", &["curl", "-s", "-o", target, url]).ok, "{target} in an injected pod");
    }
    // As a container's command, and as a probe.
    let run = |name: &str, more: String| {
        apply(&panel, &pod(name, false, &more)).must();
        logged(&panel, name, "curl: (23)");
    };
    run("command", format!("    command: [curl, -sS, -o, {}, 'http://localhost:7777/']", outside.display()));
    run(
        "args",
        format!(
            "    command: [curl]\n    args: ['--output={}', 'http://localhost:7777/']",
            state.join("tokens").display()
        ),
    );
    apply(
        &panel,
        &pod(
            "probe",
            false,
            &format!(
                "    readinessProbe:\n      periodSeconds: 1\n      exec: {{command: [curl, -sS, -o, {}, '{url}']}}",
                outside.display()
            ),
        ),
    )
    .must();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !kubectl(&panel, &["-n", "istio-app", "get", "events"]).out.contains("Readiness probe failed: curl: (23)") {
        assert!(Instant::now() < deadline, "{}", kubectl(&panel, &["-n", "istio-app", "get", "events"]).out);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "as it was");
    assert_eq!(std::fs::read(state.join("tokens")).unwrap(), tokens);
    // What `@` means to curl elsewhere is plain text here.
    let sent = exec(
        &panel,
        "a",
        &[
            "curl",
            "-s",
            "-d",
            &format!("@{}", outside.display()),
            "-w",
            &format!("@{}", outside.display()),
            "http://localhost:7777/",
        ],
    );
    assert!(!sent.out.contains("as it was"), "{sent:?}");

    // The pod's own folder, and nowhere at all, go on working.
    for pod in ["a", "b"] {
        assert!(exec(&panel, pod, &["curl", "-sS", "-o", "page", url]).ok, "{pod}");
        assert_eq!(
            exec(&panel, pod, &["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", url]).out,
            "200",
            "{pod}"
        );
        assert_eq!(exec(&panel, pod, &["curl", "-sS", "-o", "-", url]).out, pod);
    }
    let written: Vec<_> = files_below(&state.join("run"))
        .into_iter()
        .filter(|(path, _)| path.ends_with("files/page"))
        .map(|(_, text)| text)
        .collect();
    assert_eq!(written.len(), 2, "{written:?}");
    kubectl(&panel, &["-n", "istio-app", "delete", "pod", "--all", "--wait=true", "--timeout=60s"]).must();
    assert!(
        files_below(&state.join("run")).iter().all(|(path, _)| !path.ends_with("page")),
        "the folder goes with its pod"
    );
    assert!(panel.log().contains("landlock: "), "{}", panel.log());
}

fn files_below(folder: &Path) -> Vec<(std::path::PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files_below(&entry.path()));
        } else if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            found.push((entry.path(), std::fs::read_to_string(entry.path()).unwrap_or_default()));
        }
    }
    found
}

#[test]
fn localhost_and_a_pods_address_reach_its_containers_and_no_service_of_the_host() {
    if embedded_only() {
        return;
    }
    // An undeclared port that a container listens on is the pod's; `8081` is declared nowhere.
    let listens = "    command: [flaskapp, --listen, '$(APP_BIND_IP):8081']";
    let free = "    env: [{name: http_proxy, value: ''}, {name: HTTP_PROXY, value: ''}]";
    let panel = with_pods(&[
        ("a", pod("a", false, "")),
        ("b", pod("b", true, "    ports: [{containerPort: 7777}]")),
        ("c", pod("c", false, listens)),
        ("d", pod("d", true, listens)),
        ("e", pod("e", false, free)),
    ]);
    let everywhere = host_service("0.0.0.0");
    let loopback = host_service("127.0.0.1");
    for (pod, own) in [("a", 7777), ("b", 7777), ("c", 8081), ("d", 8081), ("e", 7777)] {
        let ip = kubectl(&panel, &["-n", "istio-app", "get", "pod", pod, "-o", "jsonpath={.status.podIP}"]).must();
        let app_ip = exec(&panel, pod, &["curl", "-s", &format!("http://localhost:{own}/env/APP_BIND_IP")]).out;
        let at_pod = [host_service(&ip), host_service(&app_ip)];
        let hosts = [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "127.0.0.1",
            "[::1]",
            "0.0.0.0",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "127.1",
            "2130706433",
            "0x7f000001",
            "017700000001",
            "127.0.0.2",
            &ip,
            &app_ip,
        ];
        for host in hosts {
            let url = |port: u16| format!("http://{host}:{port}/");
            let mut words = vec!["curl".to_owned(), "-s".to_owned(), "-m".to_owned(), "20".to_owned()];
            words.extend([everywhere, loopback, at_pod[0], at_pod[1]].map(url));
            let seen = exec(&panel, pod, &words.iter().map(String::as_str).collect::<Vec<_>>());
            assert!(!seen.out.contains(SECRET), "{pod}: {host}: {seen:?}");
            let fetched = exec(
                &panel,
                pod,
                &["curl", "-s", &format!("http://localhost:{own}/fetch?url=http://{host}:{everywhere}/")],
            );
            assert!(!fetched.out.contains(SECRET), "{pod}: fetch {host}: {fetched:?}");
        }
        for host in ["localhost", "Localhost.", "127.0.0.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", &ip] {
            assert_eq!(
                exec(&panel, pod, &["curl", "-s", &format!("http://{host}:{own}/env/POD_NAME")]).out,
                pod,
                "{host} is the pod itself"
            );
        }
        // Nobody is talked out of the proxy.
        let direct = format!("http://127.0.0.1:{everywhere}/");
        for more in [
            vec!["-x", ""],
            vec!["-x", &format!("127.0.0.1:{everywhere}")],
            vec!["--proxy="],
            vec!["--noproxy", "*"],
            vec!["--unix-socket", "/x"],
            vec!["--connect-to", "::127.0.0.1:1"],
            vec!["--resolve", "a:1:127.0.0.1"],
            vec!["--interface", "lo"],
            vec!["-K", "/etc/passwd"],
        ] {
            let words = [vec!["curl", "-sS"], more.clone(), vec![&*direct]].concat();
            let ran = exec(&panel, pod, &words);
            assert!(!ran.ok && !ran.out.contains(SECRET), "{pod}: {more:?}: {ran:?}");
        }
        for port in [everywhere, at_pod[0], at_pod[1]] {
            assert_ne!(forwarded(&panel, pod, port).as_deref(), Some(SECRET), "{pod}: port-forward to {port}");
        }
        assert_eq!(forwarded(&panel, pod, own).as_deref(), Some("I am FINE!"), "{pod}");
    }
    // A Service whose target is no port of its pods.
    for (app, from) in [("a", "b"), ("b", "a"), ("a", "e")] {
        let spec = format!(
            "{{selector: {{app: {app}}}, ports: [{{port: 80, targetPort: {everywhere}}}, {{name: own, port: 7777}}]}}"
        )
        .replace("[{port: 80", "[{name: http, port: 80");
        apply(
            &panel,
            &format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: to-{app}-{from}, namespace: istio-app}}\nspec: {spec}"
            ),
        )
        .must();
        let own = format!("http://to-{app}-{from}:7777/env/POD_NAME");
        let deadline = Instant::now() + Duration::from_secs(60);
        while exec(&panel, from, &["curl", "-s", &own]).out != app {
            assert!(
                Instant::now() < deadline,
                "{app} is not reached from {from}: {:?}",
                exec(&panel, from, &["curl", "-sS", "-i", &own])
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        let seen = exec(&panel, from, &["curl", "-s", "-w", "%{http_code}", &format!("http://to-{app}-{from}/")]);
        assert!(seen.out.ends_with("503") && !seen.out.contains(SECRET), "{seen:?}");
    }
    // A probe of the host.
    let probe = format!(
        "    readinessProbe: {{periodSeconds: 1, tcpSocket: {{port: {everywhere}}}}}\n    livenessProbe: {{periodSeconds: 1, failureThreshold: 1000, httpGet: {{host: 127.0.0.1, port: {loopback}}}}}"
    );
    apply(&panel, &pod("probes", false, &probe)).must();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let events = kubectl(&panel, &["-n", "istio-app", "get", "events"]).out;
        if events.contains("Readiness probe failed: dial tcp") && events.contains("Liveness probe failed: Get") {
            break;
        }
        assert!(Instant::now() < deadline, "{events}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The body that a pod's port answers with through `kubectl port-forward`; `None` if there is no answer.
fn forwarded(panel: &TestPanel, pod: &str, port: u16) -> Option<String> {
    let mut forward = kubectl_follow(
        panel,
        &["-n", "istio-app", "port-forward", &format!("pod/{pod}"), &format!(":{port}"), "--address", "127.0.0.1"],
    );
    let line = forward.until("it forwards", |line| line.starts_with("Forwarding from 127.0.0.1:"));
    let local: u16 = line.split(':').nth(1)?.split(' ').next()?.parse().ok()?;
    let mut stream = TcpStream::connect(("127.0.0.1", local)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

#[test]
fn endpoints_cannot_name_this_machine() {
    if embedded_only() {
        return;
    }
    let panel = with_pods(&[("a", pod("a", false, "")), ("b", pod("b", true, ""))]);
    let port = host_service("127.0.0.1");
    let slice = |address: &str| {
        let service = "apiVersion: v1\nkind: Service\nmetadata: {name: trap, namespace: istio-app}\nspec: {ports: [{name: http, port: 80}]}";
        format!(
            "{service}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: trap, namespace: istio-app, labels: {{kubernetes.io/service-name: trap}}}}\naddressType: IPv4\nports: [{{name: http, port: {port}}}]\nendpoints: [{{addresses: ['{address}']}}]"
        )
    };
    for (address, why) in [
        (
            "127.0.0.1",
            "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ),
        ("127.1.2.3", "loopback range"),
        ("::1", "loopback range"),
        ("::ffff:127.0.0.1", "loopback range"),
        ("0.0.0.0", "may not be unspecified"),
        ("169.254.169.254", "link-local range"),
        ("224.0.0.1", "multicast range"),
        ("localhost", "must be a valid IP address"),
        ("2130706433", "must be a valid IP address"),
    ] {
        let ran = apply(&panel, &slice(address));
        assert!(!ran.ok && ran.err.contains(why) && ran.err.contains("\"trap\" is invalid"), "{address}: {ran:?}");
    }
    let external = apply(
        &panel,
        "apiVersion: v1\nkind: Service\nmetadata: {name: ext, namespace: istio-app}\nspec: {externalIPs: [127.0.0.1], ports: [{port: 80}]}",
    );
    assert!(
        !external.ok && external.err.contains("spec.externalIPs[0]") && external.err.contains("loopback range"),
        "{external:?}"
    );
    for pod in ["a", "b"] {
        assert!(!exec(&panel, pod, &["curl", "-s", "http://trap/"]).out.contains(SECRET));
    }
    let own = kubectl(&panel, &["-n", "istio-app", "get", "pod", "a", "-o", "jsonpath={.status.podIP}"]).must();
    apply(&panel, &slice(&own)).must();
}

#[test]
fn a_pod_listens_on_its_own_address_only() {
    if embedded_only() {
        return;
    }
    let panel = with_pods(&[]);
    for (name, address) in [("everywhere", "0.0.0.0:18099"), ("loopback", "127.0.0.1:18099"), ("six", "[::]:18099")] {
        apply(&panel, &pod(name, false, &format!("    command: [flaskapp, --listen, '{address}']"))).must();
        let log = logged(&panel, name, "a pod listens on its own address only");
        assert!(log.contains(&format!("cannot listen on {address}")), "{log}");
    }
}

#[test]
fn a_state_folder_with_a_long_name_works() {
    if embedded_only() {
        return;
    }
    let short = tempfile::tempdir().unwrap();
    let long = short.path().join("long-".repeat(24)).join("longer-".repeat(24));
    std::fs::create_dir_all(&long).unwrap();
    let panel = TestPanel::on(std::sync::Arc::new(tempfile::tempdir_in(&long).unwrap()));
    shell(&panel, "kubectl create namespace istio-app").must();
    apply(&panel, &pod("a", true, "")).must();
    ready(&panel, "a");
    assert_eq!(exec(&panel, "a", &["curl", "-s", "http://localhost:7777/env/POD_NAME"]).out, "a");
    assert!(exec(&panel, "a", &["curl", "-s", "-o", "page", "http://localhost:7777/"]).ok);
}

#[test]
fn a_token_that_others_could_know_is_refused_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    for (text, mode, why) in [
        ("0123456789abcdef0123456789abcdef", 0o644, "has mode 0644: other users of this machine can read it"),
        ("0123456789abcdef0123456789abcdef", 0o640, "has mode 0640"),
        ("0123456789abcdef0123456789abcdef", 0o606, "has mode 0606"),
        ("0123456789abcdef0123456789abcde", 0o600, "is shorter than 32 characters"),
        ("", 0o600, "is shorter than 32 characters"),
    ] {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut line = command(&dir.path().join("state"));
        line.arg("--token-file").arg(&file);
        let (ended, said) = refused(line);
        assert!(ended.code() == Some(1) && said.contains(why) && said.lines().count() == 1, "{mode:o}: {said}");
    }
}
