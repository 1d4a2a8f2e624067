//! An injected pod serves every port that its containers listen on, declared or not.
mod common;

use common::programs::{kubectl, shell};
use common::{TestPanel, real};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Two containers that listen on three ports, of which one is declared, and probes of one that is not.
const TWO: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: two, namespace: lab}
spec:
  selector: {matchLabels: {app: two}}
  template:
    metadata: {labels: {app: two}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: one
        image: simple-flask-app
        command: [flaskapp, --listen, '$(APP_BIND_IP):8080']
        env: [{name: container, value: one}]
        ports: [{name: web, containerPort: 8080}]
      - name: two
        image: simple-flask-app
        command: [flaskapp, --listen, '$(APP_BIND_IP):9090']
        env: [{name: container, value: two}]
        readinessProbe: {httpGet: {path: /, port: 9090}, periodSeconds: 1}
        livenessProbe: {tcpSocket: {port: 9090}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: two, namespace: lab}
spec:
  selector: {app: two}
  ports:
  - {name: http-named, port: 80, targetPort: web}
  - {name: http-metrics, port: 90, targetPort: 9090}
  - {name: http-nobody, port: 99, targetPort: 9999}
";

struct Lab(TestPanel);

impl Lab {
    fn run(&self, args: &[&str]) -> String {
        kubectl(&self.0, &[&["-n", "lab"], args].concat()).must()
    }

    fn rolled_out(&self, name: &str) {
        self.run(&["rollout", "status", &format!("deploy/{name}"), "--timeout=60s"]);
    }

    /// Status and body of a request from the pod of a Deployment, which may have a sidecar.
    fn curl(&self, ns: &str, from: &str, url: &str) -> String {
        let from = format!("deploy/{from}");
        let words = ["curl", "-sS", "-w", " %{http_code}", url];
        let all = [&["-n", ns, "exec", &from, "-c", "simple-flask-app", "--"], &words[..]].concat();
        kubectl(&self.0, &all).must().trim().to_owned()
    }

    /// Asks until the answer is this one: a changed Service is known everywhere a moment later.
    fn until(&self, from: &str, url: &str, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.curl("lab", from, url);
            if answer == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{url}: {answer}, not {wanted}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_port_that_is_not_declared_is_served_through_the_sidecar() {
    if real::left_out("is about the processes of the embedded cluster") {
        return;
    }
    let lab = Lab(TestPanel::start());
    kubectl(&lab.0, &["create", "namespace", "lab"]).must();
    kubectl(&lab.0, &["label", "namespace", "lab", "istio-injection=enabled"]).must();
    lab.run(&["create", "deployment", "x", "--image=simple-flask-app"]);
    lab.run(&["expose", "deployment", "x", "--port=80", "--target-port=7777"]);
    lab.run(&["create", "deployment", "curl", "--image=simple-flask-app", "--", "sleep", "infinity"]);
    // A caller without a sidecar.
    let plain =
        ["-n", "default", "create", "deployment", "plain", "--image=simple-flask-app", "--", "sleep", "infinity"];
    kubectl(&lab.0, &plain).must();
    shell(&lab.0, &format!("kubectl apply -f - <<'YAML'{TWO}YAML")).must();
    for name in ["x", "curl", "two"] {
        lab.rolled_out(name);
    }
    kubectl(&lab.0, &["-n", "default", "rollout", "status", "deploy/plain", "--timeout=60s"]).must();
    let pods = lab.run(&["get", "pods"]);
    assert!(pods.lines().any(|l| l.starts_with("x-") && l.contains("2/2")), "{pods}");
    assert!(pods.lines().any(|l| l.starts_with("two-") && l.contains("3/3")), "a probe fails: {pods}");

    for (url, answer) in [
        ("http://x/", "I am FINE! 200"),
        ("http://two/env/container", "one 200"),
        ("http://two:90/env/container", "two 200"),
    ] {
        assert_eq!(lab.curl("lab", "curl", url), answer, "{url}");
        let from_outside = url.replace("http://x", "http://x.lab").replace("http://two", "http://two.lab");
        assert_eq!(lab.curl("default", "plain", &from_outside), answer, "{from_outside}");
    }
    for from in ["curl", "plain"] {
        let ns = if from == "plain" { "default" } else { "lab" };
        let answer = lab.curl(ns, from, "http://two.lab:99/");
        assert!(answer.ends_with(" 503"), "nothing listens there: {answer}");
    }

    // A Service that comes later, and one whose target changes.
    lab.run(&["expose", "deployment", "two", "--name=late", "--port=8000", "--target-port=9090"]);
    lab.until("curl", "http://late:8000/env/container", "two 200");
    let target = r#"[{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 8080}]"#;
    lab.run(&["patch", "service", "late", "--type=json", "-p", target]);
    lab.until("curl", "http://late:8000/env/container", "one 200");

    // A program of the host that knows the pod's address asks nobody first.
    let ip = lab.run(&["get", "pods", "-l", "app=x", "-o", "jsonpath={.items[0].status.podIP}"]);
    let at: SocketAddr = format!("{ip}:7777").parse().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(at).is_err() {
        assert!(Instant::now() < deadline, "{at} refuses connections");
        std::thread::sleep(Duration::from_millis(20));
    }
    let nobody: SocketAddr = format!("{ip}:7778").parse().unwrap();
    assert!(TcpStream::connect(nobody).is_err(), "a port that nothing listens on");
}
