//! The node: containerd with runc, kubelet, kube-proxy.
use super::control::kubectl;
use super::images::PAUSE;
use super::parts::Parts;
use super::place::{NODE_IP, PODS, Place};
use super::sandbox::{Sandbox, enter};
use crate::sh::{Context, Result, error, output, which};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);

/// Starts containerd and gives it the images of Kubernetes and Istio. Needs no API server.
pub fn containers(place: &Place, parts: &Parts, sandbox: &Sandbox<'_>) -> Result<()> {
    let folder = place.file("cni");
    std::fs::create_dir_all(&folder).context("make the folder of the network's settings")?;
    let network = json!({"cniVersion": "0.4.0", "name": "ptp", "plugins": [
        {"type": "ptp", "ipMasq": false, "mtu": 1500, "ipam": {
            "type": "host-local", "dataDir": place.file("ipam"), "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}],
        }},
        {"type": "portmap", "capabilities": {"portMappings": true}},
    ]});
    write(&folder.join("10-ptp.conflist"), &network.to_string())?;
    write(&place.file("containerd.toml"), &containerd_settings(place, parts))?;
    let mut containerd = sandbox.command(which("containerd").ok_or_else(|| error("no containerd on PATH"))?);
    containerd.arg("-c").arg(place.file("containerd.toml"));
    sandbox.daemon("containerd", containerd)?;
    let holder = place.holder().ok_or_else(|| error("the cluster has ended"))?;
    sandbox.until("containerd answers", PATIENCE, || {
        ctr(place, holder).is_some_and(|mut ctr| output(ctr.arg("version")).is_ok())
    })?;
    for archive in &parts.images {
        import(place, archive)?;
    }
    Ok(())
}

/// Starts kubelet and kube-proxy, and waits until the node is ready.
pub fn node(place: &Place, parts: &Parts, sandbox: &Sandbox<'_>) -> Result<()> {
    cgroups(place)?;
    write(&place.file("kubelet.json"), &kubelet_settings(place).to_string())?;
    let mut kubelet = sandbox.command(parts.built("kubelet"));
    kubelet.arg("--config").arg(place.file("kubelet.json")).arg("--kubeconfig").arg(place.file("kubelet.kubeconfig"));
    kubelet.arg("--root-dir").arg(place.file("kubelet")).arg("--cert-dir").arg(place.file("kubelet/pki"));
    kubelet.args(["--hostname-override", "node1", "--node-ip", NODE_IP]);
    sandbox.daemon("kubelet", kubelet)?;
    let mut proxy = sandbox.command(parts.built("kube-proxy"));
    proxy.arg("--kubeconfig").arg(place.file("proxy.kubeconfig"));
    proxy.args(["--proxy-mode", "iptables", "--cluster-cidr", PODS, "--hostname-override", "node1"]);
    // The machine's own connection tracking is not ours to tune.
    proxy.args([
        "--conntrack-max-per-core",
        "0",
        "--conntrack-tcp-timeout-established",
        "0",
        "--conntrack-tcp-timeout-close-wait",
        "0",
    ]);
    proxy.args(["--healthz-bind-address", "127.0.0.1:10256", "--metrics-bind-address", "127.0.0.1:10249"]);
    sandbox.daemon("kube-proxy", proxy)?;
    let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    sandbox.until("the node is ready", PATIENCE, || {
        output(kubectl(place, parts).args(["get", "node", "node1", "-o", ready])).is_ok_and(|said| said == "True")
    })
}

/// Gives an image archive to the node of a cluster that runs.
pub fn import(place: &Place, archive: &Path) -> Result<()> {
    let holder = place.holder().ok_or_else(|| error(format!("there is no cluster `{}`", place.name)))?;
    let mut command = ctr(place, holder).ok_or_else(|| error("no `ctr` on PATH: install containerd"))?;
    output(command.args(["-n", "k8s.io", "images", "import", "--no-unpack"]).arg(archive)).map(drop)
}

fn ctr(place: &Place, holder: u32) -> Option<Command> {
    let mut command = enter(holder, &which("ctr")?);
    command.arg("-a").arg(socket(place));
    Some(command)
}

fn socket(place: &Place) -> PathBuf {
    place.file("containerd.sock")
}

fn containerd_settings(place: &Place, parts: &Parts) -> String {
    let folder = place.file("containerd");
    let folder = folder.display();
    format!(
        r#"version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[grpc]
  address = "{}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  stream_server_address = "127.0.0.1"
  # In a container without CAP_SYS_RESOURCE a score below our own cannot be set.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{}"
    conf_dir = "{}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"#,
        socket(place).display(),
        parts.plugins.display(),
        place.file("cni").display(),
    )
}

fn kubelet_settings(place: &Place) -> serde_json::Value {
    let pki = |name: &str| place.file("pki").join(name);
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "failCgroupV1": false, "failSwapOn": false,
        "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{}", place.cgroup()), "enforceNodeAllocatable": [],
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": pki("ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki("kubelet-server.crt"), "tlsPrivateKeyFile": pki("kubelet-server.key"),
        "address": NODE_IP, "healthzBindAddress": "127.0.0.1",
        "containerRuntimeEndpoint": format!("unix://{}", socket(place).display()),
        "clusterDNS": [NODE_IP], "clusterDomain": "cluster.local", "resolvConf": "",
        // Tests end long before a disk is full, and a nearly full one is no reason to evict a demo.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        // Else a Secret or a token takes up to a minute to reach a pod.
        "syncFrequency": "10s", "nodeStatusUpdateFrequency": "5s",
    })
}

/// The cluster's own folder in each hierarchy; `cpuset` starts without any processor there.
fn cgroups(place: &Place) -> Result<()> {
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies: Vec<PathBuf> = if top.join("cgroup.controllers").exists() {
        vec![top.to_owned()]
    } else {
        std::fs::read_dir(top)
            .context("list the cgroup hierarchies")?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect()
    };
    for hierarchy in hierarchies {
        let own = hierarchy.join(place.cgroup());
        if std::fs::create_dir_all(&own).is_err() {
            // A hierarchy that is mounted read-only is one that kubelet does not use.
            continue;
        }
        // All pods together would count as one process among those of this machine: a build beside them would starve the demo.
        for (name, weight) in [("cpu.shares", "8192"), ("cpu.weight", "800")] {
            if own.join(name).exists() {
                std::fs::write(own.join(name), weight).context(format!("set {name}"))?;
            }
        }
        if hierarchy.ends_with("cpuset") {
            for name in ["cpuset.cpus", "cpuset.mems"] {
                let given = std::fs::read_to_string(hierarchy.join(name)).context(format!("read {name}"))?;
                std::fs::write(own.join(name), given.trim()).context(format!("set {name}"))?;
            }
        }
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).context(format!("write {}", file.display()))
}
