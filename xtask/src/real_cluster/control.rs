//! The control plane: etcd, API server, controllers, scheduler, DNS.
use super::parts::Parts;
use super::place::{API_PORT, NODE_IP, PODS, Place, SERVICES};
use super::sandbox::Sandbox;
use crate::sh::{Context, Result, cmd, output};
use std::process::Command;
use std::time::Duration;

/// The API server among the cluster's programs.
pub const API: &str = "apiserver";

/// Longest wait for each of its parts, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// kubectl from this machine, as the cluster's administrator.
pub fn kubectl(place: &Place, parts: &Parts) -> Command {
    let mut command = cmd(&parts.kubectl);
    // Its discovery cache goes with the cluster.
    command.arg("--kubeconfig").arg(place.kubeconfig()).arg("--cache-dir").arg(place.file("kubectl-cache"));
    command
}

/// Starts etcd and the API server, and waits until that is ready.
pub fn api(place: &Place, parts: &Parts, sandbox: &Sandbox<'_>) -> Result<()> {
    let mut etcd = sandbox.command(parts.built("etcd"));
    etcd.arg("--data-dir").arg(place.file("etcd"));
    for (flag, address) in
        [("--listen-client-urls", "2379"), ("--advertise-client-urls", "2379"), ("--listen-peer-urls", "2380")]
    {
        etcd.args([flag, &format!("http://127.0.0.1:{address}")]);
    }
    // A test cluster's data may go with the machine's power.
    etcd.args(["--unsafe-no-fsync", "--log-level", "warn"]);
    sandbox.daemon("etcd", etcd)?;

    let pki = |name: &str| place.file("pki").join(name);
    let mut api = sandbox.command(parts.built("kube-apiserver"));
    api.args([
        "--etcd-servers",
        "http://127.0.0.1:2379",
        "--advertise-address",
        NODE_IP,
        "--secure-port",
        &API_PORT.to_string(),
    ]);
    for (flag, file) in [
        ("--tls-cert-file", "apiserver.crt"),
        ("--tls-private-key-file", "apiserver.key"),
        ("--client-ca-file", "ca.crt"),
        ("--service-account-key-file", "sa.pub"),
        ("--service-account-signing-key-file", "sa.key"),
        ("--kubelet-client-certificate", "apiserver-kubelet.crt"),
        ("--kubelet-client-key", "apiserver-kubelet.key"),
        ("--kubelet-certificate-authority", "ca.crt"),
    ] {
        api.arg(flag).arg(pki(file));
    }
    api.args(["--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction"]);
    api.args([
        "--service-account-issuer",
        "https://kubernetes.default.svc.cluster.local",
        "--service-cluster-ip-range",
        SERVICES,
    ]);
    api.args(["--allow-privileged", "--kubelet-preferred-address-types", "InternalIP"]);
    sandbox.daemon(API, api)?;
    sandbox.until("the API server is ready", PATIENCE, || {
        output(kubectl(place, parts).args(["get", "--raw", "/readyz"])).is_ok_and(|said| said == "ok")
    })
}

/// Starts the controllers, the scheduler and DNS, and waits until pods can be made.
pub fn controllers(place: &Place, parts: &Parts, sandbox: &Sandbox<'_>) -> Result<()> {
    let pki = |name: &str| place.file("pki").join(name);
    let as_user = |program: &str, user: &str| {
        let mut command = sandbox.command(parts.built(program));
        let kubeconfig = place.file(&format!("{user}.kubeconfig"));
        for flag in ["--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"] {
            command.arg(flag).arg(&kubeconfig);
        }
        command.args(["--bind-address", "127.0.0.1", "--leader-elect=false"]);
        command
    };
    let mut controllers = as_user("kube-controller-manager", "kcm");
    for (flag, file) in [
        ("--service-account-private-key-file", "sa.key"),
        ("--root-ca-file", "ca.crt"),
        ("--cluster-signing-cert-file", "ca.crt"),
        ("--cluster-signing-key-file", "ca.key"),
    ] {
        controllers.arg(flag).arg(pki(file));
    }
    // With the usual limits the first service account takes 11 s.
    controllers.args(["--use-service-account-credentials", "--kube-api-qps", "300", "--kube-api-burst", "600"]);
    controllers.args([
        "--allocate-node-cidrs",
        "--cluster-cidr",
        PODS,
        "--node-cidr-mask-size",
        "24",
        "--service-cluster-ip-range",
        SERVICES,
    ]);
    sandbox.daemon("controllers", controllers)?;
    sandbox.daemon("scheduler", as_user("kube-scheduler", "sched"))?;

    let zones = format!(
        ".:53 {{\n    bind {NODE_IP}\n    errors\n    ready 127.0.0.1:8181\n    kubernetes cluster.local in-addr.arpa {{\n        kubeconfig {}\n        pods insecure\n        ttl 5\n    }}\n}}\n",
        place.file("admin.kubeconfig").display()
    );
    let corefile = place.file("Corefile");
    std::fs::write(&corefile, zones).context("write the Corefile")?;
    let mut dns = sandbox.command(parts.built("coredns"));
    dns.arg("-conf").arg(corefile);
    sandbox.daemon("coredns", dns)?;
    sandbox.until("the default service account is there", PATIENCE, || {
        output(kubectl(place, parts).args(["-n", "default", "get", "serviceaccount", "default", "-o", "name"])).is_ok()
    })
}
